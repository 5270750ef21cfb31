from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from finops.actions import alerting
from finops.models import Alert, AlertEvent, Message

from .make import NOON, finding, rule, sent

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(minutes=1)


def acts(alert: Alert) -> list[str]:
    return list(alert.events.values_list("act", flat=True))


def test_raise_opens_one_alert_and_tells_the_channels_of_the_rule(channel, chat):
    ops = channel("ops")
    rule(channel_ids=[ops])
    alert = alerting.raise_(finding(project_id=chat.pk, figures={"Silent": "1 h"}), NOON)
    [message] = Message.objects.all()
    assert (message.channel_id, message.alert_id, message.at) == (ops, alert.ref, NOON)
    assert message.payload == {
        "alert_id": alert.ref,
        "event": "opened",
        "severity": "warning",
        "title": "Langfuse is silent",
        "text": "Silent since 11:00.",
        "url_path": f"/alerts/{alert.pk}",
        "project": "Chat",
        "figures": {"Silent": "1 h"},
        "at": NOON.isoformat(),
    }
    assert list(alert.events.values_list("act", "told", "by_name")) == [("opened", [ops], "")]


def test_raise_again_updates_the_alert_and_tells_nobody(channel):
    rule(channel_ids=[channel("ops")])
    first = alerting.raise_(finding(), NOON)
    again = alerting.raise_(finding(text="Silent since 10:00.", figures={"Silent": "2 h"}), LATER)
    assert again.pk == first.pk
    again.refresh_from_db()
    assert (again.times_seen, again.last_seen_at) == (2, LATER)
    assert (again.text, again.figures) == ("Silent since 10:00.", {"Silent": "2 h"})
    assert len(sent()) == 1
    assert acts(again) == ["opened"]


def test_raise_for_another_key_is_another_alert():
    alerting.raise_(finding(), NOON)
    alerting.raise_(finding(key="source:2"), NOON)
    assert Alert.objects.count() == 2


def test_raise_grown_worse_tells_again_and_asks_who_acknowledged(channel, asha):
    ops = channel("ops")
    rule(channel_ids=[ops])
    alert = alerting.raise_(finding(), NOON)
    alerting.acknowledge(alert, by=asha, via="page")
    worse = alerting.raise_(finding(severity="critical"), LATER)
    assert (worse.state, worse.severity, worse.waiting_since) == ("open", "critical", LATER)
    assert sent() == [
        (ops, "opened", "warning"),
        (ops, "acknowledged", "warning"),
        (ops, "escalated", "critical"),
    ]


def test_raise_grown_milder_stays_as_bad_as_it_was():
    alerting.raise_(finding(severity="critical"), NOON)
    assert alerting.raise_(finding(severity="info"), LATER).severity == "critical"


def test_channels_of_the_finding_come_before_those_of_the_rule(channel):
    ops, owner = channel("ops"), channel("owner")
    rule(channel_ids=[ops])
    alerting.raise_(finding(channel_ids=(owner,)), NOON)
    assert sent() == [(owner, "opened", "warning")]


def test_without_a_channel_the_alert_is_kept_and_nobody_told():
    alert = alerting.raise_(finding(), NOON)
    assert (alert.told_at, sent()) == (None, [])


def test_rule_switched_off_keeps_the_alert_and_tells_nobody(channel):
    rule(channel_ids=[channel("ops")], enabled=False)
    alerting.raise_(finding(), NOON)
    assert (Alert.objects.count(), sent()) == (1, [])


def test_resolve_ends_it_and_tells(channel):
    ops = channel("ops")
    rule(channel_ids=[ops])
    alert = alerting.raise_(finding(), NOON)
    assert alerting.resolve("source_lag", "source:1", "It speaks again.", LATER)
    alert.refresh_from_db()
    assert (alert.state, alert.resolved_at, alert.why) == ("resolved", LATER, "It speaks again.")
    assert alert.resolved_by is None
    assert sent() == [(ops, "opened", "warning"), (ops, "resolved", "warning")]
    assert not alerting.resolve("source_lag", "source:1", "Twice.", LATER)


def test_raise_long_after_it_ended_is_a_new_alert():
    first = alerting.raise_(finding(), NOON)
    alerting.resolve("source_lag", "source:1", "", NOON)
    assert alerting.raise_(finding(), NOON + timedelta(minutes=16)).pk != first.pk


def test_resolve_of_nothing_says_no():
    assert not alerting.resolve("source_lag", "source:9", "", NOON)


def test_resolved_by_hand_stays_resolved_while_it_goes_on(asha):
    alert = alerting.raise_(finding(), NOON)
    alerting.resolve_by_hand(alert, "Planned move.", by=asha, via="page")
    same = alerting.raise_(finding(), LATER)
    assert (same.pk, same.state, same.why) == (alert.pk, "resolved", "Planned move.")
    assert not alerting.resolve("source_lag", "source:1", "It speaks again.", LATER)
    assert alerting.raise_(finding(), LATER).pk != alert.pk


def test_resolved_by_hand_and_grown_worse_is_a_new_alert(asha):
    alert = alerting.raise_(finding(), NOON)
    alerting.resolve_by_hand(alert, "Small.", by=asha, via="page")
    worse = alerting.raise_(finding(severity="critical"), LATER)
    assert (worse.pk != alert.pk, worse.state) == (True, "open")
    assert list(Alert.objects.filter(holds=True)) == [worse]


def test_resolve_all_but_ends_what_was_not_found():
    for number in (1, 2, 3):
        alerting.raise_(finding(key=f"source:{number}"), NOON)
    assert alerting.resolve_all_but("source_lag", ["source:2"], "It speaks again.", LATER) == 2
    assert list(Alert.objects.exclude(state="resolved").values_list("key", flat=True)) == [
        "source:2"
    ]


def test_nothing_is_kept_when_the_caller_fails(channel):
    rule(channel_ids=[channel("ops")])
    with transaction.atomic():
        alerting.raise_(finding(), NOON)
        transaction.set_rollback(True)
    assert (Alert.objects.count(), AlertEvent.objects.count(), sent()) == (0, 0, [])


def test_history_cannot_be_rewritten():
    alert = alerting.raise_(finding(), NOON)
    for change in (alert.events.all().delete, lambda: alert.events.update(note="no")):
        with pytest.raises(DatabaseError, match="never rewritten"), transaction.atomic():
            change()


@pytest.mark.django_db(transaction=True)
def test_raisers_at_once_make_one_alert(channel):
    rule(channel_ids=[channel("ops")])
    start, problems = threading.Barrier(6), []

    def raiser():
        try:
            start.wait()
            alerting.raise_(finding(), NOON)
        except Exception as problem:
            problems.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=raiser) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    [alert] = Alert.objects.all()
    assert (alert.times_seen, acts(alert), len(sent())) == (6, ["opened"], 1)
