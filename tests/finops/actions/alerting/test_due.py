from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from finops.actions import alerting
from finops.actions.alerting import Plan
from finops.models import Alert, AlertRule, Silence

from .make import NOON, finding, rule, sent

pytestmark = pytest.mark.django_db
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def planned(**changes) -> Silence:
    usual = {"starts_at": NOON - HOUR, "ends_at": NOON + HOUR, "why": "Move", "created_at": NOON}
    return Silence.objects.create(**{**usual, **changes})


def test_attend_reminds_as_often_as_the_rule_says(channel):
    ops = channel("ops")
    rule(channel_ids=[ops], remind_every_s=3600)
    alerting.raise_(finding(), NOON)
    assert alerting.attend(NOON + HOUR - MINUTE) == 0
    assert alerting.attend(NOON + HOUR) == 1
    assert alerting.attend(NOON + HOUR + MINUTE) == 0
    assert alerting.attend(NOON + 2 * HOUR) == 1
    assert [event for _, event, _ in sent()] == ["opened", "reminder", "reminder"]


def test_attend_escalates_once_to_other_channels_and_they_hear_the_end(channel):
    ops, boss = channel("ops"), channel("boss")
    rule(channel_ids=[ops], escalate_after_s=1800, escalation_channel_ids=[boss])
    alerting.raise_(finding(), NOON)
    assert [alerting.attend(NOON + minutes * MINUTE) for minutes in (29, 30, 31, 90)] == [
        0, 1, 0, 0,
    ]  # fmt: skip
    alerting.resolve("source_lag", "source:1", "Over.", NOON + 2 * HOUR)
    assert [row[:2] for row in sent()] == [
        (ops, "opened"), (boss, "escalated"), (ops, "resolved"), (boss, "resolved"),
    ]  # fmt: skip


def test_acknowledged_is_neither_reminded_nor_escalated(channel, asha):
    rule(channel_ids=[channel("ops")], remind_every_s=3600, escalate_after_s=1800)
    alert = alerting.raise_(finding(), NOON)
    alerting.acknowledge(alert, by=asha, via="page")
    assert alerting.attend(NOON + 5 * HOUR) == 0


def test_snoozed_comes_back_by_itself_and_waits_anew(channel, asha):
    ops = channel("ops")
    rule(channel_ids=[ops], escalate_after_s=1800)
    now = timezone.now()
    alert = alerting.raise_(finding(), now)
    alerting.snooze(alert, now + HOUR, by=asha, via="page")
    assert alerting.attend(now + HOUR - MINUTE) == 0
    assert alerting.attend(now + HOUR) == 1
    alert.refresh_from_db()
    assert (alert.state, alert.snoozed_until, alert.waiting_since) == ("open", None, now + HOUR)
    assert alerting.attend(now + HOUR + 29 * MINUTE) == 0
    assert alerting.attend(now + HOUR + 30 * MINUTE) == 1
    assert [event for _, event, _ in sent()] == ["opened", "reminder", "escalated"]


def test_silenced_is_kept_and_told_when_the_silence_ends(channel):
    ops = channel("ops")
    rule(channel_ids=[ops], remind_every_s=3600)
    planned(kind="source_lag", key_pattern="source:*")
    alert = alerting.raise_(finding(), NOON)
    assert (alert.told_at, sent()) == (None, [])
    assert alerting.silence_over(alert, NOON).why == "Move"
    assert alerting.attend(NOON + HOUR - MINUTE) == 0
    assert alerting.attend(NOON + HOUR) == 1
    assert sent() == [(ops, "opened", "warning")]


def test_silenced_and_over_before_the_silence_ends_is_told_to_nobody(channel):
    rule(channel_ids=[channel("ops")])
    planned()
    alerting.raise_(finding(), NOON)
    alerting.resolve("source_lag", "source:1", "Over.", NOON + MINUTE)
    assert alerting.attend(NOON + 2 * HOUR) == 0
    assert sent() == []


@pytest.mark.parametrize(
    ("changes", "covers"),
    [
        ({}, True),
        ({"kind": "budget"}, False),
        ({"kind": "source_lag"}, True),
        ({"key_pattern": "source:?"}, True),
        ({"key_pattern": "source:2*"}, False),
        ({"starts_at": NOON + MINUTE}, False),
        ({"ends_at": NOON}, False),
        ({"ended_at": NOON}, False),
        ({"ended_at": NOON + MINUTE}, True),
    ],
)
def test_silence_covers_by_kind_key_and_time(changes, covers):
    planned(**changes)
    alert = alerting.raise_(finding(), NOON)
    assert (alerting.silence_over(alert, NOON) is not None) == covers


def test_silence_of_a_project_covers_its_alerts_alone(chat):
    planned(project=chat)
    ours = alerting.raise_(finding(project_id=chat.pk), NOON)
    other = alerting.raise_(finding(key="source:2"), NOON)
    assert alerting.silence_over(ours, NOON) is not None
    assert alerting.silence_over(other, NOON) is None


def test_ending_a_silence_tells_what_it_kept_back(channel, asha):
    rule(channel_ids=[channel("ops")])
    held = alerting.silence(Plan("Move", timezone.now() + HOUR), None, by=asha, via="page")
    now = timezone.now()
    alerting.raise_(finding(), now)
    assert alerting.attend(now) == 0
    alerting.end_silence(held, by=asha, via="page")
    assert alerting.attend(timezone.now()) == 1


def test_channels_named_later_are_told_of_what_is_open(channel):
    alerting.raise_(finding(), NOON)
    assert alerting.attend(NOON + MINUTE) == 0
    rule(channel_ids=[channel("ops")])
    assert alerting.attend(NOON + 2 * MINUTE) == 1
    assert [event for _, event, _ in sent()] == ["opened"]


def test_rule_switched_off_neither_reminds_nor_escalates(channel):
    rule(channel_ids=[channel("ops")], remind_every_s=300, escalate_after_s=300)
    alerting.raise_(finding(), NOON)
    AlertRule.objects.update(enabled=False)
    assert alerting.attend(NOON + HOUR) == 0
    assert Alert.objects.get().state == "open"
