from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from finops.actions import alerting
from finops.actions.alerting import Plan, Refused, RuleChange
from finops.models import Alert, AlertRule, Audit, Silence
from tests.factories.finops import person

from .make import NOON, finding

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def alert(db) -> Alert:
    return alerting.raise_(finding(), NOON)


def audited() -> list[tuple[str, str, str]]:
    return list(Audit.objects.order_by("id").values_list("action", "actor_name", "object_id"))


def test_acknowledge_says_who_and_when_and_is_audited_once(alert, asha):
    held = alerting.acknowledge(alert, by=asha, via="api")
    alerting.acknowledge(alert, by=asha, via="api")
    assert (held.state, held.acknowledged_by, held.acknowledged_at is None) == (
        "acknowledged", asha, False,
    )  # fmt: skip
    assert audited() == [("alert.acknowledge", "asha", str(alert.pk))]
    assert list(alert.events.values_list("act", "by_name")) == [
        ("opened", ""), ("acknowledged", "asha"),
    ]  # fmt: skip


def test_acknowledge_of_a_resolved_one_is_refused(alert, asha):
    alerting.resolve("source_lag", "source:1", "It speaks again.", NOON)
    with pytest.raises(Refused, match="resolved already: It speaks again"):
        alerting.acknowledge(alert, by=asha, via="page")
    assert audited() == []


def test_acknowledge_all_passes_over_what_was_resolved(alert, asha):
    other = alerting.raise_(finding(key="source:2"), NOON)
    alerting.resolve("source_lag", "source:2", "", NOON)
    assert alerting.acknowledge_all([alert, other], by=asha, via="page") == 1


def test_snooze_is_audited_with_its_end(alert, asha):
    until = timezone.now() + HOUR
    held = alerting.snooze(alert, until, by=asha, via="page")
    assert (held.state, held.snoozed_until) == ("snoozed", until)
    assert audited() == [("alert.snooze", "asha", str(alert.pk))]


@pytest.mark.parametrize(
    ("delta", "message"), [(-HOUR, "yet to come"), (91 * 24 * HOUR, "at most 90 days")]
)
def test_snooze_refuses_a_time_past_or_too_far(alert, asha, delta, message):
    with pytest.raises(Refused, match=message):
        alerting.snooze(alert, timezone.now() + delta, by=asha, via="page")


def test_resolve_by_hand_needs_a_reason(alert, asha):
    with pytest.raises(Refused, match="Say why"):
        alerting.resolve_by_hand(alert, "  ", by=asha, via="page")
    held = alerting.resolve_by_hand(alert, " Planned move. ", by=asha, via="page")
    assert (held.state, held.why, held.resolved_by) == ("resolved", "Planned move.", asha)
    assert audited() == [("alert.resolve", "asha", str(alert.pk))]


@pytest.mark.parametrize(
    ("role", "may"),
    [("viewer", False), ("analyst", True), ("engineer", True), ("approver", True)],
)
def test_roles_over_a_project_handle_its_alerts_and_no_others(chat, role, may):
    user = person("one", role, project=chat)
    ours = alerting.raise_(finding(project_id=chat.pk), NOON)
    estate = alerting.raise_(finding(key="source:2"), NOON)
    assert (alerting.may_handle(user, ours), alerting.may_handle(user, estate)) == (may, False)


def wanted(**changes) -> RuleChange:
    usual = {
        "enabled": True,
        "severity": "critical",
        "channel_ids": (),
        "remind_every_s": 3600,
        "escalate_after_s": None,
        "escalation_channel_ids": (),
        "quiet_s": 900,
    }
    return RuleChange(**{**usual, **changes})


def test_rule_starts_as_the_default_and_changes_once(asha):
    assert alerting.rule_of("source_lag").remind_every_s == 4 * 3600
    for _ in range(2):
        alerting.change_rule("source_lag", wanted(), by=asha, via="page")
    assert alerting.default_severity("source_lag") == "critical"
    assert AlertRule.objects.get().changed_by == asha
    [record] = Audit.objects.all()
    assert (record.action, record.object_id) == ("alert_rule.change", "source_lag")
    assert record.detail["before"]["severity"] == "warning"
    assert record.detail["after"]["severity"] == "critical"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"severity": "dire"}, "severity"),
        ({"remind_every_s": 60}, "remind_every_s"),
        ({"escalate_after_s": 31 * 86_400}, "escalate_after_s"),
        ({"channel_ids": (987,)}, "channel_ids"),
        ({"escalate_after_s": 3600}, "escalation_channel_ids"),
        ({"quiet_s": 30}, "quiet_s"),
    ],
)
def test_rule_refuses_what_cannot_work(changes, field, asha):
    with pytest.raises(Refused) as refused:
        alerting.change_rule("budget", wanted(**changes), by=asha, via="page")
    assert refused.value.field == field
    assert not AlertRule.objects.exists()


def test_silence_is_audited_and_ends_once(asha, chat):
    plan = Plan("Move", timezone.now() + HOUR, kind="source_lag", key_pattern="source:*")
    held = alerting.silence(plan, chat, by=asha, via="page")
    alerting.end_silence(held, by=asha, via="page")
    alerting.end_silence(held, by=asha, via="page")
    assert [action for action, *_ in audited()] == ["silence.add", "silence.end"]
    assert (held.ended_by, held.project) == (asha, chat)


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        (Plan("", NOON), "why"),
        (Plan("Move", NOON), "ends_at"),
        (Plan("Move", NOON, kind="weather"), "kind"),
    ],
)
def test_silence_refuses_what_says_nothing(plan, field, asha):
    with pytest.raises(Refused) as refused:
        alerting.silence(plan, None, by=asha, via="page")
    assert refused.value.field == field
    assert not Silence.objects.exists()
