"""What was spent. Knows bills, priced usage and hardware; never adds two of them for one scope.

`cost` is the book: bills where they are complete, priced usage elsewhere. `usage_cost` is all
priced usage of the same scope beside it, so that both can be reconciled. Bills and shared hardware
have no project: they stand under Unallocated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

from django.conf import settings
from django.utils import timezone

from finops.money import CONTEXT
from ingest.models import Project

from . import book
from .book import Split, Sum
from .filters import Filters, today
from .stamp import SourceNote, Stamped, newest, notes

ZERO = Decimal(0)
MAX_HOURLY_DAYS = 8
OTHER = "(other)"
NO_AMOUNT = ""
"""The currency of usage that is unpriced, unknown, or paid for by the hour."""


class NoSuchSeries(ValueError):
    """Says which filter to change."""


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Sums of one currency over some scope."""

    cost: Decimal = ZERO
    reconciled: Decimal = ZERO
    """The part of `cost` from complete bills; the rest is provisional."""
    usage_cost: Decimal = ZERO
    """All priced usage and hardware of the same scope, covered by a bill or not."""
    requests: int = 0
    tokens: int = 0
    unpriced_spans: int = 0
    """Usage known, no price: in no amount, and never $0."""
    unpriced_tokens: int = 0
    unknown_spans: int = 0
    """Spans that did not say what they used."""
    unknown_bill_lines: int = 0
    """Bill lines without the chosen cost column."""
    unpriced_gpu_hours: float = 0.0
    per_million_tokens: Decimal | None = None
    """Priced usage per 1M priced tokens; hardware counts only where the scope is all hardware."""
    per_thousand_requests: Decimal | None = None
    """Priced usage and hardware per 1K requests that have a price."""

    @property
    def provisional(self) -> bool:
        return self.cost != self.reconciled

    @property
    def provisional_share(self) -> float:
        return float((self.cost - self.reconciled) / self.cost) if self.cost else 0.0


@dataclass(frozen=True, kw_only=True)
class Spend(Stamped, Amounts):
    """One total in one currency, what it leaves out, and the other currencies beside it."""

    currency: str
    others: tuple[tuple[str, Decimal], ...]
    """Totals of the same scope in other currencies: shown beside, never added."""


@dataclass(frozen=True, kw_only=True)
class SpendRow(Amounts):
    """One group. Costs of all rows add up to the table's total, to the last digit."""

    keys: tuple[str, ...]
    """One key per `group_by`, as `Filters.drill` takes it."""
    labels: tuple[str, ...]
    share: float | None
    """Of the total; None when the total is zero."""
    previous: Decimal | None
    """Cost in the period before; None unless compared."""

    @property
    def change(self) -> float | None:
        """(now − before) / before; None without a before."""
        if not self.previous:
            return None
        return float((self.cost - self.previous) / self.previous)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendTable(Stamped):
    group_by: tuple[str, ...]
    currency: str
    rows: tuple[SpendRow, ...]
    """Dearest first."""
    total: SpendRow
    others: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One group over the points of a series; None where nothing at all is known of the point."""

    keys: tuple[str, ...]
    label: str
    values: tuple[Decimal | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series(Stamped):
    """Cost per step and group; `points[i]` belongs to `values[i]` of every line."""

    step: str
    currency: str
    points: tuple[date | datetime, ...]
    """Accounting days up to today, or aware UTC hours up to now."""
    lines: tuple[Line, ...]
    """Dearest first; the last one is `Other` when there were more than `top`."""
    reconciled: tuple[Decimal | None, ...]
    """Per point, the part of the cost that a complete bill covers."""


def spend_total(filters: Filters) -> Spend:
    """What the scope cost, and what is not in it."""
    return Answers(filters, [Split()]).total()


def spend_by(filters: Filters) -> SpendTable:
    """The same total split by `filters.group_by` (project when empty)."""
    group_by = filters.group_by or ("project",)
    before = Answers(filters.previous(), [Split(group_by)]) if filters.compare else None
    return Answers(filters, [Split(group_by)]).table(group_by, before)


def spend_series(filters: Filters, step: str = "day", top: int = 8) -> Series:
    """The same total over time; `step` is `day`, or `hour` for usage of at most 8 days."""
    if step == "hour" and (filters.basis != "usage" or filters.days > MAX_HOURLY_DAYS):
        raise NoSuchSeries(
            f"Hours are known of usage alone: use basis=usage and at most {MAX_HOURLY_DAYS} days,"
            " or step=day."
        )
    group_by = filters.group_by
    return Answers(filters, [Split(group_by, by_time=True)], step).series(group_by, top)


def daily_spend(scope: str, currency: str, start: date, end: date) -> list[tuple[date, Decimal]]:
    """Spend per accounting day for forecasts; no row where nothing is known.

    The scope `all` is the book. `project:ID` is priced usage, for bills name no project and a
    project's history must not vanish when its bill arrives.
    """
    kind, _, pk = scope.partition(":")
    filters = Filters(
        zone=settings.ACCOUNTING_TIME_ZONE,
        start=start,
        end=end,
        basis="book" if kind == "all" else "usage",
        currency=currency,
        project_ids=None if kind == "all" else (int(pk),),
        bills=kind == "all",
    )
    [found] = book.sums(filters, [Split(by_time=True)])
    return sorted(
        (one.point, one.measures["cost"] or ZERO) for one in found if one.currency == currency
    )


class Answers:
    """One pass over the book, split in several ways; pages ask for what they show of it."""

    def __init__(self, filters: Filters, splits: Sequence[Split], step: str = "day"):
        self.filters = filters
        self.step = step
        groups = {key for split in splits for key in split.keys}
        self.projects: dict[str, Project] = {}
        if groups & {"project", "team"}:
            self.projects = {
                str(project.pk): project for project in Project.objects.select_related("team")
            }
        asked = [replace(split, keys=_columns(split.keys)) for split in splits]
        self.answers = dict(zip(splits, book.sums(filters, asked, step), strict=True))
        self.sources = self._sources()

    def total(self) -> Spend:
        found = self.answers[Split()]
        return Spend(
            **_amounts(_add(self._chosen(found))), **self._stamp(found), **self._money(found)
        )

    def table(self, group_by: tuple[str, ...], before: Answers | None = None) -> SpendTable:
        found = self.answers[Split(group_by)]
        chosen = self._by_key(group_by)
        earlier = before._by_key(group_by) if before else None
        total = _add(chosen.values())
        whole = total.get("cost") or ZERO
        rows = [
            _row(
                key,
                self._labels(group_by, key),
                chosen.get(key, {}),
                whole,
                None if earlier is None else earlier.get(key, {}),
            )
            for key in dict.fromkeys((*chosen, *(earlier or ())))
        ]
        rows.sort(key=lambda row: (-row.cost, row.labels))
        all_before = None if earlier is None else _add(earlier.values())
        return SpendTable(
            group_by=group_by,
            rows=tuple(rows),
            total=_row((), ("Total",), total, whole, all_before),
            **self._stamp(found),
            **self._money(found),
        )

    def series(self, group_by: tuple[str, ...], top: int = 8) -> Series:
        found = self.answers[Split(group_by, by_time=True)]
        own = [one for one in found if one.currency in (self.filters.currency, NO_AMOUNT)]
        points = self._points({one.point for one in own})
        place = {point: index for index, point in enumerate(points)}
        costs: dict[tuple[str, ...], list[Decimal]] = {}
        reconciled: list[Decimal | None] = [None] * len(points)
        for one in own:
            at = place[one.point]
            values = costs.setdefault(self._key(group_by, one.keys), [ZERO] * len(points))
            values[at] = _plus(values[at], one.measures["cost"] or ZERO)
            reconciled[at] = _plus(reconciled[at] or ZERO, one.measures["reconciled"] or ZERO)
        known = [value is not None for value in reconciled]
        return Series(
            step=self.step,
            currency=self.filters.currency,
            points=points,
            lines=self._lines(group_by, costs, known, top),
            reconciled=tuple(reconciled),
            **self._stamp(found),
        )

    def _lines(
        self,
        group_by: tuple[str, ...],
        costs: dict[tuple[str, ...], list[Decimal]],
        known: list[bool],
        top: int,
    ) -> tuple[Line, ...]:
        dearest = sorted(costs, key=lambda key: (-sum(costs[key]), key))
        lines = [
            Line(
                key,
                " · ".join(self._labels(group_by, key)) or "Total",
                _masked(costs[key], known),
            )
            for key in dearest[:top]
        ]
        if dearest[top:]:
            columns = zip(*(costs[key] for key in dearest[top:]), strict=True)
            rest = [reduce(_plus, column) for column in columns]
            lines.append(Line((OTHER,), "Other", _masked(rest, known)))
        return tuple(lines)

    def _points(self, found: set[Any]) -> tuple[date | datetime, ...]:
        """Nothing is known of the future, so it has no points, unless a bill charges ahead."""
        filters = self.filters
        if self.step == "hour":
            end = min(filters.end_at, timezone.now() + timedelta(hours=1))
            return tuple(book.hours(filters.start_at, max(end, filters.start_at)))
        last = max((today(), *found))
        return tuple(book.days(filters.start, min(filters.end, last + timedelta(days=1))))

    def _chosen(self, found: Iterable[Sum]) -> list[dict[str, Any]]:
        """The currency asked for, with the usage that has no amount at all."""
        return [one.measures for one in found if one.currency in (self.filters.currency, NO_AMOUNT)]

    def _by_key(self, group_by: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, Any]]:
        grouped: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for one in self.answers[Split(group_by)]:
            if one.currency in (self.filters.currency, NO_AMOUNT):
                grouped.setdefault(self._key(group_by, one.keys), []).append(one.measures)
        return {key: _add(parts) for key, parts in grouped.items()}

    def _key(self, group_by: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
        found = dict(zip(_columns(group_by), columns, strict=True))
        return tuple(
            self._name(group, found["project" if group == "team" else group]) for group in group_by
        )

    def _name(self, group: str, value: str) -> str:
        if group == "project":
            return self.projects[value].slug
        if group == "team":
            team = self.projects[value].team
            return team.name if team else ""
        return value

    def _labels(self, group_by: tuple[str, ...], key: tuple[str, ...]) -> tuple[str, ...]:
        names = {project.slug: project.name for project in self.projects.values()}
        return tuple(label(group, value, names) for group, value in zip(group_by, key, strict=True))

    def _money(self, found: Iterable[Sum]) -> dict[str, Any]:
        others: dict[str, Decimal] = {}
        for one in found:
            if one.currency not in (self.filters.currency, NO_AMOUNT):
                cost = one.measures["cost"] or ZERO
                others[one.currency] = _plus(others.get(one.currency, ZERO), cost)
        return {"currency": self.filters.currency, "others": tuple(sorted(others.items()))}

    def _stamp(self, found: Iterable[Sum]) -> dict[str, Any]:
        everything = _add(self._chosen(found))
        return {
            "as_of": newest(self.filters, self.sources),
            "provisional": (everything.get("cost") or ZERO) != (everything.get("reconciled") or 0),
            "sources": self.sources,
        }

    def _sources(self) -> tuple[SourceNote, ...]:
        used = self.filters.basis in ("book", "usage")
        billed = self.filters.basis in ("book", "bill")
        shared = self.filters.bills
        return notes(self.filters, usage=used, hardware=used and shared, bills=billed and shared)


def _columns(group_by: tuple[str, ...]) -> tuple[str, ...]:
    """What the book splits by: a team is the sum of its projects."""
    return tuple(dict.fromkeys("project" if name == "team" else name for name in group_by))


LABELS = {
    book.IDLE: "Idle hardware",
    book.SHARED: "Shared hardware",
    book.UNBILLED: "Not billed",
    book.NOT_ON_BILL: "Not on the bill",
}
NAMELESS = {"team": "No team"}
ORIGINS = {"bill": "Bill", "usage": "Priced usage", "hardware": "Hardware"}


def label(group: str, key: str, projects: dict[str, str]) -> str:
    """What people read for a key."""
    if group == "project":
        return projects[key]
    if group == "origin":
        return ORIGINS[key]
    return LABELS.get(key, key) or NAMELESS.get(group, "Unknown")


def _add(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Measure by measure; an amount that no part knows stays None."""
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            held = total.get(name)
            total[name] = value if held is None else held if value is None else _plus(held, value)
    return total


def _plus(left: Any, right: Any) -> Any:
    return CONTEXT.add(left, right) if isinstance(left, Decimal) else left + right


def _amounts(sums: dict[str, Any]) -> dict[str, Any]:
    def count(name: str) -> int:
        return int(sums.get(name) or 0)

    return {
        "cost": sums.get("cost") or ZERO,
        "reconciled": sums.get("reconciled") or ZERO,
        "usage_cost": sums.get("usage_cost") or ZERO,
        "requests": count("requests"),
        "tokens": count("tokens"),
        "unpriced_spans": count("unpriced_spans"),
        "unpriced_tokens": count("unpriced_tokens"),
        "unknown_spans": count("unknown_spans"),
        "unknown_bill_lines": count("unknown_lines"),
        "unpriced_gpu_hours": (sums.get("unpriced_gpu_s") or 0.0) / 3600,
        "per_million_tokens": _per_million(sums),
        "per_thousand_requests": _per_thousand(sums),
    }


def _per_million(sums: dict[str, Any]) -> Decimal | None:
    priced, pooled = sums.get("priced_tokens"), sums.get("pool_tokens")
    if priced:
        return _per(sums["api_cost"], 1_000_000, priced)
    if not pooled or not sums.get("hardware_cost"):
        return None
    traced = CONTEXT.divide(Decimal(sums["pool_requests"]), Decimal(_answered(sums)))
    return _per(CONTEXT.multiply(sums["hardware_cost"], traced), 1_000_000, pooled)


def _per_thousand(sums: dict[str, Any]) -> Decimal | None:
    pooled = _answered(sums) if sums.get("hardware_cost") else 0
    counted = (sums.get("priced_requests") or 0) + pooled
    return _per(sums["usage_cost"], 1000, counted) if counted else None


def _answered(sums: dict[str, Any]) -> int:
    """What a pool answered by its own count: traces may tell of a part of it only."""
    return max(round(sums.get("answered") or 0), sums.get("pool_requests") or 0)


def _per(cost: Decimal | None, unit: int, count: Any) -> Decimal | None:
    if not cost:
        return None
    return CONTEXT.divide(CONTEXT.multiply(cost, Decimal(unit)), Decimal(count))


def _row(
    key: tuple[str, ...],
    labels: tuple[str, ...],
    sums: dict[str, Any],
    whole: Decimal,
    before: dict[str, Any] | None,
) -> SpendRow:
    amounts = _amounts(sums)
    return SpendRow(
        keys=key,
        labels=labels,
        share=float(amounts["cost"] / whole) if whole else None,
        previous=None if before is None else before.get("cost") or ZERO,
        **amounts,
    )


def _masked(values: Sequence[Decimal], known: list[bool]) -> tuple[Decimal | None, ...]:
    return tuple(value if is_known else None for value, is_known in zip(values, known, strict=True))
