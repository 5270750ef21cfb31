"""What was spent. Knows bills, priced usage and hardware; never adds two of them for one scope.

`cost` is the book: bills where they are complete, priced usage elsewhere. `usage_cost` is all
priced usage of the same scope beside it, so that both can be reconciled. Bills and shared hardware
have no project: they stand under Unallocated, but for what rules of allocation landed on one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from functools import cached_property
from typing import Any

from django.conf import settings
from django.utils import timezone

from finops.costing.exchange import Converter
from finops.money import CONTEXT
from ingest.models import Project

from . import book, by_user, conversion
from .amounts import (
    ZERO,
    Line,
    Spend,
    SpendRow,
    SpendRows,
    SpendTable,
    added,
    amounts,
    known_before,
    plus,
)
from .amounts import Series as Series
from .book import EVERYTHING, Asked, Split, Sum
from .book import OTHER as OTHER
from .book_columns import WHO
from .book_coverage import Coverage, coverage
from .dearest import dearest
from .filters import Filters, today
from .group_names import column_of, columns_of, in_one, label
from .late import late_requests
from .stamp import SourceNote, newest, notes

MAX_HOURLY_DAYS = 8
NOTHING = {"cost": ZERO, "usage_cost": ZERO}
"""What a group cost in a period that is known and has no row of it."""
DRAWN = Asked(measures=("cost", "reconciled"))
"""What a series shows, and whether it is provisional."""
BEFORE = Asked(
    measures=("cost", "reconciled", "usage_cost", "requests", "unpriced_spans", "unknown_spans")
)
"""What `known_before` looks at."""
NO_AMOUNT = ""
"""The currency of usage that is unpriced, unknown, or paid for by the hour."""


class NoSuchSeries(ValueError):
    """Says which filter to change."""


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
    _check(filters, step)
    if not filters.group_by:
        return Answers(filters, [Split(by_time=True)], step, asked=DRAWN).series((), top)
    dearest = Answers(filters, [Split(filters.group_by)], asked=DRAWN)
    return _series(dearest, filters.group_by, step, top)


def spend_groups(filters: Filters) -> tuple[Spend, SpendTable]:
    """The first two of these for one page."""
    now = Answers(filters, [Split(), Split(filters.group_by)])
    return now.total(), now.table(filters.group_by, _before(now, filters.group_by))


def spend_page(filters: Filters, step: str, top: int) -> tuple[Spend, SpendTable, Series]:
    """All three for one page, in as few passes over the book as they need."""
    _check(filters, step)
    group_by = filters.group_by
    splits = [Split(), Split(group_by)]
    if len(group_by) == 1 and _is_by_name(group_by):
        # What is in nobody's share of a day is known from the same pass as the total.
        splits.append(Split(by_user.anybody(columns_of(group_by)), by_time=True))
    now = Answers(filters, splits)
    series = _series(now, group_by, step, top)
    return now.total(), now.table(group_by, _before(now, group_by)), series


def _check(filters: Filters, step: str) -> None:
    if step == "hour" and (filters.basis != "usage" or filters.days > MAX_HOURLY_DAYS):
        raise NoSuchSeries(
            f"Hours are known of usage alone: use basis=usage and at most {MAX_HOURLY_DAYS} days,"
            " or step=day."
        )
    if step == "hour" and ("user" in filters.group_by or filters.split_label):
        raise NoSuchSeries("Users and labels are known by the day: use step=day.")


def _series(now: Answers, group_by: tuple[str, ...], step: str, top: int) -> Series:
    """Only what is drawn is read by time: of a few groups the cost, all others as one."""
    split = Split(group_by, by_time=True)
    if not group_by:
        return now.again([split], DRAWN, step=step).series((), top)
    drawn = now.dearest(group_by)[:top]
    asked = replace(DRAWN, named=tuple(now.columns(group_by, drawn)))
    users = None
    if _is_by_name(group_by):
        [at] = (place for place, group in enumerate(group_by) if column_of(group) in WHO)
        users, step = tuple(dict.fromkeys(key[at] for key in drawn)), "day"
    return now.again([split], asked, users, step).series(group_by, top, drawn)


def _is_by_name(group_by: tuple[str, ...]) -> bool:
    return by_user.is_by_name(Split(columns_of(group_by)))


def _before(now: Answers, group_by: tuple[str, ...]) -> Answers | None:
    """The period before, with the same users by name; None unless compared."""
    if not now.filters.compare:
        return None
    return Answers(now.filters.previous(), [Split(group_by)], users=now.users, asked=BEFORE)


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
        asked: Asked = EVERYTHING,
        like: Answers | None = None,
    ):
        """`users` are those with a row of their own; the dearest of this scope if left out.

        What `like` knows, of the same filters and groups, is not read again.
        """
        self.filters = filters
        self.asked = asked
        self.like = like
        self._by_key: dict[tuple[str, ...], dict[tuple[str, ...], dict[str, Any]]] = {}
        self.step = step
        self.users: tuple[str, ...] = ()
        groups = {key for split in splits for key in split.keys}
        self.projects: dict[str, Project] = like.projects if like else {}
        if not like and groups & {"project", "team"}:
            self.projects = {
                str(project.pk): project for project in Project.objects.select_related("team")
            }
        self.names = {project.slug: project.name for project in self.projects.values()}
        of_columns = [replace(split, keys=columns_of(split.keys)) for split in splits]
        for who in set(columns_of(tuple(groups))) & set(WHO):
            self.users = dearest(filters, who) if users is None else users
        self.covered: Coverage = (
            like.covered if like else coverage(filters, columns_of(tuple(groups)))
        )
        # What was read already of splits by no name: see `by_user.sums`.
        self.whole: dict[Split, list[Sum]] = like.whole if like else {}
        self.converter: Converter | None = None
        if filters.convert:
            found, self.converter = conversion.sums(filters, of_columns, self._read)
        else:
            found = self._read(of_columns)
        self.answers = dict(zip(splits, found, strict=True))

    def again(
        self,
        splits: Sequence[Split],
        asked: Asked,
        users: tuple[str, ...] | None = None,
        step: str = "day",
    ) -> Answers:
        """Another pass over the same scope, by the same groups."""
        return Answers(self.filters, splits, step, users, asked, like=self)

    def _read(self, splits: Sequence[Split]) -> list[list[Sum]]:
        asked = (self.filters, splits, self.step, self.users, self.asked, self.covered)
        if any(map(by_user.is_by_name, splits)):
            return by_user.sums(*asked, self.whole)
        return book.sums(*asked)

    def total(self) -> Spend:
        found = self.answers[Split()]
        return Spend(
            **amounts(added(self._chosen(found)), counts_usage=self._counts_usage),
            **self._stamp(found),
            **self._money(found),
            late_requests=self._late_requests(),
        )

    def table(self, group_by: tuple[str, ...], before: Answers | None = None) -> SpendTable:
        found = self.answers[Split(group_by)]
        chosen = self.by_key(group_by)
        # Sums of many groups take longer to add up than to read, where the total was asked as well.
        whole_scope = self.answers.get(Split())
        total = added(self._chosen(whole_scope) if whole_scope is not None else chosen.values())
        # Of a period without any row nothing is known; in one with rows, no row is no cost.
        earlier = (before.by_key(group_by) or None) if before else None
        whole = total.get("cost") or ZERO

        keys = dict.fromkeys((*chosen, *(earlier or ())))

        def row(key: tuple[str, ...]) -> SpendRow:
            previous = None if earlier is None else earlier.get(key, NOTHING)
            return self._row(key, self.labels(group_by, key), chosen.get(key, {}), whole, previous)

        def dearest_first(key: tuple[str, ...]) -> tuple[Decimal, tuple[str, ...]]:
            return -(chosen.get(key, NOTHING)["cost"] or ZERO), self.labels(group_by, key)

        all_before = None if earlier is None else added(earlier.values())
        return SpendTable(
            group_by=group_by,
            rows=SpendRows(sorted(keys, key=dearest_first), row),
            total=self._row((), ("Total",), total, whole, all_before),
            **self._stamp(found),
            **self._money(found),
        )

    def _late_requests(self) -> int:
        """Late requests have no label that is known."""
        counted = self._counts_usage and not self.filters.labels
        return late_requests(self.filters) if counted else 0

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

    def dearest(self, group_by: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Keys of groups that have a name, those that cost most first."""
        costs = {key: sums.get("cost") or ZERO for key, sums in self.by_key(group_by).items()}
        named = [key for key in costs if book.EVERYBODY_ELSE not in key]
        return sorted(named, key=lambda key: (-costs[key], key))

    def series(
        self,
        group_by: tuple[str, ...],
        top: int = 8,
        drawn: Sequence[tuple[str, ...]] | None = None,
    ) -> Series:
        """`drawn` are the groups with a line of their own; the dearest `top` if left out."""
        found = self.answers[Split(group_by, by_time=True)]
        own = [one for one in found if one.currency in (self.filters.shown, NO_AMOUNT)]
        points = self._points({one.point for one in own})
        place = {point: index for index, point in enumerate(points)}
        reconciled: list[Decimal | None] = [None] * len(points)
        keys = {columns: self.key(group_by, columns) for columns in {one.keys for one in own}}
        costs = {key: [ZERO] * len(points) for key in keys.values()}
        with localcontext(CONTEXT):
            for one in own:
                at = place[one.point]
                costs[keys[one.keys]][at] += one.measures["cost"] or ZERO
                reconciled[at] = (reconciled[at] or ZERO) + (one.measures["reconciled"] or ZERO)
        known = [value is not None for value in reconciled]
        return Series(
            step=self.step,
            currency=self.filters.shown,
            points=points,
            lines=self._lines(
                group_by, costs, known, _dearest(costs)[:top] if drawn is None else drawn
            ),
            reconciled=tuple(reconciled),
            **self._stamp(found),
        )

    def _lines(
        self,
        group_by: tuple[str, ...],
        costs: dict[tuple[str, ...], list[Decimal]],
        known: list[bool],
        drawn: Sequence[tuple[str, ...]],
    ) -> tuple[Line, ...]:
        lines = [
            Line(
                key,
                in_one(key, self.labels(group_by, key)) or "Total",
                _masked(costs[key], known),
            )
            for key in drawn
            if key in costs
        ]
        left = [values for key, values in costs.items() if key not in drawn]
        if left:
            with localcontext(CONTEXT):
                rest = [sum(column, ZERO) for column in zip(*left, strict=True)]
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
        if group_by not in self._by_key:
            grouped: dict[tuple[str, ...], list[dict[str, Any]]] = {}
            for one in self.answers[Split(group_by)]:
                if one.currency in (self.filters.shown, NO_AMOUNT):
                    grouped.setdefault(self.key(group_by, one.keys), []).append(one.measures)
            self._by_key[group_by] = {key: added(parts) for key, parts in grouped.items()}
        return self._by_key[group_by]

    def columns(
        self, group_by: tuple[str, ...], keys: Collection[tuple[str, ...]]
    ) -> Iterator[tuple[str, ...]]:
        """What the book splits by, of these groups: a team has several projects."""
        for columns in dict.fromkeys(one.keys for one in self.answers[Split(group_by)]):
            if self.key(group_by, columns) in keys:
                yield columns

    def key(self, group_by: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
        if columns and set(columns) == {OTHER}:
            return tuple(OTHER for _ in group_by)
        found = dict(zip(columns_of(group_by), columns, strict=True))
        return tuple(self._name(group, found[column_of(group)]) for group in group_by)

    def _name(self, group: str, value: str) -> str:
        if group == "project":
            return self.projects[value].slug
        if group == "team":
            team = self.projects[value].team
            return team.name if team else ""
        return value

    def labels(self, group_by: tuple[str, ...], key: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            label(group, value, self.names) for group, value in zip(group_by, key, strict=True)
        )

    def _money(self, found: Iterable[Sum]) -> dict[str, Any]:
        others: dict[str, Decimal] = {}
        for one in found:
            if one.currency not in (self.filters.shown, NO_AMOUNT):
                cost = one.measures["cost"] or ZERO
                others[one.currency] = plus(others.get(one.currency, ZERO), cost)
        return {"currency": self.filters.shown, "others": tuple(sorted(others.items()))}

    def stamp(self) -> dict[str, Any]:
        """That of the total."""
        return self._stamp(self.answers[Split()])

    def _stamp(self, found: Iterable[Sum]) -> dict[str, Any]:
        told = added(
            {name: one[name] for name in ("cost", "reconciled")} for one in self._chosen(found)
        )
        return {
            "as_of": newest(self.filters, self.sources),
            "provisional": (told.get("cost") or ZERO) != (told.get("reconciled") or ZERO),
            "sources": self.sources,
            "conversion": self.converter.told() if self.converter else None,
        }

    @cached_property
    def sources(self) -> tuple[SourceNote, ...]:
        if self.like:
            return self.like.sources
        used = self.filters.basis in ("book", "usage")
        billed = self.filters.basis in ("book", "bill")
        shared = self.filters.bills and not self.filters.labels
        return notes(self.filters, usage=used, hardware=used and shared, bills=billed and shared)


def _dearest(costs: dict[tuple[str, ...], list[Decimal]]) -> list[tuple[str, ...]]:
    return sorted(costs, key=lambda key: (-sum(costs[key]), key))


def _masked(values: Sequence[Decimal], known: list[bool]) -> tuple[Decimal | None, ...]:
    return tuple(value if is_known else None for value, is_known in zip(values, known, strict=True))
