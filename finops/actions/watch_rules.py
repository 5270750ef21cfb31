"""Watch rules as people make them, and the look at them each minute that raises and ends alerts.

Every act has its audit record in the same transaction. Refuses a rule over projects that whoever
makes it may not set alerts for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from django.utils import timezone

from finops import access, audit
from finops.actions.alerting import Finding, may_manage, raise_, resolve, resolve_all_but
from finops.costing.watching import COMPARISONS, Watched, watched
from finops.models import Alert, User, WatchRule
from finops.models.alerts import THRESHOLD
from finops.models.watch_rules import (
    MOST_QUARTERS,
    SEVERITY_OF,
    URGENCIES,
    WATCH_METRICS,
    WINDOW_MINUTES,
)
from finops.money import plain
from finops.queries.watch_measures import UNITS, Subject, subjects
from finops.queries.watch_rules import METRIC_WORDS, key_prefix, value_said
from ingest.models import Pool, Project

MOST_MODELS, LONGEST = 50, 300
OVER = "It is back within its threshold, or nothing was measured for three hours."


class Refused(Exception):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class WatchDraft:
    """A rule as it is wanted; see the columns of `WatchRule`."""

    name: str
    metric: str
    comparison: str
    threshold: Decimal | None
    currency: str = ""
    window_minutes: int = 15
    needed: int = 2
    of_last: int = 3
    least_requests: int = 50
    project: str = ""
    """A slug; empty: each project by itself."""
    only_models: tuple[str, ...] = ()
    urgency: str
    action: str
    path: str = ""
    is_on: bool = True


def draft_of(rule: WatchRule) -> WatchDraft:
    own = {name: getattr(rule, name) for name in WatchDraft.__dataclass_fields__}
    own["project"] = rule.project.slug if rule.project else ""
    own["only_models"] = tuple(rule.only_models)
    if rule.threshold is not None:
        own["threshold"] = rule.threshold.normalize()
    return WatchDraft(**own)


def add(draft: WatchDraft, *, by: User, via: str) -> WatchRule:
    project = checked(draft, by)
    with transaction.atomic():
        _name_is_free(draft.name, None)
        made: WatchRule = WatchRule.objects.create(**_columns(draft, project), created_by=by)
        audit.record(by, via, "watch_rule.add", made, _said(draft))
    return made


def change(rule: WatchRule, draft: WatchDraft, *, by: User, via: str, revision: int) -> WatchRule:
    """`revision` is the one that was read. Its alerts end when what is measured changes."""
    project = checked(draft, by)
    with transaction.atomic():
        held = _held(rule)
        must_manage(by, held)
        if revision != held.revision:
            raise Refused("", "Somebody has changed it since you read it; read it again.")
        was = draft_of(held)
        if was == draft:
            return held
        _name_is_free(draft.name, held.pk)
        for name, value in _columns(draft, project).items():
            setattr(held, name, value)
        held.revision += 1
        held.save()
        before, after = _said(was), _said(draft)
        names = [name for name in after if before[name] != after[name]]
        moved = {name: [before[name], after[name]] for name in names}
        audit.record(by, via, "watch_rule.change", held, {"name": held.name, "moved": moved})
        _end_alerts(held, "The rule was changed.")
    return held


def remove(rule: WatchRule, *, by: User, via: str) -> None:
    with transaction.atomic():
        held = _held(rule)
        must_manage(by, held)
        held.removed_at, held.is_on = timezone.now(), False
        held.save(update_fields=["removed_at", "is_on"])
        audit.record(by, via, "watch_rule.remove", held, {"name": held.name})
        _end_alerts(held, "The rule was removed.")


def may_manage_rule(user: Any, rule: WatchRule) -> bool:
    return may_manage(user, rule.project)


def must_manage(user: Any, rule: WatchRule) -> None:
    if not may_manage_rule(user, rule):
        raise Refused("project", "Your role does not manage the alerts of this rule's projects.")


def _end_alerts(rule: WatchRule, why: str) -> None:
    held = Alert.objects.filter(
        kind=THRESHOLD, key__startswith=key_prefix(rule), holds=True
    ).values_list("key", flat=True)
    for key in list(held):
        resolve(THRESHOLD, key, why, timezone.now())


def _held(rule: WatchRule) -> WatchRule:
    found = WatchRule.objects.select_for_update(of=("self",)).select_related("project")
    held: WatchRule | None = found.filter(pk=rule.pk, removed_at=None).first()
    if held is None:
        raise Refused("", f"“{rule.name}” was removed.")
    return held


# What is allowed


def checked(draft: WatchDraft, by: User) -> Project | None:
    """Refuses the first thing that is wrong; the project it is narrowed to."""
    if not draft.name.strip() or len(draft.name) > 100 or not draft.name.isprintable():
        raise Refused("name", "Give it a name of at most 100 characters.")
    _one_of("metric", draft.metric, WATCH_METRICS)
    _one_of("comparison", draft.comparison, COMPARISONS)
    _one_of("urgency", draft.urgency, URGENCIES)
    if draft.window_minutes not in WINDOW_MINUTES:
        raise Refused("window_minutes", "Use 15, 30 or 60 minutes.")
    _threshold_is_sound(draft)
    if not 1 <= draft.of_last <= MOST_QUARTERS:
        raise Refused("of_last", f"Use a number from 1 to {MOST_QUARTERS}.")
    if not 1 <= draft.needed <= draft.of_last:
        raise Refused("needed", "Use at least 1, and at most as many as are looked at.")
    if not 1 <= draft.least_requests <= 1_000_000:
        raise Refused("least_requests", "Use a number from 1 to 1,000,000.")
    if not draft.action.strip() or len(draft.action) > 1000:
        raise Refused("action", "Say what to do about it, in at most 1,000 characters.")
    is_local = draft.path.startswith("/") and not draft.path.startswith(("//", "/\\"))
    if draft.path and not (is_local and draft.path.isprintable() and len(draft.path) <= 200):
        raise Refused("path", "Use a page of Breakeven, such as /requests.")
    return _scope_is_sound(draft, by)


def _threshold_is_sound(draft: WatchDraft) -> None:
    if (draft.metric == "cost_per_request") != bool(draft.currency):
        raise Refused("currency", "Give the currency of a cost per request, and of no other.")
    if len(draft.currency) > 20 or not draft.currency.isprintable():
        raise Refused("currency", "Use a currency code such as USD.")
    value = draft.threshold
    if value is None:
        if draft.is_on:
            raise Refused("threshold", "Give a threshold, or switch the rule off until there is.")
        return
    most = 100 if UNITS[draft.metric] == "%" else 1_000_000_000
    if not value.is_finite() or not 0 <= value <= most:
        raise Refused("threshold", f"Use a number from 0 to {most:,}.")
    if value != round(value, 6):
        raise Refused("threshold", "Use at most six decimals.")


def _scope_is_sound(draft: WatchDraft, by: User) -> Project | None:
    is_gpu = draft.metric == "gpu_utilization"
    if is_gpu and (draft.project or draft.only_models):
        raise Refused("project", "GPUs belong to pools, not to projects: leave it empty.")
    if len(draft.only_models) > MOST_MODELS or any(
        len(one) > LONGEST or not one.isprintable() for one in draft.only_models
    ):
        raise Refused("only_models", f"Give at most {MOST_MODELS} names of {LONGEST} characters.")
    if not draft.project:
        if not may_manage(by, None):
            whole = "A rule for each project needs a role over the whole organisation."
            raise Refused("project", f"{whole} Name a project of yours.")
        return None
    visible = {project.slug: project for project in access.visible_projects(by).all}
    project = visible.get(draft.project)
    if project is None:
        raise Refused("project", f"There is no project “{draft.project}” that you may see.")
    if not may_manage(by, project):
        raise Refused("project", f"Your role does not manage the alerts of {project.name}.")
    return project


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Refused(name, f"Use one of {', '.join(allowed)}.")


def _name_is_free(name: str, own: int | None) -> None:
    if WatchRule.objects.filter(name=name, removed_at=None).exclude(pk=own).exists():
        raise Refused("name", f"There is a rule “{name}” already; choose another name.")


def _columns(draft: WatchDraft, project: Project | None) -> dict[str, Any]:
    return {**asdict(draft), "project": project, "only_models": list(draft.only_models)}


def _said(draft: WatchDraft) -> dict[str, Any]:
    said = asdict(draft)
    said["threshold"] = None if draft.threshold is None else plain(draft.threshold)
    said["only_models"] = list(draft.only_models)
    return said


# Each minute


def watch_thresholds(now: datetime) -> int:
    """Raises what is wrong, leaves what is not over yet, ends the rest; how much was seen."""
    held = set(Alert.objects.filter(kind=THRESHOLD, holds=True).values_list("key", flat=True))
    projects, pools = Project.objects.in_bulk(), Pool.objects.in_bulk()
    keys = []
    rules = WatchRule.objects.filter(removed_at=None, is_on=True).select_related("project")
    for rule in rules.order_by("pk"):
        for subject, found in _holding(rule, held, now):
            named = (pools if subject.kind == "pool" else projects).get(subject.pk)
            if named is not None:
                raise_(finding(rule, subject, found, named), now)
                keys.append(key_prefix(rule) + subject.key)
    return len(keys) + resolve_all_but(THRESHOLD, keys, OVER, now)


def _holding(rule: WatchRule, held: set[str], now: datetime) -> Iterator[tuple[Subject, Watched]]:
    assert rule.threshold is not None
    for subject in subjects(rule, now):
        found = watched(
            subject.values,
            rule.comparison,
            float(rule.threshold),
            rule.needed,
            rule.of_last,
            was_on=key_prefix(rule) + subject.key in held,
        )
        if found.holds:
            yield subject, found


def finding(rule: WatchRule, subject: Subject, found: Watched, named: Project | Pool) -> Finding:
    assert rule.threshold is not None
    assert found.newest is not None
    limit = value_said(rule.metric, rule.threshold, rule.currency)
    value = value_said(rule.metric, found.newest, rule.currency)
    is_project = isinstance(named, Project)
    return Finding(
        kind=THRESHOLD,
        key=key_prefix(rule) + subject.key,
        severity=SEVERITY_OF[rule.urgency],
        title=f"{rule.name}: {named.name}",
        text=f"{METRIC_WORDS[rule.metric]} was {rule.comparison} {limit} in {found.wrong} of the"
        f" last {found.known} measured windows of {rule.window_minutes} minutes. {rule.action}",
        path=path_of(rule, named.slug if is_project else ""),
        project_id=named.pk if is_project else None,
        figures={
            METRIC_WORDS[rule.metric]: value,
            "Threshold": f"{rule.comparison} {limit}",
            "Urgency": rule.urgency,
        },
    )


def path_of(rule: WatchRule, slug: str) -> str:
    """The page to do it on, narrowed to the project where there is one."""
    path = rule.path or "/alerts/watch"
    if not slug or "?" in path:
        return path
    return f"{path}?{urlencode({'range': 'today', 'f.project': slug})}"
