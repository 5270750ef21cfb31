"""Usage × rates → cost, to the last digit.

Knows token counts and a rate card. Refuses to round: the arithmetic traps every inexact result, so
the cost of a rollup row is the sum of its spans' costs, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

from finops.money import PRECISION

from .rates import REQUEST, RateCard

EXACT = Context(prec=PRECISION, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])

MOST_DECIMALS = 14
"""Of a price: per million tokens, its products then end within the 20 decimals that are stored."""

DEAREST = Decimal(10**9)
"""More than this per million tokens is a slip of the keyboard."""

PART_OF = {
    "input": "input",
    "audio_input": "input",
    "image_input": "input",
    "cache_read": "cache",
    "cache_write_5m": "cache",
    "cache_write_1h": "cache",
    "output": "output",
    "reasoning": "output",
    "audio_output": "output",
}

PAID_BY_USAGE = frozenset({"llm", "embedding", "rerank"})
"""Kinds of span that a provider charges by tokens. An agent or a tool costs nothing by itself,
unless it is the only one to report what its model used."""

PAID_BY_REQUEST = "inference"
"""A model server's answer that is not made of tokens: the request itself is what is used."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class CostLine:
    """What some usage costs, by part. Unpriced tokens are in no amount."""

    currency: str = ""
    """Empty when there is no amount at all."""
    input: Decimal = ZERO
    cache: Decimal = ZERO
    output: Decimal = ZERO
    other: Decimal = ZERO
    tokens: int = 0
    unpriced_tokens: int = 0
    listed: Decimal | None = None
    """The total at list prices; None where the list has no price for a part of it."""

    @property
    def total(self) -> Decimal:
        return EXACT.add(EXACT.add(self.input, self.cache), EXACT.add(self.output, self.other))


@dataclass(frozen=True, slots=True)
class Usage:
    """What one span, or the spans of one rollup row, used. Counts of a row are sums of spans."""

    kind: str
    tokens: Mapping[str, int]
    """By class; the classes are disjoint, so they add."""
    spans: int = 1
    errors: int = 0
    usage_unknown: int = 0


@dataclass(frozen=True, slots=True)
class SpansCost:
    """The cost of some spans, and how many of them it covers.

    The three counts never overlap; spans in none of them are not charged by usage.
    """

    line: CostLine
    priced_spans: int = 0
    unpriced_spans: int = 0
    unknown_spans: int = 0


def cost_of(usage: Mapping[str, int], card: RateCard | None, *, requests: int) -> CostLine:
    """Token counts by class (disjoint, so they add) and a number of requests, priced."""
    tokens = sum(usage.values())
    if card is None:
        return CostLine(tokens=tokens, unpriced_tokens=tokens)
    parts = {"input": ZERO, "cache": ZERO, "output": ZERO}
    unpriced = 0
    for token_class, count in usage.items():
        if not count:
            continue
        rate = card.rate_of(token_class)
        if rate is None:
            unpriced += count
            continue
        part = PART_OF[token_class]
        parts[part] = EXACT.add(parts[part], _per(rate, count, 6))
    other = ZERO if card.per_request is None else _per(card.per_request, requests, 3)
    paid = EXACT.add(EXACT.add(parts["input"], parts["cache"]), EXACT.add(parts["output"], other))
    listed = paid if card.is_at_list else _at_list(usage, card, requests)
    return CostLine(
        card.currency,
        **parts,
        other=other,
        tokens=tokens,
        unpriced_tokens=unpriced,
        listed=listed,
    )


def _at_list(usage: Mapping[str, int], card: RateCard, requests: int) -> Decimal | None:
    """What has a price, at the list's. Where only ours has one, the whole is unknown."""
    total = ZERO
    for token_class, count in usage.items():
        if count and card.rate_of(token_class) is not None:
            rate = card.list_rate_of(token_class)
            if rate is None:
                return None
            total = EXACT.add(total, _per(rate, count, 6))
    if card.per_request is None or not requests:
        return total
    fee = card.list_rate_of(REQUEST)
    return None if fee is None else EXACT.add(total, _per(fee, requests, 3))


def cost_of_spans(usage: Usage, card: RateCard | None) -> SpansCost:
    """What a span or a rollup row costs. A span is a row of one, so both ways add up alike.

    1. What is charged: spans of a kind that is paid by usage, requests to a model server, and of
       other kinds those rows that report tokens.
    2. A fee per request is paid by requests that succeeded. A card with nothing but such a fee
       needs no usage; without one, a request that is not made of tokens is unpriced.
    3. Without a card, what was used is unpriced: it is in no amount.
    """
    tokens = sum(usage.tokens.values())
    by_request = usage.kind == PAID_BY_REQUEST
    if not tokens and usage.kind not in PAID_BY_USAGE:
        if not by_request:
            return SpansCost(CostLine())
        if card is None or card.per_request is None:
            return SpansCost(CostLine(), unpriced_spans=usage.spans)
    if card is not None and not card.needs_usage:
        known = usage.spans
    else:
        known = usage.spans - usage.usage_unknown
    unknown = usage.spans - known
    if card is None:
        line = cost_of(usage.tokens, None, requests=0)
        return SpansCost(line, unpriced_spans=known if tokens else 0, unknown_spans=unknown)
    if not known:
        return SpansCost(CostLine(), unknown_spans=unknown)
    pays_fee = by_request or usage.kind in PAID_BY_USAGE
    line = cost_of(usage.tokens, card, requests=known - usage.errors if pays_fee else 0)
    if tokens and line.unpriced_tokens == tokens and not line.total:
        line = cost_of(usage.tokens, None, requests=0)
        return SpansCost(line, unpriced_spans=known, unknown_spans=unknown)
    return SpansCost(line, priced_spans=known, unknown_spans=unknown)


def _per(rate: Decimal, count: int, power_of_ten: int) -> Decimal:
    return EXACT.multiply(rate, Decimal(count)).scaleb(-power_of_ten, context=EXACT)
