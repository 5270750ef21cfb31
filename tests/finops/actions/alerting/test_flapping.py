"""What comes and goes is one alert, told once that it flaps, and once when it holds still."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finops.actions import alerting
from finops.models import Alert, Silence

from .make import NOON, finding, rule, sent

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def at(minutes: float):
    return NOON + minutes * MINUTE


def swing(up: float, down: float, **changes) -> Alert:
    alert = alerting.raise_(finding(**changes), at(up))
    alerting.resolve("source_lag", "source:1", "It speaks again.", at(down))
    return alert


def events() -> list[str]:
    return [event for _, event, _ in sent()]


def test_flapping_is_one_alert_and_channels_hear_three_things_more(channel):
    rule(channel_ids=[channel("ops")], quiet_s=900)
    alerts = {swing(minute, minute + 2).pk for minute in range(0, 60, 5)}
    [alert] = Alert.objects.all()
    assert alerts == {alert.pk}
    assert (alert.swings, alert.times_seen, alert.is_flapping) == (11, 12, True)
    assert events() == ["opened", "resolved", "flapping"]

    assert alerting.attend(at(71)) == 0
    assert alerting.attend(at(72)) == 1
    assert alerting.attend(at(73)) == 0
    alert.refresh_from_db()
    assert (alert.state, alert.is_flapping) == ("resolved", False)
    assert events() == ["opened", "resolved", "flapping", "resolved"]
    newest = alert.events.order_by("-pk").first()
    assert (newest.act, newest.note) == ("settled", "It stays over. It speaks again.")


def test_flapping_that_stays_open_is_told_of_its_end_as_any_other(channel):
    rule(channel_ids=[channel("ops")], quiet_s=900)
    swing(0, 1)
    alert = alerting.raise_(finding(), at(2))
    assert (alert.state, alert.is_flapping) == ("open", True)
    assert alerting.attend(at(17)) == 1
    alerting.resolve("source_lag", "source:1", "Over.", at(30))
    assert events() == ["opened", "resolved", "flapping", "resolved"]


@pytest.mark.parametrize(("quiet_s", "again_after", "is_same"), [
    (900, 15, True), (900, 15.1, False), (60, 2, False), (None, 0.5, False),
])  # fmt: skip
def test_quiet_time_of_the_rule_says_what_is_the_same(quiet_s, again_after, is_same):
    rule(quiet_s=quiet_s)
    first = swing(0, 1)
    again = alerting.raise_(finding(text="Silent since 12:01."), at(1 + again_after))
    assert (again.pk == first.pk) is is_same
    assert (again.text, again.state, again.resolved_at) == ("Silent since 12:01.", "open", None)


def test_acknowledged_goes_on_acknowledged(channel, asha):
    rule(channel_ids=[channel("ops")], remind_every_s=300)
    alert = alerting.raise_(finding(), at(0))
    alerting.acknowledge(alert, by=asha, via="page")
    alerting.resolve("source_lag", "source:1", "", at(1))
    again = alerting.raise_(finding(), at(2))
    assert (again.pk, again.state, again.acknowledged_by) == (alert.pk, "acknowledged", asha)
    assert alerting.attend(at(12)) == 0


def test_grown_worse_while_it_flaps_is_told_at_once(channel):
    rule(channel_ids=[channel("ops")])
    swing(0, 1)
    swing(2, 3)
    worse = alerting.raise_(finding(severity="critical"), at(4))
    assert (worse.state, worse.severity, worse.swings) == ("open", "critical", 2)
    assert events() == ["opened", "resolved", "flapping", "escalated"]


def test_resolved_by_hand_is_heard_though_it_flaps_and_the_next_is_new(channel, asha):
    rule(channel_ids=[channel("ops")])
    swing(0, 1)
    alert = alerting.raise_(finding(), at(2))
    alerting.resolve_by_hand(alert, "Planned move.", by=asha, via="page")
    assert events() == ["opened", "resolved", "flapping", "resolved"]
    alerting.resolve("source_lag", "source:1", "", at(3))
    assert alerting.raise_(finding(), at(4)).pk != alert.pk


def test_that_it_flaps_in_a_silence_is_told_after_it_if_it_is_still_so(channel):
    rule(channel_ids=[channel("ops")])
    swing(0, 1)
    Silence.objects.create(starts_at=at(1), ends_at=at(10), why="Move", created_at=NOON)
    alert = alerting.raise_(finding(), at(2))
    assert (alert.is_flapping, events()) == (False, ["opened", "resolved"])
    assert alerting.attend(at(9)) == 0
    assert alerting.attend(at(10)) == 1
    # The same words as ever: that it is so, and that it is over.
    assert events() == ["opened", "resolved", "opened"]


def test_nobody_told_is_nothing_that_flaps():
    swing(0, 1)
    assert not alerting.raise_(finding(), at(2)).is_flapping
