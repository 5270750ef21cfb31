"""Rules of allocation as people make them: added, changed, ordered, switched and removed.

Every act has its audit record in the same transaction. Refuses whatever a rule could not do: a
field that its charges do not have, shares that are not a whole, a project that does not exist.
Whoever sets rules sees the organisation as a whole, so no project is hidden from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from finops import audit
from finops.costing.allocating import (
    EVEN,
    FIELDS,
    HUNDRED,
    KEYED,
    MEASURED,
    ONE,
    OPERATORS,
    ORIGINS,
    REQUESTS,
    SHARE,
    SPLITS,
    WITHOUT_VALUES,
    Condition,
    Rule,
)
from finops.models import AllocationRule, AllocationTarget, User
from finops.money import plain
from finops.queries.allocation.rules import conditions_of, read_from, standing
from ingest.models import Project

MANAGE = "finops.manage_allocation"
MOST_RULES = 200
MOST_CONDITIONS = 10
MOST_VALUES = 50
MOST_TARGETS = 50
LONGEST = 300


class Refused(Exception):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A rule as it is wanted."""

    name: str
    origin: str
    conditions: tuple[Condition, ...] = ()
    split: str = ONE
    targets: tuple[tuple[str, Decimal | None], ...] = ()
    """(project slug, percent of a fixed share)."""
    valid_from: date | None = None
    last_day: date | None = None
    note: str = ""


def draft_of(rule: AllocationRule) -> Draft:
    return Draft(
        name=rule.name,
        origin=rule.origin,
        conditions=conditions_of(rule),
        split=rule.split,
        targets=tuple(
            (target.project.slug, target.percent)
            for target in sorted(rule.targets.all(), key=lambda one: one.project.slug)
        ),
        valid_from=rule.valid_from,
        last_day=rule.last_day,
        note=rule.note,
    )


def rule_of(draft: Draft, key: int = 0) -> Rule:
    """The draft as the arithmetic takes it, for testing it before it is saved."""
    ids = dict(Project.objects.values_list("slug", "pk"))
    return Rule(
        key=key,
        origin=draft.origin,
        conditions=draft.conditions,
        split=draft.split,
        targets=tuple((ids[slug], percent) for slug, percent in draft.targets),
        first_day=draft.valid_from,
        last_day=draft.last_day,
        read_from=read_from(draft.conditions),
    )


def add(draft: Draft, *, by: User, via: str) -> AllocationRule:
    """The new rule is the last one: what the others take stays theirs."""
    checked(draft)
    with transaction.atomic():
        _take_turn()
        _name_is_free(draft.name, None)
        if standing().count() >= MOST_RULES:
            raise Refused("", f"There are {MOST_RULES} rules; remove one before you add another.")
        last = standing().aggregate(last=Max("position"))["last"] or 0
        rule = AllocationRule.objects.create(**_columns(draft), position=last + 1, created_by=by)
        _keep_targets(rule, draft)
        audit.record(by, via, "allocation.add", rule, _said(draft))
    return rule


def change(
    rule: AllocationRule, draft: Draft, *, by: User, via: str, revision: int | None = None
) -> AllocationRule:
    """`revision` is the one that was read: another person's change in between is not undone."""
    checked(draft)
    with transaction.atomic():
        held = _held(rule)
        if revision is not None and revision != held.revision:
            raise Refused("", "Somebody has changed it since you read it; read it again.")
        was = draft_of(held)
        if was == draft:
            return held
        _name_is_free(draft.name, held.pk)
        for name, value in _columns(draft).items():
            setattr(held, name, value)
        held.revision += 1
        held.save()
        _keep_targets(held, draft)
        before, after = _said(was), _said(draft)
        changed = [name for name in after if before[name] != after[name]]
        detail = {
            "name": draft.name,
            "before": {name: before[name] for name in changed},
            "after": {name: after[name] for name in changed},
        }
        audit.record(by, via, "allocation.change", held, detail)
    return held


def switch(rule: AllocationRule, is_on: bool, *, by: User, via: str) -> AllocationRule:
    with transaction.atomic():
        held = _held(rule)
        if held.is_on == is_on:
            return held
        held.is_on = is_on
        held.revision += 1
        held.save(update_fields=["is_on", "revision"])
        act = "allocation.switch_on" if is_on else "allocation.switch_off"
        audit.record(by, via, act, held, {"name": held.name})
    return held


def place(rule: AllocationRule, position: int, *, by: User, via: str) -> AllocationRule:
    """Make it the `position`-th rule, counted from 1; the others keep their order."""
    with transaction.atomic():
        _take_turn()
        held = _held(rule)
        others = [one for one in standing() if one.pk != held.pk]
        if not 1 <= position <= len(others) + 1:
            raise Refused("position", f"Use a number from 1 to {len(others) + 1}.")
        ordered = [*others[: position - 1], held, *others[position - 1 :]]
        was = [one.pk for one in standing()]
        if [one.pk for one in ordered] == was:
            return held
        for at, one in enumerate(ordered, 1):
            AllocationRule.objects.filter(pk=one.pk).update(position=at)
        held.revision += 1
        held.save(update_fields=["revision"])
        detail = {"name": held.name, "from": was.index(held.pk) + 1, "to": position}
        audit.record(by, via, "allocation.order", held, detail)
    held.refresh_from_db()
    return held


def remove(rule: AllocationRule, *, by: User, via: str) -> None:
    """Its row stays, for the statements that name it."""
    with transaction.atomic():
        held = _held(rule)
        held.removed_at = timezone.now()
        held.save(update_fields=["removed_at"])
        audit.record(by, via, "allocation.remove", held, {"name": held.name})


def _take_turn() -> None:
    """Two people who order the rules at once do it one after the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('allocation:order', 0))")


def _held(rule: AllocationRule) -> AllocationRule:
    found = AllocationRule.objects.select_for_update(of=("self",))
    held: AllocationRule | None = found.filter(pk=rule.pk, removed_at=None).first()
    if held is None:
        raise Refused("", f"“{rule.name}” was removed.")
    return held


# What is allowed


def checked(draft: Draft) -> None:
    """Refuses the first thing that is wrong with it."""
    if not draft.name.strip() or len(draft.name) > 100 or not draft.name.isprintable():
        raise Refused("name", "Give it a name of at most 100 characters.")
    if len(draft.note) > LONGEST or not draft.note.isprintable():
        raise Refused("note", f"Give a note of at most {LONGEST} characters on one line.")
    _one_of("origin", draft.origin, ORIGINS)
    _one_of("split", draft.split, SPLITS)
    if draft.origin == REQUESTS and draft.split in MEASURED:
        raise Refused("split", "Requests land on one project, evenly or by fixed shares.")
    _conditions_are_sound(draft)
    _targets_are_sound(draft)
    for name in ("valid_from", "last_day"):
        day = getattr(draft, name)
        if day is not None and not 2000 <= day.year < 2100:
            raise Refused(name, "Use a date from the year 2000 to 2099.")
    if draft.valid_from and draft.last_day and draft.last_day < draft.valid_from:
        raise Refused("last_day", "It must not be before the first day.")


def _conditions_are_sound(draft: Draft) -> None:
    if not draft.conditions:
        raise Refused("conditions", "Give at least one condition, or it would take everything.")
    if len(draft.conditions) > MOST_CONDITIONS:
        raise Refused("conditions", f"Give at most {MOST_CONDITIONS} conditions.")
    for one in draft.conditions:
        _field_is_known(draft.origin, one.field)
        _one_of("conditions", one.operator, OPERATORS)
        if one.operator in WITHOUT_VALUES:
            if one.values:
                raise Refused("conditions", f"“{one.operator}” takes no values.")
            continue
        if not one.values:
            raise Refused("conditions", f"Say what {one.field} must be.")
        if len(one.values) > MOST_VALUES:
            raise Refused("conditions", f"Give at most {MOST_VALUES} values.")
        if any(not v or len(v) > LONGEST or "\0" in v for v in one.values):
            raise Refused("conditions", f"Give values of 1 to {LONGEST} characters.")


def _field_is_known(origin: str, name: str) -> None:
    prefix = KEYED.get(origin)
    if prefix and name.startswith(prefix):
        if not 0 < len(name.removeprefix(prefix)) <= LONGEST or not name.isprintable():
            raise Refused("conditions", f"Name the {prefix[:-1]}, as in {prefix}team.")
        return
    if name not in FIELDS[origin]:
        known = ", ".join((*FIELDS[origin], *((f"{prefix}KEY",) if prefix else ())))
        raise Refused("conditions", f"A charge of {origin} has no {name}; it has {known}.")


def _targets_are_sound(draft: Draft) -> None:
    slugs = [slug for slug, _ in draft.targets]
    if len(slugs) > MOST_TARGETS:
        raise Refused("targets", f"Name at most {MOST_TARGETS} projects.")
    if len(set(slugs)) < len(slugs):
        raise Refused("targets", "A project is named twice; name each once.")
    known = set(Project.objects.filter(slug__in=slugs).values_list("slug", flat=True))
    for slug in slugs:
        if slug not in known:
            raise Refused("targets", f"There is no project “{slug}”.")
        if slug == "unallocated":
            raise Refused("targets", "A charge is Unallocated without a rule; name a project.")
    if draft.split == ONE and len(slugs) != 1:
        raise Refused("targets", "Name the one project that it lands on.")
    if draft.split in (EVEN, SHARE) and len(slugs) < 2:
        raise Refused("targets", "Name the projects that it is split over, at least two.")
    _percents_are_sound(draft)


def _percents_are_sound(draft: Draft) -> None:
    percents = [percent for _, percent in draft.targets]
    if draft.split != SHARE:
        if any(percent is not None for percent in percents):
            raise Refused("targets", "Only a split by fixed shares has percentages.")
        return
    for percent in percents:
        if percent is None or not percent.is_finite() or not 0 < percent <= HUNDRED:
            raise Refused("targets", "Give each project a percentage above 0, at most 100.")
        if percent != round(percent, 6):
            raise Refused("targets", "Use at most six decimals for a percentage.")
    if sum(percent for percent in percents if percent is not None) != HUNDRED:
        raise Refused("targets", "The percentages must add up to 100 exactly.")


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise Refused(name, f"Use one of {', '.join(allowed)}.")


def _name_is_free(name: str, own: int | None) -> None:
    if AllocationRule.objects.filter(name=name, removed_at=None).exclude(pk=own).exists():
        raise Refused("name", f"There is a rule “{name}” already; choose another name.")


# What is written


def _columns(draft: Draft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "origin": draft.origin,
        "conditions": [
            {"field": one.field, "operator": one.operator, "values": list(one.values)}
            for one in draft.conditions
        ],
        "split": draft.split,
        "valid_from": draft.valid_from,
        "last_day": draft.last_day,
        "note": draft.note,
    }


def _keep_targets(rule: AllocationRule, draft: Draft) -> None:
    rule.targets.all().delete()
    ids = dict(Project.objects.values_list("slug", "pk"))
    AllocationTarget.objects.bulk_create(
        AllocationTarget(rule=rule, project_id=ids[slug], percent=percent)
        for slug, percent in draft.targets
    )


def _said(draft: Draft) -> dict[str, Any]:
    """The draft as plain JSON, for the audit record."""
    return {name: _plain(value) for name, value in asdict(draft).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
