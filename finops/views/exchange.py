"""Exchange rates: bring some in, see what a conversion uses, and where they are missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_http_methods, require_safe

from finops.actions import exchange as actions
from finops.actions.exchange import Outcome
from finops.costing.exchange import HOLDS_DAYS
from finops.costing.exchange_files import MOST_BYTES, BadRates, Wrong
from finops.models import ExchangeImport, ExchangeRate
from finops.money import plain
from finops.queries import exchange as queries
from finops.queries.exchange import ALL, IN_FORCE, Coverage, DayUsed
from finops.queries.filters import today
from finops.templatetags import words

from .currencies import rate_said
from .page import Action, Choice, View, csv_action, needs, page
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    csv_response,
    day_cell,
    time_cell,
    words_cell,
)

READ = "finops.view_spend"
PAGE_SIZE = 100
NAMES = ("of", "versions")
LEAD = (
    "What amounts are multiplied by when a page is converted to one currency: each day's at the"
    " rate of that day."
)


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES, "cursor")
    if request.method == "POST":
        return bring(view)
    return rates_page(view)


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """All rates of the period, or with `table=used` what each of its days is converted with."""
    view = View.of(request, *NAMES, "table")
    days = f"{view.filters.start}-{view.filters.end}.csv"
    of, to = view.extra.get("of", ""), view.filters.convert
    if view.extra.get("table") == "used" and of and to:
        return csv_response(
            used_table(view), f"exchange-rates-{of}-to-{to}-{days}".replace(" ", "-")
        )
    return csv_response(rates_table(list(asked(view))), f"exchange-rates-{days}")


def rates_page(view: View, refused: BadRates | None = None, status: int = 200) -> HttpResponse:
    found = queries.rate_page(asked(view), limit=PAGE_SIZE, cursor=view.extra.get("cursor"))
    filters, of = view.filters, view.extra.get("of", "")
    has_used = bool(of and filters.convert)
    covered = queries.coverage()
    return page(
        view,
        "finops/exchange_rates.html",
        "Exchange rates",
        lead=LEAD,
        actions=exports(view, has_used) if covered else [],
        with_bar=False,
        status=status,
        refused=refused,
        may_bring=view.request.user.has_perm(actions.MANAGE),
        most_megabytes=MOST_BYTES // 1024**2,
        used=used_table(view) if has_used else None,
        used_of=of,
        holds_days=HOLDS_DAYS,
        rates=rates_table(found.rows),
        last_day=filters.end - timedelta(days=1),
        of_choices=[Choice(code, code, current=code == of) for code in known(of)],
        versions=versions_choices(view),
        kept=view.pairs(filters, "range", "from", "to", *NAMES, "cursor"),
        kept_versions=view.extra.get("versions", ""),
        coverage=coverage_table(covered),
        imports=imports_table(queries.imports()),
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if view.extra.get("cursor") else "",
        shown=f"{len(found.rows)} rates on this page",
    )


def asked(view: View) -> QuerySet[ExchangeRate]:
    return queries.rates(
        view.filters.start,
        view.filters.end,
        currency=view.extra.get("of", ""),
        versions=ALL if view.extra.get("versions") == ALL else IN_FORCE,
    )


def known(of: str) -> list[str]:
    return sorted({*queries.currencies(), *filter(None, [of])})


def exports(view: View, has_used: bool) -> list[Action]:
    made = [csv_action(view, "exchange-rates-csv")]
    if has_used:
        used = csv_action(view, "exchange-rates-csv", table="used")
        made.append(replace(used, label="Rates used as CSV"))
    return made


def versions_choices(view: View) -> list[Choice]:
    chosen = view.extra.get("versions", "")
    return [
        Choice("In force", href=view.url(versions="", cursor=""), current=chosen != ALL),
        Choice("Also replaced", href=view.url(versions=ALL, cursor=""), current=chosen == ALL),
    ]


# Bringing rates in


def bring(view: View) -> HttpResponse:
    if not view.request.user.has_perm(actions.MANAGE):
        raise PermissionDenied
    sent = view.request.FILES.get("file")
    try:
        if sent is None:
            raise BadRates([Wrong(0, "file", "choose one.")])
        if sent.size > MOST_BYTES:
            raise BadRates([Wrong(0, "file", f"it has more than {MOST_BYTES:,} bytes.")])
        outcome = actions.import_file(
            sent.read(),
            name=sent.name or "",
            source=view.request.POST.get("source", ""),
            by=view.request.user,
            via="page",
        )
    except BadRates as error:
        return rates_page(view, error, status=422)
    messages.success(view.request, outcome_said(outcome))
    return HttpResponseRedirect(view.url(cursor=""))


def outcome_said(outcome: Outcome) -> str:
    days = words.days_text(outcome.first_day, outcome.last_day + timedelta(days=1))
    if outcome.brought is None:
        return f"All {words.count(outcome.rates)} rates of {days} were known; nothing changed."
    said = f"{words.count(outcome.added)} rates of {days} were added"
    if outcome.replaced:
        said += f", {words.count(outcome.replaced)} replaced another one, which is kept"
    if outcome.unchanged:
        said += f", {words.count(outcome.unchanged)} were known"
    return f"{said}."


# Tables


def rate_cell(rate: Decimal) -> Cell:
    return Cell(text=rate_said(rate), value=plain(rate), order=rate)


def rates_table(found: Iterable[ExchangeRate]) -> Table:
    columns = (
        Column("Day"),
        Column("One"),
        Column("Is", number=True),
        Column("Of"),
        Column("From"),
        Column("Brought in"),
        Column("By"),
        Column("State"),
    )
    rows = tuple(Row(rates_cells(rate)) for rate in found)
    empty = "No rate of these days. Choose other ones, or bring in a file."
    return Table("rates", "Rates by day", columns, rows, empty=empty)


def rates_cells(rate: ExchangeRate) -> tuple[Cell, ...]:
    brought = rate.brought_by
    in_force = words_cell("in force", tone="good")
    replaced = words_cell("replaced", tone="quiet", note=replaced_said(rate))
    return (
        day_cell(rate.day),
        words_cell(rate.base),
        rate_cell(rate.rate),
        words_cell(rate.quote),
        words_cell(brought.source),
        time_cell(brought.created_at),
        words_cell(brought_by(brought)),
        in_force if rate.replaced_at is None else replaced,
    )


def replaced_said(rate: ExchangeRate) -> str:
    return f"since {words.when_text(rate.replaced_at)}" if rate.replaced_at else ""


def brought_by(brought: ExchangeImport) -> str:
    return brought.created_by.get_username() if brought.created_by else "command"


def used_table(view: View) -> Table:
    of, to = view.extra.get("of", ""), view.filters.convert
    columns = (
        Column("Day"),
        Column(f"One {of} in {to}", number=True),
        Column("Rate of"),
        Column("From"),
    )
    before = min(view.filters.end, today() + timedelta(days=1))
    found = queries.used_by_day(of, to, view.filters.start, before)
    rows = tuple(Row(used_cells(one)) for one in reversed(found))
    return Table("used", f"{of} to {to}, day by day", columns, rows)


def used_cells(one: DayUsed) -> tuple[Cell, ...]:
    if one.used is None:
        said = words_cell("not converted", tone="warn")
        return day_cell(one.day), said, NONE, NONE
    of = words_cell("the day itself")
    if one.used.is_carried:
        of = day_cell(one.used.rate_day)
    return day_cell(one.day), rate_cell(one.used.rate), of, words_cell(", ".join(one.used.sources))


def coverage_table(found: tuple[Coverage, ...]) -> Table:
    columns = (
        Column("One"),
        Column("In"),
        Column("First rate"),
        Column("Newest rate"),
        Column("Days", number=True),
        Column("Days without"),
    )
    rows = tuple(Row(coverage_cells(one)) for one in found)
    return Table("coverage", "What there are rates of", columns, rows, empty="No rates yet.")


def coverage_cells(one: Coverage) -> tuple[Cell, ...]:
    is_old = one.holds_until < today()
    newest = day_cell(one.last, note="too old for today" if is_old else "")
    gap = NONE
    if one.gap_from and one.gap_before:
        more = f", and {one.gaps - 1} more times before" if one.gaps > 1 else ""
        days = words.days_text(one.gap_from, one.gap_before)
        gap = words_cell(f"{days}{more}")
    return (
        words_cell(one.base),
        words_cell(one.quote),
        day_cell(one.first),
        newest,
        count_cell(one.days),
        gap,
    )


def imports_table(found: Iterable[ExchangeImport]) -> Table:
    columns = (
        Column("When"),
        Column("From"),
        Column("File"),
        Column("By"),
        Column("First day"),
        Column("Last day"),
        Column("Added", number=True),
        Column("Replaced", number=True),
    )
    rows = tuple(
        Row(
            (
                time_cell(one.created_at),
                words_cell(one.source),
                words_cell(one.file_name) if one.file_name else NONE,
                words_cell(brought_by(one)),
                day_cell(one.first_day),
                day_cell(one.last_day),
                count_cell(one.added),
                count_cell(one.replaced),
            )
        )
        for one in found
    )
    return Table("imports", "Brought in last", columns, rows)
