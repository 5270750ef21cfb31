"""The same traffic on another model: what was recorded, at another model's prices.

Knows recorded tokens by class, tier and prompt size, and the price book with its discounts; it
prices by the same rules as costing does. Refuses to foretell answers: another model writes other
ones, with other tokens. Refuses to compare what has a price on one side only: that is counted and
left out of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.utils import timezone

from finops.actions import price_book
from finops.costing.exchange import Converter
from finops.costing.lines import Usage, cost_of_spans
from finops.costing.rates import BILLED_AS, Rate, RateCard
from finops.costing.terms import NOTHING_AGREED, Agreed, card_at
from finops.models import Price, PriceBook
from finops.money import CONTEXT
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS

from .. import book, conversion, prices
from ..amounts import ZERO
from ..filters import Filters
from ..stamp import Stamped, newest, notes
from .asked import Asked, Candidate
from .sql import exact_usage

KIND = "llm"
"""An embedding or a rerank cannot move to a model that writes answers, so only these are priced."""

MOST_LISTED = 400


@dataclass(frozen=True, slots=True)
class Fallback:
    """A token class without a price of its own, and the one it is billed as."""

    token_class: str
    billed_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One candidate. Cost now and then are of the same requests."""

    candidate: Candidate
    requests: int = 0
    """Priced on both sides."""
    tokens: int = 0
    cost_now: Decimal | None = None
    cost_then: Decimal | None = None
    left_out: int = 0
    """Requests with a price now that cannot be priced as this model."""
    left_out_cost: Decimal = ZERO
    """What those cost now; in neither of the two costs."""
    fallbacks: tuple[Fallback, ...] = ()
    reason: str = ""
    """Why nothing could be priced; empty when something was."""

    @property
    def difference(self) -> Decimal | None:
        if self.cost_now is None or self.cost_then is None:
            return None
        return CONTEXT.subtract(self.cost_then, self.cost_now)

    @property
    def change(self) -> float | None:
        """(then − now) / now; None where now is nothing."""
        if self.difference is None or not self.cost_now:
            return None
        return float(self.difference / self.cost_now)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf(Stamped):
    currency: str
    book: PriceBook | None
    """The newest price book; None while there is none."""
    prices_on: datetime
    """Candidates are priced as on this day, whatever day a request was made on."""
    requests: int
    """Chat requests of the range that have a price as a whole: the ones compared."""
    cost_now: Decimal
    unpriced: int
    """Chat requests without such a price: unpriced, paid by the hour, or in another currency."""
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    tier: str
    input_band: int
    clock: time | None
    day: date | None
    """Only where costs are converted, at the rate of their day."""
    cost: Decimal
    usage: Usage

    @property
    def requests(self) -> int:
        return self.usage.spans - self.usage.usage_unknown


def what_if(filters: Filters, asked: Asked) -> WhatIf:
    newest_book = prices.price_book()
    moment = min(timezone.now(), filters.end_at - timedelta(microseconds=1))
    rates = _rates(newest_book, asked.candidates)
    has_hours = any(rate.time_from for known in rates.values() for rate in known)
    converter = None
    if filters.convert:
        codes = {rate.currency for known in rates.values() for rate in known}
        converter = conversion.converter_of_usage(filters, codes)
    groups, unpriced = _groups(filters, converter, by_clock=has_hours)
    agreed = price_book.agreed_of(newest_book) if newest_book else NOTHING_AGREED
    # Discounts of single projects cannot be told apart in a sum over several.
    projects = filters.project_ids or ()
    payer = projects[0] if len(projects) == 1 else None
    sources = notes(filters, usage=True)
    outcomes = tuple(
        _outcome(
            candidate, rates[candidate], (agreed, payer), groups, moment, filters.shown, converter
        )
        for candidate in asked.candidates
    )
    return WhatIf(
        currency=filters.shown,
        book=newest_book,
        prices_on=moment,
        requests=sum(group.requests for group in groups),
        cost_now=_sum(group.cost for group in groups),
        unpriced=unpriced,
        outcomes=outcomes,
        as_of=newest(filters, sources),
        provisional=True,
        sources=sources,
        conversion=converter.told() if converter else None,
    )


def choices(filters: Filters) -> list[str]:
    """Models of the newest book that write answers, of providers this scope has used."""
    newest_book = prices.price_book()
    if newest_book is None:
        return []
    used = book.rows(
        "SELECT DISTINCT c.provider FROM finops_costday c WHERE c.day >= %(start)s"
        f" AND c.day < %(end)s {book.usage_in_scope(filters)}",
        book.parameters(filters),
    )
    found = (
        Price.objects.filter(
            book=newest_book, unit="output", provider__in=[provider for (provider,) in used]
        )
        .order_by("provider", "model")
        .values_list("provider", "model")
        .distinct()[:MOST_LISTED]
    )
    return [str(Candidate(*names)) for names in found]


def _rates(
    newest_book: PriceBook | None, candidates: Iterable[Candidate]
) -> dict[Candidate, list[Rate]]:
    named = {(one.provider, one.model): one for one in candidates}
    if newest_book is None:
        return {one: [] for one in named.values()}
    found = price_book.rates_of(newest_book, set(named))
    return {one: found.get(name, []) for name, one in named.items()}


def _groups(
    filters: Filters, converter: Converter | None, *, by_clock: bool
) -> tuple[list[_Group], int]:
    """Usage that is priced as a whole, by what a rate may depend on; and requests that are not."""
    clock = "(f.at AT TIME ZONE 'UTC')::time" if by_clock else "NULL::time"
    day, fx = "NULL::date", {}
    if converter is not None:
        day = "(f.at AT TIME ZONE %(zone)s)::date" if by_clock else "f.day"
        fx = conversion.joined_values(converter.rates, converter.currencies, filters)
    by = "at" if by_clock else "day"
    source = exact_usage(filters, by=by, of_kind=True, is_converted=bool(fx))
    sums = ", ".join(f"sum(f.{name})::bigint" for name in TOKEN_FIELDS)
    found = book.rows(
        f"SELECT f.is_exact, f.tier, f.input_band, {clock}, {day}, sum(f.cost),"
        f" sum(f.spans)::bigint, sum(f.errors)::bigint, sum(f.usage_unknown)::bigint, {sums}"
        f" FROM ({source}) AS f GROUP BY 1, 2, 3, 4, 5 ORDER BY 2, 3, 4, 5",
        {**book.parameters(filters), "currency": filters.currency, "kind": KIND, **fx},
    )
    groups, unpriced = [], 0
    for is_exact, tier, band, at, of_day, cost, spans, errors, unknown, *tokens in found:
        # What did not say its usage costs nothing on either side, and is no saving.
        unpriced += unknown if is_exact else spans
        if not is_exact:
            continue
        counts = dict(zip(TOKEN_CLASSES, tokens, strict=True))
        usage = Usage(KIND, counts, spans, errors, unknown)
        groups.append(_Group(tier, band, at, of_day, cost, usage))
    return groups, unpriced


def _outcome(
    candidate: Candidate,
    rates: list[Rate],
    terms: tuple[Agreed, int | None],
    groups: list[_Group],
    moment: datetime,
    currency: str,
    converter: Converter | None,
) -> Outcome:
    """Prices are those of `moment`; what they come to is converted at the rate of each day."""
    if not rates:
        reason = f"The price book has no model {candidate}; the page Prices lists them."
        return Outcome(candidate=candidate, reason=reason)
    now, then, requests, tokens, left_out = ZERO, ZERO, 0, 0, 0
    left_out_cost = ZERO
    fallbacks: dict[Fallback, None] = {}
    currencies = set()
    for group in groups:
        at = _at(moment, group.clock)
        name = (candidate.provider, candidate.model)
        card = card_at(rates, *terms, name, group.tier, group.input_band, at)
        cost = cost_of_spans(group.usage, card)
        rate = None
        if card is not None:
            currencies.add(card.currency)
            rate = _rate(card.currency, currency, group.day, converter)
        if card is None or rate is None or cost.unpriced_spans or cost.line.unpriced_tokens:
            left_out += group.requests
            left_out_cost = CONTEXT.add(left_out_cost, group.cost)
            continue
        now = CONTEXT.add(now, group.cost)
        then = CONTEXT.fma(cost.line.total, rate, then)
        requests, tokens = requests + group.requests, tokens + cost.line.tokens
        fallbacks |= dict.fromkeys(_fallbacks(group.usage, card))
    reason = ""
    if not requests:
        reason = _why_nothing(groups, currencies, currency, converter)
    return Outcome(
        candidate=candidate,
        requests=requests,
        tokens=tokens,
        cost_now=now if requests else None,
        cost_then=then if requests else None,
        left_out=left_out,
        left_out_cost=left_out_cost,
        fallbacks=tuple(fallbacks),
        reason=reason,
    )


def _rate(
    code: str, currency: str, day: date | None, converter: Converter | None
) -> Decimal | None:
    if converter is not None and day is not None:
        return converter.rate(code, day)
    return Decimal(1) if code == currency else None


def _why_nothing(
    groups: list[_Group], currencies: set[str], currency: str, converter: Converter | None
) -> str:
    if not groups:
        return "No chat request of this period has a price to compare with."
    others = sorted(currencies - {currency})
    if others and converter is not None and any(code in converter.missing for code in others):
        return f"Its prices are in {', '.join(others)}, which has no exchange rate on these days."
    if others and converter is None:
        return f"Its prices are in {', '.join(others)}; they are not converted to {currency}."
    return "It has no price for these tiers or token classes."


def _fallbacks(usage: Usage, card: RateCard) -> Iterable[Fallback]:
    for token_class, count in usage.tokens.items():
        if not count or token_class in card.amounts:
            continue
        unit = next(unit for unit in BILLED_AS[token_class] if unit in card.amounts)
        yield Fallback(token_class, unit)


def _at(moment: datetime, clock: time | None) -> datetime:
    """That time of day, where the time of day matters, on the day that prices are taken from."""
    if clock is None:
        return moment
    return datetime.combine(moment.astimezone(UTC).date(), clock, UTC)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = CONTEXT.add(total, amount)
    return total
