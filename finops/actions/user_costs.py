"""Prices what users and labels used in a day, with the cards that priced the day's quarter hours.

Knows sums per user and per value of a label, and the pinned books. Refuses to guess: where a day's
quarter hours had several cards, everybody gets the share of what they cost together; without one
common currency, none, and the reader sees that part as not split.

`priced_shares` does so for any way of splitting a day's requests.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from finops.actions import user_sums
from finops.actions.book_rates import BookRates, Name
from finops.actions.pricing import COLUMNS, TO_BE_REPRICED, pool_providers, usage_cost
from finops.costing.lines import ZERO, SpansCost, Usage
from finops.costing.rates import RateCard
from finops.models import CostDay, CostQuarter, PriceBook, PricedUserDay
from finops.money import CONTEXT, SCALE
from ingest.models import LabelDay, UserDay
from ingest.models.rollups import DIMENSIONS
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS
from ingest.rollup.spans import day_start
from ingest.store.counting import copy_rows

PARTS = ("input", "cache", "output", "other")

DUE = """
SELECT s.project_id, s.day, s.summed FROM ingest_user_day_state s
LEFT JOIN finops_priceduserday p USING (project_id, day)
WHERE s.summed > 0 AND p.summed IS DISTINCT FROM s.summed
ORDER BY s.day DESC LIMIT %s"""

WAITING = """
SELECT EXISTS (
    SELECT FROM ingest_rolledhour r LEFT JOIN finops_pricedhour p USING (owner_kind, owner_id, hour)
    WHERE r.owner_kind = 'project' AND r.owner_id = %s AND r.hour >= %s AND r.hour < %s
        AND (p.revision IS NULL OR p.revision = %s))"""

Group = tuple[str, str, str, str, str, int]
"""The dimensions of a rollup row."""


Who = Hashable
"""Whatever a day's requests are split by: a user, a value of a label."""

Cards = dict[Group, list[RateCard | None]]
"""The different cards that priced the quarter hours of each dimension, the latest last."""


@dataclass(frozen=True, slots=True)
class Used:
    """One row of a split of a project's day: who used how much of one dimension."""

    who: Who
    group: Group
    usage: Usage


@dataclass(frozen=True, slots=True)
class Share:
    """What one `Used` is of the cost of its day."""

    who: Who
    group: Group
    usage: Usage
    cost: SpansCost


def price_user_days(limit: int = 100) -> int:
    """Price up to `limit` days of projects whose users were summed anew; how many it did."""
    with connection.cursor() as cursor:
        cursor.execute(DUE, [limit])
        due = cursor.fetchall()
    return sum(_price_day(*one) for one in due)


def _price_day(project: int, day: date, summed: int) -> bool:
    start, end = _moments(day)
    with transaction.atomic(), connection.cursor() as cursor:
        # The lock of whoever prices this project's hours: a re-pricing must not come between.
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"price:project:{project}"],
        )
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(WAITING, [project, start, end, TO_BE_REPRICED])
        if cursor.fetchone()[0]:
            return False  # its hours come first; it stays due
        cards = cards_of(project, day)
        users = priced_shares(project, day, _users(project, day), cards)
        # Each user's beside each other, as they are looked for.
        users.sort(key=lambda share: str(share.who))
        copied = (_copied(day, (share.who,), project, share) for share in users)
        _write(cursor, project, day, "finops_usercostday", ("user_id",), copied)
        user_sums.write(cursor, project, day)
        values = list(_labels(project, day, cards))  # nothing can be read during a COPY
        _write(cursor, project, day, "finops_labelcostday", ("label", "value"), values)
        user_sums.write_labels(cursor, project, day)
        PricedUserDay.objects.update_or_create(
            project_id=project,
            day=day,
            defaults={"summed": summed, "priced_at": timezone.now()},
        )
    return True


def priced_shares(
    project: int, day: date, used: Iterable[Used], cards: Cards | None = None
) -> list[Share]:
    """What each part of a split of a project's day costs, with the prices its hours were given.

    `used` is one split of the day: every request at most once. The parts of a dimension never cost
    more than its `CostDay` rows do; what is in no part is not told. Left out are parts whose hours
    have no price yet, and those whose hours were priced in several currencies. `cards` are the
    day's, for whoever prices several splits of it.

    The caller holds the lock `price:project:ID`, or a re-pricing may come between.
    """
    known = cards_of(project, day) if cards is None else cards
    rows = list(_at_latest(used, known))
    return [*_exact(rows, known), *_shared(rows, known, project, day)]


def cards_of(project: int, day: date) -> Cards:
    start, end = _moments(day)
    quarters = list(
        CostQuarter.objects.filter(project_id=project, at__gte=start, at__lt=end)
        .order_by("at")
        .values_list("book_id", "at", *DIMENSIONS)
        .distinct()
    )
    names: dict[int, set[Name]] = {}
    for book, _, _, _, provider, model, *_ in quarters:
        names.setdefault(book, set()).add((provider, model))
    books = PriceBook.objects.in_bulk(names)
    rates = {pk: BookRates(books[pk], names[pk], store=False) for pk in names}
    cards: Cards = {}
    for book, at, *group in quarters:
        _, _, provider, model, tier, band = group
        card = rates[book].card(project, (provider, model), tier, band, at)
        known = cards.setdefault(tuple(group), [])
        if card in known:
            known.remove(card)
        known.append(card)
    return cards


def _users(project: int, day: date) -> Iterator[Used]:
    return _used(UserDay.objects.filter(project_id=project, day=day), "user_id")


def _labels(project: int, day: date, cards: Cards) -> Iterator[tuple[Any, ...]]:
    """Each label is a split of the whole day."""
    days = LabelDay.objects.filter(project_id=project, day=day)
    for label in days.order_by("label").values_list("label", flat=True).distinct():
        for share in priced_shares(project, day, _used(days.filter(label=label), "value"), cards):
            yield _copied(day, (label, share.who), project, share)


def _used(rows: QuerySet[Any], who: str) -> Iterator[Used]:
    found = rows.values_list(who, *DIMENSIONS, "spans", "errors", "usage_unknown", *TOKEN_FIELDS)
    for name, service, kind, provider, model, tier, band, spans, errors, unknown, *tokens in found:
        counts = dict(zip(TOKEN_CLASSES, tokens, strict=True))
        usage = Usage(kind, counts, spans, errors, unknown)
        yield Used(name, (service, kind, provider, model, tier, band), usage)


def _at_latest(used: Iterable[Used], cards: Cards) -> Iterator[Share]:
    """Each part at the latest card. What has no priced quarter hour yet is left out."""
    served = pool_providers()
    for one in used:
        if one.group in cards:
            _, _, provider, *_ = one.group
            cost = usage_cost(one.usage, cards[one.group][-1], provider, served)
            yield Share(one.who, one.group, one.usage, cost)


def _moments(day: date) -> tuple[datetime, datetime]:
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    return day_start(day, zone), day_start(day + timedelta(days=1), zone)


def _exact(rows: Iterable[Share], cards: Cards) -> Iterator[Share]:
    return (row for row in rows if len(cards[row.group]) == 1)


def _shared(rows: Iterable[Share], cards: Cards, project: int, day: date) -> Iterator[Share]:
    """Shares of what the quarter hours cost together, where a price changed within the day."""
    groups: dict[Group, list[Share]] = {}
    for row in rows:
        held = cards[row.group]
        if len(held) > 1 and len({card and card.currency for card in held}) == 1 and held[0]:
            groups.setdefault(row.group, []).append(row)
    if not groups:
        return
    costs = {
        tuple(key): (total, listed)
        for *key, total, listed in CostDay.objects.filter(project_id=project, day=day)
        .exclude(currency="")
        .values_list(*DIMENSIONS, "cost", "list_cost")
    }
    for group, members in groups.items():
        weight = sum((row.cost.line.total for row in members), ZERO)
        if weight and group in costs:
            yield from _scaled(members, *costs[group], weight)


def _scaled(
    members: list[Share], cost: Decimal, listed: Decimal | None, weight: Decimal
) -> Iterator[Share]:
    """The members' costs, changed in proportion; the last digits lost go to the first of them."""
    made = []
    for row in members:
        line = row.cost.line
        parts: dict[str, Any] = {name: _share(getattr(line, name), cost, weight) for name in PARTS}
        parts["listed"] = None if listed is None else _share(line.total, listed, weight)
        made.append(_with_line(row, **parts))
    first, *others = made
    line = first.cost.line
    lost = CONTEXT.subtract(cost, sum((row.cost.line.total for row in made), ZERO))
    rest: dict[str, Any] = {"other": CONTEXT.add(line.other, lost)}
    if listed is not None:
        told = sum((row.cost.line.listed or ZERO for row in made), ZERO)
        rest["listed"] = CONTEXT.add(line.listed or ZERO, CONTEXT.subtract(listed, told))
    yield _with_line(first, **rest)
    yield from others


def _with_line(row: Share, **parts: Any) -> Share:
    return replace(row, cost=replace(row.cost, line=replace(row.cost.line, **parts)))


def _share(part: Decimal, cost: Decimal, weight: Decimal) -> Decimal:
    share = CONTEXT.divide(CONTEXT.multiply(part, cost), weight)
    return share.quantize(SCALE, rounding=ROUND_DOWN, context=CONTEXT)


def _write(
    cursor: Any,
    project: int,
    day: date,
    table: str,
    who: tuple[str, ...],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    cursor.execute(f"DELETE FROM {table} WHERE project_id = %s AND day = %s", [project, day])
    kept = {name: kind for name, kind in COLUMNS.items() if name not in ("at", "book_id")}
    columns = {"day": "date", **dict.fromkeys(who, "text"), **kept}
    copy_rows(cursor, table, columns, rows)


def _copied(day: date, who: tuple[Who, ...], project: int, share: Share) -> tuple[Any, ...]:
    cost, line = share.cost, share.cost.line
    return (
        day, *who, project, *share.group, line.currency,
        share.usage.spans, cost.priced_spans, cost.unpriced_spans, cost.unknown_spans,
        line.tokens, line.unpriced_tokens,
        line.input, line.cache, line.output, line.other, line.total,
        line.listed if line.currency else None,
    )  # fmt: skip
