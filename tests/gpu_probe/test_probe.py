"""`python -m gpu_probe` as a service would run it: a real process, a real server, real signals."""

import importlib.util
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from gpu_probe.__main__ import main
from tests.gpu_probe.conftest import H100, REPOSITORY, SECOND


def test_once_pushes_one_batch_and_leaves_nothing_behind(host, server):
    done = host.probe(*host.push_arguments(server, "--once"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (batch,) = server.batches
    assert (batch.host, batch.pool, batch.sequence) == ("gpu-7", "h100", 0)
    assert [r.uuid for r in batch.readings] == [H100["uuid"], SECOND["uuid"]]
    assert [path.name for path in host.spool_path.iterdir() if path.is_file()] == ["lock"]


def test_the_environment_says_what_the_command_line_does_not(host, server):
    done = host.probe(
        "--once",
        BREAKEVEN_PROBE_URL=server.url,
        BREAKEVEN_PROBE_TOKEN="from-the-environment",
        BREAKEVEN_PROBE_POOL="a100",
        BREAKEVEN_PROBE_HOST="gpu-9",
        BREAKEVEN_PROBE_SPOOL=str(host.spool_path),
    )
    assert done.returncode == 0, done.stderr
    ((_, headers, _),) = server.seen
    assert headers["Authorization"] == "Bearer from-the-environment"
    assert (server.batches[0].host, server.batches[0].pool) == ("gpu-9", "a100")


def test_what_once_could_not_deliver_goes_first_the_next_time(host, server):
    server.will_answer(503)
    undelivered = host.probe(*host.push_arguments(server, "--once"))
    delivered = host.probe(*host.push_arguments(server, "--once"))
    assert (undelivered.returncode, delivered.returncode) == (1, 0)
    first, again, second = server.batches
    assert first == again
    assert second.boot_id != first.boot_id


def test_a_refused_batch_is_told_and_can_be_sent_again(host, server):
    server.will_answer(422, "of another pool")
    refused = host.probe(*host.push_arguments(server, "--once"))
    assert refused.returncode == 1
    assert "the server refused a batch (HTTP 422: of another pool)" in refused.stderr
    again = host.probe(*host.push_arguments(server, "--once", "--retry-rejected"))
    assert again.returncode == 0
    assert server.batches[0] == server.batches[1]
    assert len(server.batches) == 3
    assert list((host.spool_path / "rejected").iterdir()) == []


def test_a_refused_token_has_a_code_of_its_own_and_loses_nothing(host, server):
    server.will_answer(401, "token revoked")
    refused = host.probe(*host.push_arguments(server, "--once"))
    assert refused.returncode == 7
    assert "the server refuses the token (HTTP 401: token revoked)" in refused.stderr
    assert host.probe(*host.push_arguments(server, "--once")).returncode == 0
    first, again, second = server.batches
    assert (first == again, second.boot_id == first.boot_id) == (True, False)


def test_a_token_that_never_worked_ends_the_service(host, server):
    server.will_answer(403, "no scope")
    probe = host.start(*host.push_arguments(server, "--interval", "0.2"))
    assert probe.wait(timeout=10) == 7
    assert "the token never worked" in probe.stderr.read()


def test_a_token_that_is_revoked_later_does_not_end_the_readings(host, server):
    probe = host.start(*host.push_arguments(server, "--interval", "0.2"))
    server.wait_for(1)
    server.will_answer(401, "token revoked")
    while "the server refuses the token" not in probe.stderr.readline():
        pass
    waiting = len(list(host.spool_path.glob("*.json.gz")))
    deadline = time.monotonic() + 5
    while len(list(host.spool_path.glob("*.json.gz"))) < waiting + 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert probe.poll() is None


def test_killed_between_sending_and_the_answer_the_same_batch_is_sent_again(host, server):
    server.will_answer(200, "{}", wait_s=30)
    probe = host.start(*host.push_arguments(server, "--interval", "0.2"))
    server.wait_for(1)
    probe.send_signal(signal.SIGKILL)
    probe.wait()
    assert host.probe(*host.push_arguments(server, "--once")).returncode == 0
    assert server.seen[0][2] == server.seen[1][2]
    killed, again = server.batches[:2]
    assert (again.host, again.boot_id, again.sequence) == ("gpu-7", killed.boot_id, 0)
    # What the killed run had read meanwhile follows in order, then the new run's own.
    *earlier, own = server.batches[1:]
    assert [(b.boot_id, b.sequence) for b in earlier] == [
        (killed.boot_id, sequence) for sequence in range(len(earlier))
    ]
    assert (own.boot_id != killed.boot_id, own.sequence) == (True, 0)


def test_reading_goes_on_while_the_server_rests_and_a_stop_leaves_nothing_unsent(host, server):
    server.will_answer(503, Retry_After="1")
    probe = host.start(*host.push_arguments(server, "--interval", "0.2"))
    server.wait_for(1)
    rest_began = time.monotonic()
    server.wait_for(2)
    assert time.monotonic() - rest_began >= 1
    server.wait_for(6)
    probe.send_signal(signal.SIGTERM)
    stopping_since = time.monotonic()
    assert probe.wait(timeout=10) == 0
    assert time.monotonic() - stopping_since < 2  # the sender ended by itself
    assert server.sequences == [0, *range(len(server.seen) - 1)]
    moments = [batch.readings[0].at for batch in server.batches[1:]]
    # No gap as long as the server's second of rest: those readings were taken and kept.
    assert max(later - earlier for earlier, later in pairwise(moments)) < 0.9
    said = probe.stderr.read()
    assert "the server takes batches again" in said
    assert f"stopped; 0 batches wait in {host.spool_path}" in said


def test_a_stop_does_not_wait_for_a_server_that_hangs(host, server):
    server.will_answer(200, "{}", wait_s=60)
    probe = host.start(*host.push_arguments(server, "--interval", "0.2", "--timeout", "60"))
    server.wait_for(1)
    probe.send_signal(signal.SIGTERM)
    assert probe.wait(timeout=8) == 0
    assert re.search(r"stopped; [1-9]\d* batches wait", probe.stderr.read())


def test_a_driver_that_goes_away_stops_the_readings_and_nothing_is_unsent(host, server):
    probe = host.start(*host.push_arguments(server, "--interval", "0.2"))
    server.wait_for(2)
    host.has({**H100, "handle": "!9"}, init="!9")
    while "Readings go on when the driver is back." not in probe.stderr.readline():
        pass
    probe.send_signal(signal.SIGTERM)
    assert probe.wait(timeout=10) == 0
    assert server.sequences == list(range(len(server.seen)))
    assert list(host.spool_path.glob("*.json.gz")) == []


def test_two_probes_cannot_share_a_spool(host, server):
    host.start(*host.push_arguments(server, "--interval", "60"))
    server.wait_for(1)
    second = host.probe(*host.push_arguments(server, "--once"))
    assert (second.returncode, second.stderr) == (
        4,
        f"Another probe uses the spool directory {host.spool_path};"
        " stop it or give this one its own --spool.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "use --metrics-address to only serve Prometheus, or --print to only look"),
        (["--url", "example.com"], "'example.com' is no web address; write it as https://"),
        (["--url", "http://127.0.0.1:1"], "There is no token; give --token-file or set"),
        (["--url", "http://127.0.0.1:1", "--token-file", "/nowhere"], "/nowhere cannot be read"),
        (["--print", "--interval", "0"], "argument --interval: 0 is no number from 0.2 to 3600"),
        (["--print", "--processes", "101"], "argument --processes: 101 is no whole number from 0"),
        (["--metrics-address", "9835"], "'9835' is no address; write it as 127.0.0.1:9835"),
        (["--print", "--interval", "nan"], "argument --interval: nan is no number from 0.2 to"),
    ],
)
def test_a_wrong_command_line_is_told_before_any_gpu_is_asked(arguments, said, capsys, monkeypatch):
    for name in ("URL", "TOKEN", "TOKEN_FILE", "METRICS_ADDRESS"):
        monkeypatch.delenv(f"BREAKEVEN_PROBE_{name}", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    written = capsys.readouterr()
    assert (caught.value.code, written.out) == (2, "")
    assert said in written.err.splitlines()[-1]


def test_a_name_that_no_batch_can_carry_is_a_wrong_command_line(host):
    done = host.probe("--print", "--once", "--pool", "")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("error: pool: is empty; every batch must say it\n")


def test_a_token_file_without_one_line_is_refused(host, server):
    host.token_path.write_text("one\ntwo\n")
    done = host.probe(*host.push_arguments(server, "--once"))
    assert done.returncode == 2
    assert done.stderr.endswith("holds no token; it must be one line without spaces.\n")
    assert server.seen == []


def test_a_reader_that_leaves_ends_the_probe_quietly(host):
    probe = host.start("--print", "--interval", "0.2")
    probe.stdout.readline()
    probe.stdout.close()
    assert probe.wait(timeout=10) == 0
    assert probe.stderr.read() == ""


def test_help_names_every_variable_and_exit_code_of_the_program():
    source = (REPOSITORY / "gpu_probe/__main__.py").read_text()
    read = set(re.findall(r'(?:told|get)\(\s*"(BREAKEVEN_\w+)"', source))
    exits = (REPOSITORY / "gpu_probe/exits.py").read_text()
    codes = set(re.findall(r"^EXIT_\w+ = (\d)", exits, re.MULTILINE))
    help_text = subprocess.run(
        [sys.executable, "-m", "gpu_probe", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(re.findall(r"BREAKEVEN_\w+", help_text)) == read
    described = help_text.split("exit codes:")[1].split("examples:")[0]
    assert set(re.findall(r"(?:^|·)\s+(\d)", described, re.MULTILINE)) == codes


def test_the_probe_runs_where_nothing_but_pynvml_is_installed(host, server, tmp_path):
    """`-S` is a Python without site-packages; on its path lie gpu_probe and one file more."""
    shutil.copytree(REPOSITORY / "gpu_probe", tmp_path / "gpu_probe")
    shutil.copy(importlib.util.find_spec("pynvml").origin, tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-S", "-m", "gpu_probe"),
            *host.push_arguments(server, "--once", "--process-names"),
        ],
        cwd=tmp_path,
        env=host.environment(PYTHONPATH=""),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [r.uuid for r in server.batches[0].readings] == [H100["uuid"], SECOND["uuid"]]


def test_without_pynvml_it_says_how_to_get_it(tmp_path):
    shutil.copytree(REPOSITORY / "gpu_probe", tmp_path / "gpu_probe")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "gpu_probe", "--once", "--print"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (
        3,
        "No GPU telemetry: the Python package nvidia-ml-py is not installed;"
        " install it with 'pip install nvidia-ml-py'.\n",
    )


def test_a_default_metrics_port_that_is_taken_does_not_stop_the_readings(host, server):
    """Another exporter may have it, and nobody chose it here."""
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", 9835))
            other.listen()
        except OSError:
            pass  # it is taken already, which is as good
        environment = host.environment()
        del environment["BREAKEVEN_PROBE_METRICS_ADDRESS"]
        probe = subprocess.Popen(
            [sys.executable, "-m", "gpu_probe", *host.push_arguments(server)],
            cwd=REPOSITORY,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        host.running.append(probe)
        server.wait_for(1)
        probe.send_signal(signal.SIGTERM)
        assert probe.wait(timeout=10) == 0
    assert "/metrics cannot be served on 127.0.0.1:9835" in probe.stderr.read()


def test_the_probe_needs_the_standard_library_and_pynvml_alone():
    """A GPU host has no Django; ingest imports wire and must not get NVML or the network."""
    program = (
        "import importlib, sys; before = set(sys.modules);"
        "[importlib.import_module(name) for name in sys.argv[1:]];"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(new - sys.stdlib_module_names))"
    )

    def foreign(*modules):
        return subprocess.run(
            [sys.executable, "-c", program, *modules],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

    assert foreign("gpu_probe.__main__", "pynvml") == ["gpu_probe", "pynvml"]
    assert foreign("gpu_probe.__main__") == ["gpu_probe"]
    assert foreign("gpu_probe.wire") == ["gpu_probe"]
