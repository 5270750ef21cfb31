"""What was spent. Knows bills, priced usage and hardware; never adds two of them for one scope.

`cost` is the book: bills where they are complete, priced usage elsewhere. `usage_cost` is all
priced usage of the same scope beside it, so that both can be reconciled. Bills and shared hardware
have no project: they stand under Unallocated, but for what rules of allocation landed on one.
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

from finops.costing.exchange import Converter
from ingest.models import Project

from . import book, by_user, conversion
from .amounts import ZERO, Spend, SpendRow, SpendTable, added, amounts, plus
from .book import Split, Sum
from .filters import Filters, today
from .late import late_requests
from .stamp import SourceNote, Stamped, newest, notes

MAX_HOURLY_DAYS = 8
OTHER = "(other)"
NOTHING = {"cost": ZERO, "usage_cost": ZERO}
"""What a group cost in a period that is known and has no row of it."""
NO_AMOUNT = ""
"""The currency of usage that is unpriced, unknown, or paid for by the hour."""


class NoSuchSeries(ValueError):
    """Says which filter to change."""


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
    now = Answers(filters, [Split(group_by)])
    return now.table(group_by, _before(now, group_by))


def spend_series(filters: Filters, step: str = "day", top: int = 8) -> Series:
    """The same total over time; `step` is `day`, or `hour` for usage of at most 8 days."""
    if step == "hour" and (filters.basis != "usage" or filters.days > MAX_HOURLY_DAYS):
        raise NoSuchSeries(
            f"Hours are known of usage alone: use basis=usage and at most {MAX_HOURLY_DAYS} days,"
            " or step=day."
        )
    if step == "hour" and "user" in filters.group_by:
        raise NoSuchSeries("Users are known by the day: use step=day.")
    group_by = filters.group_by
    return Answers(filters, [Split(group_by, by_time=True)], step).series(group_by, top)


def spend_page(filters: Filters, step: str, top: int) -> tuple[Spend, SpendTable, Series]:
    """The three answers above for one page, in as few passes over the book as they need."""
    if step != "day":
        return spend_total(filters), spend_by(filters), spend_series(filters, step, top)
    group_by = filters.group_by
    now = Answers(filters, [Split(), Split(group_by), Split(group_by, by_time=True)])
    return now.total(), now.table(group_by, _before(now, group_by)), now.series(group_by, top)


def _before(now: Answers, group_by: tuple[str, ...]) -> Answers | None:
    """The period before, with the same users by name; None unless compared."""
    if not now.filters.compare:
        return None
    return Answers(now.filters.previous(), [Split(group_by)], users=now.users)


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

    def __init__(
        self,
        filters: Filters,
        splits: Sequence[Split],
        step: str = "day",
        users: tuple[str, ...] | None = None,
    ):
        """`users` are those with a row of their own; the dearest of this scope if left out."""
        self.filters = filters
        self.step = step
        self.users: tuple[str, ...] = ()
        groups = {key for split in splits for key in split.keys}
        self.projects: dict[str, Project] = {}
        if groups & {"project", "team"}:
            self.projects = {
                str(project.pk): project for project in Project.objects.select_related("team")
            }
        asked = [replace(split, keys=columns_of(split.keys)) for split in splits]
        if "user" in groups:
            self.users = by_user.dearest(filters) if users is None else users
        self.converter: Converter | None = None
        if filters.convert:
            found, self.converter = conversion.sums(filters, asked, self._read)
        else:
            found = self._read(asked)
        self.answers = dict(zip(splits, found, strict=True))
        self.sources = self._sources()

    def _read(self, splits: Sequence[Split]) -> list[list[Sum]]:
        if any("user" in split.keys for split in splits):
            return by_user.sums(self.filters, splits, self.step, self.users)
        return book.sums(self.filters, splits, self.step)

    def total(self) -> Spend:
        found = self.answers[Split()]
        return Spend(
            **amounts(added(self._chosen(found)), counts_usage=self._counts_usage),
            **self._stamp(found),
            **self._money(found),
            late_requests=late_requests(self.filters) if self._counts_usage else 0,
        )

    def table(self, group_by: tuple[str, ...], before: Answers | None = None) -> SpendTable:
        found = self.answers[Split(group_by)]
        chosen = self.by_key(group_by)
        # Of a period without any row nothing is known; in one with rows, no row is no cost.
        earlier = (before.by_key(group_by) or None) if before else None
        total = added(chosen.values())
        whole = total.get("cost") or ZERO
        rows = [
            self._row(
                key,
                self.labels(group_by, key),
                chosen.get(key, {}),
                whole,
                None if earlier is None else earlier.get(key, NOTHING),
            )
            for key in dict.fromkeys((*chosen, *(earlier or ())))
        ]
        rows.sort(key=lambda row: (-row.cost, row.labels))
        all_before = None if earlier is None else added(earlier.values())
        return SpendTable(
            group_by=group_by,
            rows=tuple(rows),
            total=self._row((), ("Total",), total, whole, all_before),
            **self._stamp(found),
            **self._money(found),
        )

    @property
    def _counts_usage(self) -> bool:
        return self.filters.basis != "bill"

    def _row(
        self,
        key: tuple[str, ...],
        labels: tuple[str, ...],
        sums: dict[str, Any],
        whole: Decimal,
        before: dict[str, Any] | None,
    ) -> SpendRow:
        fields = amounts(sums, counts_usage=self._counts_usage)
        return SpendRow(
            keys=key,
            labels=labels,
            share=float(fields["cost"] / whole) if whole else None,
            previous=None if before is None else known_before(before),
            **fields,
        )

    def series(self, group_by: tuple[str, ...], top: int = 8) -> Series:
        found = self.answers[Split(group_by, by_time=True)]
        own = [one for one in found if one.currency in (self.filters.shown, NO_AMOUNT)]
        points = self._points({one.point for one in own})
        place = {point: index for index, point in enumerate(points)}
        costs: dict[tuple[str, ...], list[Decimal]] = {}
        reconciled: list[Decimal | None] = [None] * len(points)
        for one in own:
            at = place[one.point]
            values = costs.setdefault(self.key(group_by, one.keys), [ZERO] * len(points))
            values[at] = plus(values[at], one.measures["cost"] or ZERO)
            reconciled[at] = plus(reconciled[at] or ZERO, one.measures["reconciled"] or ZERO)
        known = [value is not None for value in reconciled]
        return Series(
            step=self.step,
            currency=self.filters.shown,
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
                " · ".join(self.labels(group_by, key)) or "Total",
                _masked(costs[key], known),
            )
            for key in dearest[:top]
        ]
        if dearest[top:]:
            columns = zip(*(costs[key] for key in dearest[top:]), strict=True)
            rest = [reduce(plus, column) for column in columns]
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
        return [one.measures for one in found if one.currency in (self.filters.shown, NO_AMOUNT)]

    def by_key(self, group_by: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, Any]]:
        grouped: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for one in self.answers[Split(group_by)]:
            if one.currency in (self.filters.shown, NO_AMOUNT):
                grouped.setdefault(self.key(group_by, one.keys), []).append(one.measures)
        return {key: added(parts) for key, parts in grouped.items()}

    def key(self, group_by: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
        found = dict(zip(columns_of(group_by), columns, strict=True))
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

    def labels(self, group_by: tuple[str, ...], key: tuple[str, ...]) -> tuple[str, ...]:
        names = {project.slug: project.name for project in self.projects.values()}
        return tuple(label(group, value, names) for group, value in zip(group_by, key, strict=True))

    def _money(self, found: Iterable[Sum]) -> dict[str, Any]:
        others: dict[str, Decimal] = {}
        for one in found:
            if one.currency not in (self.filters.shown, NO_AMOUNT):
                cost = one.measures["cost"] or ZERO
                others[one.currency] = plus(others.get(one.currency, ZERO), cost)
        return {"currency": self.filters.shown, "others": tuple(sorted(others.items()))}

    def _stamp(self, found: Iterable[Sum]) -> dict[str, Any]:
        everything = added(self._chosen(found))
        return {
            "as_of": newest(self.filters, self.sources),
            "provisional": (everything.get("cost") or ZERO) != (everything.get("reconciled") or 0),
            "sources": self.sources,
            "conversion": self.converter.told() if self.converter else None,
        }

    def _sources(self) -> tuple[SourceNote, ...]:
        used = self.filters.basis in ("book", "usage")
        billed = self.filters.basis in ("book", "bill")
        shared = self.filters.bills
        return notes(self.filters, usage=used, hardware=used and shared, bills=billed and shared)


def columns_of(group_by: tuple[str, ...]) -> tuple[str, ...]:
    """What the book splits by: a team is the sum of its projects."""
    return tuple(dict.fromkeys("project" if name == "team" else name for name in group_by))


LABELS = {
    book.IDLE: "Idle hardware",
    book.SHARED: "Shared hardware",
    book.UNBILLED: "Not billed",
    book.NOT_ON_BILL: "Not on the bill",
    by_user.EVERYBODY_ELSE: "Everybody else",
}
NAMELESS = {"team": "No team", "user": "No user named"}
ORIGINS = {"bill": "Bill", "usage": "Priced usage", "hardware": "Hardware"}


def label(group: str, key: str, projects: dict[str, str]) -> str:
    """What people read for a key."""
    if group == "project":
        return projects[key]
    if group == "origin":
        return ORIGINS[key]
    return LABELS.get(key, key) or NAMELESS.get(group, "Unknown")


def known_before(sums: dict[str, Any]) -> Decimal | None:
    """None when all there was had no price: no cost to compare with, and not a cost of zero."""
    if sums["cost"] or sums["usage_cost"]:
        return sums["cost"] or ZERO
    without = (sums.get("unpriced_spans") or 0) + (sums.get("unknown_spans") or 0)
    return None if without and without >= (sums.get("requests") or 0) else ZERO


def _masked(values: Sequence[Decimal], known: list[bool]) -> tuple[Decimal | None, ...]:
    return tuple(value if is_known else None for value, is_known in zip(values, known, strict=True))
