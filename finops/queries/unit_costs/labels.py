"""What one value of a label costs, such as one customer.

Knows priced usage by day and value. Refuses a number of values where a day had more of them than
are kept apart: how many there were in all its days is then unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finops.money import CONTEXT
from ingest.labels import OTHER_VALUES

from .. import book, conversion
from ..book import Split
from ..book_columns import WHO
from ..filters import Filters
from ..weeks import periods
from .sql import Found, split_rows
from .units import OF_LABEL, UnitCost, per, unknown


@dataclass(frozen=True, slots=True)
class Values:
    """Values of one label with priced usage in the currency asked for."""

    different: frozenset[int] = frozenset()
    cost: Decimal = Decimal(0)
    """Of requests that have the label."""
    named: int = 0
    """Priced requests that have it."""
    folded: int = 0
    """Of these, the ones with a value that was not kept apart."""
    requests: int = 0
    """Priced requests."""


VALUES = """
SELECT c.*, {cost} AS cost_shown,
    c.value <> '' AS is_named, c.value = %(other)s AS is_folded,
    CASE WHEN c.value <> '' AND c.priced_spans > 0 THEN hashtextextended(c.value, 0) END AS one
FROM {source} c
{join} WHERE c.label = %(label)s {within} {currency} {scope}"""
WITHIN = "AND c.day >= %(start)s AND c.day < %(end)s"

BY_PROJECT = "(SELECT *, first AS day FROM finops_labelspend WHERE days = 1)"
"""A tenth of the rows, for whatever asks for no more than projects."""

SUMS = """
    coalesce(array_agg(DISTINCT f.one) FILTER (WHERE f.one IS NOT NULL), '{}'),
    coalesce(sum(f.cost_shown) FILTER (WHERE f.is_named), 0),
    coalesce(sum(f.priced_spans) FILTER (WHERE f.is_named), 0)::bigint,
    coalesce(sum(f.priced_spans) FILTER (WHERE f.is_folded), 0)::bigint,
    coalesce(sum(f.priced_spans), 0)::bigint"""


def values(
    filters: Filters, splits: Sequence[Split], label: str, fx: dict[str, Any]
) -> list[list[Found]]:
    """Per split, rows whose only value is a `Values`. `fx` are the rates, when converted."""
    given = {
        **book.parameters(filters),
        **periods(filters.start, filters.end).given(),
        "currency": filters.currency,
        "label": label,
        "other": OTHER_VALUES,
        **fx,
    }
    sources = [_source(filters, split, bool(fx)) for split in splits]
    answers: dict[Split, list[Found]] = {}
    for source in dict.fromkeys(sources):
        asked = [split for split, of in zip(splits, sources, strict=True) if of == source]
        sql = VALUES.format(
            source=source,
            scope=book.usage_in_scope(filters),
            cost="c.cost * fx.rate" if fx else "c.cost",
            join=f"JOIN {conversion.joined('c')}" if fx else "",
            within="" if source == WHO["label"].periods else WITHIN,
            currency="" if fx else "AND c.currency = %(currency)s",
        )
        answers |= zip(asked, split_rows(sql, SUMS, asked, given), strict=True)
    return [
        [
            Found(row.keys, row.day, (Values(frozenset(row.values[0]), *row.values[1:]),))
            for row in answers[split]
        ]
        for split in splits
    ]


def _source(filters: Filters, split: Split, is_converted: bool) -> str:
    """The fewest rows that know the answer; each day has rates of its own."""
    is_narrowed = filters.providers or filters.models or filters.services
    if set(split.keys) <= {"project", "team"} and not is_narrowed:
        return BY_PROJECT
    by_day = split.by_time or is_converted
    return WHO["label"].days if by_day else WHO["label"].periods


def joined(left: Values, right: Values) -> Values:
    """Of two projects of a team: a value that both have is one."""
    return Values(
        left.different | right.different,
        CONTEXT.add(left.cost, right.cost),
        left.named + right.named,
        left.folded + right.folded,
        left.requests + right.requests,
    )


def per_value(found: Values, label: str) -> UnitCost:
    if not label:
        return unknown(OF_LABEL, "Choose the label, such as customer.")
    coverage = ""
    if found.named < found.requests:
        coverage = (
            f"{found.named:,} of {found.requests:,} priced requests have the label; the cost is"
            " theirs alone."
        )
    nothing = f"No priced request has the label “{label}” here, or its days are not summed yet."
    count = len(found.different)
    if found.folded:
        nothing, count = (
            "On some days it had more values than are kept apart, so how many differ is unknown.",
            0,
        )
    return per(
        OF_LABEL,
        found.cost if found.different else None,
        count or None,
        nothing=nothing,
        coverage=coverage,
        named=label,
    )
