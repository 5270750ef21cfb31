"""What a unit cost is: a cost, what it is divided by, and how much of the traffic it speaks of.

Knows names and arithmetic. Refuses the database, and a figure where one of the two is unknown or
nothing: then there is a reason instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from finops.money import CONTEXT


@dataclass(frozen=True, slots=True)
class Unit:
    key: str
    label: str
    counted: str
    """What the cost is divided by."""
    scale: int = 1


UNITS = {
    unit.key: unit
    for unit in (
        Unit("tokens", "Per 1M tokens", "tokens with a price", 1_000_000),
        Unit("input", "Per 1M input tokens", "input tokens with a price", 1_000_000),
        Unit("output", "Per 1M output tokens", "output tokens with a price", 1_000_000),
        Unit("requests", "Per 1,000 requests", "requests with a price", 1_000),
        Unit("conversation", "Per conversation", "conversations"),
        Unit("answer", "Per successful answer", "successful answers"),
        Unit("user", "Per user", "users"),
        Unit("label", "Per value of a label", "different values"),
        Unit("gpu-paid", "Per GPU-hour paid", "GPU-hours paid"),
        Unit("gpu-used", "Per GPU-hour used", "GPU-hours used"),
    )
}
"""docs/unit-economics.md defines each of them in one line."""

GPU_UNITS = ("gpu-paid", "gpu-used")
OF_LABEL = "label"
GROUPED = tuple(key for key in UNITS if key not in (*GPU_UNITS, OF_LABEL))
"""Those that a model, provider, project or service has, beside that of a label that is chosen;
pools have a table of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """One unit cost with both of its numbers. `value` is None where it is unknown."""

    unit: str
    cost: Decimal | None = None
    count: Decimal | None = None
    value: Decimal | None = None
    reason: str = ""
    """Why it is unknown; empty when it is known."""
    coverage: str = ""
    """How much of the traffic it speaks of; empty when of all."""
    before: Decimal | None = None
    """The same in the period before; None unless compared and known."""
    named: str = ""
    """The label that is meant, such as customer; empty for all other units."""

    @property
    def label(self) -> str:
        return f"Per {self.named}" if self.named else UNITS[self.unit].label

    @property
    def counted(self) -> str:
        return UNITS[self.unit].counted

    @property
    def scale(self) -> int:
        return UNITS[self.unit].scale

    @property
    def change(self) -> float | None:
        """(now − before) / before; None without both."""
        if self.value is None or not self.before:
            return None
        return float((self.value - self.before) / self.before)


def per(
    unit: str,
    cost: Decimal | None,
    count: Decimal | int | None,
    *,
    nothing: str,
    coverage: str = "",
    named: str = "",
) -> UnitCost:
    """`cost` per `count`; `nothing` says why there is nothing to divide by."""
    counted = None if count is None else Decimal(count)
    made = UnitCost(unit=unit, cost=cost, count=counted, coverage=coverage, named=named)
    if not counted:
        return replace(made, reason=nothing)
    if not cost:
        return replace(made, reason="Nothing of this has a price above zero.")
    value = CONTEXT.divide(CONTEXT.multiply(cost, Decimal(UNITS[unit].scale)), counted)
    return replace(made, value=value)


def unknown(unit: str, reason: str) -> UnitCost:
    return UnitCost(unit=unit, reason=reason)


def with_before(now: UnitCost, before: UnitCost | None) -> UnitCost:
    return replace(now, before=before.value) if before else now


def in_proportion(cost: Decimal, part: int, whole: int) -> Decimal:
    """The share of a cost that falls to `part` of `whole` requests, by their number."""
    if part >= whole:
        return cost
    return CONTEXT.divide(CONTEXT.multiply(cost, Decimal(part)), Decimal(whole))
