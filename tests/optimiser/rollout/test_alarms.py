"""What the pipeline of alerts hears of targets and rollouts."""

from __future__ import annotations

import pytest
from django.urls import reverse

from finops.models import Alert, AlertRule, Channel, Message
from optimiser import reconcile, rollout
from optimiser.targets.base import TargetError
from tests.optimiser import made

from .memory import Behaviour

pytestmark = pytest.mark.django_db

OLD = made.config("chat")


def alerts() -> list[tuple[str, str, str]]:
    """(key, severity, state), in order."""
    return list(Alert.objects.order_by("pk").values_list("key", "severity", "state"))


def seen(target) -> None:
    reconcile.reconcile(target.pk)


def test_drift_is_one_alert_until_the_desired_config_is_back(target, memory, clock):
    seen(target)
    assert alerts() == []
    memory.load(made.config("chat", max_batch_size=4))
    for _ in range(3):
        clock.on(20)
        seen(target)
    [alert] = Alert.objects.all()
    assert (alert.kind, alert.key, alert.project) == (
        "drift",
        f"target:{target.pk}",
        target.project,
    )
    assert (alert.path, alert.times_seen) == (reverse("optimiser:targets"), 3)
    assert alert.figures["What differs"] == "max_batch_size: 32 → 4"
    memory.away = True
    seen(target)
    assert alerts() == [(alert.key, "warning", "open")], "away is not in step"
    memory.away = False
    memory.load(OLD)
    seen(target)
    alert.refresh_from_db()
    assert (alert.state, alert.why) == ("resolved", "The live config is the desired one again.")


def test_drift_of_a_promoted_config_leads_to_its_change(waiting, memory, run, target, people):
    found = run(waiting)
    memory.load(made.config("chat", max_batch_size=4))
    seen(target)
    alert = Alert.objects.get(kind="drift")
    assert alert.path == f"/changes/{found.change_id}"
    rollout.roll_back_now(found.change_id, people["ben"], "page")
    run(found, "rolled_back")
    asked = Alert.objects.get(key=f"rollout:{found.pk}:rolled_back")
    assert asked.severity == "info", "somebody wanted it"
    alert.refresh_from_db()
    assert alert.state == "resolved", "the old config was read back"


def test_promotion_is_told_as_news_with_its_verdict(waiting, memory, run, target):
    AlertRule.objects.create(kind="verdict", channel_ids=[
        Channel.objects.create(kind="email", name="ops", state_at=waiting.created_at).pk
    ])  # fmt: skip
    found = run(waiting, "promoted")
    [alert] = Alert.objects.all()
    assert (alert.kind, alert.severity, alert.project) == ("verdict", "info", target.project)
    assert alert.title == f"Change {found.change_id} is promoted: {found.change.title}"
    assert alert.path == reverse("optimiser:change", args=[found.change_id])
    assert alert.text == f"The new config stays. {found.reason}"
    assert alert.figures["Verdict"] == "PASS at look 1 of 1"
    assert Message.objects.get().event == "opened"


def test_failed_change_is_a_warning_when_the_old_config_is_back(waiting, memory, run):
    memory.changed = Behaviour(latency_ms=160.0, gpu_s=0.005)
    found = run(waiting)
    [alert] = Alert.objects.all()
    assert (alert.key, alert.severity) == (f"rollout:{found.pk}:rolled_back", "warning")
    assert alert.title == f"Change {found.change_id} is rolled back: {found.change.title}"
    assert alert.figures["Verdict"] == "FAIL at look 1 of 1"
    assert found.reason in alert.text


def test_inconclusive_change_says_so(waiting, memory, run):
    memory.changed = memory.usual
    found = run(waiting)
    [alert] = Alert.objects.all()
    said = f"Change {found.change_id} was inconclusive and is rolled back: "
    assert (alert.severity, alert.title.startswith(said)) == ("warning", True)


def test_restore_that_fails_is_critical_until_it_works(waiting, memory, run, clock):
    memory.changed = Behaviour(latency_ms=300.0)
    found = run(waiting, "restoring")
    memory.refuses = lambda _config: TargetError("The disk is full.", retriable=True)
    run(found)
    assert alerts() == [(f"rollback:{found.pk}", "critical", "open")]
    assert "The disk is full. It is tried on and on." in Alert.objects.get().text
    memory.refuses = lambda _config: None
    clock.on(15.1)
    run(found, "rolled_back")
    assert [row[1:] for row in alerts()] == [("critical", "resolved"), ("warning", "open")]
