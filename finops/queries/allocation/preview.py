"""What a rule would move, on the real charges of some days, before anything is saved.

The rules in force and the wanted ones are asked of the same rows in one pass, by the code that
lands them for good. Refuses to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce

from finops.costing.allocating import BILL, HARDWARE, Rule
from finops.models import AllocationRule
from finops.money import CONTEXT
from finops.queries.amounts import ZERO, plus
from finops.templatetags.words import money
from ingest.models import Pool, Project

from .charges import (
    COSTS,
    BillCharge,
    HardwareCharge,
    Measures,
    believed_periods,
    bill_charges,
    hardware_charges,
    numbered,
    parts,
)
from .requests import (
    NO_PRICE,
    RequestCharge,
    open_days,
    readable_days,
    request_charges,
    request_parts,
    senders,
)
from .rules import as_rule, standing

Charge = BillCharge | HardwareCharge | RequestCharge

SHOWN = 200
EFFECTIVE = COSTS.index("effective")


@dataclass(frozen=True, slots=True)
class Moved:
    """What one project would have more (or less) than now, in one currency."""

    project: Project
    currency: str
    before: Decimal
    after: Decimal

    @property
    def difference(self) -> Decimal:
        return CONTEXT.subtract(self.after, self.before)


@dataclass(frozen=True, slots=True)
class Met:
    """Charges of a service and SKU, a pool and model, or a sender and model, that it takes."""

    provider: str
    service: str
    sku: str
    taken_from: str
    """The rule that takes them now; empty: none does."""
    lines: int
    cost: Decimal
    currency: str
    why: str
    """Why they could not be split; empty when they land."""


MetKey = tuple[str, str, str, str, str, str]


@dataclass(slots=True)
class Tally:
    lines: int = 0
    cost: Decimal = Decimal(0)

    def count(self, charge: Charge) -> None:
        self.lines += _lines_of(charge)
        self.cost = CONTEXT.add(self.cost, _cost_of(charge))


@dataclass(frozen=True, slots=True)
class Preview:
    start: date
    end: date
    moved: tuple[Moved, ...]
    met: tuple[Met, ...]
    """The dearest first."""
    lines: int
    sentences: tuple[str, ...]
    """As in: this would move $412.10 from Unallocated to Search."""
    gone: int = 0
    """Days of which the requests are not kept any more: a rule over requests leaves them alone."""
    unread: int = 0
    """Days, the oldest, with more requests than are read for a test."""


def previewed(wanted: Rule, rule: AllocationRule | None, start: date, end: date) -> Preview:
    """A draft in the place of the rule that it changes; a new one behind the others."""
    every = list(standing())
    others = [one for one in every if one.is_on]
    ahead = others
    if rule is not None:
        ahead = [one for one in others if (one.position, one.pk) < (rule.position, rule.pk)]
    names = {one.pk: one.name for one in every}
    return preview(wanted, len(ahead), [as_rule(one) for one in others], names, start, end)


def preview(
    wanted: Rule, place: int, rules: Sequence[Rule], names: dict[int, str], start: date, end: date
) -> Preview:
    """Put `wanted` at this place (from 0) of the `rules` in force; an older self is replaced."""
    own = [rule for rule in rules if rule.origin == wanted.origin]
    others = [rule for rule in rules if rule.key != wanted.key]
    after = [
        rule for rule in [*others[:place], wanted, *others[place:]] if rule.origin == wanted.origin
    ]
    sets = [own, after]
    mine = dict(zip(after, numbered(sets)[1], strict=True))[wanted]
    # What the same rule takes before and after moves nothing, and is left in the database.
    only = f"r0 <> r1 OR r1 = {mine}"
    charges: Sequence[Charge]
    gone = unread = 0
    if wanted.origin == BILL:
        charges = bill_charges(believed_periods(start, end), sets, (start, end), only)
    elif wanted.origin == HARDWARE:
        pools = list(Pool.objects.values_list("pk", flat=True))
        charges = hardware_charges(pools, start, end, sets, only)
    else:
        days = [start + timedelta(days=n) for n in range((end - start).days)]
        asked, kept = senders((*own, *after)), open_days(days)
        read = readable_days(asked, kept)
        gone, unread = len(days) - len(kept), len(kept) - len(read)
        charges = [
            one
            for one in request_charges(asked, read, sets)
            if one.taken_by[0] != one.taken_by[1] or one.taken_by[1] == mine
        ]
    found = _compared(charges, sets, mine, names, start, end)
    return replace(found, gone=gone, unread=unread)


def _compared(
    charges: Sequence[Charge],
    sets: Sequence[Sequence[Rule]],
    mine: int,
    names: dict[int, str],
    start: date,
    end: date,
) -> Preview:
    projects = {project.pk: project for project in Project.objects.select_related("team")}
    unclaimed = next(pk for pk, project in projects.items() if project.is_unallocated)
    before, after = (
        dict(zip(numbers, rules, strict=True))
        for numbers, rules in zip(numbered(sets), sets, strict=True)
    )
    shared = [charge for charge in charges if not isinstance(charge, RequestCharge)]
    old, new = Measures(sets[0], shared), Measures(sets[1], shared)
    sums: dict[tuple[int, str], list[Decimal]] = {}
    met: dict[MetKey, Tally] = {}
    pools = dict(Pool.objects.values_list("pk", "name"))
    senders_named = {pk: project.name for pk, project in projects.items()}
    for charge in charges:
        was, now = charge.taken_by
        landed_after = _landed(charge, after.get(now), new, unclaimed)
        if was != now:
            landed_before = _landed(charge, before.get(was), old, unclaimed)
            for at, found in enumerate((landed_before, landed_after)):
                for project, cost, _ in found:
                    held = sums.setdefault((project, charge.currency), [Decimal(0), Decimal(0)])
                    held[at] = CONTEXT.add(held[at], cost)
        if now == mine:
            taker = names.get(before[was].key, "") if was in before else ""
            named = senders_named if isinstance(charge, RequestCharge) else pools
            tally = met.setdefault(_met_key(charge, taker, landed_after[0][2], named), Tally())
            tally.count(charge)
    moved = tuple(
        Moved(projects[project], currency, *both)
        for (project, currency), both in sums.items()
        if both[0] != both[1]
    )
    shown = sorted(
        (Met(*key[:4], tally.lines, tally.cost, *key[4:]) for key, tally in met.items()),
        key=lambda one: -abs(one.cost),
    )
    return Preview(
        start,
        end,
        tuple(sorted(moved, key=lambda one: (one.currency, one.difference, one.project.name))),
        tuple(shown),
        sum(one.lines for one in shown),
        tuple(_said(moved)),
    )


def _landed(
    charge: Charge, rule: Rule | None, measures: Measures, unclaimed: int
) -> list[tuple[int, Decimal, str]]:
    """(project, effective cost, why it could not be split) of each part."""
    if isinstance(charge, RequestCharge):
        if rule is None or not charge.currency:
            return [(charge.sender, charge.cost, "" if charge.currency else NO_PRICE)]
        return [(part.project, part.cost, "") for part in request_parts(charge, rule)]
    if rule is None:
        return [(unclaimed, _cost_of(charge), "")]
    at = EFFECTIVE if isinstance(charge, BillCharge) else 0
    return [
        (part.project, part.costs[at], part.why)
        for part in parts(charge, rule, measures, unclaimed)
    ]


def _cost_of(charge: Charge) -> Decimal:
    if isinstance(charge, BillCharge):
        return charge.costs[EFFECTIVE]
    return charge.allocated if isinstance(charge, HardwareCharge) else charge.cost


def _lines_of(charge: Charge) -> int:
    if isinstance(charge, BillCharge):
        return charge.lines
    return 1 if isinstance(charge, HardwareCharge) else charge.requests


def _met_key(charge: Charge, taker: str, why: str, names: dict[int, str]) -> MetKey:
    if isinstance(charge, HardwareCharge):
        return charge.provider, names[charge.pool], charge.model, taker, charge.currency, why
    if isinstance(charge, RequestCharge):
        _, _, provider, model, *_ = charge.group
        return provider, names[charge.sender], model, taker, charge.currency, why
    return charge.provider, charge.service, charge.sku, taker, charge.currency, why


def _said(moved: Iterable[Moved]) -> Iterable[str]:
    by_currency: dict[str, list[Moved]] = {}
    for one in moved:
        by_currency.setdefault(one.currency, []).append(one)
    for currency, found in sorted(by_currency.items()):
        losing = [one for one in found if one.difference < 0]
        gaining = [one for one in found if one.difference > 0]
        amount = reduce(plus, (one.difference for one in gaining), ZERO)
        yield (
            f"This would move {money(amount, currency)} from {_names(losing)} to {_names(gaining)}."
        )


def _names(found: Sequence[Moved]) -> str:
    names = sorted(one.project.name for one in found)
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more projects"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "nowhere")))
