"""The controller's rounds, its process, and the second pair of hands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from finops.celery import app
from optimiser import advise, booking, calibrating, control, reconcile, rollout
from optimiser.approvals import Conflict, NotAllowed
from optimiser.leases import Clock, LeaseLost
from optimiser.models import Calibration, Rollout, Target
from optimiser.targets import calibration
from optimiser.targets.base import TargetError
from tests.optimiser import made
from tests.optimiser.kills.servers import until

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db


@pytest.fixture
def quiet(monkeypatch):
    """Rounds without their seldom jobs; what was started is kept."""
    started: list[tuple[str, int]] = []
    monkeypatch.setattr(control, "SELDOM", {})
    monkeypatch.setattr(
        control.Controller, "_start", lambda _self, kind, pk, _job: started.append((kind, pk))
    )
    return started


def test_round_begins_what_is_approved_and_hands_out_what_is_due(change, people, quiet):
    made.approved(change, people["ben"])
    other = made.TargetFactory(live_state="unknown", checked_at=None)
    waiting = made.CalibrationFactory(target__shadow_model="x", target__checked_at=timezone.now())
    control.Controller().round()
    change.refresh_from_db()
    assert change.state == "rolling_out"
    assert quiet == [
        ("rollout", Rollout.objects.get().pk),
        ("reconcile", other.pk),
        ("calibrate", waiting.pk),
    ]


def test_what_is_under_way_is_not_started_twice(monkeypatch):
    go, runs = threading.Event(), []
    monkeypatch.setattr(connection, "close", lambda: None)

    def job(pk):
        runs.append(pk)
        go.wait(5)

    one = control.Controller()
    for _ in range(3):
        one._start("x", 7, job)
    go.set()
    one.stop()
    assert runs == [7]


def test_seldom_jobs_run_when_their_time_has_come(monkeypatch):
    started = []
    monkeypatch.setattr(control, "SELDOM", {"book": (timedelta(minutes=1), lambda: None)})
    monkeypatch.setattr(control.Controller, "_start", lambda _s, kind, *_: started.append(kind))
    one, now = control.Controller(), timezone.now()
    for seconds in (0, 30, 59, 60, 61, 119, 120):
        one.round(now + timedelta(seconds=seconds))
    assert started == ["book"] * 3


def test_job_that_breaks_is_told_and_others_go_on(caplog, monkeypatch):
    monkeypatch.setattr(connection, "close", lambda: None)
    one = control.Controller()
    one._start("x", 1, lambda _pk: 1 / 0)
    one.stop()
    one._forget_finished()
    assert one.running == {}
    assert "control_failed" in caplog.text


def test_rollouts_wait_for_a_calibration_of_their_server(change, people, target):
    made.approved(change, people["ben"])
    running = made.CalibrationFactory(target=target, state="running")
    Calibration.objects.filter(pk=running.pk).update(lease_expires_at=Clock() + calibrating.LEASE)
    assert control.begin_approved() == 0
    Calibration.objects.filter(pk=running.pk).update(state="done")
    assert control.begin_approved() == 1


# The process


@pytest.fixture
def own_signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_controller_shows_that_it_is_alive(tmp_path, transactional_db, own_signals, monkeypatch):
    monkeypatch.setattr(control, "SELDOM", {})
    heartbeat = tmp_path / "heartbeat"
    call_command("control", "--once", f"--heartbeat={heartbeat}")
    assert heartbeat.exists()


def test_controller_ends_when_it_is_told_to(transactional_db, tmp_path):
    heartbeat = tmp_path / "heartbeat"
    url = os.environ["BREAKEVEN_DATABASE_URL"].replace(
        "/breakeven?", f"/{connection.settings_dict['NAME']}?"
    )
    process = subprocess.Popen(
        [sys.executable, "manage.py", "control", "--interval=0.1", f"--heartbeat={heartbeat}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "BREAKEVEN_DATABASE_URL": url},
    )  # fmt: skip
    try:
        until(heartbeat.exists, "it is alive")
        process.terminate()
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said


def test_beat_watches_over_abandoned_rollouts_every_five_seconds():
    entry = app.conf.beat_schedule["take over rollouts"]
    assert (entry["task"], entry["schedule"]) == ("optimiser.tasks.take_over", 5)
    app.loader.import_default_modules()
    assert "optimiser.tasks.take_over" in app.tasks
    assert "price" in app.conf.beat_schedule


def test_task_brings_the_old_config_back(monkeypatch):
    from optimiser import tasks

    monkeypatch.setattr(rollout, "take_over", lambda: 3)
    assert tasks.take_over() == 3


# Calibrations


@pytest.fixture
def shadowed(target):
    Target.objects.filter(pk=target.pk).update(shadow_model="chat_shadow")
    target.refresh_from_db()
    return target


def test_engineer_asks_for_a_calibration(shadowed, people):
    found = advise.request_calibration(shadowed, people["dev"], "page")
    assert (found.state, found.requested_by) == ("waiting", people["dev"])
    assert calibrating.waiting() == [found.pk]


@pytest.mark.parametrize("who", ["asha", "ben", "ada", "cleo"])
def test_others_do_not(shadowed, people, who):
    with pytest.raises(NotAllowed, match="asks for calibrations"):
        advise.request_calibration(shadowed, people[who], "page")


def test_one_calibration_of_a_target_at_a_time(shadowed, people):
    advise.request_calibration(shadowed, people["dev"], "page")
    with pytest.raises(Conflict, match="on its way already"):
        advise.request_calibration(shadowed, people["dev"], "page")


def test_target_without_a_shadow_cannot_be_calibrated(target, people):
    with pytest.raises(Conflict, match="has no shadow model"):
        advise.request_calibration(target, people["dev"], "page")


def test_calibration_is_kept_with_what_was_measured(shadowed, people, monkeypatch):
    asked = advise.request_calibration(shadowed, people["dev"], "page")
    monkeypatch.setattr(calibration, "measure", lambda *_: measured())
    assert calibrating.calibrate(asked.pk) is True
    asked.refresh_from_db()
    assert (asked.state, asked.config, asked.error) == ("done", made.config(), "")
    assert [one["batch_size"] for one in asked.curve["timings"]] == [1, 8]
    assert asked.lease_expires_at is None
    assert advise.last_calibration(shadowed) == asked
    assert calibrating.calibrate(asked.pk) is False


def measured():
    from optimiser.simulate import Timing

    return calibration.Measured(
        timings=(Timing(1, (0.02, 0.021, 0.02)), Timing(8, (0.03, 0.031, 0.03))),
        overheads_s=(0.001, 0.001),
        spacings_s=(0.0,),
        live_config=made.config(),
        shadow_config=made.config("chat_shadow"),
        executions=6,
        at=timezone.now(),
        took_s=1.0,
    )


def test_failed_calibration_says_why(shadowed, people, monkeypatch):
    asked = advise.request_calibration(shadowed, people["dev"], "page")

    def fails(*_):
        raise TargetError("Triton has no directory for the shadow.", retriable=False)

    monkeypatch.setattr(calibration, "measure", fails)
    calibrating.calibrate(asked.pk)
    asked.refresh_from_db()
    assert (asked.state, asked.error) == ("failed", "Triton has no directory for the shadow.")
    assert advise.request_calibration(shadowed, people["dev"], "page").state == "waiting"


def test_calibration_of_a_dead_controller_is_done_again_and_the_first_may_not_write(
    shadowed, people, monkeypatch
):
    asked = advise.request_calibration(shadowed, people["dev"], "page")

    def overtaken(*_):
        Calibration.objects.filter(pk=asked.pk).update(
            lease_expires_at=Clock() - timedelta(seconds=1)
        )
        assert calibrating.waiting() == [asked.pk]
        return measured()

    monkeypatch.setattr(calibration, "measure", overtaken)
    with pytest.raises(LeaseLost):
        calibrating.calibrate(asked.pk)
    asked.refresh_from_db()
    assert (asked.state, asked.curve) == ("running", None)


def test_calibration_waits_while_a_change_is_tried_out_on_its_server(shadowed, people, rollout):
    asked = advise.request_calibration(shadowed, people["dev"], "page")
    assert calibrating.waiting() == []
    Rollout.objects.filter(pk=rollout.pk).update(state="rolled_back")
    assert calibrating.waiting() == [asked.pk]


def test_seldom_jobs_are_the_real_ones():
    assert {name: job for name, (_, job) in control.SELDOM.items() if name != "expire"} == {
        "book": booking.book_all,
        "advise": advise.advise_all,
    }
    assert timedelta(seconds=15) >= reconcile.EVERY
