"""Whose a charge is: rules, the shares of a split, and the exact parts that land.

Knows rules, weights and amounts as plain values. Refuses to guess: without a weight nothing is
split, and the charge stays where it was with the reason. The parts of an amount are the amount, to
the last digit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_DOWN, Decimal
from functools import reduce
from typing import TypeVar

from finops.money import CONTEXT, SCALE

Key = TypeVar("Key", bound=Hashable)

ZERO = Decimal(0)
HUNDRED = Decimal(100)

BILL, HARDWARE, REQUESTS = "bill", "hardware", "requests"
ORIGINS = (BILL, HARDWARE, REQUESTS)

ONE, EVEN, SHARE, USAGE, TELEMETRY = "one", "even", "share", "usage", "telemetry"
SPLITS = (ONE, EVEN, SHARE, USAGE, TELEMETRY)
MEASURED = (USAGE, TELEMETRY)
"""Splits whose weights come from the day; the others are what the rule says.

Not of requests: their sender knows what they cost together, and from one part of a split by usage
could compute what another project used."""

IS, IS_NOT, STARTS, CONTAINS, PRESENT, MISSING = (
    "is", "is_not", "starts_with", "contains", "present", "missing",
)  # fmt: skip
OPERATORS = (IS, IS_NOT, STARTS, CONTAINS, PRESENT, MISSING)
WITHOUT_VALUES = (PRESENT, MISSING)
TAG, LABEL = "tag:", "label:"
KEYED = {BILL: TAG, REQUESTS: LABEL}
"""Fields that name a key of their own, as `tag:team` of a bill and `label:team` of a request."""

FIELDS = {
    BILL: (
        "provider", "service", "sku", "account", "sub_account", "region", "resource",
        "charge_category",
    ),
    HARDWARE: ("pool", "model", "hardware", "provider"),
    REQUESTS: ("project", "service", "provider", "model", "user", "key"),
}  # fmt: skip
"""What a rule may look at, beside what is in `KEYED`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`field` is, starts with or contains one of the values; letters' case does not count."""

    field: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A charge that meets every condition, between the days, is the targets'."""

    key: int
    origin: str
    conditions: tuple[Condition, ...]
    split: str
    targets: tuple[tuple[int, Decimal | None], ...]
    """(project, percent of a fixed share). None at all: every project with a weight."""
    first_day: date | None = None
    last_day: date | None = None
    read_from: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), repr=False)
    """Label that a condition names → attributes of a request that say it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How a charge is divided, or why it cannot be."""

    of: Mapping[int, Decimal]
    why: str = ""


def weights_of(rule: Rule, measured: Weights | None = None) -> Weights:
    """The weights of a rule's targets. `measured` are those of the day, for a split by them."""
    if rule.split in MEASURED:
        if measured is None or not measured.of:
            return Weights({}, measured.why if measured else "Nothing was measured.")
        named = {project for project, _ in rule.targets}
        kept = {p: w for p, w in measured.of.items() if w > 0 and (not named or p in named)}
        return Weights(kept, "" if kept else "None of its projects had any use to split by.")
    if rule.split == SHARE:
        return Weights({project: percent or ZERO for project, percent in rule.targets})
    return Weights({project: Decimal(1) for project, _ in rule.targets})


def parts_of(amount: Decimal, weights: Mapping[int, Decimal]) -> dict[int, Decimal]:
    """The amount divided by weight: cut at the last stored decimal, the rest to the last project.

    The order is that of the projects' keys, so that the same charge always lands alike.
    """
    shares = sorted((project, weight) for project, weight in weights.items() if weight > 0)
    total = reduce(CONTEXT.add, (weight for _, weight in shares), ZERO)
    parts: dict[int, Decimal] = {}
    left = amount
    for project, weight in shares[:-1]:
        parts[project] = part_of(amount, weight, total)
        left = CONTEXT.subtract(left, parts[project])
    if shares:
        parts[shares[-1][0]] = left
    return parts


def within(costs: Mapping[Key, Decimal], most: Decimal) -> dict[Key, Decimal]:
    """The costs, made smaller in proportion where together they are more than `most`."""
    total = reduce(CONTEXT.add, costs.values(), ZERO)
    if total <= most:
        return dict(costs)
    return {key: part_of(cost, most, total) for key, cost in costs.items()}


def part_of(amount: Decimal, weight: Decimal, total: Decimal) -> Decimal:
    part = CONTEXT.divide(CONTEXT.multiply(amount, weight), total)
    return part.quantize(SCALE, ROUND_DOWN, CONTEXT)


def in_one_unit(found: Mapping[str, Mapping[int, Decimal]], preferred: str) -> Weights:
    """Weights from amounts by currency: of the charge's own currency, or of the only one there is.

    Amounts of two currencies are never added, so with two others there is no weight.
    """
    known = {unit: of for unit, of in found.items() if any(value > 0 for value in of.values())}
    if preferred in known:
        return Weights(known[preferred])
    if len(known) == 1:
        return Weights(next(iter(known.values())))
    if not known:
        return Weights({}, "Nothing was used that has a price.")
    return Weights({}, f"Its use is priced in {' and '.join(sorted(known))}: two units.")


def digest(rules: Iterable[Rule]) -> str:
    """Of the rules in their order: another digest may land charges elsewhere."""
    # Only where there are labels, so that other rules are known by the digest they always had.
    said = "\n".join(repr(rule) + (repr(rule.read_from) * bool(rule.read_from)) for rule in rules)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
