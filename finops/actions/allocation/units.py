"""What is landed at once, and what it came from: a bill's period, a pool's day, a sender's day.

Knows which there are, and a digest of what would make one land elsewhere. Refuses to land.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from finops.costing.allocating import BILL, HARDWARE, REQUESTS, Rule
from finops.queries.allocation.charges import believed_periods
from finops.queries.allocation.requests import open_days, senders
from finops.queries.allocation.weights import revisions
from ingest import partitions
from ingest.models import DeliveryPeriod, Pool, Project

LATE_DAYS = 62
"""A billing month's lines begin in it, or somewhat before or after."""

PRICED_DAYS = """
SELECT owner_id, day, max(priced_at)::text || '/' || count(*) FROM (
    SELECT owner_id, priced_at, (hour AT TIME ZONE %(zone)s)::date AS day
    FROM finops_pricedhour WHERE owner_kind = %(kind)s AND {within}
    UNION
    -- An hour's last quarters may be of the next day, in zones of half an hour.
    SELECT owner_id, priced_at, ((hour + interval '45 minutes') AT TIME ZONE %(zone)s)::date
    FROM finops_pricedhour WHERE owner_kind = %(kind)s AND {within}
) AS touched GROUP BY owner_id, day"""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is landed at once."""

    origin: str
    owner: int
    """The bill's period, the pool, or the project that sent requests."""
    day: date
    inputs: str
    period: DeliveryPeriod | None = None


def units_of(origin: str, rules: Sequence[Rule], owners: set[int]) -> list[Unit]:
    """Every unit there is, the newest first; of requests, those that rules may take, or have."""
    if origin == BILL:
        return list(_bills())
    if origin == HARDWARE:
        return _pools()
    return _senders(rules, owners)


def _bills() -> Iterator[Unit]:
    for period in believed_periods():
        yield Unit(BILL, period.pk, period.billing_month, "", period)


def _pools() -> list[Unit]:
    names = {pool.pk: f"{pool.name} {pool.provider} {pool.hardware}" for pool in Pool.objects.all()}
    rows = _priced_days("true", {"kind": "pool"})
    return _newest_first(
        Unit(HARDWARE, owner, day, short(f"{priced} {names[owner]}"))
        for owner, day, priced in rows
        if owner in names
    )


def _senders(rules: Sequence[Rule], owners: set[int]) -> list[Unit]:
    """Days of which the requests are there; what landed of the others stays as it is."""
    kept = partitions.existing(partitions.SPAN)
    if not kept:
        return []
    first = min(name.removeprefix(f"{partitions.SPAN.table}_") for name in kept)
    asked = sorted(owners.union(senders(rules)))
    rows = _priced_days(
        "owner_id = ANY(%(owners)s) AND hour >= %(since)s",
        {
            "kind": "project",
            "owners": asked,
            "since": date.fromisoformat(first) - timedelta(days=1),
        },
    )
    is_open = set(open_days({day for _, day, _ in rows}))
    names = dict(Project.objects.filter(pk__in=asked).values_list("pk", "name"))
    return _newest_first(
        Unit(REQUESTS, owner, day, short(f"{priced} {names[owner]}"))
        for owner, day, priced in rows
        if day in is_open and owner in names
    )


def _priced_days(within: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            PRICED_DAYS.format(within=within), {**values, "zone": settings.ACCOUNTING_TIME_ZONE}
        )
        return list(cursor.fetchall())


def _newest_first(units: Iterator[Unit]) -> list[Unit]:
    return sorted(units, key=lambda unit: (unit.day, unit.owner), reverse=True)


def usage_of(units: Sequence[Unit]) -> dict[date, str]:
    """Per day, what would change a split by usage or requests of these units."""
    if not units:
        return {}
    spans = [_days_of(unit) for unit in units]
    return revisions(min(first for first, _ in spans), max(last for _, last in spans))


def usage_digest(unit: Unit, used: dict[date, str]) -> str:
    first, last = _days_of(unit)
    return short(repr([(day, said) for day, said in used.items() if first <= day <= last]))


def _days_of(unit: Unit) -> tuple[date, date]:
    if unit.period is None:
        return unit.day, unit.day
    last = min(unit.period.last_charge_at.date(), unit.day + timedelta(days=LATE_DAYS))
    return unit.day - timedelta(days=LATE_DAYS), last


def short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
