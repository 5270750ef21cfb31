"""What an agreement with a provider would have made of the usage of some days. Writes nothing.

Knows recorded usage and the newest price book. Refuses to estimate: usage is priced by the code
that prices it for good, at the newest version, once without the agreement and once with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings

from finops.actions.book_rates import BookRates, Name
from finops.actions.pricing import pool_providers, usage_cost
from finops.costing.lines import ZERO, Usage
from finops.costing.terms import Agreed
from finops.models import PriceBook
from finops.money import CONTEXT
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS
from ingest.rollup.spans import EVERY_QUARTER

from .book import rows
from .filters import midnight, today
from .repricing_plan import Total

DAYS = 30

USED = """
SELECT DISTINCT provider, model FROM finops_costday
WHERE project_id = ANY(%(projects)s) AND day >= %(first)s AND day < %(last)s"""

USAGE = """
SELECT project_id, kind, provider, model, tier, input_band, min(at), sum(spans)::bigint,
    sum(errors)::bigint, sum(usage_unknown)::bigint, {counts}
FROM {facts} WHERE project_id = ANY(%(projects)s) AND at >= %(start)s AND at < %(end)s
    AND (provider, model) IN (SELECT * FROM unnest(%(providers)s::text[], %(models)s::text[]))
GROUP BY project_id, kind, provider, model, tier, input_band,
    width_bucket(at, %(changes)s::timestamptz[]), {clock}"""
"""Between two changes of a price all quarter hours pay the same, so they are priced as one."""


@dataclass(frozen=True, slots=True)
class ModelEffect:
    """One model in one currency."""

    provider: str
    model: str
    currency: str
    listed: Decimal | None
    """None: the list has no price for a part of it."""
    before: Decimal
    after: Decimal

    @property
    def difference(self) -> Decimal:
        return CONTEXT.subtract(self.after, self.before)

    @property
    def share(self) -> float | None:
        return float(self.difference / self.before) if self.before else None


@dataclass(frozen=True, slots=True)
class Effect:
    first: date
    last: date
    """The last day that counts."""
    book: PriceBook
    models: tuple[ModelEffect, ...]
    """Those it changes, the largest difference first."""
    same: int
    """Models of the provider that it leaves as they are."""

    @property
    def totals(self) -> tuple[Total, ...]:
        found: dict[str, Total] = {}
        for one in self.models:
            was = found.get(one.currency, Total(one.currency, ZERO, ZERO))
            found[one.currency] = Total(
                one.currency,
                CONTEXT.add(was.before, one.before),
                CONTEXT.add(was.after, one.after),
            )
        return tuple(found[currency] for currency in sorted(found))


def effect(
    book: PriceBook,
    before: Agreed,
    after: Agreed,
    provider: str,
    projects: Collection[int],
    days: int = DAYS,
) -> Effect:
    """Over the last whole days. `provider` is named as in the book."""
    last = today()
    first = last - timedelta(days=days)
    reach = {"projects": list(projects), "first": first, "last": last}
    names = {(said, model) for said, model in rows(USED, reach)}
    without = BookRates(book, names, store=False, resolve=True, agreed=before)
    with_it = BookRates(book, names, store=False, resolve=True, agreed=after)
    wanted = {name for name in names if (without.priced_as(name) or ("",))[0] == provider}
    costs: dict[tuple[str, str, str], list[Any]] = {}
    served = pool_providers()
    for project, kind, *name, tier, band, at, spans, errors, unknown, tokens in _usage(
        reach, wanted, without, (before, after)
    ):
        counts = dict(zip(TOKEN_CLASSES, tokens, strict=True))
        usage = Usage(kind, counts, spans, errors, unknown)
        reported = (name[0], name[1])
        found = [
            usage_cost(usage, rates.card(project, reported, tier, band, at), name[0], served).line
            for rates in (without, with_it)
        ]
        for place, line in enumerate(found):
            if line.currency:
                held = costs.setdefault((*reported, line.currency), [ZERO, ZERO, ZERO])
                held[place] = CONTEXT.add(held[place], line.total)
        if found[1].currency:
            held = costs[(*reported, found[1].currency)]
            listed = found[1].listed
            is_known = listed is not None and held[2] is not None
            held[2] = CONTEXT.add(held[2], listed or ZERO) if is_known else None
    models = [
        ModelEffect(*key, listed, was, will) for key, (was, will, listed) in sorted(costs.items())
    ]
    changed = [one for one in models if one.difference]
    return Effect(
        first,
        last - timedelta(days=1),
        book,
        tuple(sorted(changed, key=lambda one: -abs(one.difference))),
        same=len(models) - len(changed),
    )


def _usage(
    reach: dict[str, Any], names: Collection[Name], rates: BookRates, agreed: Iterable[Agreed]
) -> Iterable[tuple[Any, ...]]:
    if not names:
        return
    zone = settings.ACCOUNTING_TIME_ZONE
    known = [rate for name in names for rate in rates.rates(name)]
    by_clock = any(rate.time_from for rate in known)
    sql = USAGE.format(
        facts=EVERY_QUARTER,
        counts=", ".join(f"sum({name})::bigint" for name in TOKEN_FIELDS),
        clock="(at AT TIME ZONE 'UTC')::time" if by_clock else f"'{time()}'::time",
    )
    moments: set[datetime | None] = {rate.valid_from for rate in known}
    for some in agreed:
        moments |= {one.valid_from for one in some.terms} | {one.valid_to for one in some.terms}
        moments |= {one.valid_from for one in some.buying} | {one.valid_to for one in some.buying}
    values = {
        **reach,
        "start": midnight(reach["first"], zone),
        "end": midnight(reach["last"], zone),
        "providers": [provider for provider, _ in names],
        "models": [model for _, model in names],
        "changes": sorted(moment for moment in moments if moment is not None),
    }
    for row in rows(sql, values):
        yield (*row[:10], row[10:])
