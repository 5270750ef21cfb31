"""The load generator against the real Triton and a receiver that is busy at first."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from optimiser.demo import calling, traffic, triton
from optimiser.demo.outbox import grand_total
from tests.conftest import require

from .otlp_stub import TOKEN, Answer, OtlpStub

FIELDS = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
}


def command(server, stub, tmp_path, *more):
    (tmp_path / "token").write_text(TOKEN + "\n")
    return [
        *(sys.executable, "-m", "optimiser.demo.load"),
        *("--triton", str(server.directory / "triton.json")),
        *("--otlp", stub.url),
        *("--token-file", str(tmp_path / "token")),
        *("--count-file", str(tmp_path / "load-count.json")),
        *more,
    ]


@pytest.fixture
def spawn(tmp_path):
    """Starts a process that a failing test does not leave behind, and shows what it said."""
    started = []

    def start(argv):
        with (tmp_path / "load.log").open("ab") as log:
            started.append(subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)
    for log in tmp_path.glob("load.log"):
        print(log.read_text())


def received(stub):
    """The stub's spans summed exactly as the generator's own count is laid out."""
    rows = {}
    for span in stub.spans.values():
        attributes = span.attributes
        key = (
            span.service,
            attributes["gen_ai.provider.name"],
            attributes["gen_ai.request.model"],
        )
        row = rows.setdefault(key, Counter())
        row["spans"] += 1
        row["errors"] += span.failed
        row["evaluations"] += len(span.events) if not span.failed else 0
        for field, name in FIELDS.items():
            row[field] += attributes.get(name, 0)
    return rows


def counted(tmp_path, part="counted"):
    kept = json.loads((tmp_path / "load-count.json").read_text())
    return {
        (row["service"], row["provider"], row["model"]): Counter(
            {name: row[name] for name in (*FIELDS, "spans", "errors", "evaluations")}
        )
        for row in kept[part]
    }


@pytest.fixture(scope="module")
def run(server_with_digits, tmp_path_factory):
    """Four seconds of load at a receiver that answers 503 twice before it takes anything."""
    tmp_path = tmp_path_factory.mktemp("load")
    busy = [Answer(503, {"Retry-After": "1"}) for _ in range(2)]
    with OtlpStub(first=busy) as stub:
        argv = command(server_with_digits, stub, tmp_path)
        # Sixty a second at any hour; with this seed each model is asked ten times and more.
        rate = 60 / traffic.hour_ratio(time.time())
        argv += ["--seed", "58", "--rate", str(rate), "--duration", "4", "--hosted-factor", "1"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return stub, tmp_path, done


@pytest.mark.triton
def test_what_was_counted_is_what_was_received_to_the_token(run):
    stub, tmp_path, _ = run
    assert stub.malformed == []
    assert counted(tmp_path) == counted(tmp_path, "acknowledged") == received(stub)
    assert set(stub.sightings.values()) == {1}
    kept = json.loads((tmp_path / "load-count.json").read_text())
    assert grand_total(kept["pending"])["spans"] == 0
    assert sum(one["retries"] for one in kept["delivery"].values()) == 2


@pytest.mark.triton
def test_every_model_of_the_estate_was_asked_and_answered(run):
    stub, _, _ = run
    rows = received(stub)
    assert {model for _, _, model in rows} == {
        "gpt-4o-mini",
        "gpt-4o",
        "claude-sonnet-4-5",
        "fixedcost",
        "matrix",
        "digits",
    }
    assert sum(row["errors"] for row in rows.values()) == 0


@pytest.mark.triton
def test_spans_say_whose_they_are_and_that_they_are_samples(run):
    stub, _, _ = run
    for span in stub.spans.values():
        assert span.resource["breakeven.sample"] is True
        assert span.resource["deployment.environment.name"] == "production"
        assert span.resource["telemetry.sdk.name"] == "opentelemetry"
        assert span.attributes["gen_ai.system"] == span.attributes["gen_ai.provider.name"]
        asked = span.attributes["gen_ai.request.model"]
        # The router says who answered; every other model answers for itself.
        answered = "digits_fp32" if asked == "digits" else asked
        assert span.attributes["gen_ai.response.model"] == answered
        is_hosted = span.attributes["gen_ai.provider.name"] != "triton"
        assert ("breakeven.sample.served_by" in span.attributes) == is_hosted


@pytest.mark.triton
def test_durations_are_what_the_models_take(run):
    stub, _, _ = run

    def fastest_ms(model):
        return 1000 * min(
            s.seconds for s in stub.spans.values() if s.attributes["gen_ai.request.model"] == model
        )

    assert fastest_ms("fixedcost") >= 21
    assert fastest_ms("gpt-4o-mini") >= 80
    assert fastest_ms("digits") < 21


@pytest.mark.triton
def test_digits_are_scored_against_the_truth(run):
    stub, _, _ = run
    scores = [
        event["gen_ai.evaluation.score.value"]
        for span in stub.spans.values()
        for event in span.events
        if event["name"] == "gen_ai.evaluation.result"
    ]
    reads = [s for s in stub.spans.values() if s.service == "digit-reader"]
    assert len(scores) == len(reads) > 20
    assert set(scores) <= {0.0, 1.0}
    assert sum(scores) / len(scores) > 0.85


@pytest.mark.triton
def test_kill_9_of_triton_is_errors_until_it_is_back_and_the_count_stays_exact(spawn, tmp_path):
    require("triton", triton.why_not())
    with OtlpStub() as stub:
        with triton.start(tmp_path / "triton", with_digits=False) as first:
            argv = command(first, stub, tmp_path, "--seed", "5", "--rate", "90")
            running = spawn(argv)
            wait_for(lambda: len(stub.spans) > 20)
            assert not any(span.failed for span in stub.spans.values())
            first.kill()
            wait_for(lambda: sum(s.failed for s in stub.spans.values()) > 10)
        with triton.start(tmp_path / "triton", with_digits=False) as second:
            back_at = len(stub.spans)
            wait_for(lambda: len(stub.spans) > back_at + 60)
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
            second.kill()
    failures = [s for s in stub.spans.values() if s.failed]
    assert all("gen_ai.usage.input_tokens" not in s.attributes for s in failures)
    assert all(s.attributes["error.type"] for s in failures)
    assert not any(span.failed for span in list(stub.spans.values())[-20:])
    assert counted(tmp_path) == counted(tmp_path, "acknowledged") == received(stub)


@pytest.mark.triton
def test_kill_9_of_the_generator_and_of_the_receiver_loses_nothing(server, spawn, tmp_path):
    with OtlpStub() as stub:
        argv = command(server, stub, tmp_path, "--rate", "60")
        running = spawn(argv)
        wait_for(lambda: len(stub.spans) > 30)
    # The receiver is gone; what is finished now piles up on disk.
    wait_for(lambda: len(list(tmp_path.glob("load-count.spool/*/*.otlp.gz"))) > 2)
    running.kill()
    running.wait(10)
    kept_before = stub.spans
    with OtlpStub(port=stub.port) as again:
        done = subprocess.run(
            [*argv, "--duration", "1"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    twice = set(kept_before) & set(again.spans)
    assert all(kept_before[one] == again.spans[one] for one in twice)
    again.spans.update(kept_before)
    assert counted(tmp_path) == counted(tmp_path, "acknowledged") == received(again)


def wait_for(condition, within_s=20.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_service_takes_its_own_token_before_the_common_one(tmp_path):
    (tmp_path / "common").write_text("brk_common\n")
    (tmp_path / "own").write_text("brk_own\n")
    files = [str(tmp_path / "common"), f"support-chat={tmp_path / 'own'}"]
    assert calling.token_reader(files, "support-chat")() == "brk_own"
    assert calling.token_reader(files, "code-assist")() == "brk_common"
    with pytest.raises(SystemExit, match="No token for code-assist"):
        calling.token_reader(files[1:], "code-assist")
