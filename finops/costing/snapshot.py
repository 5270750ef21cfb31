"""What genai-prices knows, as rates of ours. The only place that imports it.

Knows its bundled snapshot and how it matches names. Refuses to update itself from the network, and
to take a price that our facts could not tell apart: what is left out is counted by reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib.metadata import version

from genai_prices.data import providers as PROVIDERS
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
    _providers_from_raw,
)

from ingest.records import INPUT_BANDS

from .lines import DEAREST, MOST_DECIMALS
from .rates import STANDARD, BadPriceList, Rate

UNIT_OF_KEY = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
    "input_image_mtok": "image_input",
    "requests_kcount": "request",
}

TIER_OF_VARIANT = {
    "processing=batch": "batch",
    "service_tier=flex": "flex",
    "service_tier=priority": "priority",
    "service_tier=fast": "fast",
    "speed=fast": "fast",
}

DEFAULT_TIER = {"service_tier": "default"}
"""OpenAI's word for its standard tier, listed without prices of its own."""

PROVIDER_WORDS = {
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "azureopenai": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gen_ai": "google",
    "moonshot": "moonshotai",
    "togetherai": "together",
    "x_ai": "x-ai",
}
"""Provider names of OpenTelemetry and SDKs that genai-prices does not know, or takes for OpenAI
although Azure sells the model."""

ROUNDED = "rounded"

LAST_DECIMAL = Decimal(1).scaleb(-MOST_DECIMALS)

LONGEST = (100, 200)
"""Characters of a provider's and a model's name that a price can hold."""

LONG_AGO = date(2000, 1, 1)

Window = tuple[time, time] | None
"""A time of day in UTC; None is the rest of the day."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    source: str
    rates: tuple[tuple[str, str, Rate], ...]
    """Provider, model, rate."""
    left_out: Mapping[str, int]
    """Reason → number of prices, or of whole tiers where one price would make the rest wrong."""
    rounded: int
    """Prices cut to `MOST_DECIMALS`: all are traces of binary floats, as in 0.18000000000000002."""


class _Unusable(Exception):
    """A price of this model would be applied wrongly, so none of this tier is taken."""


@cache
def _lookup() -> DataSnapshot:
    return DataSnapshot(providers=PROVIDERS, from_auto_update=False)


def source() -> str:
    return f"genai-prices {version('genai-prices')}"


@cache
def read() -> Snapshot:
    """The installed release, which stays what it is: every price that our facts can be held
    against."""
    return _read(PROVIDERS, source())


def read_file(content: bytes, name: str) -> Snapshot:
    """The same of a data file in genai-prices' JSON form. Raises BadPriceList."""
    try:
        raw = json.loads(content, parse_float=Decimal, parse_constant=_no_number)
        if not isinstance(raw, list) or not raw:
            raise ValueError("it is not a list of providers")
        # The form that the library's own updater reads; it has no public reader for a file.
        found = _read(_providers_from_raw(raw), name)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        why = str(error).splitlines()[0][:200]
        raise BadPriceList(
            f"This is no data file of genai-prices ({why}). Take prices/new_data/v2/data.json"
            " of a release."
        ) from error
    for provider, model, rate in found.rates:
        if not rate.amount.is_finite() or not 0 <= rate.amount < DEAREST:
            raise BadPriceList(
                f"{provider} {model} has a price of {rate.amount}; a price is 0 or more"
                f" and below {DEAREST}."
            )
        if len(provider) > LONGEST[0] or len(model) > LONGEST[1]:
            raise BadPriceList(f"The name {model[:50]} is too long to be kept.")
    if not found.rates:
        raise BadPriceList("This file has no price that usage can be held against.")
    return found


def _no_number(text: str) -> Decimal:
    raise ValueError(f"{text} is no price")


def _read(providers: Sequence[Provider], name: str) -> Snapshot:
    """Already resolved per tier and date."""
    left_out: Counter[str] = Counter()
    rates = tuple(
        (provider.id, seller_name, rate)
        for provider in providers
        for seller_name, model, tiers in _sold_by(provider, providers)
        for rate in _rates(model, tiers, left_out)
    )
    rounded = left_out.pop(ROUNDED, 0)
    return Snapshot(name, rates, dict(left_out), rounded)


def match(provider: str, model: str) -> tuple[str, str] | None:
    """The provider and model of the snapshot that reported names mean, or None."""
    said = provider.strip().casefold()
    try:
        seller, found = _lookup().find_provider_model(
            model, None, PROVIDER_WORDS.get(said, said) or None, None
        )
    except LookupError:
        return None
    if any(found is one for one in seller.models):
        return seller.id, found.id
    owner = next(one for one in PROVIDERS if any(found is other for other in one.models))
    return seller.id, _resold(owner, found)


def _sold_by(
    provider: Provider, providers: Sequence[Provider]
) -> Iterator[tuple[str, ModelInfo, bool]]:
    """Its own models with their tiers, then those it resells, which have only standard prices.

    Azure sells OpenAI's models at OpenAI's list price, but OpenAI's batch and priority tiers are
    not Azure's. A resold model is named after its maker, so that it can have its own price there.
    """
    for model in provider.models:
        yield model.id, model, True
    for owner in providers:
        if owner.id in (provider.fallback_model_providers or ()):
            for model in owner.models:
                yield _resold(owner, model), model, False


def _resold(owner: Provider, model: ModelInfo) -> str:
    return f"{owner.id}/{model.id}"


def _rates(model: ModelInfo, tiers: bool, left_out: Counter[str]) -> Iterator[Rate]:
    yield from _tier_rates(model, STANDARD, {}, None, left_out)
    seen: set[str] = set()
    for variant in (model.price_variants or ()) if tiers else ():
        if variant.when == DEFAULT_TIER and not vars(variant.prices):
            continue
        words = ", ".join(f"{key}={value}" for key, value in variant.when.items())
        tier = TIER_OF_VARIANT.get(words)
        if tier is None:
            left_out[f"variant {words}"] += 1
        elif tier not in seen:
            seen.add(tier)
            starts = [
                _start(other.constraint)
                for other in model.price_variants or ()
                if other.when == variant.when
            ]
            yield from _tier_rates(model, tier, variant.when, min(starts), left_out)


def _tier_rates(
    model: ModelInfo,
    tier: str,
    context: dict[str, str],
    first: date | None,
    left_out: Counter[str],
) -> Iterator[Rate]:
    """One complete set per date and time of day at which genai-prices resolves to other prices."""
    rates: list[Rate] = []
    try:
        for window, probe in _windows(model):
            previous: ModelPrice | None = None
            for start in _boundaries(model, first):
                at = datetime.combine(start, probe, UTC)
                prices = model.get_prices(at, context)
                if prices == previous:
                    continue
                previous = prices
                priced = list(_as_rates(prices, tier, start, window, left_out))
                if rates and not priced:
                    # An empty set cannot be stored, so the one before would go on for ever.
                    raise _Unusable("stops being priced in a unit we know")
                rates += priced
    except _Unusable as reason:
        left_out[str(reason)] += 1
        return
    yield from rates


def _as_rates(
    prices: ModelPrice, tier: str, start: date, window: Window, left_out: Counter[str]
) -> Iterator[Rate]:
    valid_from = None if start == LONG_AGO else datetime.combine(start, time(0), UTC)
    time_from, time_to = window or (None, None)
    for key, price in sorted(vars(prices).items()):
        if price is None:
            continue
        unit = UNIT_OF_KEY.get(key)
        if unit is None:
            left_out[f"unit {key}"] += 1
            continue
        base = Rate(unit, Decimal(0), "USD", tier, 0, valid_from, time_from, time_to)
        for over, amount in _steps(price):
            if over not in INPUT_BANDS:
                raise _Unusable(f"threshold {over}")
            if -int(amount.as_tuple().exponent) > MOST_DECIMALS:
                left_out[ROUNDED] += 1
                amount = amount.quantize(LAST_DECIMAL)
            yield replace(base, input_over=over, amount=amount)


def _steps(price: Decimal | TieredPrices) -> Iterator[tuple[int, Decimal]]:
    if isinstance(price, TieredPrices):
        yield 0, price.base
        for step in price.tiers:
            yield step.start, step.price
    else:
        yield 0, price


def _constraints(model: ModelInfo) -> Iterator[StartDateConstraint | TimeOfDateConstraint]:
    conditional = model.prices if isinstance(model.prices, list) else []
    for condition in (*conditional, *(model.price_variants or ())):
        if condition.constraint is not None:
            yield condition.constraint


def _start(constraint: StartDateConstraint | TimeOfDateConstraint | None) -> date:
    return constraint.start_date if isinstance(constraint, StartDateConstraint) else LONG_AGO


def _boundaries(model: ModelInfo, first: date | None) -> list[date]:
    dates = {LONG_AGO, *(_start(constraint) for constraint in _constraints(model))}
    return sorted(day for day in dates if first is None or day >= first)


def _windows(model: ModelInfo) -> Iterator[tuple[Window, time]]:
    """The day cut at every time at which a price may change, with a moment inside each piece.

    The pieces that no time-of-day price covers are one: the rest of the day.
    """
    daily = [one for one in _constraints(model) if isinstance(one, TimeOfDateConstraint)]
    edges = sorted({_utc(edge) for one in daily for edge in (one.start_time, one.end_time)})
    rest = None if edges else time(0)
    for begin, end in zip(edges, [*edges[1:], *edges[:1]], strict=True):
        if any(one.active(datetime.combine(LONG_AGO, begin, UTC)) for one in daily):
            yield (begin, end), begin
        else:
            rest = begin
    if rest is not None:
        yield None, rest


def _utc(clock: time) -> time:
    if clock.tzinfo is None:
        return clock
    return datetime.combine(LONG_AGO, clock).astimezone(UTC).time()
