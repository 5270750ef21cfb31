"""`./run up` with the real application, from an empty folder to stopped again.

In between, what only the whole of it can show: a budget is used up, and Slack hears of it.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from finops.stack.home import REPOSITORY, Home
from finops.stack.processes import marked
from finops.stack.services import LOOPBACK, answers
from finops.stack.state import READY, StackState
from tests.ingest.sources.otlp_body import body
from tests.stack.conftest import until
from tests.stubs.receivers import Reply
from tests.stubs.slack import event_of, slack


@pytest.fixture(scope="module")
def stub():
    with slack() as made:
        yield made


@pytest.fixture(scope="module")
def stack(folder, stub):
    """A function that calls `./run` on a home of its own, with the packages already there."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("BREAKEVEN_")}
    env |= {
        "BREAKEVEN_HOME": str(folder / "data"),
        "BREAKEVEN_SLACK_API_URL": stub.api,
        "BREAKEVEN_PRIVATE_ADDRESSES": "127.0.0.1/32",
        "BREAKEVEN_PUBLIC_URL": "https://finops.example",
    }

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "finops.stack", *arguments],
            env=env,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    yield run
    run("down")


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def up(stack):
    """The port, and what `./run up` said."""
    port = free_port()
    return port, stack("up", "--port", str(port))


@pytest.fixture(scope="module")
def home(folder):
    return Home(folder / "data" / "live")


def test_up_to_a_usable_page(stack, home, up):
    port, up = up
    assert (up.returncode, up.stderr) == (0, "")
    assert f"  Open     http://127.0.0.1:{port}/\n" in up.stdout
    password = re.search(r"^  Sign in  admin  admin / (\S+)$", up.stdout, re.MULTILINE)[1]
    assert len(password) >= 12
    assert answers(f"http://{LOOPBACK}:{port}/readyz")
    assert status_of_page(port) in (200, 302)

    again = stack("up", "--port", str(port))
    assert again.returncode == 0
    assert again.stdout.startswith("Breakeven is running already.\n")

    other = stack("demo", "--port", str(port))
    assert other.returncode == 1
    assert other.stderr.startswith(f"Port {port} is in use by ")
    assert other.stderr.count("\n") == 1

    until(lambda: StackState.read(home.state_file).phase == READY)
    shown = stack("status").stdout
    assert re.findall(r"^  (\w+) +\d+  running", shown, re.MULTILINE) == [
        "postgres",
        "valkey",
        "web",
        "worker",
        "beat",
        "sweeper",
        "control",
    ]

    assert stack("manage", "check", "--database", "default").returncode == 0


def test_connection_is_kept_for_a_script_that_asks_every_few_seconds(up):
    port, _ = up
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=10)) as line:
        for pause_s in (0, 3):  # gunicorn's own keepalive is 2
            time.sleep(pause_s)
            line.request("GET", "/livez")
            answer = line.getresponse()
            assert (answer.status, answer.will_close) == (200, False)
            answer.read()


ALARMED_WITHIN_S = 60.0


def test_budget_used_up_reaches_slack_though_the_worker_is_killed(stack, home, up, stub):
    """Pushed, priced, found to be over, told: by the real processes, with a death in between."""
    port, _ = up
    given = said(stack, "begin")
    stub.script = [Reply(never=True)]
    began = time.monotonic()
    push(port, given["token"])
    until(lambda: told_of(stub), ALARMED_WITHIN_S)
    killed = marked(home.root, "worker")
    assert len(killed) >= 2
    for one in killed:
        one.signal(signal.SIGKILL)

    until(lambda: stub.messages, ALARMED_WITHIN_S)
    took_s = time.monotonic() - began
    assert took_s < ALARMED_WITHIN_S
    [first] = stub.messages.values()
    assert first["blocks"][0]["text"]["text"].startswith("Critical: Budget Search at ")
    assert event_of(first) == "opened"
    # The one that was cut off, and the one that arrived: a receiver sees that they are the same.
    cut, arrived = (one.json["metadata"] for one in told_of(stub))
    assert cut == arrived
    assert stub.objections == []

    lost = "The worker ended before it could say what came of this attempt; the receiver may have"
    [[alert, state, problems]] = said(stack, "told")
    assert state == "sent"
    assert alert == first["metadata"]["event_payload"]["alert"]
    assert problems == [f"{lost} got it.", ""]
    print(f"from the request to Slack in {took_s:.1f} s")


def told_of(stub):
    return [one for one in stub.got if one.path.endswith("chat.postMessage")]


def said(stack, what):
    """What a function of tests.stack.budgeted prints in the stack that runs."""
    done = stack(
        "manage", "shell", "-v0", "-c", f"from tests.stack import budgeted; budgeted.{what}()"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def push(port, token):
    """Two million tokens, just now."""
    now_ns = time.time_ns() - 2_000_000_000
    request = body(
        {
            "_start_ns": now_ns,
            "_end_ns": now_ns + 500_000_000,
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 2_000_000,
            "gen_ai.usage.output_tokens": 10,
        }
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-protobuf"}
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=10)) as line:
        line.request("POST", "/v1/traces", request, headers)
        assert line.getresponse().status == 200


def test_down_leaves_nothing(stack, home, up):
    port, _ = up
    everything = marked(home.root)
    assert len(everything) >= 6
    down = stack("down", "live")
    assert (down.returncode, down.stdout) == (0, "Stopped: live.\n")
    assert [one for one in everything if one.is_alive()] == []
    assert not answers(f"http://{LOOPBACK}:{port}/readyz")


def status_of_page(port):
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=10)) as line:
        line.request("GET", "/")
        return line.getresponse().status
