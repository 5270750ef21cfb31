"""What a request costs that a pool of our own answered: as it was used, and as it was paid for.

Knows the days of pools and how many requests each model answered in them by the server's
own count. Refuses to tell kinds and sizes of requests apart, which hardware does not know, and time
that nobody observed: neither its cost nor its requests are in a price.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import reduce

from finops.costing.exchange import Converter
from finops.money import CONTEXT
from finops.templatetags import words
from ingest.models import Pool

from .. import book
from ..amounts import ZERO
from ..filters import Filters
from . import hardware
from .units import UnitCost, per, unknown

NOT_SEEN = "No telemetry of our pools says what this model used."
NOT_COUNTED = "Its server did not say how many requests it answered."
NO_PRICE = "Its hardware has no price; enter one on the page Prices."

MODELS = """
SELECT pool_id, {day}, currency, model, sum(observed_used), sum(observed_requests)::numeric,
    sum(uncounted_quarters) > 0
FROM finops_poolday
WHERE day >= %(start)s AND day < %(end)s AND model <> '' AND observed_quarters > 0
GROUP BY 1, 2, 3, 4"""

Model = tuple[str, str]
"""Provider in small letters, and model."""


@dataclass(frozen=True, slots=True)
class HardwarePrice:
    """Per 1,000 requests that the model answered, of whatever kind and size."""

    used: UnitCost
    """What it kept busy of its pools."""
    allocated: UnitCost
    """With the idle hours: what its pools were paid while observed, by the share each model used of
    what was used."""


@dataclass(frozen=True, slots=True)
class _Use:
    """What one model used of one pool; an empty currency has no price."""

    pool: int
    day: date | None
    currency: str
    model: str
    used: Decimal
    answered: Decimal
    has_uncounted: bool


class HardwarePrices:
    """Of the models that pools of ours serve, within the period and currency of the filters."""

    def __init__(self, filters: Filters, providers: Iterable[str]) -> None:
        self.filters = filters
        served = {provider.casefold() for provider in providers}
        self.pools = {
            pool.pk: pool.provider.casefold()
            for pool in Pool.objects.exclude(provider="")
            if pool.provider.casefold() in served
        }
        self.providers = frozenset(self.pools.values())
        self.uses = self._read() if self.pools and filters.bills else []
        self.paid: dict[tuple[int, str], hardware.Sums] = {}
        self.of_models: dict[Model, list[_Use]] = {}

    @property
    def currencies(self) -> set[str]:
        return {use.currency for use in self.uses if use.currency}

    def convert(self, converter: Converter | None) -> None:
        """Everything in the currency asked for, as far as there are rates; before `price`."""
        if self.uses:
            # By any spelling of its provider, of which the filters know one.
            of_all = replace(self.filters, providers=())
            for pool, _, code, sums in hardware.by_pool(of_all, converter=converter):
                self.paid[pool.pk, code] = sums
        for use in self.uses:
            now = use if converter is None else _converted(use, converter)
            self.of_models.setdefault((self.pools[use.pool], use.model), []).append(now)

    def price(self, provider: str, model: str) -> HardwarePrice | None:
        """None where no pool serves the provider: it is paid by what is used."""
        served_by = provider.casefold()
        if served_by not in self.providers:
            return None
        if not self.filters.bills:
            return _unknown(hardware.NOT_YOURS)
        found = self.of_models.get((served_by, model), [])
        own = [use for use in found if use.currency == self.filters.shown]
        if not own:
            return _unknown(self._why(found))
        answered = Decimal(round(sum(use.answered for use in own)))
        used = reduce(CONTEXT.add, (use.used for use in own))
        allocated = reduce(CONTEXT.add, (self._allocated(use) for use in own))
        coverage = self._coverage(own, found)
        return HardwarePrice(
            per("requests", used, answered, nothing=NOT_COUNTED, coverage=coverage),
            per("requests", allocated, answered, nothing=NOT_COUNTED, coverage=coverage),
        )

    def _allocated(self, use: _Use) -> Decimal:
        """The model's part of what its pool was paid while observed, by what each model used."""
        whole = self.paid[use.pool, use.currency]
        if not whole.used:
            return ZERO
        return CONTEXT.divide(CONTEXT.multiply(whole.observed, use.used), whole.used)

    def _why(self, found: list[_Use]) -> str:
        if not found:
            return NOT_SEEN
        others = sorted({use.currency for use in found if use.currency})
        if not others:
            return NO_PRICE
        return f"Its hardware is paid for in {' and '.join(others)}."

    def _coverage(self, own: list[_Use], found: list[_Use]) -> str:
        """What of its hours is in neither price."""
        said = []
        pools = {(use.pool, use.currency) for use in own}
        covered = sum(self.paid[key].covered_s for key in pools)
        elapsed = sum(self.paid[key].elapsed_s for key in pools)
        if covered < elapsed:
            said.append(f"Its pools were observed {words.percent(covered / elapsed)} of the time.")
        if any(use.has_uncounted for use in own):
            said.append("Hours in which its requests were not counted are in neither number.")
        if len(own) < len(found):
            said.append("Hours without a price in this currency are in neither number.")
        return " ".join(said)

    def _read(self) -> list[_Use]:
        day = "day" if self.filters.convert else "NULL::date"
        given = {"start": self.filters.start, "end": self.filters.end}
        found = (_Use(*row) for row in book.rows(MODELS.format(day=day), given))
        return [use for use in found if use.pool in self.pools]


def _converted(use: _Use, converter: Converter) -> _Use:
    rate = converter.rate(use.currency, use.day) if use.currency and use.day else None
    if rate is None:
        return use
    return replace(use, currency=converter.to, used=CONTEXT.multiply(use.used, rate))


def _unknown(reason: str) -> HardwarePrice:
    return HardwarePrice(unknown("requests", reason), unknown("requests", reason))
