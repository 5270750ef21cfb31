"""What is over and soon comes again: one alert that flaps, told once, and told when it holds still.

Knows the quiet time of each rule. Refuses to swallow what a person did: resolved by hand, the next
one is new.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from finops.models import Alert
from finops.models.alerts import ACKNOWLEDGED, OPEN, REOPENED, RESOLVED, SETTLED

from .findings import Finding, rule_of, rules, silence_over
from .telling import note, wait_turn


def continues(resolved: Alert, now: datetime) -> bool:
    """Whether what comes now is this alert again: it ended by itself, and not long ago."""
    quiet_s = rule_of(resolved.kind).quiet_s
    if quiet_s is None or resolved.resolved_at is None or resolved.holds:
        return False
    if now - resolved.resolved_at > timedelta(seconds=quiet_s):
        return False
    ended = resolved.events.filter(act=RESOLVED).order_by("-pk").first()
    return ended is not None and not ended.by_name


def reopen(alert: Alert, finding: Finding, now: datetime) -> None:
    """Goes on where it was: who acknowledged it knows of it. A snooze is over."""
    is_known = alert.acknowledged_at is not None and alert.acknowledged_at >= alert.waiting_since
    alert.state = ACKNOWLEDGED if is_known else OPEN
    alert.resolved_at, alert.resolved_by, alert.why = None, None, ""
    alert.holds, alert.swings, alert.swung_at = True, alert.swings + 1, now
    alert.title, alert.text, alert.path = finding.title, finding.text, finding.path
    alert.figures, alert.channel_ids = dict(finding.figures), list(finding.channel_ids)
    alert.save()
    minutes = (rule_of(alert.kind).quiet_s or 0) // 60
    said = f"It was over and came again. You hear of it when it has held still for {minutes} min."
    event = note(alert, REOPENED, now, text=said)
    if event.told:
        alert.is_flapping = True
    elif not alert.is_flapping and silence_over(alert, now) is not None:
        # Channels heard that it is over: after the silence they hear that it is not.
        alert.told_at = None
    alert.save(update_fields=["is_flapping", "told_at"])


def settle(now: datetime) -> int:
    """Those that came and went and hold still by now; how many."""
    quiet = {rule.kind: rule.quiet_s or 0 for rule in rules()}
    flapping = Alert.objects.filter(is_flapping=True).order_by("pk")
    still = [alert.pk for alert in flapping if _holds_still(alert, quiet[alert.kind], now)]
    return sum(_settle_one(pk, now) for pk in still)


def _settle_one(pk: int, now: datetime) -> bool:
    with transaction.atomic():
        wait_turn()
        found = Alert.objects.select_for_update(of=("self",)).select_related("project")
        alert = found.get(pk=pk)
        if not alert.is_flapping or not _holds_still(alert, rule_of(alert.kind).quiet_s or 0, now):
            return False
        alert.is_flapping = False
        alert.save(update_fields=["is_flapping"])
        if alert.state == RESOLVED:
            note(alert, SETTLED, now, text=f"It stays over. {alert.why}")
    return True


def _holds_still(alert: Alert, quiet_s: int, now: datetime) -> bool:
    since = alert.resolved_at if alert.state == RESOLVED else alert.swung_at
    return since is not None and now - since >= timedelta(seconds=quiet_s)
