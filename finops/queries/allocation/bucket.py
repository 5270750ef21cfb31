"""The bucket of what no rule takes: how much it is, what is in it, and why something stayed.

Its amounts are those of the book's Unallocated, so they are the ones of the costs page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from typing import Any

from django.db import connection

from finops.costing.allocating import BILL, HARDWARE
from finops.queries import book, conversion
from finops.queries.amounts import ZERO, SpendTable, minus, plus
from finops.queries.book_columns import hardware_counted
from finops.queries.exchange import currencies as rated_currencies
from finops.queries.filters import Filters
from finops.queries.spend import Answers
from ingest.models import Project
from ingest.models.owners import UNALLOCATED

from .charges import believed_periods, scope_of
from .matching import DAYS, NO_RULE, Matcher
from .rules import in_force, of_origin

GROUPS = ("origin", "provider", "service", "sku")
MOST_TAGS = 100
CRAWL, RUN = 0.8, 0.9
"""The share allocated that the FinOps Foundation's framework names for a beginner and an expert."""

HELD = """{context}
SELECT origin, rule_id, why, {currency}, sum({amount}) FROM (
    SELECT 'bill' AS origin, d.rule_id, d.why, d.day, d.currency, {cost} AS amount
    FROM finops_landedbill d JOIN ingest_deliveryperiod p ON p.id = d.period_id
    WHERE d.why <> '' AND d.day >= %(start)s AND d.day < %(end)s AND {believed}
    UNION ALL
    SELECT 'hardware', q.rule_id, q.why, {hardware_day}, q.currency, q.allocated
    FROM finops_landedhardware q JOIN ingest_pool l ON l.id = q.pool_id
    WHERE q.why <> '' AND q.at >= %(start_at)s AND q.at < %(end_at)s AND ({counted})
) AS held {join} GROUP BY 1, 2, 3, 4 HAVING sum({amount}) <> 0 ORDER BY 5 DESC"""
"""Hardware that a bill covers is on the bill, and so it is not in the bucket either."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the book is somebody's, in one currency."""

    table: SpendTable
    total: Decimal
    unallocated: Decimal

    @property
    def allocated(self) -> Decimal:
        found: Decimal = minus(self.total, self.unallocated)
        return found

    @property
    def share(self) -> float | None:
        """None where there is nothing to allocate, or credits outweigh what was spent."""
        if self.total <= 0 or not 0 <= self.unallocated <= self.total:
            return None
        return float(self.allocated / self.total)


@dataclass(frozen=True, slots=True)
class Held:
    """What a rule met and could not split."""

    origin: str
    rule_id: int
    why: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class TagValue:
    """A tag on bill lines that no rule takes. Without a key: lines that have no tag at all."""

    key: str
    value: str
    currency: str
    lines: int
    cost: Decimal


def whole_book(filters: Filters) -> Filters:
    """The period, currency and cost column of a page, over all projects."""
    return replace(
        filters, basis="book", group_by=(), compare=False, projects=(), teams=(), providers=(),
        models=(), services=(), project_ids=None,
    )  # fmt: skip


def coverage(filters: Filters) -> Coverage:
    group = ("project",)
    table = Answers(whole_book(filters), [book.Split(group)]).table(group)
    left = [row.cost for row in table.rows if row.keys == (UNALLOCATED,)]
    return Coverage(table, table.total.cost, reduce(plus, left, ZERO))


def bucket_filters(filters: Filters) -> Filters:
    own = (Project.objects.unallocated().pk,)
    return replace(whole_book(filters), projects=(UNALLOCATED,), project_ids=own)


def bucket(filters: Filters) -> SpendTable:
    """What is in it, by where it comes from, provider, service and SKU, the dearest first."""
    found = Answers(bucket_filters(filters), [book.Split(GROUPS)]).table(GROUPS)
    return replace(found, rows=tuple(row for row in found.rows if row.cost or _counts(row)))


def _counts(row: object) -> bool:
    """Unknown is not nothing: a row without any amount may still count what has none."""
    names = ("unknown_bill_lines", "unpriced_spans", "unknown_spans", "unpriced_gpu_hours")
    return any(getattr(row, name) for name in names)


def held(filters: Filters) -> list[Held]:
    own = bucket_filters(filters)
    covered = book.coverage(own)
    fx = _rated(filters, "held", "amount")
    sql = HELD.format(
        context=book.CONTEXT,
        counted=hardware_counted(bool(covered.days)),
        cost=book.COSTS[own.metric],
        believed=book.believed(own),
        hardware_day=DAYS[HARDWARE],
        **fx.sql,
    )
    given = {**book.parameters(own, covered), **fx.values}
    return [Held(*row) for row in book.rows(sql, given)]


def tags(filters: Filters) -> list[TagValue]:
    """Tags of the bill lines that no rule takes, the dearest first; read from the lines."""
    periods = believed_periods(filters.start, filters.end)
    if not periods:
        return []
    matcher = Matcher(BILL)
    case = matcher.case(of_origin(in_force(), BILL))
    fx = _rated(filters, "line", "effective_cost")
    sql = f"""
SELECT coalesce(t.key, ''), coalesce(t.value, ''), {fx.sql["currency"]}, count(*),
    coalesce(sum({fx.sql["amount"]}), 0)
FROM (
    SELECT l.billing_currency AS currency, l.effective_cost, l.tags, {DAYS[BILL]} AS day
        {matcher.columns()}
    FROM ingest_bill_line l
    WHERE l.source_id = ANY(%(sources)s) AND l.billing_month = ANY(%(months)s)
        AND l.delivery_id = ANY(%(deliveries)s) AND l.period_id = ANY(%(periods)s)
    OFFSET 0
) AS line
LEFT JOIN LATERAL jsonb_each_text(line.tags) AS t (key, value) ON true
{fx.sql["join"]}
WHERE day >= %(start)s AND day < %(end)s AND {case} = {NO_RULE}
GROUP BY 1, 2, 3 ORDER BY 5 DESC, 1, 2 LIMIT {MOST_TAGS}"""
    values = {
        **matcher.values,
        **scope_of(periods),
        **fx.values,
        "start": filters.start,
        "end": filters.end,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [TagValue(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class _Rated:
    """How a sum by currency is read: as recorded, or what has a rate in the one asked for."""

    sql: dict[str, str]
    values: dict[str, Any]


def _rated(filters: Filters, alias: str, amount: str) -> _Rated:
    if not filters.convert:
        return _Rated({"currency": "currency", "amount": amount, "join": ""}, {})
    codes = rated_currencies()
    rates = conversion.converter_of(filters, codes).rates
    sql = {
        "currency": "CASE WHEN fx.rate IS NULL THEN currency ELSE %(to)s END",
        "amount": f"{amount} * coalesce(fx.rate, 1)",
        "join": f"LEFT JOIN {conversion.joined(alias)}",
    }
    return _Rated(sql, {"to": filters.convert, **conversion.joined_values(rates, codes, filters)})
