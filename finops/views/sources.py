"""Where facts come from: how each source does, what it brought, and what could not be taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops.forms import UploadForm
from finops.queries import sources as queries
from finops.queries.people import push_tokens
from finops.queries.sources import DeliveryRow, PeriodRow, PullRow, RejectRow, SourceRow
from finops.templatetags import words
from ingest.models import Source
from ingest.sources import REGISTRY
from ingest.sources.base import FileSource, PushSource

from .page import Action, View, link, needs, page
from .settings import push_row
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    money_cell,
    time_cell,
    unknown_cell,
    words_cell,
)

STATE_LABELS = {
    "ok": ("Working", "good"),
    "late": ("Late", "warn"),
    "error": ("Failing", "bad"),
    "never": ("Nothing yet", "warn"),
    "off": ("Switched off", "quiet"),
}
PULL_LABELS = {
    "running": ("Running", "quiet"),
    "done": ("Done", "good"),
    "failed": ("Failed", "bad"),
}
PAGE_SIZE = 50


@needs("finops.view_sources")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    rows = queries.source_list(request.user)
    may_manage = request.user.has_perm("finops.manage_sources")
    connect = Action("Connect a source", view.to("source-new"), "plus", main=True)
    return page(
        view,
        "finops/sources.html",
        "Sources",
        lead=health_said(rows),
        actions=[connect] if may_manage else [],
        with_bar=False,
        is_sample=any(row.source.is_sample for row in rows),
        table=source_table(rows, view),
        may_manage=may_manage,
        connect_href=view.to("source-new"),
    )


def health_said(rows: Iterable[SourceRow]) -> str:
    rows = list(rows)
    if not rows:
        return "Nothing is connected yet."
    ill = [row for row in rows if not is_well(row)]
    if not ill:
        return f"All {len(rows)} sources are working." if len(rows) > 1 else "It is working."
    return f"{len(ill)} of {len(rows)} need attention."


def source_table(rows: Iterable[SourceRow], view: View) -> Table:
    columns = (
        Column("Source"),
        Column("State"),
        Column("Newest fact"),
        Column("Rows, last 24 h", number=True),
        Column("Refused, last 24 h", number=True),
        Column("In quarantine", number=True, help="Refused rows of the last 7 days"),
        Column("Belongs to"),
    )
    made = tuple(Row(source_cells(row, view)) for row in rows)
    return Table("sources", "Sources and their health", columns, made)


def source_cells(row: SourceRow, view: View) -> tuple[Cell, ...]:
    source = row.source
    owner = source.project or source.pool
    label = kind_label(source.kind)
    return (
        words_cell(
            source.name,
            href=link(reverse("finops:source", args=[source.pk]), view.filters),
            note=f"{label}, sample data" if source.is_sample else label,
        ),
        state_cell(row),
        ago_cell(source.last_fact_at),
        count_cell(row.last_24h.rows_in),
        count_cell(row.last_24h.rejected),
        count_cell(row.quarantined),
        words_cell(owner.name if owner else "The organisation"),
    )


def state_cell(row: SourceRow) -> Cell:
    label, tone = STATE_LABELS[row.state]
    return words_cell(label, tone=tone, note=row.state_note)


def ago_cell(instant) -> Cell:
    if instant is None:
        return Cell("never", "")
    value = instant.isoformat(timespec="seconds")
    return Cell(words.ago_text(instant), value, instant, fixed=True)


def kind_label(kind: str) -> str:
    return REGISTRY[kind].label if kind in REGISTRY else kind


def is_well(row: SourceRow) -> bool:
    """As an order: what needs somebody comes first."""
    return row.state in ("ok", "off")


def health_table(rows: Iterable[SourceRow], view: View) -> Table:
    """The short form for the overview."""
    columns = (Column("Source"), Column("State"), Column("Newest fact"))
    made = []
    for row in rows:
        href = link(reverse("finops:source", args=[row.source.pk]), view.filters)
        label, tone = STATE_LABELS[row.state]
        cells = (
            words_cell(row.source.name, href=href),
            words_cell(label, tone=tone),
            ago_cell(row.source.last_fact_at),
        )
        made.append(Row(cells))
    return Table("health", "Freshness of the sources", columns, tuple(made))


@needs("finops.view_sources")
@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request, "cursor")
    row = queries.source_detail(request.user, pk)
    if row is None:
        raise Http404("There is no such source that you may see.")
    return source_page(view, row)


def source_page(view: View, row: SourceRow, status: int = 200, **more) -> HttpResponse:
    source, user = row.source, view.request.user
    adapter = REGISTRY.get(source.kind)
    cursor = view.extra.get("cursor")
    rejects = queries.rejects(source, PAGE_SIZE, cursor)
    is_bill = source.kind == "focus_csv"
    may_manage = user.has_perm("finops.manage_sources")
    if isinstance(adapter, FileSource) and may_upload(user, source):
        more = {"upload": UploadForm(source.kind), **more}
    if isinstance(adapter, PushSource) and may_manage:
        # They are all of this source, whose name stands above.
        more["tokens"] = [
            replace(push_row(token, True), source="") for token in push_tokens([source])
        ]
    address = reverse("finops:source", args=[source.pk])
    return page(
        view,
        "finops/source.html",
        source.name,
        lead=f"{kind_label(source.kind)}. {row.state_note}",
        crumbs=(("Sources", view.to("sources")),),
        with_bar=False,
        is_sample=source.is_sample,
        as_of=source.last_fact_at,
        status=status,
        row=row,
        may_manage=may_manage,
        address=address,
        state=STATE_LABELS[row.state],
        facts=source_facts(row),
        deliveries=delivery_table(queries.deliveries(source).rows, view) if is_bill else None,
        pulls=None if is_bill else pull_table(queries.pulls(source).rows),
        rejects=reject_table(rejects.rows),
        next_href=view.url(cursor=rejects.next) if rejects.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=f"{len(rejects.rows)} refused rows on this page",
        **more,
    )


def may_upload(user: Any, source: Source) -> bool:
    """Bills are the analysts' to bring; a request log is a source like any other."""
    needed = "import_bills" if source.kind == "focus_csv" else "manage_sources"
    return user.has_perm(f"finops.{needed}")


def source_facts(row: SourceRow) -> list[tuple[str, str]]:
    counts = row.last_24h
    owner = row.source.project or row.source.pool
    return [
        ("Belongs to", owner.name if owner else "The organisation"),
        ("Newest fact", words.when_text(row.source.last_fact_at)),
        ("Last delivery", words.when_text(row.source.last_success_at)),
        ("Rows in, last 24 h", words.count(counts.rows_in)),
        ("New", words.count(counts.inserted)),
        ("Changed", words.count(counts.updated)),
        ("Known already", words.count(counts.unchanged)),
        ("Older than what we have", words.count(counts.stale)),
        ("Refused", words.count(counts.rejected)),
        *([("Late, for days without details", words.count(row.late))] if row.late else ()),
    ]


def pull_table(rows: Iterable[PullRow]) -> Table:
    columns = (
        Column("Window"),
        Column("State"),
        Column("Rows in", number=True),
        Column("New", number=True),
        Column("Changed", number=True),
        Column("Known", number=True),
        Column("Older", number=True),
        Column("Refused", number=True),
    )
    made = []
    for row in rows:
        label, tone = PULL_LABELS[row.state]
        window = f"{words.when_text(row.window_from)} to {words.local(row.window_to):%H:%M}"
        cells = (
            words_cell(window),
            words_cell(label, tone=tone, note=row.error),
            *counts_cells(row.counts),
        )
        made.append(Row(cells))
    return Table(
        "pulls",
        "What it brought, hour by hour",
        columns,
        tuple(made),
        empty="It has brought nothing yet.",
    )


def counts_cells(counts) -> tuple[Cell, ...]:
    names = ("rows_in", "inserted", "updated", "unchanged", "stale", "rejected")
    return tuple(count_cell(getattr(counts, name)) for name in names)


def reject_table(rows: Iterable[RejectRow]) -> Table:
    columns = (
        Column("Reason"),
        Column("Field"),
        Column("What to mend"),
        Column("Line", number=True),
        Column("Received"),
    )
    made = []
    for row in rows:
        cells = (
            words_cell(row.reason.replace("_", " "), note=row_named(row)),
            words_cell(row.field or "the whole row"),
            words_cell(row.detail),
            NONE if row.line is None else count_cell(row.line),
            time_cell(row.received_at),
        )
        made.append(Row(cells))
    return Table(
        "rejects",
        "Refused rows of the last 7 days",
        columns,
        tuple(made),
        empty="Nothing was refused in the last 7 days.",
    )


def row_named(row: RejectRow) -> str:
    """Its own id; where that is only the line, the line has its column."""
    return "" if row.external_id == f"line {row.line}" else row.external_id


def delivery_table(rows: Iterable[DeliveryRow], view: View) -> Table:
    columns = (
        Column("File"),
        Column("State"),
        Column("Received"),
        Column("Rows in", number=True),
        Column("New", number=True),
        Column("Changed", number=True),
        Column("Known", number=True),
        Column("Older", number=True),
        Column("Refused", number=True),
    )
    made = []
    for row in rows:
        href = link(reverse("finops:delivery", args=[row.id]), view.filters)
        state = (
            words_cell("Complete", tone="good")
            if row.complete
            else words_cell("Not complete", tone="warn", note="Does not replace an earlier one.")
        )
        cells = (
            words_cell(row.name, href=href),
            state,
            time_cell(row.received_at),
            *counts_cells(row.counts),
        )
        made.append(Row(cells))
    return Table(
        "deliveries", "Files received", columns, tuple(made), empty="No file has arrived yet."
    )


@needs("finops.view_sources")
@require_safe
def delivery(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request, "cursor")
    row = queries.delivery_detail(request.user, pk)
    if row is None:
        raise Http404("There is no such delivery that you may see.")
    source = queries.source_detail(request.user, row.source_id)
    if source is None:
        raise Http404("There is no such delivery that you may see.")
    cursor = view.extra.get("cursor")
    rejects = queries.rejects(source.source, PAGE_SIZE, cursor, delivery_id=pk)
    source_href = link(reverse("finops:source", args=[row.source_id]), view.filters)
    return page(
        view,
        "finops/delivery.html",
        row.name,
        lead=f"Received {words.when_text(row.received_at)}; "
        + ("complete." if row.complete else "not complete, so it replaces nothing."),
        crumbs=(("Sources", view.to("sources")), (row.source, source_href)),
        with_bar=False,
        is_sample=source.source.is_sample,
        row=row,
        periods=period_table(row.periods, view),
        rejects=reject_table(rejects.rows),
        facts=[
            ("Rows in", words.count(row.counts.rows_in)),
            ("New", words.count(row.counts.inserted)),
            ("Changed", words.count(row.counts.updated)),
            ("Known already", words.count(row.counts.unchanged)),
            ("Older than what we have", words.count(row.counts.stale)),
            ("Refused", words.count(row.counts.rejected)),
            ("SHA-256 of the file", row.sha256),
        ],
        next_href=view.url(cursor=rejects.next) if rejects.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=f"{len(rejects.rows)} refused rows on this page",
    )


def period_table(periods: Iterable[PeriodRow], view: View) -> Table:
    columns = (
        Column("Billing account"),
        Column("Month"),
        Column("Cost", number=True),
        Column("Lines", number=True),
        Column("Charged until"),
        Column("Standing"),
    )
    rows = []
    for period in periods:
        for at, (currency, amount) in enumerate(period.costs or (("", None),)):
            cells = (
                words_cell(period.billing_account_id),
                Cell(f"{period.billing_month:%B %Y}", period.billing_month.isoformat()),
                money_cell(amount, currency) if currency else unknown_cell(),
                # Lines are counted over all currencies of the account and month.
                NONE if at else count_cell(period.line_count),
                time_cell(period.last_charge_at),
                standing_cell(period, view),
            )
            rows.append(Row(cells))
    return Table(
        "periods",
        "Accounts and months in this file",
        columns,
        tuple(rows),
        empty="No line of this file could be taken.",
    )


def standing_cell(period: PeriodRow, view: View) -> Cell:
    """Believed now, or replaced by which delivery."""
    if period.known_to is None:
        note = "Replaced an earlier delivery." if period.superseded else ""
        return words_cell("Current", tone="good", note=note)
    when = f"Believed until {words.when_text(period.known_to)}."
    if period.superseded_by is None:
        return words_cell("Replaced", tone="quiet", note=when)
    href = link(reverse("finops:delivery", args=[period.superseded_by]), view.filters)
    return words_cell("Replaced", tone="quiet", href=href, note=when)


# How to connect


def push_snippet(request: HttpRequest, token: str, kind: str = "otlp") -> str:
    """What to paste where the facts are made, with this installation's own address."""
    adapter = REGISTRY[kind]
    assert isinstance(adapter, PushSource)
    address = request.build_absolute_uri("/").rstrip("/")
    if kind == "gpu":
        return (
            f"export BREAKEVEN_PROBE_URL={address}\n"
            f"export BREAKEVEN_PROBE_TOKEN={token}\n"
            "python -m gpu_probe"
        )
    return (
        f"export OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={address}{adapter.path}\n"
        "export OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf\n"
        f'export OTEL_EXPORTER_OTLP_TRACES_HEADERS="Authorization=Bearer%20{token}"'
    )
