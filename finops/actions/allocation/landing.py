"""Applies the rules to requests, bills and hardware, and keeps what landed where.

Recomputed, never incremented: a bill's period, a pool's day, or a day of who sent requests, is
landed anew as a whole, in one transaction, when its rules, its amounts or the use it is split by
have changed. What is not landed yet stands where it stood, under Unallocated or with the sender, so
no amount is ever missing or counted twice meanwhile.

A bill is landed while it is believed. When another delivery supersedes it, what landed stays as it
was, for readers who ask what was known then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from finops.actions import hardware_sums
from finops.costing.allocating import BILL, HARDWARE, MEASURED, REQUESTS, Rule, digest
from finops.models import Landing
from finops.money import CONTEXT
from finops.queries.allocation.charges import (
    COSTS,
    BillCharge,
    HardwareCharge,
    Measures,
    Part,
    bill_charges,
    hardware_charges,
    parts,
)
from finops.queries.allocation.rules import in_force, of_origin
from finops.queries.allocation.weights import matched_providers
from ingest.models import Project
from ingest.store.counting import copy_rows

from .landing_requests import write_requests
from .units import Unit, short, units_of, usage_digest, usage_of

ORDER = (REQUESTS, BILL, HARDWARE)
"""A split by usage is by what rules made of the requests, so these come first."""

Held = dict[tuple[int, date], Landing]

BILL_COLUMNS = {
    "period_id": "int8", "day": "date", "currency": "text", "provider": "text", "service": "text",
    "sku": "text", "project_id": "int8", "rule_id": "int8", "why": "text", "lines": "int8",
    **{f"{cost}_cost": "numeric" for cost in COSTS},
    **{f"unknown_{cost}": "int8" for cost in COSTS},
}  # fmt: skip
HARDWARE_COLUMNS = {
    "pool_id": "int4", "at": "timestamptz", "model": "text", "currency": "text",
    "project_id": "int8", "rule_id": "int8", "why": "text", "requests": "float8",
    "allocated": "numeric",
}  # fmt: skip


def land(limit: int = 20, *, looks_at_usage: bool = False, now: datetime | None = None) -> int:
    """Land up to `limit` units of each origin that are due, the newest first; how many it did.

    `looks_at_usage` also asks whether the use that something is split by has changed since, and
    what requests came in: that reads the costs, or the requests, of whole days, and is asked less
    often.
    """
    rules = in_force()
    done, held = dict.fromkeys(ORDER, 0), _held()
    for origin in ORDER:
        own = of_origin(rules, origin)
        said = _said(own)
        for unit in _due(origin, own, said, held[origin], looks_at_usage):
            # What has to wait does not keep the others from their turn.
            if done[origin] < limit:
                done[origin] += _land_one(unit, own, said, now or timezone.now())
    return sum(done.values())


def waiting() -> int:
    """How many bills' periods, and days of pools and senders, were not landed by these rules yet.

    Hours that only came in are no reason to doubt what a page shows.
    """
    rules = in_force()
    count = 0
    for origin, landings in _held().items():
        own = of_origin(rules, origin)
        said = _said(own)
        held = {key: landing.rules for key, landing in landings.items()}
        if not own and not held:
            continue
        units = units_of(origin, own, {owner for owner, _ in held})
        never = "" if own else said
        count += sum(held.get((unit.owner, unit.day), never) != said for unit in units)
    return count


def due_before(day: date) -> int:
    """How many of an earlier day or billing month are to be landed again, for whatever reason."""
    rules = in_force()
    found = ((origin, of_origin(rules, origin), held) for origin, held in _held().items())
    return sum(
        unit.day < day
        for origin, own, held in found
        for unit in _due(origin, own, _said(own), held, looks_at_usage=True)
    )


def _said(rules: Sequence[Rule]) -> str:
    """A digest of the rules, and of the matches that say whose usage a bill is split by."""
    said = digest(rules)
    if not any(rule.split in MEASURED for rule in rules):
        return said
    matches = sorted((key, sorted(names)) for key, names in matched_providers().items())
    return short(f"{said} {matches}")


def _due(
    origin: str, rules: Sequence[Rule], said: str, held: Held, looks_at_usage: bool
) -> list[Unit]:
    if not rules and not held:
        return []
    units = units_of(origin, rules, {owner for owner, _ in held})
    is_measured = any(rule.split in MEASURED for rule in rules)
    used = usage_of(units) if looks_at_usage and is_measured else {}
    due = []
    for unit in units:
        landing = held.get((unit.owner, unit.day))
        if landing is None:
            if rules:
                due.append(unit)
            continue
        was, _, usage_was = landing.inputs.partition("|")
        usage = usage_digest(unit, used) if used else usage_was
        inputs = was if origin == REQUESTS and not looks_at_usage else unit.inputs
        if (landing.rules, was, usage_was) != (said, inputs, usage):
            due.append(unit)
    return due


def _held() -> dict[str, Held]:
    """What was landed already, per origin in their order."""
    found: dict[str, Held] = {origin: {} for origin in ORDER}
    for landing in Landing.objects.all():
        found[landing.origin][landing.owner_id, landing.day] = landing
    return found


def _land_one(unit: Unit, rules: Sequence[Rule], said: str, now: datetime) -> int:
    """Usage is looked at before it is read: what changes in between leaves the unit due again."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"land:{unit.origin}:{unit.owner}:{unit.day}"],
        )
        if not cursor.fetchone()[0]:
            return 0  # another worker is at it
        is_measured = any(rule.split in MEASURED for rule in rules)
        usage = usage_digest(unit, usage_of([unit])) if is_measured else ""
        unclaimed = Project.objects.unallocated().pk
        if unit.origin == BILL:
            _write_bill(cursor, unit, rules, unclaimed)
        elif unit.origin == HARDWARE:
            _write_hardware(cursor, unit, rules, unclaimed)
        elif not write_requests(cursor, unit.owner, unit.day, rules):
            return 0
        Landing.objects.update_or_create(
            origin=unit.origin,
            owner_id=unit.owner,
            day=unit.day,
            defaults={"rules": said, "inputs": f"{unit.inputs}|{usage}", "landed_at": now},
        )
    return 1


def _write_bill(cursor: Any, unit: Unit, rules: Sequence[Rule], unclaimed: int) -> None:
    cursor.execute("DELETE FROM finops_landedbill WHERE period_id = %s", [unit.owner])
    charges = bill_charges([unit.period] if unit.period else [], [rules])
    measures = Measures(rules, charges)
    rows: dict[tuple[Any, ...], list[Any]] = {}
    for charge in charges:
        rule = rules[charge.taken_by[0]]
        landed = list(parts(charge, rule, measures, unclaimed))
        for part in landed:
            _add(rows, _bill_key(charge, part.project, rule.key, part.why), charge.lines, part)
        _add(rows, _bill_key(charge, unclaimed, None, ""), -charge.lines, _taken(landed, unclaimed))
    copy_rows(
        cursor, "finops_landedbill", BILL_COLUMNS, [(*key, *sums) for key, sums in rows.items()]
    )


def _taken(landed: Sequence[Part], unclaimed: int) -> Part:
    """What Unallocated loses: exactly what the parts were given."""
    costs, unknown = list(landed[0].costs), list(landed[0].unknown)
    for part in landed[1:]:
        costs = [CONTEXT.add(one, other) for one, other in zip(costs, part.costs, strict=True)]
        unknown = [one + other for one, other in zip(unknown, part.unknown, strict=True)]
    lost = tuple(CONTEXT.minus(cost) for cost in costs)
    return Part(unclaimed, lost, tuple(-count for count in unknown), 1.0)


def _bill_key(charge: BillCharge, project: int, rule: int | None, why: str) -> tuple[Any, ...]:
    return (
        charge.period, charge.day, charge.currency, charge.provider, charge.service, charge.sku,
        project, rule, why,
    )  # fmt: skip


def _add(
    rows: dict[tuple[Any, ...], list[Any]], key: tuple[Any, ...], lines: int, part: Part
) -> None:
    found: list[Any] = [lines, *part.costs, *part.unknown]
    held = rows.get(key)
    if held is None:
        rows[key] = found
        return
    for place, value in enumerate(found):
        is_cost = 1 <= place <= len(COSTS)
        held[place] = CONTEXT.add(held[place], value) if is_cost else held[place] + value


def _write_hardware(cursor: Any, unit: Unit, rules: Sequence[Rule], unclaimed: int) -> None:
    last = unit.day + timedelta(days=1)
    cursor.execute(
        "DELETE FROM finops_landedhardware WHERE pool_id = %s"
        " AND at >= (%s::timestamp AT TIME ZONE %s) AND at < (%s::timestamp AT TIME ZONE %s)",
        [unit.owner, unit.day, settings.ACCOUNTING_TIME_ZONE, last, settings.ACCOUNTING_TIME_ZONE],
    )
    charges = hardware_charges([unit.owner], unit.day, last, [rules])
    measures = Measures(rules, charges)
    rows = [
        row
        for charge in charges
        for row in _hardware_rows(charge, rules[charge.taken_by[0]], measures, unclaimed)
    ]
    copy_rows(cursor, "finops_landedhardware", HARDWARE_COLUMNS, rows)
    hardware_sums.write_landed(cursor, unit.owner, unit.day)


def _hardware_rows(
    charge: HardwareCharge, rule: Rule, measures: Measures, unclaimed: int
) -> Iterator[tuple[Any, ...]]:
    landed = list(parts(charge, rule, measures, unclaimed))
    own = (charge.pool, charge.at, charge.model, charge.currency)
    for part in landed:
        requests = charge.requests * part.weight
        yield (*own, part.project, rule.key, part.why, requests, part.costs[0])
    lost = _taken(landed, unclaimed)
    yield (*own, unclaimed, None, "", -charge.requests, lost.costs[0])
