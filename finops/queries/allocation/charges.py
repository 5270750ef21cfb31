"""Raw charges with the rule that takes each, and the parts in which they land on projects.

Knows bill lines and pool quarters. Several sets of rules may be asked at once, so that a draft is
compared with the rules in force on the very same rows. Refuses to write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection

from finops.costing.allocating import (
    BILL,
    HARDWARE,
    MEASURED,
    ONE,
    USAGE,
    ZERO,
    Rule,
    Weights,
    parts_of,
    weights_of,
)
from ingest.models import DeliveryPeriod

from .matching import DAYS, NO_RULE, Matcher
from .weights import RequestWeights, UsageWeights, matched_providers

COSTS = ("billed", "effective", "list", "contracted")
LONGEST_CHARGE_DAYS = 366
TAKEN = f"r0 <> {NO_RULE}"
DAY_OF_BILL = (
    "day", "currency", "provider_name", "service_category", "service_name", "sku_id",
    "sub_account_name", "region_id", "charge_category",
)  # fmt: skip
"""What a row of `BillDay` is the sum of: it says whether a cost is known of it at all."""
KEYS_OF_BILL = ("period", "day", "until", "currency", "provider", "service", "sku")
KEYS_OF_HARDWARE = (
    "pool", "provider", "at", "day", "model", "currency", "requests", "allocated",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BillCharge:
    """Lines of one day, service and SKU that the same rules take."""

    period: int
    day: date
    until: date
    currency: str
    provider: str
    service: str
    sku: str
    taken_by: tuple[int, ...]
    """For each set of rules the number of the rule that takes it; NO_RULE where none does."""
    lines: int
    costs: tuple[Decimal, ...]
    unknown: tuple[int, ...]
    """Per cost, lines of a day of which no line carries it."""


@dataclass(frozen=True, slots=True)
class HardwareCharge:
    """A row of `PoolQuarter`."""

    pool: int
    provider: str
    at: datetime
    day: date
    model: str
    currency: str
    taken_by: tuple[int, ...]
    requests: float
    allocated: Decimal


Charge = BillCharge | HardwareCharge


def bill_charges(
    periods: Sequence[DeliveryPeriod],
    sets: Sequence[Sequence[Rule]],
    window: tuple[date, date] | None = None,
    only: str = TAKEN,
) -> list[BillCharge]:
    """Charges that the rules take, in the days `[first, end)` when a window is given.

    `only` is a condition on r0, r1 …: what the rule of each set is, by the number of `numbered`.
    """
    if not periods or not any(sets):
        return []
    matcher, places = Matcher(BILL), [f"r{place}" for place in range(len(sets))]
    taken = taken_columns(matcher, sets)
    keys = ", ".join(("period_id", "until", *places, *DAY_OF_BILL))
    sums = ", ".join(f"sum({c}_cost) AS {c}_cost, count({c}_cost) AS n_{c}" for c in COSTS)
    known = ", ".join(f"sum(n_{cost}) OVER day_of_bill AS all_{cost}" for cost in COSTS)
    totals = ", ".join(f"coalesce(sum({cost}_cost), 0)" for cost in COSTS)
    unknown = ", ".join(
        f"coalesce(sum(lines) FILTER (WHERE all_{cost} = 0), 0)::bigint" for cost in COSTS
    )
    costs = ", ".join(f"l.{cost}_cost" for cost in COSTS)
    sql = f"""
SELECT period_id, day, until, currency, provider_name, service_name, sku_id, {", ".join(places)},
    sum(lines)::bigint, {totals}, {unknown}
FROM (
    SELECT *, {known} FROM (
        SELECT {keys}, count(*) AS lines, {sums} FROM (
            SELECT *, {taken} FROM (
                SELECT l.period_id, l.billing_currency AS currency, {DAYS[BILL]} AS day,
                    greatest({DAYS[BILL]}, ((l.charge_period_end - interval '1 microsecond')
                        AT TIME ZONE %(zone)s)::date) AS until,
                    l.provider_name, l.service_category, l.service_name, l.sku_id,
                    l.sub_account_name, l.region_id, l.charge_category, {costs}
                    {matcher.columns()}
                FROM ingest_bill_line l
                WHERE l.source_id = ANY(%(sources)s) AND l.billing_month = ANY(%(months)s)
                    AND l.delivery_id = ANY(%(deliveries)s) AND l.period_id = ANY(%(periods)s)
                OFFSET 0  -- A fence: what is read above is not computed again for each rule.
            ) AS line {"WHERE day >= %(first)s AND day < %(end)s" if window else ""}
        ) AS taken GROUP BY {keys}
    ) AS summed WINDOW day_of_bill AS (PARTITION BY period_id, {", ".join(DAY_OF_BILL)})
) AS known WHERE {only}
GROUP BY 1, 2, 3, 4, 5, 6, 7, {", ".join(str(8 + place) for place in range(len(sets)))}"""
    values = {
        **matcher.values,
        **scope_of(periods),
        "first": window and window[0],
        "end": window and window[1],
    }
    count, width = len(sets), len(COSTS)
    return [
        BillCharge(
            **dict(zip(KEYS_OF_BILL, row, strict=False)),
            taken_by=tuple(row[7 : 7 + count]),
            lines=row[7 + count],
            costs=tuple(row[8 + count : 8 + count + width]),
            unknown=tuple(row[8 + count + width :]),
        )
        for row in _rows(sql, values)
    ]


def scope_of(periods: Sequence[DeliveryPeriod]) -> dict[str, Any]:
    """Parameters that find the lines of these periods by the key of their partitions."""
    return {
        "zone": settings.ACCOUNTING_TIME_ZONE,
        "sources": sorted({period.source_id for period in periods}),
        "months": sorted({period.billing_month for period in periods}),
        "deliveries": sorted({period.delivery_id for period in periods}),
        "periods": [period.pk for period in periods],
    }


def numbered(sets: Sequence[Sequence[Rule]]) -> list[list[int]]:
    """A number for each rule; one that is the same in two sets has the same number in both."""
    known: dict[Rule, int] = {}
    return [[known.setdefault(rule, len(known)) for rule in rules] for rules in sets]


def taken_columns(matcher: Matcher, sets: Sequence[Sequence[Rule]]) -> str:
    return ", ".join(
        f"{matcher.case(rules, numbers)} AS r{place}"
        for place, (rules, numbers) in enumerate(zip(sets, numbered(sets), strict=True))
    )


def hardware_charges(
    pools: Sequence[int],
    first: date,
    end: date,
    sets: Sequence[Sequence[Rule]],
    only: str = TAKEN,
) -> list[HardwareCharge]:
    """What pools were paid in the days `[first, end)`, where the rules take it."""
    if not pools or not any(sets):
        return []
    matcher = Matcher(HARDWARE)
    taken = taken_columns(matcher, sets)
    sql = f"""
SELECT * FROM (
    SELECT pool_id, provider, at, day, model, currency, requests, allocated, {taken} FROM (
        SELECT q.pool_id, p.provider, q.at, {DAYS[HARDWARE]} AS day, q.model, q.currency,
            coalesce(q.requests, 0) AS requests, q.allocated {matcher.columns()}
        FROM finops_poolquarter q JOIN ingest_pool p ON p.id = q.pool_id
        WHERE q.pool_id = ANY(%(pools)s) AND q.allocated IS NOT NULL
            AND q.at >= (%(first)s::timestamp AT TIME ZONE %(zone)s)
            AND q.at < (%(end)s::timestamp AT TIME ZONE %(zone)s)
    ) AS quarter
) AS taken WHERE {only}"""
    values = {
        **matcher.values,
        "zone": settings.ACCOUNTING_TIME_ZONE,
        "pools": list(pools),
        "first": first,
        "end": end,
    }
    return [
        HardwareCharge(**dict(zip(KEYS_OF_HARDWARE, row, strict=False)), taken_by=tuple(row[8:]))
        for row in _rows(sql, values)
    ]


@dataclass
class Measures:
    """The weights of the days that some charges speak of; read when the first rule asks."""

    rules: Sequence[Rule]
    charges: Sequence[Charge]
    _usage: UsageWeights | None = None
    _requests: RequestWeights | None = None
    _matched: Mapping[tuple[str, str], frozenset[str]] | None = None

    def of(self, charge: Charge, rule: Rule) -> Weights:
        """The weights by which this rule divides this charge."""
        if rule.split not in MEASURED:
            return weights_of(rule)
        if rule.split == USAGE:
            return weights_of(rule, self._used(charge))
        return weights_of(rule, self._requested(charge))

    def _used(self, charge: Charge) -> Weights:
        if self._usage is None:
            self._usage = UsageWeights(*self._days())
        if isinstance(charge, HardwareCharge):
            return self._usage.of(charge.day, charge.day, frozenset(), charge.currency)
        providers = self._providers(charge)
        return self._usage.of(charge.day, last_day_of(charge), providers, charge.currency)

    def _requested(self, charge: Charge) -> Weights:
        """What a pool answered; of a bill, what the pools it charges for did."""
        if self._requests is None:
            self._requests = RequestWeights(*self._days())
        if isinstance(charge, HardwareCharge):
            providers = frozenset((charge.provider.lower(),))
            return self._requests.of(charge.day, charge.day, providers, charge.model)
        providers = self._providers(charge)
        if not providers:
            return Weights({}, "Its service is matched with no provider, so no request is its.")
        return self._requests.of(charge.day, last_day_of(charge), providers, "")

    def _providers(self, charge: BillCharge) -> frozenset[str]:
        """Whose usage the bill charges for, where its service is matched."""
        if self._matched is None:
            self._matched = matched_providers()
        return self._matched.get((charge.provider, charge.service), frozenset())

    def _days(self) -> tuple[date, date]:
        last = max(last_day_of(charge) for charge in self.charges)
        return min(charge.day for charge in self.charges), last


def last_day_of(charge: Charge) -> date:
    """A line charges for all its days; one that claims to last for years speaks of one year."""
    if isinstance(charge, HardwareCharge):
        return charge.day
    return min(charge.until, charge.day + timedelta(days=LONGEST_CHARGE_DAYS))


@dataclass(frozen=True, slots=True)
class Part:
    """One project's part of a charge. `why` says why the whole of it stays Unallocated."""

    project: int
    costs: tuple[Decimal, ...]
    unknown: tuple[int, ...]
    weight: float
    why: str = ""


def parts(charge: Charge, rule: Rule, measures: Measures, unclaimed: int) -> Iterator[Part]:
    """What lands where: the parts add up to the charge, to the last digit."""
    is_bill = isinstance(charge, BillCharge)
    costs = charge.costs if isinstance(charge, BillCharge) else (charge.allocated,)
    unknown = charge.unknown if isinstance(charge, BillCharge) else (0,)
    weights = measures.of(charge, rule)
    if not weights.of:
        yield Part(unclaimed, costs, unknown, 1.0, weights.why)
        return
    if rule.split == ONE:
        yield Part(rule.targets[0][0], costs, unknown, 1.0)
        return
    # What has no amount cannot be divided: it stays where it was.
    none = (0,) * len(unknown) if is_bill else unknown
    divided = [parts_of(cost, weights.of) for cost in costs]
    total = sum((weight for weight in weights.of.values() if weight > 0), ZERO)
    for project in divided[0]:
        share = float(weights.of[project] / total)
        yield Part(project, tuple(part[project] for part in divided), none, share)


def believed_periods(first: date | None = None, end: date | None = None) -> list[DeliveryPeriod]:
    """The complete bills believed in, newest month first; with days, those that may touch them."""
    found = DeliveryPeriod.objects.filter(known_to=None, delivery__complete=True)
    if first is not None and end is not None:
        found = found.filter(billing_month__gte=first - timedelta(days=62), billing_month__lt=end)
    return list(found.order_by("-billing_month", "pk"))


def _rows(sql: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
