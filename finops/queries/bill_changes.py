"""What a delivery says differently of a billing account and month than another one did.

Knows sums per service, SKU and kind of charge, and which lines came, went or changed. Refuses to
add currencies up, and to take a cost that no line tells for zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Sum

from finops import access
from finops.money import CONTEXT
from ingest.models import BillDay, DeliveryPeriod

COSTS = ("billed", "effective", "list", "contracted")
KEYS = ("service", "sku", "charge_category", "currency")
_NAMES = {cost: f"{cost}_cost" for cost in COSTS}


@dataclass(frozen=True, slots=True)
class Cost:
    """One cost column, before and now. None is unknown: no line of the group told it."""

    old: Decimal | None
    new: Decimal | None

    @property
    def difference(self) -> Decimal | None:
        """None as well where one side is unknown; a group that is new, or gone, was or is 0."""
        if self.old is None or self.new is None:
            return None
        return CONTEXT.subtract(self.new, self.old)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """One service, SKU, kind of charge and currency."""

    service: str
    sku: str
    charge_category: str
    currency: str
    costs: dict[str, Cost]
    """By column of `COSTS`."""
    lines_old: int
    lines_new: int
    added: int
    removed: int
    changed: int
    """The same charge (hours, resource, price, account, description) with another content."""

    @property
    def is_changed(self) -> bool:
        return bool(self.added or self.removed or self.changed) or any(
            cost.old != cost.new for cost in self.costs.values()
        )


@dataclass(frozen=True, slots=True)
class Version:
    """What one delivery says of an account and month."""

    period_id: int
    delivery_id: int
    name: str
    complete: bool
    known_from: datetime
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryChanges:
    billing_account_id: str
    billing_month: date
    new: Version
    old: Version | None
    """None when there is nothing earlier to compare with: then everything is new."""
    versions: tuple[Version, ...]
    """Every delivery of this account and month, oldest first."""
    scopes: tuple[tuple[str, date], ...]
    """Every account and month of this delivery."""
    rows: tuple[ChangeRow, ...]
    """What changed, the largest difference in effective (else billed) cost first."""
    totals: tuple[ChangeRow, ...]
    """Over everything, changed or not, one per currency."""
    unchanged_groups: int


def delivery_changes(
    user: Any,
    delivery_id: int,
    account: str = "",
    month: date | None = None,
    against: int | None = None,
) -> DeliveryChanges | None:
    """None unless the reader may see bills and the delivery speaks of this account and month.

    Without an account and month the first of the delivery is taken; without `against`, a delivery's
    id, what it superseded, or else what was believed when it came.
    """
    if not access.sees_organisation(user):
        return None
    own = list(
        DeliveryPeriod.objects.filter(delivery=delivery_id).order_by(
            "billing_month", "billing_account_id"
        )
    )
    wanted = [
        period
        for period in own
        if (not account or period.billing_account_id == account)
        and (month is None or period.billing_month == month)
    ]
    if not wanted:
        return None
    chosen = wanted[0]
    versions = _versions(chosen)
    new = next(version for version in versions if version.period_id == chosen.pk)
    old = _compared(versions, new, against)
    if against is not None and old is None:
        return None
    rows = tuple(_rows(chosen, old, new))
    changed = [row for row in rows if row.is_changed]
    changed.sort(key=_weight, reverse=True)
    return DeliveryChanges(
        billing_account_id=chosen.billing_account_id,
        billing_month=chosen.billing_month,
        new=new,
        old=old,
        versions=versions,
        scopes=tuple((period.billing_account_id, period.billing_month) for period in own),
        rows=tuple(changed),
        totals=tuple(_totals(rows)),
        unchanged_groups=len(rows) - len(changed),
    )


def _versions(period: DeliveryPeriod) -> tuple[Version, ...]:
    found = DeliveryPeriod.objects.filter(
        source_id=period.source_id,
        billing_account_id=period.billing_account_id,
        billing_month=period.billing_month,
    ).select_related("delivery")
    return tuple(
        Version(
            one.pk,
            one.delivery_id,
            one.delivery.name,
            one.delivery.complete,
            one.known_from,
            one.known_to is None,
        )
        for one in found.order_by("known_from", "pk")
    )


def _compared(versions: tuple[Version, ...], new: Version, against: int | None) -> Version | None:
    if against is not None:
        return next((one for one in versions if one.delivery_id == against), None)
    earlier = [
        one for one in versions if one.complete and one.known_from < new.known_from and one != new
    ]
    return earlier[-1] if earlier else None


def _rows(period: DeliveryPeriod, old: Version | None, new: Version) -> Iterable[ChangeRow]:
    before = _sums(old.period_id) if old else {}
    after = _sums(new.period_id)
    lines = _lines(period, old, new)
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        added, removed, changed = lines.get(key, (0, 0, 0))
        yield ChangeRow(
            **dict(zip(KEYS, key, strict=True)),
            costs={cost: Cost(_told(was, cost), _told(now, cost)) for cost in COSTS},
            lines_old=was["count"] if was else 0,
            lines_new=now["count"] if now else 0,
            added=added,
            removed=removed,
            changed=changed,
        )


def _told(sums: dict[str, Any] | None, cost: str) -> Decimal | None:
    """A group that is not there costs nothing, which is known."""
    return Decimal(0) if sums is None else sums[cost]


def _sums(period_id: int) -> dict[tuple[str, ...], dict[str, Any]]:
    found = (
        BillDay.objects.filter(period=period_id)
        .values_list(*KEYS)
        .annotate(count=Sum("lines"), **{cost: Sum(_NAMES[cost]) for cost in COSTS})
    )
    return {row[:4]: dict(zip(("count", *COSTS), row[4:], strict=True)) for row in found}


LINES = """
WITH told AS (
    SELECT period_id = %(new)s AS is_new, service_name, sku_id, charge_category, billing_currency,
        hashtextextended(concat_ws(E'\\x1f', charge_period_start, charge_period_end, resource_id,
            sku_price_id, sub_account_id, region_id, commitment_discount_id, charge_description), 0)
            AS identity,
        content_hash, count(*) AS n
    FROM ingest_bill_line
    WHERE source_id = %(source)s AND billing_month = %(month)s
        AND period_id IN (%(new)s, %(old)s)
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), differing AS (
    SELECT service_name, sku_id, charge_category, billing_currency, identity,
        greatest(coalesce(sum(n) FILTER (WHERE is_new), 0)
            - coalesce(sum(n) FILTER (WHERE NOT is_new), 0), 0) AS came,
        greatest(coalesce(sum(n) FILTER (WHERE NOT is_new), 0)
            - coalesce(sum(n) FILTER (WHERE is_new), 0), 0) AS went
    FROM told GROUP BY 1, 2, 3, 4, 5, content_hash
), paired AS (
    SELECT service_name, sku_id, charge_category, billing_currency,
        sum(came) AS came, sum(went) AS went
    FROM differing WHERE came > 0 OR went > 0 GROUP BY 1, 2, 3, 4, identity
)
SELECT service_name, sku_id, charge_category, billing_currency,
    sum(came - least(came, went))::bigint, sum(went - least(came, went))::bigint,
    sum(least(came, went))::bigint
FROM paired GROUP BY 1, 2, 3, 4
"""


def _lines(
    period: DeliveryPeriod, old: Version | None, new: Version
) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """Key → lines that came, went and changed."""
    if old is not None and old.period_id == new.period_id:
        return {}
    parameters = {
        "source": period.source_id,
        "month": period.billing_month,
        "new": new.period_id,
        "old": old.period_id if old else -1,
    }
    with connection.cursor() as cursor:
        cursor.execute(LINES, parameters)
        return {row[:4]: row[4:] for row in cursor.fetchall()}


def _totals(rows: Iterable[ChangeRow]) -> Iterable[ChangeRow]:
    by_currency: dict[str, list[ChangeRow]] = defaultdict(list)
    for row in rows:
        by_currency[row.currency].append(row)
    for currency, found in sorted(by_currency.items()):
        yield ChangeRow(
            service="",
            sku="",
            charge_category="",
            currency=currency,
            costs={
                cost: Cost(
                    _sum(row.costs[cost].old for row in found),
                    _sum(row.costs[cost].new for row in found),
                )
                for cost in COSTS
            },
            lines_old=sum(row.lines_old for row in found),
            lines_new=sum(row.lines_new for row in found),
            added=sum(row.added for row in found),
            removed=sum(row.removed for row in found),
            changed=sum(row.changed for row in found),
        )


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """What is known of it; unknown when nothing is."""
    known = [value for value in values if value is not None]
    total = Decimal(0)
    for value in known:
        total = CONTEXT.add(total, value)
    return total if known else None


def _weight(row: ChangeRow) -> tuple[Decimal, int]:
    found = row.costs["effective"].difference
    if found is None:
        found = row.costs["billed"].difference
    return abs(found or Decimal(0)), row.added + row.removed + row.changed
