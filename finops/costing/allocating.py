"""Whose a charge is: rules, the shares of a split, and the exact parts that land.

Knows rules, weights and amounts as plain values. Refuses to guess: without a weight nothing is
split, and the charge stays where it was with the reason. The parts of an amount are the amount, to
the last digit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal
from functools import reduce

from finops.money import CONTEXT, SCALE

ZERO = Decimal(0)
HUNDRED = Decimal(100)

BILL, HARDWARE = "bill", "hardware"
ORIGINS = (BILL, HARDWARE)

ONE, EVEN, SHARE, USAGE, TELEMETRY = "one", "even", "share", "usage", "telemetry"
SPLITS = (ONE, EVEN, SHARE, USAGE, TELEMETRY)
MEASURED = (USAGE, TELEMETRY)
"""Splits whose weights come from the day; the others are what the rule says."""

IS, IS_NOT, STARTS, CONTAINS, PRESENT, MISSING = (
    "is", "is_not", "starts_with", "contains", "present", "missing",
)  # fmt: skip
OPERATORS = (IS, IS_NOT, STARTS, CONTAINS, PRESENT, MISSING)
WITHOUT_VALUES = (PRESENT, MISSING)
TAG = "tag:"

FIELDS = {
    BILL: (
        "provider", "service", "sku", "account", "sub_account", "region", "resource",
        "charge_category",
    ),
    HARDWARE: ("pool", "model", "hardware", "provider"),
}  # fmt: skip
"""What a rule may look at; of a bill also each tag, as `tag:team`."""


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
        part = CONTEXT.divide(CONTEXT.multiply(amount, weight), total)
        parts[project] = part.quantize(SCALE, ROUND_DOWN, CONTEXT)
        left = CONTEXT.subtract(left, parts[project])
    if shares:
        parts[shares[-1][0]] = left
    return parts


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
    said = "\n".join(repr(rule) for rule in rules)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
