"""Costs of input and output apart, and of those who caused them.

Knows priced usage by day. Refuses a share of a row of which only a part has a price: it is left out
of both numbers, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .. import book, conversion
from ..book import Split
from ..filters import Filters
from .sql import INPUT, OUTPUT, Found, exact_usage, split_rows

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sides:
    """Input and output of the usage that is priced as a whole."""

    input_cost: Decimal = ZERO
    input_tokens: int = 0
    output_cost: Decimal = ZERO
    output_tokens: int = 0
    left_out: int = 0
    """Tokens of rows that have a price in part only, or none."""


@dataclass(frozen=True, slots=True)
class People:
    """Users with priced usage in the currency asked for."""

    users: int = 0
    cost: Decimal = ZERO
    """Of those who are named."""
    named: int = 0
    """Priced requests that name one."""
    requests: int = 0
    """Priced requests."""


SIDES = f"""
    coalesce(sum(f.input_side) FILTER (WHERE f.is_exact), 0),
    coalesce(sum({INPUT}) FILTER (WHERE f.is_exact), 0)::bigint,
    coalesce(sum(f.output_side) FILTER (WHERE f.is_exact), 0),
    coalesce(sum({OUTPUT}) FILTER (WHERE f.is_exact), 0)::bigint,
    coalesce(sum({INPUT} + {OUTPUT}) FILTER (WHERE NOT f.is_exact), 0)::bigint"""

USERS = """
SELECT c.project_id, c.provider, c.model, c.service, c.day, {cost} AS cost, c.priced_spans, c.page,
    c.users, (c.project_id::int8 << 32) + c.page + 1 AS part
FROM finops_userpage c
{join} WHERE c.day >= %(start)s AND c.day < %(end)s {currency} {scope}"""
"""One row holds the users of a page as a set. Only those of one page may be united."""

SETS = """
    bit_or(f.users) AS users, sum(f.cost) AS cost, sum(f.priced_spans) AS spans,
    bool_and(f.page >= 0) AS is_named"""

PEOPLE = """
    coalesce(sum(bit_count(users)), 0)::bigint,
    coalesce(sum(cost) FILTER (WHERE is_named), 0),
    coalesce(sum(spans) FILTER (WHERE is_named), 0)::bigint, coalesce(sum(spans), 0)::bigint"""


def sides(filters: Filters, splits: Sequence[Split], fx: dict[str, Any]) -> list[list[Found]]:
    """Per split, rows whose only value is a `Sides`. `fx` are the rates, when converted."""
    given = {**book.parameters(filters), "currency": filters.currency, **fx}
    source = exact_usage(filters, is_converted=bool(fx))
    found = split_rows(source, SIDES, splits, given)
    return [[Found(row.keys, row.day, (Sides(*row.values),)) for row in rows] for rows in found]


def people(filters: Filters, splits: Sequence[Split], fx: dict[str, Any]) -> list[list[Found]]:
    """Per split, rows whose only value is a `People`. `fx` are the rates, when converted."""
    given = {**book.parameters(filters), "currency": filters.currency, **fx}
    source = USERS.format(
        scope=book.usage_in_scope(filters),
        cost="c.cost * fx.rate" if fx else "c.cost",
        join=f"JOIN {conversion.joined('c')}" if fx else "",
        currency="" if fx else "AND c.currency = %(currency)s",
    )
    found = split_rows(source, SETS, splits, given, of_parts=PEOPLE)
    return [[Found(row.keys, row.day, (People(*row.values),)) for row in rows] for rows in found]
