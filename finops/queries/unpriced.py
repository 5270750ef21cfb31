"""Usage that no price covers: which model and token class, how much, and since when.

Knows priced quarter hours and the usage behind them. Refuses to call it zero: what stands here is
in no total.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from finops.actions.book_rates import BookRates
from finops.costing.rates import REQUEST
from finops.models import PriceBook
from ingest.models.rollups import DIMENSIONS
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS
from ingest.rollup.spans import EVERY_QUARTER

from .book import parameters, rows, usage_in_scope
from .filters import Filters, midnight

FACTS = f"""CROSS JOIN LATERAL (
    SELECT {", ".join(TOKEN_FIELDS)} FROM {EVERY_QUARTER}
    WHERE project_id = c.project_id AND at = c.at
        AND {" AND ".join(f"{name} = c.{name}" for name in DIMENSIONS)}
) AS f"""
"""Quarter by quarter, for few of them are looked at."""

COUNTS = ", ".join(f"sum({name})" for name in TOKEN_FIELDS)

WHOLE_DAYS = f"""
SELECT c.provider, c.model, c.day,
    bool_and(c.unpriced_tokens = {" + ".join(TOKEN_FIELDS)}), {COUNTS}
FROM finops_costday c JOIN ingest_span_day USING (project_id, day, {", ".join(DIMENSIONS)})
WHERE c.day >= %(start)s AND c.day < %(end)s AND c.currency = '' AND c.unpriced_tokens > 0 {{scope}}
GROUP BY c.provider, c.model, c.day"""
"""Rows without any amount, and whether that holds for everything that was used of them then."""

WHOLE = f"""
SELECT c.provider, c.model, d.day, {COUNTS},
    {", ".join(f"min(c.at) FILTER (WHERE {name} > 0)" for name in TOKEN_FIELDS)},
    {", ".join(f"max(c.at) FILTER (WHERE {name} > 0)" for name in TOKEN_FIELDS)}
FROM unnest(%(days)s::date[], %(days_from)s::timestamptz[], %(days_to)s::timestamptz[])
    AS d (day, first, last)
JOIN finops_costquarter c ON c.at >= d.first AND c.at < d.last
{FACTS}
WHERE c.currency = '' AND c.unpriced_tokens > 0 {{scope}}
GROUP BY c.provider, c.model, d.day"""
"""Rows without any amount: every class they used is unpriced."""

WITHIN = "c.at >= %(start_at)s AND c.at < %(end_at)s"

REQUESTS = f"""
SELECT c.provider, c.model, sum(c.unpriced_spans), min(c.at), max(c.at)
FROM finops_costquarter c
WHERE {WITHIN} AND c.unpriced_tokens = 0 AND c.unpriced_spans > 0 {{scope}}
GROUP BY c.provider, c.model"""
"""Requests that are not made of tokens. Apart, for a join with late facts could count one twice."""

IN_PART = f"""
SELECT c.project_id, c.provider, c.model, c.tier, c.input_band, c.at, c.book_id, {COUNTS}
FROM finops_costquarter c {FACTS}
WHERE {WITHIN} AND c.unpriced_tokens > 0 AND c.currency <> '' {{scope}}
GROUP BY c.project_id, c.provider, c.model, c.tier, c.input_band, c.at, c.book_id"""

SINCE = """
SELECT c.provider, c.model, min(c.day) FROM finops_costday c
WHERE (c.unpriced_spans > 0 OR c.unpriced_tokens > 0) {scope}
GROUP BY c.provider, c.model"""


@dataclass(frozen=True, slots=True)
class UnpricedUse:
    """One token class of one model, as used in the period without a price."""

    provider: str
    model: str
    token_class: str
    """Or `request`, where the request itself is what is paid for."""
    amount: int
    """Tokens; requests where the class says so."""
    first_seen: datetime
    """Quarter hour in the period."""
    last_seen: datetime
    since: date
    """The first day that this model had usage without a price, in the period or before it."""


def unpriced_usage(filters: Filters) -> list[UnpricedUse]:
    """The largest first; requests, which are no tokens, behind them."""
    found: dict[tuple[str, str, str], list[Any]] = {}
    for provider, model, token_class, amount, first, last in (
        *_whole(filters),
        *_in_part(filters),
        *_requests(filters),
    ):
        known = found.setdefault((provider, model, token_class), [0, first, last])
        known[0] += amount
        known[1], known[2] = min(known[1], first), max(known[2], last)
    if not found:
        return []
    sql = SINCE.format(scope=usage_in_scope(filters))
    since = {(provider, model): day for provider, model, day in rows(sql, parameters(filters))}
    uses = [
        UnpricedUse(provider, model, token_class, amount, first, last, since[provider, model])
        for (provider, model, token_class), (amount, first, last) in found.items()
    ]
    return sorted(uses, key=lambda use: (use.token_class == REQUEST, -use.amount, use.model))


def _whole(filters: Filters) -> list[tuple[Any, ...]]:
    """By the day where that is all, and the first and last moments from the quarters of those days.

    A day of which some use has a price, or was priced before its newest facts came, goes by quarter
    hours altogether.
    """
    given, scope = parameters(filters), usage_in_scope(filters)
    per_day = rows(WHOLE_DAYS.format(scope=scope), given)
    mixed = {day for _, _, day, is_whole, *_ in per_day if not is_whole}
    found: list[tuple[Any, ...]] = []
    seen: dict[tuple[str, str, str], list[date]] = {}
    amounts: dict[tuple[str, str, str], int] = {}
    for provider, model, day, _, *counts in per_day:
        for token_class, count in zip(TOKEN_CLASSES, counts, strict=True):
            if count and day not in mixed:
                key = (provider, model, token_class)
                amounts[key] = amounts.get(key, 0) + int(count)
                seen.setdefault(key, []).append(day)
    ends = {key: {min(days), max(days)} for key, days in seen.items()}
    wanted = sorted(mixed.union(*ends.values()))
    if not wanted:
        return []
    given |= {
        "days": wanted,
        "days_from": [midnight(day, filters.zone) for day in wanted],
        "days_to": [midnight(day + timedelta(days=1), filters.zone) for day in wanted],
    }
    size = len(TOKEN_CLASSES)
    for provider, model, day, *values in rows(WHOLE.format(scope=scope), given):
        for place, token_class in enumerate(TOKEN_CLASSES):
            key = (provider, model, token_class)
            count, began, ended = values[place::size]
            if count and (day in mixed or day in ends.get(key, ())):
                amount = int(count) if day in mixed else amounts.pop(key, 0)
                found.append((*key, amount, began, ended))
    return found


def _requests(filters: Filters) -> list[tuple[Any, ...]]:
    sql = REQUESTS.format(scope=usage_in_scope(filters))
    return [
        (provider, model, REQUEST, int(amount), first, last)
        for provider, model, amount, first, last in rows(sql, parameters(filters))
    ]


def _in_part(filters: Filters) -> list[tuple[Any, ...]]:
    """Rows with an amount, of which some classes have no price: their own card tells which."""
    sql = IN_PART.format(scope=usage_in_scope(filters))
    used = list(rows(sql, parameters(filters)))
    names: dict[int, set[tuple[str, str]]] = {}
    for _, provider, model, _, _, _, book, *_ in used:
        names.setdefault(book, set()).add((provider, model))
    books = PriceBook.objects.in_bulk(names)
    rates = {pk: BookRates(books[pk], names[pk], store=False) for pk in names}
    found = []
    for project, provider, model, tier, band, at, book, *tokens in used:
        card = rates[book].card(project, (provider, model), tier, band, at)
        for token_class, count in zip(TOKEN_CLASSES, tokens, strict=True):
            if count and (card is None or card.rate_of(token_class) is None):
                found.append((provider, model, token_class, int(count), at, at))
    return found
