"""Unit costs of a scope: in total, by group and by day, each with what it is made of.

Knows the same book as the page of costs, so that spend is one figure on both. Unit costs rest on
priced usage and hardware, billed or not, because a bill knows neither requests nor tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from finops.money import CONTEXT

from .. import conversion
from ..amounts import ZERO, Spend, added, answered, of_requests, of_tokens, plus
from ..book import Split, days
from ..filters import Filters, today
from ..spend import Answers
from ..stamp import Stamped
from . import answers, hardware, labels, usage
from .answers import Counts, Window
from .asked import GROUPS, Asked, said
from .sql import Found
from .units import GPU_UNITS, GROUPED, OF_LABEL, UnitCost, in_proportion, per, unknown, with_before
from .usage import People, Sides

NO_USAGE = "Bills know no requests or tokens: choose the basis Book or Usage."

Point = tuple[tuple[str, ...], date | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    keys: tuple[str, ...]
    """One per `group_by`, as `Filters.drill` takes it."""
    labels: tuple[str, ...]
    cost: Decimal
    """Spend, as on the page of costs."""
    usage_cost: Decimal
    requests: int | None
    unpriced: int | None
    """Requests without a price, or that did not say what they used."""
    units: Mapping[str, UnitCost]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTable(Stamped):
    spend: Spend
    """The same figure as on the page of costs, with the same badge."""
    group_by: tuple[str, ...]
    currency: str
    total: UnitRow
    rows: tuple[UnitRow, ...]
    """Dearest first."""
    pools: tuple[hardware.PoolUnits, ...]
    counted: Window
    """The days of which conversations and answers are counted."""
    scores: tuple[str, ...]
    """Names of scores to choose from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSeries(Stamped):
    """One unit cost per day; None where it is unknown."""

    unit: str
    currency: str
    points: tuple[date, ...]
    values: tuple[UnitCost, ...]
    before_points: tuple[date, ...] = ()
    """Days of the period before, in the same order; empty unless compared."""
    before: tuple[UnitCost, ...] = ()


def grouped(filters: Filters) -> Filters:
    """By what unit costs can be grouped by; the model when nothing fits."""
    fitting = tuple(name for name in filters.group_by if name in GROUPS)
    return replace(filters, group_by=fitting or GROUPS[:1])


def unit_costs(filters: Filters, asked: Asked) -> UnitTable:
    filters = grouped(filters)
    group_by = filters.group_by
    splits = [Split(), Split(group_by)]
    now = _Facts(filters, asked, splits)
    before = None
    if filters.compare:
        before = _Facts(filters.previous(), asked, splits)
    spent = now.book.total()
    rows = [
        _row(now, before, group_by, key)
        for key, sums in now.book.by_key(group_by).items()
        if sums.get("cost") or sums.get("usage_cost") or sums.get("requests")
    ]
    rows.sort(key=lambda row: (-row.cost, -row.usage_cost, row.labels))
    return UnitTable(
        spend=spent,
        group_by=group_by,
        currency=filters.shown,
        total=_row(now, before, (), ()),
        rows=tuple(rows),
        pools=hardware.pools(filters, now.of_pools),
        counted=now.counted,
        scores=tuple(answers.score_names(filters)),
        as_of=spent.as_of,
        provisional=spent.provisional,
        sources=spent.sources,
        conversion=spent.conversion,
    )


def unit_series(filters: Filters, asked: Asked) -> UnitSeries:
    """The unit asked for, per accounting day up to today."""
    filters = replace(filters, group_by=())
    spent, points, values = _days(filters, asked)
    before: tuple[Any, ...] = (None, (), ())
    if filters.compare:
        before = _days(filters.previous(), asked)
    return UnitSeries(
        unit=asked.unit,
        currency=filters.shown,
        points=points,
        values=values,
        before_points=before[1],
        before=before[2],
        as_of=spent.as_of,
        provisional=spent.provisional,
        sources=spent.sources,
        conversion=spent.conversion,
    )


def _days(filters: Filters, asked: Asked) -> tuple[Spend, tuple[date, ...], tuple[UnitCost, ...]]:
    split = Split(by_time=True)
    facts = _Facts(filters, asked, [Split(), split], only=asked.unit)
    end = min(filters.end, today() + timedelta(days=1))
    points = tuple(days(filters.start, max(end, filters.start)))
    if asked.unit not in GPU_UNITS:
        values = tuple(facts.units(split, ((), point))[asked.unit] for point in points)
    else:
        found = hardware.by_day(filters)
        at = ("gpu-paid", "gpu-used").index(asked.unit)
        nothing = unknown(
            asked.unit, "No GPU-hours in this time." if filters.bills else hardware.NOT_YOURS
        )
        values = tuple(found[point][at] if point in found else nothing for point in points)
    return facts.book.total(), points, values


class _Facts:
    """Everything that unit costs are made of, read once per source and split several ways."""

    def __init__(
        self, filters: Filters, asked: Asked, splits: Sequence[Split], only: str = ""
    ) -> None:
        def wanted(*units: str) -> bool:
            return filters.basis != "bill" and (not only or only in units)

        self.filters, self.asked = filters, asked
        self.book = Answers(filters, splits)
        self.counted = Window(filters.end, filters.end, filters.days)
        fx = self._rates()

        def sides(given: Filters, wanted: Sequence[Split]) -> list[list[Found]]:
            return usage.sides(given, wanted, fx)

        def people(given: Filters, wanted: Sequence[Split]) -> list[list[Found]]:
            return usage.people(given, wanted, fx)

        self.sides = self._keyed(splits, sides, filters, wanted("input", "output"))
        self.people = self._keyed(splits, people, filters, wanted("user"))

        def values(given: Filters, wanted: Sequence[Split]) -> list[list[Found]]:
            return labels.values(given, wanted, asked.label, fx)

        asks_label = bool(asked.label) and wanted(OF_LABEL)
        self.values = self._keyed(splits, values, filters, asks_label, labels.joined)
        self.counts: dict[Split, dict[Point, Any]] = {split: {} for split in splits}
        self.counted_book = self.book
        if wanted("conversation", "answer"):
            self.counted = answers.window(filters)
            narrow = answers.narrowed_to(filters, self.counted)

            def read(given: Filters, wanted: Sequence[Split]) -> list[list[Found]]:
                return answers.counts(given, asked, wanted)

            self.counts = self._keyed(splits, read, narrow, True)
            if not self.counted.is_all and self.counted.days:
                self.counted_book = Answers(narrow, splits)
        self.money = {split: _points(self.book, split) for split in splits}
        self.counted_money = (
            self.money
            if self.counted_book is self.book
            else {split: _points(self.counted_book, split) for split in splits}
        )

    def _rates(self) -> dict[str, Any]:
        """Of every day and currency of the range; empty unless converted."""
        converter = self.book.converter
        if converter is None:
            return {}
        return conversion.joined_values(converter.rates, converter.currencies, self.filters)

    def _keyed(
        self,
        splits: Sequence[Split],
        read: Callable[[Filters, Sequence[Split]], list[list[Found]]],
        filters: Filters,
        is_wanted: bool,
        add: Callable[[Any, Any], Any] | None = None,
    ) -> dict[Split, dict[Point, Any]]:
        """Teams are sums of their projects: what several keys share a name for is added."""
        if not is_wanted:
            return {split: {} for split in splits}
        keyed: dict[Split, dict[Point, Any]] = {}
        for split, rows in zip(splits, read(filters, splits), strict=True):
            own = keyed.setdefault(split, {})
            for row in rows:
                point = (self.book.key(split.keys, row.keys), row.day)
                [value] = row.values
                own[point] = (add or _sum)(own[point], value) if point in own else value
        return keyed

    @cached_property
    def of_pools(self) -> list[hardware.Row]:
        return hardware.by_pool(self.filters)

    def gpu_units(self) -> dict[str, UnitCost]:
        """Of all pools of the scope."""
        if not self.filters.bills:
            return {name: unknown(name, hardware.NOT_YOURS) for name in GPU_UNITS}
        return dict(zip(GPU_UNITS, hardware.total(self.filters, self.of_pools), strict=True))

    def units(self, split: Split, point: Point) -> dict[str, UnitCost]:
        if self.filters.basis == "bill":
            return {key: unknown(key, NO_USAGE) for key in self._keys()}
        sums = self.money[split].get(point, {})
        sides: Sides = self.sides[split].get(point) or Sides()
        people: People = self.people[split].get(point) or People()
        counts: Counts = self.counts[split].get(point) or Counts()
        spent = _traced(self.counted_money[split].get(point, {}))
        made = (
            *_priced(sums),
            *_sides(sides),
            self._conversation(counts, spent),
            self._answer(counts, spent),
            _user(people),
            labels.per_value(self.values[split].get(point) or labels.Values(), self.asked.label),
        )
        found = {unit.unit: unit for unit in made}
        return {key: found[key] for key in self._keys()}

    def _keys(self) -> tuple[str, ...]:
        asks = self.asked.label or self.asked.unit == OF_LABEL
        return (*GROUPED, OF_LABEL) if asks else GROUPED

    def _conversation(self, counts: Counts, spent: Decimal) -> UnitCost:
        cost = in_proportion(spent, counts.in_conversations, counts.requests)
        return per(
            "conversation",
            cost if counts.conversations else None,
            counts.conversations,
            nothing=self._not_counted()
            or "No request names a session: send session.id with your traces.",
            coverage=self._covered(counts.in_conversations, counts.requests, "name a session"),
        )

    def _answer(self, counts: Counts, spent: Decimal) -> UnitCost:
        if not self.asked.score:
            return unknown("answer", "Choose the score that tells a successful answer.")
        cost = in_proportion(spent, counts.scored, counts.requests)
        if counts.scored:
            nothing = (
                f"None of {counts.answers:,} scored answers reaches {said(self.asked.at_least)}."
            )
        else:
            nothing = self._not_counted() or f"No answer has the score “{self.asked.score}”."
        return per(
            "answer",
            cost if counts.scored else None,
            counts.successful,
            nothing=nothing,
            coverage=self._covered(counts.scored, counts.requests, "are of scored answers"),
        )

    def _not_counted(self) -> str:
        if self.counted.days:
            return ""
        return f"Nothing could be counted: {self.counted.why}. Choose a shorter or later range."

    def _covered(self, part: int, whole: int, what: str) -> str:
        said_parts = []
        if 0 < part < whole:
            said_parts.append(
                f"{part:,} of {whole:,} requests {what}; the cost is their part by number."
            )
        if not self.counted.is_all:
            said_parts.append(
                f"Counted over the newest {self.counted.days} of {self.counted.asked_days} days,"
                f" for {self.counted.why}."
            )
        return " ".join(said_parts)


def _priced(sums: dict[str, Any]) -> tuple[UnitCost, UnitCost]:
    without = _unpriced(sums)
    requests = int(sums.get("requests") or 0)
    coverage = ""
    if without:
        coverage = f"Of {requests:,} requests {without:,} are unpriced: they are in neither number."
    token_cost, tokens = of_tokens(sums)
    request_cost, counted = of_requests(sums)
    nothing = "No requests here." if not requests else "None of its requests has a price."
    return (
        per("tokens", token_cost, tokens, nothing=nothing, coverage=coverage),
        per("requests", request_cost, counted, nothing=nothing, coverage=coverage),
    )


def _traced(sums: dict[str, Any]) -> Decimal:
    """What the requests cost that traces tell of: of what a pool answered, that may be a part."""
    cost, pooled = sums.get("api_cost") or ZERO, sums.get("pool_requests")
    if not pooled or not sums.get("hardware_cost"):
        return Decimal(cost)
    return CONTEXT.add(cost, in_proportion(sums["hardware_cost"], int(pooled), answered(sums)))


def _unpriced(sums: dict[str, Any]) -> int:
    return int((sums.get("unpriced_spans") or 0) + (sums.get("unknown_spans") or 0))


def _sides(sides: Sides) -> tuple[UnitCost, UnitCost]:
    coverage = ""
    if sides.left_out:
        coverage = (
            f"{sides.left_out:,} tokens are in neither number: they have no price of their own,"
            " or only a part of them has."
        )
    nothing = "No tokens here that are priced as a whole."
    return (
        per("input", sides.input_cost, sides.input_tokens, nothing=nothing, coverage=coverage),
        per("output", sides.output_cost, sides.output_tokens, nothing=nothing, coverage=coverage),
    )


def _user(people: People) -> UnitCost:
    coverage = ""
    if people.named < people.requests:
        coverage = (
            f"{people.named:,} of {people.requests:,} priced requests name a user; the cost is"
            " theirs alone."
        )
    return per(
        "user",
        people.cost if people.users else None,
        people.users,
        nothing="No priced request names a user: send user.id with your traces.",
        coverage=coverage,
    )


def _row(
    now: _Facts, before: _Facts | None, group_by: tuple[str, ...], key: tuple[str, ...]
) -> UnitRow:
    split = Split(group_by)
    sums = now.money[split].get((key, None), {})
    units = now.units(split, (key, None))
    if not group_by:
        units |= now.gpu_units()
    if before is not None:
        earlier = before.units(split, (key, None))
        if not group_by:
            earlier |= before.gpu_units()
        units = {name: with_before(one, earlier.get(name)) for name, one in units.items()}
    is_bill = now.filters.basis == "bill"
    return UnitRow(
        keys=key,
        labels=now.book.labels(group_by, key) if group_by else ("Total",),
        cost=sums.get("cost") or ZERO,
        usage_cost=sums.get("usage_cost") or ZERO,
        requests=None if is_bill else int(sums.get("requests") or 0),
        unpriced=None if is_bill else _unpriced(sums),
        units=units,
    )


def _points(book: Answers, split: Split) -> dict[Point, dict[str, Any]]:
    """Sums of the currency asked for, with the usage that has no amount, by key and day."""
    if not split.by_time:
        return {(key, None): sums for key, sums in book.by_key(split.keys).items()}
    found: dict[Point, list[dict[str, Any]]] = {}
    for one in book.answers[split]:
        if one.currency in (book.filters.shown, ""):
            found.setdefault(((), one.point), []).append(one.measures)
    return {point: added(parts) for point, parts in found.items()}


def _sum(left: Any, right: Any) -> Any:
    """Two of the same sort, field by field."""
    names = type(left).__slots__
    return type(left)(**{name: plus(getattr(left, name), getattr(right, name)) for name in names})
