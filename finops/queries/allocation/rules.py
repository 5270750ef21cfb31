"""The rules in force, as the pure arithmetic takes them. Refuses to judge who may see them."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from finops.costing.allocating import LABEL, Condition, Rule
from finops.models import AllocationRule
from ingest.models import KeptLabel


def standing() -> QuerySet[AllocationRule]:
    """Every rule that was not removed, in order."""
    rules = AllocationRule.objects.filter(removed_at=None).select_related("created_by")
    return rules.prefetch_related("targets__project__team").order_by("position", "pk")


def in_force() -> list[Rule]:
    return [as_rule(rule) for rule in standing() if rule.is_on]


def of_origin(rules: Iterable[Rule], origin: str) -> list[Rule]:
    return [rule for rule in rules if rule.origin == origin]


def as_rule(rule: AllocationRule) -> Rule:
    return Rule(
        key=rule.pk,
        origin=rule.origin,
        conditions=conditions_of(rule),
        split=rule.split,
        targets=tuple((target.project_id, target.percent) for target in rule.targets.all()),
        first_day=rule.valid_from,
        last_day=rule.last_day,
        read_from=read_from(conditions_of(rule)),
    )


def read_from(conditions: Iterable[Condition]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Where requests say the labels: the attributes of one that is kept, and the one called so."""
    names = {one.field.removeprefix(LABEL) for one in conditions if one.field.startswith(LABEL)}
    if not names:
        return ()
    found = {name: dict[str, None]() for name in sorted(names)}
    kept = KeptLabel.objects.filter(name__in=names).order_by("name", "pk")
    for name, attributes in kept.values_list("name", "attributes"):
        found[name].update(dict.fromkeys(attributes))
    return tuple((name, tuple({**own, name: None})) for name, own in found.items())


def conditions_of(rule: AllocationRule) -> tuple[Condition, ...]:
    return tuple(
        Condition(one["field"], one["operator"], tuple(one["values"])) for one in rule.conditions
    )
