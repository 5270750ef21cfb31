"""Writes what rules move of a day's requests from the project that sent them.

Knows one sender's day. Refuses a day of which requests are gone, and one whose hours are yet to be
priced: what landed there stays, or stays due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from finops.actions.pricing import TO_BE_REPRICED
from finops.actions.user_costs import WAITING
from finops.costing.allocating import Rule
from finops.money import CONTEXT
from finops.queries.allocation.requests import (
    RequestCharge,
    open_days,
    request_charges,
    request_parts,
)
from ingest import partitions
from ingest.models.rollups import DIMENSIONS
from ingest.rollup.spans import day_start
from ingest.store.counting import copy_rows

COLUMNS = {
    "sender_id": "int8", "day": "date", **dict.fromkeys(DIMENSIONS, "text"), "input_band": "int4",
    "currency": "text", "project_id": "int8", "rule_id": "int8", "cost": "numeric",
    "list_cost": "numeric",
}  # fmt: skip

Row = tuple[Any, ...]
Costs = tuple[Decimal, Decimal | None]


def write_requests(cursor: Any, sender: int, day: date, rules: Sequence[Rule]) -> bool:
    """Inside the caller's transaction; False where it has to wait."""
    # Nobody may drop the requests meanwhile, and no re-pricing come between.
    cursor.execute(partitions.ROLLING_UP.format("_shared"))
    cursor.execute(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"price:project:{sender}"]
    )
    if not cursor.fetchone()[0]:
        return False
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    moments = [day_start(day, zone), day_start(day + timedelta(days=1), zone)]
    cursor.execute(WAITING, [sender, *moments, TO_BE_REPRICED])
    if cursor.fetchone()[0] or not open_days([day]):
        return False
    cursor.execute(
        "DELETE FROM finops_landedusage WHERE sender_id = %s AND day = %s", [sender, day]
    )
    rows: dict[Row, Costs] = {}
    for charge in request_charges([sender], [day], [_of_day(rules, day)]):
        for key, cost, listed in _moves(charge, _of_day(rules, day)[charge.taken_by[0]]):
            _add(rows, key, cost, listed)
    copy_rows(
        cursor, "finops_landedusage", COLUMNS, [(*key, *costs) for key, costs in rows.items()]
    )
    return True


def _of_day(rules: Sequence[Rule], day: date) -> list[Rule]:
    """Without those of other days, a day that no rule is about need not be read."""
    return [
        rule
        for rule in rules
        if (rule.first_day is None or rule.first_day <= day)
        and (rule.last_day is None or day <= rule.last_day)
    ]


def _moves(charge: RequestCharge, rule: Rule) -> Iterator[tuple[Row, Decimal, Decimal | None]]:
    """What leaves the sender; its own part of a split stays where it is."""
    if not charge.cost:
        return
    for part in request_parts(charge, rule):
        if part.project != charge.sender and part.cost:
            key = (
                charge.sender, charge.day, *charge.group, charge.currency, part.project, rule.key,
            )  # fmt: skip
            yield key, part.cost, part.list_cost


def _add(rows: dict[Row, Costs], key: Row, cost: Decimal, listed: Decimal | None) -> None:
    if key in rows:
        held, held_listed = rows[key]
        cost = CONTEXT.add(held, cost)
        if listed is not None:
            listed = None if held_listed is None else CONTEXT.add(held_listed, listed)
    rows[key] = (cost, listed)
