"""What `./run` says and refuses, without starting the application."""

import json
import os
import socket
import subprocess
import sys

import pytest

from finops.stack import commands
from finops.stack.home import Home
from finops.stack.problem import StackError
from finops.stack.processes import Identity
from finops.stack.state import FAILED, READY, ProcessState, StackState


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("BREAKEVEN_HOME", str(tmp_path))
    monkeypatch.delenv("BREAKEVEN_PORT", raising=False)
    for name in [name for name in os.environ if name.startswith("BREAKEVEN_")]:
        if name != "BREAKEVEN_HOME":
            monkeypatch.delenv(name)


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def record(kind, supervisor, processes=()):
    home = Home.of(kind)
    home.create()
    StackState(supervisor, 8123, READY, processes=list(processes)).write(home.state_file)
    return home


def test_second_start_says_where_the_first_one_is(sleeper, capsys):
    home = record("demo", Identity.of(sleeper.pid))
    people = [
        {"role": "FinOps analyst", "username": "asha", "password": "tall-boat"},
        {"role": "approver", "username": "ben", "password": "dry-well"},
    ]
    home.sign_ins.write_text(json.dumps(people))
    assert commands.start("demo", None, foreground=False) == 0
    assert capsys.readouterr().out == (
        "Breakeven is running already.\n"
        "Breakeven is running with sample data.\n"
        "\n"
        "  Open     http://127.0.0.1:8123/\n"
        "  Sign in  FinOps analyst  asha / tall-boat\n"
        "           approver        ben / dry-well\n"
        f"  Logs     {home.logs}/breakeven.log\n"
        "  Stop     ./run down demo\n"
    )


def test_busy_port_is_named_with_its_holder_and_another_choice():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(StackError) as raised:
            commands.start("live", port, foreground=False)
    own = f"(process {os.getpid()})"
    assert str(raised.value).startswith(f"Port {port} is in use by ")
    assert f"{own}: choose another, for instance ./run up --port " in str(raised.value)
    suggested = int(str(raised.value).rstrip(".").rpartition(" ")[2])
    assert suggested > port


def test_bad_port_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("BREAKEVEN_PORT", "eight")
    with pytest.raises(StackError, match="BREAKEVEN_PORT is 'eight': use a number from 1 to 65535"):
        commands.start("live", None, foreground=False)


def test_recycled_process_ids_are_not_stopped(sleeper, capsys):
    """After a reboot the recorded ids may belong to anybody."""
    earlier = Identity(sleeper.pid, "earlier boot:1")
    record("live", earlier, [ProcessState("web", "running", 0.0, process=earlier)])
    assert commands.down(("live",)) == 0
    assert capsys.readouterr().out == "Nothing was running.\n"
    assert sleeper.poll() is None


def test_down_where_nothing_was_ever_started(capsys):
    assert commands.down(("live", "demo")) == 0
    assert capsys.readouterr().out == "Nothing was running.\n"


def test_status_where_nothing_runs(capsys):
    assert commands.status(("live", "demo")) == 3
    assert capsys.readouterr().out == "Nothing is running; ./run up or ./run demo starts it.\n"


def test_status_remembers_why_the_last_start_failed(sleeper, capsys):
    home = Home.of("live")
    home.create()
    failed = StackState(Identity.of(sleeper.pid), 8123, FAILED, "The step `migrate` failed.")
    failed.write(home.state_file)
    assert commands.status(("live",)) == 3
    assert capsys.readouterr().out == (
        "Nothing is running; ./run up or ./run demo starts it.\n"
        "live: the last start failed. The step `migrate` failed.\n"
    )


def test_status_shows_each_process(sleeper, capsys):
    one = Identity.of(sleeper.pid)
    processes = [
        ProcessState("web", "running", 0.0, 2, process=one),
        ProcessState("triton", "skipped", 0.0, reason="no glibc"),
    ]
    record("demo", one, processes)
    assert commands.status(("live", "demo")) == 0
    first, header, web, triton, reason, logs = capsys.readouterr().out.splitlines()
    assert first == "demo: ready, http://127.0.0.1:8123/"
    assert header.split() == ["process", "pid", "state", "since", "restarts", "memory"]
    assert web.split()[:3] == ["web", str(sleeper.pid), "running"]
    assert web.split()[5] == "2"
    assert web.endswith("MiB")
    assert triton.split()[:3] == ["triton", "–", "skipped"]
    assert reason.strip() == "no glibc"
    assert logs.strip().startswith("logs: ")


def test_reset_keeps_everything_unless_the_name_is_typed(monkeypatch, capsys):
    home = Home.of("live")
    home.create()
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert commands.reset(("live",), yes=False) == 1
    assert home.root.exists()
    monkeypatch.setattr("builtins.input", lambda _: "live")
    assert commands.reset(("live",), yes=False) == 0
    assert not home.root.exists()


def test_live_and_demo_share_no_folder():
    live, demo = Home.of("live"), Home.of("demo")
    assert not live.root.is_relative_to(demo.root)
    assert not demo.root.is_relative_to(live.root)
