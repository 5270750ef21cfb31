"""Where facts come from: how each source does, what it brought, and what could not be taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops.actions.trying import can_be_tried
from finops.queries import sources as queries
from finops.queries.people import push_tokens
from finops.queries.pulling import Budget
from finops.queries.sources import SourceRow
from finops.source_forms import PastForm, UploadForm
from finops.templatetags import words
from ingest import again
from ingest.fetching import MINUTE_S
from ingest.models import Source
from ingest.sources import REGISTRY
from ingest.sources.base import FileSource, PushSource, TracePullSource

from .page import Action, View, link, needs, page
from .settings import push_row
from .sources_past import past_context
from .sources_tables import delivery_table, pull_table, reason_table, reject_table
from .tables import Cell, Column, Row, Table, count_cell, words_cell

STATE_LABELS = {
    "ok": ("Working", "good"),
    "delayed": ("Delayed", "warn"),
    "late": ("Late", "warn"),
    "error": ("Failing", "bad"),
    "never": ("Nothing yet", "warn"),
    "off": ("Switched off", "quiet"),
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
    waiting = sum(row.state == "delayed" for row in rows)
    # A source that waits goes on by itself, but nobody should read that all is as usual.
    waits = f" {waiting} must wait before the next request." if waiting else ""
    if ill:
        return f"{len(ill)} of {len(rows)} need attention.{waits}"
    if waits:
        return f"None of {len(rows)} needs attention.{waits}"
    return f"All {len(rows)} sources are working." if len(rows) > 1 else "It is working."


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
    label, tone = state_label(row)
    # A delay says itself until when.
    return words_cell(label, tone=tone, note="" if row.state == "delayed" else row.state_note)


def state_label(row: SourceRow) -> tuple[str, str]:
    """(what it says, its tone); of a delay also its end."""
    label, tone = STATE_LABELS[row.state]
    if row.state == "delayed":
        label = f"Delayed until {words.when_text(row.source.delayed_until)}"
    return label, tone


def ago_cell(instant) -> Cell:
    if instant is None:
        return Cell("never", "")
    value = instant.isoformat(timespec="seconds")
    return Cell(words.ago_text(instant), value, instant, fixed=True)


def kind_label(kind: str) -> str:
    return REGISTRY[kind].label if kind in REGISTRY else kind


def is_well(row: SourceRow) -> bool:
    """As an order: what needs somebody comes first."""
    return row.state in ("ok", "off", "delayed")


def health_table(rows: Iterable[SourceRow], view: View) -> Table:
    """The short form for the overview."""
    columns = (Column("Source"), Column("State"), Column("Newest fact"))
    made = []
    for row in rows:
        href = link(reverse("finops:source", args=[row.source.pk]), view.filters)
        label, tone = state_label(row)
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
    is_bill = brings_bills(source)
    may_manage = user.has_perm("finops.manage_sources")
    if isinstance(adapter, FileSource) and may_upload(user, source):
        more = {"upload": UploadForm(source.kind), **more}
    if isinstance(adapter, TracePullSource):
        form = PastForm() if may_manage else None
        more = {"past_form": form, **past_context(source), **more}
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
        can_be_tried=may_manage and can_be_tried(source.kind),
        state=state_label(row),
        facts=source_facts(row),
        deliveries=delivery_table(queries.deliveries(source).rows, view) if is_bill else None,
        pulls=None if is_bill else pull_table(queries.pulls(source).rows),
        rejects=reject_table(rejects.rows, f"{address}/again" if may_manage else ""),
        reasons=reason_table(again.reasons(source), f"{address}/again") if may_manage else None,
        again_href=f"{address}/again" if may_manage else "",
        # Not the page's own address: it may answer to something that was sent.
        next_href=link(address, view.filters, {"cursor": rejects.next}) if rejects.next else "",
        first_href=link(address, view.filters) if cursor else "",
        shown=f"{len(rejects.rows)} refused rows on this page",
        **more,
    )


def may_upload(user: Any, source: Source) -> bool:
    """Bills are the analysts' to bring; a request log is a source like any other."""
    needed = "import_bills" if brings_bills(source) else "manage_sources"
    return user.has_perm(f"finops.{needed}")


def brings_bills(source: Source) -> bool:
    return source.kind in REGISTRY and REGISTRY[source.kind].brings_bills


def source_facts(row: SourceRow) -> list[tuple[str, str]]:
    counts = row.last_24h
    owner = row.source.project or row.source.pool
    return [
        ("Belongs to", owner.name if owner else "The organisation"),
        ("Newest fact", words.when_text(row.source.last_fact_at)),
        ("Behind by", words.seconds(row.lag_s)),
        ("Last delivery", words.when_text(row.source.last_success_at)),
        ("Rows in, last 24 h", words.count(counts.rows_in)),
        ("New", words.count(counts.inserted)),
        ("Changed", words.count(counts.updated)),
        ("Known already", words.count(counts.unchanged)),
        ("Older than what we have", words.count(counts.stale)),
        ("Refused", words.count(counts.rejected)),
        *([("Late, for days without details", words.count(row.late))] if row.late else ()),
        *pulling_facts(row),
    ]


def pulling_facts(row: SourceRow) -> list[tuple[str, str]]:
    if row.source.interval_s is None:
        return []
    came = ("Pulls done of those due, last 24 h", words.percent(row.completeness))
    return [came, *(budget_said(budget) for budget in row.budgets)]


def budget_said(budget: Budget) -> tuple[str, str]:
    window = "this minute" if budget.window_s == MINUTE_S else "today (UTC)"
    return f"Requests {window}", f"{budget.spent:,} of {budget.most:,}"
