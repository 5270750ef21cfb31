"""Usage that no price covers: which model and token class, how much, and since when.

Knows priced quarter hours and the usage behind them. Refuses to call it zero: what stands here is
in no total.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from finops.actions.book_rates import BookRates
from finops.costing.rates import REQUEST
from finops.models import PriceBook
from ingest.models.rollups import DIMENSIONS
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS
from ingest.rollup.spans import EVERY_QUARTER

from .book import parameters, rows, usage_in_scope
from .filters import Filters

WHOLE = """
SELECT c.provider, c.model, {counts}, {first}, {last}
FROM finops_costquarter c
JOIN {facts} USING (project_id, at, {dims})
WHERE {within} AND c.currency = '' AND c.unpriced_tokens > 0
GROUP BY c.provider, c.model"""
"""Rows without any amount: every class they used is unpriced."""

REQUESTS = """
SELECT c.provider, c.model, sum(c.unpriced_spans), min(c.at), max(c.at)
FROM finops_costquarter c
WHERE {within} AND c.unpriced_tokens = 0
GROUP BY c.provider, c.model"""
"""Requests that are not made of tokens. Apart, for a join with late facts could count one twice."""

IN_PART = """
SELECT c.project_id, c.provider, c.model, c.tier, c.input_band, c.at, c.book_id, {counts}
FROM finops_costquarter c
JOIN {facts} USING (project_id, at, {dims})
WHERE {within} AND c.currency <> ''
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
    counts = ", ".join(f"sum({name})" for name in TOKEN_FIELDS)
    first = ", ".join(f"min(c.at) FILTER (WHERE {name} > 0)" for name in TOKEN_FIELDS)
    last = ", ".join(f"max(c.at) FILTER (WHERE {name} > 0)" for name in TOKEN_FIELDS)
    sql = WHOLE.format(counts=counts, first=first, last=last, **_parts(filters))
    found, size = [], len(TOKEN_CLASSES)
    for provider, model, *values in rows(sql, parameters(filters)):
        for place, token_class in enumerate(TOKEN_CLASSES):
            amount, began, ended = values[place::size]
            if amount:
                found.append((provider, model, token_class, int(amount), began, ended))
    return found


def _requests(filters: Filters) -> list[tuple[Any, ...]]:
    sql = REQUESTS.format(**_parts(filters))
    return [
        (provider, model, REQUEST, int(amount), first, last)
        for provider, model, amount, first, last in rows(sql, parameters(filters))
    ]


def _in_part(filters: Filters) -> list[tuple[Any, ...]]:
    """Rows with an amount, of which some classes have no price: their own card tells which."""
    counts = ", ".join(f"sum({name})" for name in TOKEN_FIELDS)
    sql = IN_PART.format(counts=counts, **_parts(filters))
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


def _parts(filters: Filters) -> dict[str, str]:
    return {
        "facts": EVERY_QUARTER,
        "dims": ", ".join(DIMENSIONS),
        "within": "c.at >= %(start_at)s AND c.at < %(end_at)s"
        " AND (c.unpriced_spans > 0 OR c.unpriced_tokens > 0)"
        f" {usage_in_scope(filters)}",
    }
