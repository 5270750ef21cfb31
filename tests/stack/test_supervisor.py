"""Order, failure and patience of the supervisor, with small real processes."""

import os
import subprocess
import sys
import threading
import time

import pytest

from finops.stack.processes import Identity, has_ended
from finops.stack.state import FAILED, READY, STOPPED, StackState
from finops.stack.supervisor import Service, Supervisor
from tests.stack.conftest import until

FOREVER = "import time; time.sleep(600)"


def python(name, code, **options):
    return Service(name, (sys.executable, "-c", code), dict(os.environ), **options)


@pytest.fixture(autouse=True)
def alert(monkeypatch):
    """At rest it looks around once a second; here nobody wants to wait for that."""
    monkeypatch.setattr("finops.stack.supervisor.BURY_EVERY_S", 0.05)


def run(home, *services, when=lambda state: True, within_s=15.0):
    """Run these until the state is as wanted or the stack gives up; its last state."""
    supervisor = Supervisor(home, services, 8000, usable_with=services[-1].name, first_pause_s=0.1)
    seen = []

    def watch():
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            state = StackState.read(home.state_file)
            if state and state.phase in (FAILED, STOPPED):
                break
            if state and state.phase == READY and when(state):
                seen.append(state)
                break
            time.sleep(0.03)
        supervisor._stop_asked = True

    watcher = threading.Thread(target=watch)
    watcher.start()
    supervisor.run()
    watcher.join()
    return seen[0] if seen else StackState.read(home.state_file)


def states(state):
    return {line.name: line.state for line in state.processes}


def test_steps_run_in_order_before_the_services_that_need_them(home):
    trace = home.root / "trace"
    step = f"open({str(trace)!r}, 'a').write('step ')"
    serve = f"open({str(trace)!r}, 'a').write('serve '); {FOREVER}"
    state = run(
        home, python("step", step, once=True), python("serve", serve, after=("step",)),
        when=lambda state: trace.read_text().count(" ") == 2,
    )  # fmt: skip
    assert states(state) == {"step": "done", "serve": "running"}
    assert trace.read_text() == "step serve "


def test_failed_step_stops_the_start_with_its_last_lines(home):
    failing = "import sys; print('the disk is full'); sys.exit(7)"
    state = run(
        home,
        python("other", FOREVER),
        python("step", failing, once=True),
        python("web", FOREVER, after=("step",)),
    )
    assert state.phase == FAILED
    assert state.problem == (
        "The step `step` failed (ended with exit code 7) and Breakeven was stopped; "
        f"its whole log is {home.logs}/step.log."
    )
    assert state.log == ["the disk is full"]
    assert states(state) == {"other": "stopped", "step": "failed", "web": "stopped"}


def test_service_that_ends_three_times_before_it_is_ready_stops_the_start(home):
    broken = "print('no such module'); raise SystemExit(1)"
    state = run(home, python("web", broken, is_ready=lambda: False))
    assert state.phase == FAILED
    assert "web ended 3 times before it was ready (ended with exit code 1)" in state.problem
    assert state.log == ["no such module"]  # of the last try alone


def test_service_that_never_becomes_ready_stops_the_start(home):
    state = run(home, python("web", FOREVER, is_ready=lambda: False, ready_within_s=0.3))
    assert state.phase == FAILED
    assert state.problem.startswith("web was not ready after 0 s")


def test_program_that_is_not_there_stops_the_start(home):
    state = run(home, Service("web", ("/nowhere/gunicorn",), {}))
    assert state.phase == FAILED
    assert state.problem.startswith("web cannot be started: [Errno 2]")


def test_optional_service_that_cannot_run_here_says_why_and_holds_nobody_up(home):
    cannot = "print('no GPU'); raise SystemExit(3)"
    state = run(
        home,
        python("triton", cannot, needed=False),
        python("load", FOREVER, needed=False, after=("triton",)),
    )
    assert states(state) == {"triton": "skipped", "load": "running"}
    assert state.processes[0].reason == "no GPU"


def test_optional_service_that_fails_is_tried_again_and_holds_nobody_up(home):
    state = run(
        home,
        python("triton", "raise SystemExit(1)", needed=False),
        python("load", FOREVER, needed=False, after=("triton",)),
        when=lambda state: state.processes[0].restarts == 2,
    )
    assert states(state)["load"] == "running"


def test_step_that_need_not_be_done_is_not_done(home):
    failing = python("step", "raise SystemExit(1)", once=True, unless=lambda: True)
    assert states(run(home, failing, python("web", FOREVER, after=("step",)))) == {
        "step": "done",
        "web": "running",
    }


def test_pauses_between_restarts_double_up_to_thirty_seconds(home):
    supervisor = Supervisor(home, [python("web", "raise SystemExit(1)", needed=False)], 8000)
    one = supervisor.watched["web"]
    pauses = []
    for _ in range(7):
        pauses.append(one.pause_s)
        supervisor._start_later(one)
    supervisor.journal.close()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_minute_of_health_earns_the_shortest_pause_again(home):
    supervisor = Supervisor(home, [python("web", FOREVER)], 8000)
    one = supervisor.watched["web"]
    one.state, one.pause_s = "running", 30
    for healthy_s, pause_s in ((59, 30), (61, 1)):
        one.started_at = time.monotonic() - healthy_s
        supervisor._advance(one)
        assert one.pause_s == pause_s
    supervisor.journal.close()


def test_deaf_process_is_killed_when_its_time_is_up(home):
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1); {FOREVER}"
    started = time.monotonic()
    state = run(home, python("web", deaf, stop_within_s=0.5))
    assert states(state) == {"web": "running"}
    assert StackState.read(home.state_file).phase == STOPPED
    assert time.monotonic() - started < 5
    assert not state.processes[0].process.is_alive()


def test_identity_tells_a_process_from_the_next_owner_of_its_id():
    own = Identity.of(os.getpid())
    assert own.is_alive()
    assert not Identity(own.pid, "another boot:1").is_alive()


def test_identity_of_an_ended_child_is_none_before_it_is_buried():
    child = subprocess.Popen([sys.executable, "-c", ""])
    before = Identity.of(child.pid)
    until(lambda: has_ended(child.pid))
    assert Identity.of(child.pid) is None
    assert before is None or not before.is_alive()
    child.wait()
