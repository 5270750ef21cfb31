"""The batch job against the real Triton: each caller waits, and their number follows the file."""

import json
import signal
import subprocess
import sys
import time

import pytest

from optimiser.demo import clients
from optimiser.demo.clients import BadSettings, Settings

from .otlp_stub import TOKEN, OtlpStub
from .test_load import received, wait_for


@pytest.fixture
def batch(server, tmp_path):
    """Starts the job at a stub; a failing test leaves nothing behind."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    started = []

    def start(stub, *more):
        argv = [
            *(sys.executable, "-m", "optimiser.demo.clients"),
            *("--triton", str(server.directory / "triton.json")),
            *("--otlp", stub.url),
            *("--token-file", str(tmp_path / "token")),
            *("--count-file", str(tmp_path / "count.json")),
            *("--control", str(tmp_path / "control.json")),
            *("--seed", "3"),
            *more,
        ]
        started.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        process.stdout.close()


def most_at_once(spans):
    """How many of these spans were open together, at the worst moment."""
    edges = sorted(
        edge
        for span in spans
        for edge in ((span.start_ns, 1), (span.start_ns + round(span.seconds * 1e9), -1))
    )
    open_now, most = 0, 0
    for _, step in edges:
        open_now += step
        most = max(most, open_now)
    return most


@pytest.mark.triton
def test_callers_wait_and_their_number_follows_the_file(batch, tmp_path):
    control = tmp_path / "control.json"
    with OtlpStub() as stub:
        running = batch(stub, "--clients", "6", "--think-ms", "10")
        wait_for(lambda: len(stub.spans) > 60)
        assert json.loads(control.read_text()) == {"clients": 6, "think_ms": 10.0}
        control.write_text(json.dumps({"clients": 1, "think_ms": 10}))
        # Read within 0.2 s; a caller that is waiting then still gets its answer.
        time.sleep(0.6)
        changed_ns = time.time_ns()
        control.write_text('{"clients": "many", "think_ms": 10}')
        wait_for(lambda: sum(span.start_ns > changed_ns for span in stub.spans.values()) > 30)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
        said = running.stdout.read()
    spans = list(stub.spans.values())
    assert most_at_once([s for s in spans if s.start_ns < changed_ns]) == 6
    assert most_at_once([s for s in spans if s.start_ns > changed_ns]) == 1
    assert not any(span.failed for span in spans)
    assert {span.attributes["user.id"] for span in spans} == {f"caller-0{n}" for n in range(1, 7)}
    assert said.count("clients is 'many': use 0 to 64. Going on with") == 1
    kept = json.loads((tmp_path / "count.json").read_text())
    (counted,) = kept["counted"]
    assert (counted["service"], counted["model"]) == ("nightly-batch", "fixedcost")
    assert kept["acknowledged"] == kept["counted"]
    assert counted["spans"] == received(stub)["nightly-batch", "triton", "fixedcost"]["spans"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('{"clients": 65, "think_ms": 1}', "clients is 65: use 0 to 64."),
        ('{"clients": 1.5, "think_ms": 1}', "clients is 1.5: use 0 to 64."),
        ('{"clients": true, "think_ms": 1}', "clients is True: use 0 to 64."),
        ('{"clients": 1, "think_ms": -1}', "think_ms is -1: use 0 to 3.6e+06."),
        ('{"clients": 1, "think_ms": NaN}', "think_ms is nan: use 0 to 3.6e+06."),
        ('{"clients": 1}', "missing 1 required positional argument: 'think_ms'"),
        ('{"clients": 1, "think_ms": 1, "rate": 5}', "unexpected keyword argument 'rate'"),
        ("{", "control.json: Expecting property name"),
    ],
)
def test_a_control_file_that_cannot_be_is_told_apart(tmp_path, said, reason):
    file = tmp_path / "control.json"
    file.write_text(said)
    with pytest.raises(BadSettings) as caught:
        Settings.read(file)
    assert reason in str(caught.value)


def test_a_command_line_that_cannot_be_is_refused(capsys):
    arguments = ["--triton", "t", "--otlp", "http://x/v1/traces", "--token-file", "t"]
    with pytest.raises(SystemExit):
        clients.main([*arguments, "--count-file", "c", "--clients", "99"])
    assert "clients is 99: use 0 to 64." in capsys.readouterr().err
