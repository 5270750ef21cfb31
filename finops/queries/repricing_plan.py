"""What a preview of a re-pricing says: amounts per model and currency, and usage whose price comes
or goes. Knows arithmetic. Refuses to add two currencies, and to say 0 for an amount there is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from finops.costing.lines import ZERO
from finops.models import PriceBook, PricedHour
from finops.money import CONTEXT
from ingest.store.counting import hour_of


@dataclass(frozen=True, slots=True)
class Scope:
    """Hours `[start, end)` of these projects; None: of every project, and of all hardware."""

    start: datetime
    end: datetime
    project_ids: tuple[int, ...] | None = None

    @classmethod
    def until_now(
        cls, start: datetime, end: datetime, project_ids: Iterable[int] | None, now: datetime
    ) -> Scope:
        """Without the hour that is still filling: what it costs changes while one looks."""
        ids = None if project_ids is None else tuple(sorted(project_ids))
        return cls(start, max(start, min(end, hour_of(now))), ids)

    @property
    def hours(self) -> Any:
        """Its priced hours, whatever book they are pinned to."""
        found = PricedHour.objects.filter(hour__gte=self.start, hour__lt=self.end)
        if self.project_ids is None:
            return found
        return found.filter(owner_kind="project", owner_id__in=self.project_ids)

    def owners(self) -> dict[str, list[int]]:
        """Kind of owner → those that have priced hours in the range."""
        pairs = self.hours.values_list("owner_kind", "owner_id").order_by().distinct()
        owners: dict[str, list[int]] = {}
        for kind, owner in sorted(pairs):
            owners.setdefault(kind, []).append(owner)
        return owners


@dataclass(frozen=True, slots=True)
class Volume:
    """Something used: requests and tokens, or hours of hardware."""

    requests: int = 0
    tokens: int = 0
    hardware_hours: Decimal = ZERO

    def __add__(self, other: Volume) -> Volume:
        return Volume(
            self.requests + other.requests,
            self.tokens + other.tokens,
            self.hardware_hours + other.hardware_hours,
        )

    def beyond(self, other: Volume) -> Volume:
        """What of this is not in the other."""
        return Volume(
            max(self.requests - other.requests, 0),
            max(self.tokens - other.tokens, 0),
            max(self.hardware_hours - other.hardware_hours, ZERO),
        )


NOTHING = Volume()


@dataclass(frozen=True, slots=True)
class CostChange:
    """One model in one currency. None: it has no amount in this currency then."""

    kind: str
    """`usage`, or `hardware`, where the provider is the pool's name."""
    provider: str
    model: str
    currency: str
    before: Decimal | None
    after: Decimal | None

    @property
    def difference(self) -> Decimal:
        return CONTEXT.subtract(self.after or ZERO, self.before or ZERO)

    @property
    def share(self) -> float | None:
        return float(self.difference / self.before) if self.before else None


@dataclass(frozen=True, slots=True)
class Gap:
    """Usage of one model that gains or loses its price."""

    kind: str
    provider: str
    model: str
    newly_priced: Volume
    newly_unpriced: Volume


@dataclass(frozen=True, slots=True)
class Total:
    currency: str
    before: Decimal
    after: Decimal

    @property
    def difference(self) -> Decimal:
        return CONTEXT.subtract(self.after, self.before)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a confirmation would do, and the fingerprint by which it is confirmed."""

    scope: Scope
    book: PriceBook
    hours: int
    already: int
    """Of the hours, those that have this version now."""
    changes: tuple[CostChange, ...]
    gaps: tuple[Gap, ...]
    digest: str

    @property
    def totals(self) -> tuple[Total, ...]:
        """One for each currency; two are never added."""
        found: dict[str, Total] = {}
        for change in self.changes:
            was = found.get(change.currency, Total(change.currency, ZERO, ZERO))
            found[change.currency] = replace(
                was,
                before=CONTEXT.add(was.before, change.before or ZERO),
                after=CONTEXT.add(was.after, change.after or ZERO),
            )
        return tuple(found[currency] for currency in sorted(found))

    @property
    def newly_priced(self) -> Volume:
        return sum((gap.newly_priced for gap in self.gaps), NOTHING)

    @property
    def newly_unpriced(self) -> Volume:
        return sum((gap.newly_unpriced for gap in self.gaps), NOTHING)

    @property
    def changes_nothing(self) -> bool:
        """Every hour has this version, and pricing it again would come to the same."""
        return (
            self.already == self.hours
            and not self.gaps
            and all(change.before == change.after for change in self.changes)
        )
