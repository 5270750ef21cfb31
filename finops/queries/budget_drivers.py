"""What drove the spend of a budget: its largest parts, by the split that says most.

Knows the splits of the costs page, asked with the budget's own filters. Refuses to name what is
not known, and to whoever reads one project alone what rules moved there from others.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from finops.templatetags import words
from ingest.models.owners import UNALLOCATED

from .amounts import ZERO, SpendTable, plus
from .book import Split
from .filters import Filters
from .group_names import LABELS
from .spend import Answers

SPLITS = ("model", "project", "service")
"""Of two that say as much, the first."""
MOST = 3
LEAST_SHARE = 0.1
"""A further part that is smaller drives nothing."""
LONGEST_NAME = 60
NAMELESS = frozenset({"", UNALLOCATED, *LABELS})


@dataclass(frozen=True, slots=True)
class Driver:
    """One part of the spend; without a share where credits make the whole less than the part."""

    name: str
    cost: Decimal
    share: float | None


def driven_by(filters: Filters) -> str:
    """As an alert says it, such as `gpt-4o $412.10 (61%)`; empty where nothing can be named."""
    return ", ".join(_said(one, filters.shown) for one in drivers(filters))


def drivers(filters: Filters) -> tuple[Driver, ...]:
    """Dearest first."""
    of_one = filters.project_ids is not None and len(filters.project_ids) == 1
    asked = [
        # What a rule brought is told apart, for its names are another project's.
        (split, "rule") if of_one else (split,)
        for split in SPLITS
        if len(getattr(filters, f"{split}s")) != 1 and not (of_one and split == "project")
    ]
    if not asked:
        return ()
    answers = Answers(filters, [Split(keys) for keys in asked])
    known = [named for keys in asked if (named := _named(answers.table(keys)))]
    if not known:
        return ()
    # One part that is everything says less than the largest of several.
    first, *others = max(known, key=lambda named: (len(named) > 1, named[0].cost))
    return (first, *(one for one in others if one.share and one.share >= LEAST_SHARE))[:MOST]


def _named(table: SpendTable) -> list[Driver]:
    """Without what has no name, and without what a rule brought, though less what one took."""
    costs: dict[str, Decimal] = {}
    for row in table.rows:
        is_brought = any(row.keys[1:]) and row.cost > 0
        if row.keys[0] not in NAMELESS and not is_brought:
            costs[row.labels[0]] = plus(costs.get(row.labels[0], ZERO), row.cost)
    dearest = sorted(costs.items(), key=lambda one: (-one[1], one[0]))
    return [
        Driver(name, cost, _share(cost, table.total.cost)) for name, cost in dearest if cost > 0
    ]


def _share(cost: Decimal, whole: Decimal) -> float | None:
    return float(cost / whole) if whole >= cost else None


def _said(one: Driver, currency: str) -> str:
    name = one.name if len(one.name) <= LONGEST_NAME else f"{one.name[: LONGEST_NAME - 1]}…"
    share = f" ({words.percent(one.share)})" if one.share else ""
    return f"{name} {words.money(one.cost, currency)}{share}"
