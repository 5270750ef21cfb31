"""Models side by side on the same kind of request: price, latency, errors and quality.

Knows rollups; "the same kind" is the kind of request and the band of its prompt's size. Refuses a
verdict: a group of fewer than `FEW` requests is marked, and nothing says which model is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finops.costing.exchange import Converter
from ingest.records import INPUT_BANDS

from .. import book, conversion
from ..amounts import ZERO
from ..filters import Filters
from ..stamp import Stamped, newest, notes
from ..traffic import Percentiles, speed_by
from . import answers
from .answers import Window
from .asked import Asked
from .hardware_requests import HardwarePrice, HardwarePrices
from .units import UnitCost, per

FEW = 30
"""Below it a percentile or a rate says little."""

COLUMNS = ("kind", "input_band", "provider", "model")

Group = tuple[str, int, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    kind: str
    input_band: int
    provider: str
    model: str
    requests: int
    price: UnitCost
    """Per 1,000 requests that have a price."""
    hardware: HardwarePrice | None
    """Of a model that a pool of ours serves: its requests have no price of their own."""
    latency: Percentiles
    error_rate: float | None
    quality: float | None
    """Mean score of its scored answers; None where none is scored, or no score was chosen."""
    scored: int
    """Scored answers behind `quality`."""

    @property
    def is_few(self) -> bool:
        return self.requests < FEW

    @property
    def band(self) -> str:
        return band_said(self.input_band)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Stamped):
    currency: str
    rows: tuple[ComparedRow, ...]
    """By kind and band; within them the busiest first."""
    counted: Window
    """The days of which answers are counted."""


def comparison(filters: Filters, asked: Asked) -> Comparison:
    counted = Window(filters.end, filters.end, filters.days)
    scores: dict[tuple[Any, ...], tuple[float, int]] = {}
    if asked.score:
        counted = answers.window(filters)
        scores = answers.qualities(answers.narrowed_to(filters, counted), asked)
    requests = speed_by(filters, list(COLUMNS))
    hardware = HardwarePrices(filters, {provider for _, _, provider, _ in requests})
    converter = None
    if filters.convert:
        converter = conversion.converter_of_usage(filters, hardware.currencies)
    hardware.convert(converter)
    prices = _prices(filters, converter)
    rows = []
    for key, found in requests.items():
        kind, band, provider, model = key
        quality, scored = scores.get(key, (None, 0))
        rows.append(
            ComparedRow(
                kind=kind,
                input_band=band,
                provider=provider,
                model=model,
                requests=found.requests,
                price=prices.get(key, _price(ZERO, 0, found.requests)),
                hardware=hardware.price(provider, model),
                latency=found.latency,
                error_rate=found.error_rate,
                quality=quality,
                scored=scored,
            )
        )
    rows.sort(key=lambda row: (row.kind, row.input_band, -row.requests, row.provider, row.model))
    sources = notes(filters, usage=True, hardware=bool(hardware.uses))
    return Comparison(
        currency=filters.shown,
        rows=tuple(rows),
        counted=counted,
        as_of=newest(filters, sources),
        provisional=True,
        sources=sources,
        conversion=converter.told() if converter else None,
    )


def _prices(filters: Filters, converter: Converter | None) -> dict[tuple[Any, ...], UnitCost]:
    columns = ", ".join(f"c.{name}" for name in COLUMNS)
    cost, priced, join = "c.cost", "c.currency = %(currency)s", ""
    fx: dict[str, Any] = {}
    if converter is not None:
        cost, priced = "c.cost * fx.rate", "fx.rate IS NOT NULL"
        join = f" LEFT JOIN {conversion.joined('c')}"
        fx = conversion.joined_values(converter.rates, converter.currencies, filters)
    found = book.rows(
        f"SELECT {columns}, sum({cost}) FILTER (WHERE {priced}),"
        f" coalesce(sum(c.priced_spans) FILTER (WHERE {priced}), 0)::bigint,"
        f" sum(c.spans)::bigint FROM finops_costday c{join}"
        " WHERE c.day >= %(start)s AND c.day < %(end)s AND c.kind = ANY(%(kinds)s)"
        f" {book.usage_in_scope(filters)} GROUP BY {columns}",
        {**book.parameters(filters), "currency": filters.currency, **fx},
    )
    return {row[:4]: _price(*row[4:]) for row in found}


def _price(cost: Any, priced: int, requests: int) -> UnitCost:
    without = requests - priced
    coverage = (
        f"{without:,} of {requests:,} requests have no price of their own." if without else ""
    )
    nothing = "No request here has a price of its own in this currency."
    return per("requests", cost or ZERO, priced, nothing=nothing, coverage=coverage)


def band_said(band: int) -> str:
    """`up to 32,000 tokens`, `over 32,000 tokens`, with the next step that some price has."""
    above = [step for step in INPUT_BANDS if step > band]
    if not band:
        return f"up to {INPUT_BANDS[1]:,} tokens"
    return f"{band:,} to {above[0]:,} tokens" if above else f"over {band:,} tokens"
