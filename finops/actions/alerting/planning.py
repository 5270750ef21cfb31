"""Rules of telling and planned silences: changed by people, each change in the audit chain.

Refuses rules from whoever has no such role over the whole organisation, and a silence over what
somebody may not manage.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from finops import audit
from finops.models import AlertRule, Channel, Silence, User
from finops.models.alerts import ALERT_KINDS, LONGEST_KEY, SEVERITIES
from finops.models.channels import REMOVED
from ingest.models import Project

from .findings import rule_of
from .handling import Refused

MANAGE = "finops.manage_alerts"
LEAST_S, MOST_S = 300, 30 * 86_400
LEAST_QUIET_S, MOST_QUIET_S = 60, 86_400
LONGEST_SILENCE = timedelta(days=366)
LONGEST_REASON = 500


def may_manage(user: Any, project: Project | None) -> bool:
    return bool(user.has_perm(MANAGE, project) if project else user.has_perm(MANAGE))


@dataclass(frozen=True)
class RuleChange:
    """A whole rule as somebody wants it."""

    enabled: bool
    severity: str
    channel_ids: tuple[int, ...]
    remind_every_s: int | None
    escalate_after_s: int | None
    escalation_channel_ids: tuple[int, ...]
    quiet_s: int | None


def change_rule(kind: str, wanted: RuleChange, *, by: User | None, via: str) -> AlertRule:
    """Takes effect at once; alerts that are open follow it too."""
    _check_rule(wanted)
    with transaction.atomic():
        audit.take_turn()
        rule = rule_of(kind)
        before, after = _rule_told(rule), _rule_told(wanted)
        if before == after:
            return rule
        for name, value in after.items():
            setattr(rule, name, value)
        rule.changed_at, rule.changed_by = timezone.now(), by
        rule.save()
        audit.record(by, via, "alert_rule.change", rule, {"before": before, "after": after})
    return rule


def _check_rule(wanted: RuleChange) -> None:
    if wanted.severity not in SEVERITIES:
        raise Refused("severity", f"Use one of {', '.join(SEVERITIES)}.")
    for name in ("remind_every_s", "escalate_after_s"):
        value = getattr(wanted, name)
        if value is not None and not LEAST_S <= value <= MOST_S:
            raise Refused(name, "Use from 5 minutes to 30 days, or nothing for never.")
    if wanted.quiet_s is not None and not LEAST_QUIET_S <= wanted.quiet_s <= MOST_QUIET_S:
        raise Refused("quiet_s", "Use 1 minute to 1 day, or nothing for a new alert each time.")
    for name in ("channel_ids", "escalation_channel_ids"):
        ids = set(getattr(wanted, name))
        there = Channel.objects.filter(pk__in=ids).exclude(state=REMOVED)
        missing = sorted(ids - set(there.values_list("pk", flat=True)))
        if missing:
            raise Refused(name, f"There is no channel {missing[0]}; take one of the list.")
    if wanted.escalate_after_s and not (wanted.escalation_channel_ids or wanted.channel_ids):
        raise Refused("escalation_channel_ids", "Name the channels to escalate to.")


def _rule_told(rule: RuleChange | AlertRule) -> dict[str, Any]:
    return {
        "enabled": rule.enabled,
        "severity": rule.severity,
        "channel_ids": list(rule.channel_ids),
        "remind_every_s": rule.remind_every_s,
        "escalate_after_s": rule.escalate_after_s,
        "escalation_channel_ids": list(rule.escalation_channel_ids),
        "quiet_s": rule.quiet_s,
    }


@dataclass(frozen=True)
class Plan:
    """What is to be silent, from when to when, and why."""

    why: str
    ends_at: datetime
    starts_at: datetime | None = None
    """None: from now."""
    kind: str = ""
    key_pattern: str = ""


def silence(plan: Plan, project: Project | None, *, by: User | None, via: str) -> Silence:
    now = timezone.now()
    starts_at = plan.starts_at or now
    _check_plan(plan, starts_at, now)
    with transaction.atomic():
        made: Silence = Silence.objects.create(
            kind=plan.kind,
            project=project,
            key_pattern=plan.key_pattern,
            starts_at=starts_at,
            ends_at=plan.ends_at,
            why=plan.why.strip(),
            created_by=by,
            created_at=now,
        )
        audit.record(by, via, "silence.add", made, _silence_told(made))
    return made


def _check_plan(plan: Plan, starts_at: datetime, now: datetime) -> None:
    if plan.kind and plan.kind not in ALERT_KINDS:
        raise Refused("kind", f"Use one of {', '.join(ALERT_KINDS)}, or nothing for all.")
    if not plan.why.strip():
        raise Refused("why", "Say what is planned, in a few words.")
    if len(plan.why) > LONGEST_REASON:
        raise Refused("why", f"Say it in at most {LONGEST_REASON} characters.")
    if len(plan.key_pattern) > LONGEST_KEY:
        raise Refused("key_pattern", f"Use at most {LONGEST_KEY} characters.")
    if plan.ends_at <= max(starts_at, now):
        raise Refused("ends_at", "It must end later than it starts, and later than now.")
    if plan.ends_at - starts_at > LONGEST_SILENCE:
        raise Refused("ends_at", "Plan at most a year of silence.")


def end_silence(held: Silence, *, by: User | None, via: str) -> Silence:
    """What it kept back and is still open is told within a minute. Ending it again is nothing."""
    now = timezone.now()
    with transaction.atomic():
        ended = Silence.objects.filter(pk=held.pk, ended_at=None, ends_at__gt=now)
        if ended.update(ended_at=now, ended_by=by):
            audit.record(by, via, "silence.end", held, _silence_told(held))
    held.refresh_from_db()
    return held


def _silence_told(held: Silence) -> dict[str, Any]:
    return {
        "kind": held.kind,
        "project": held.project.slug if held.project else "",
        "key_pattern": held.key_pattern,
        "starts_at": held.starts_at.isoformat(),
        "ends_at": held.ends_at.isoformat(),
        "why": held.why,
    }
