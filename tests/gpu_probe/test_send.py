import gzip
import json
import socket
import time
from email.utils import formatdate

import pytest

from gpu_probe.send import Outcome, Sender, TokenError, endpoint
from gpu_probe.wire import decode
from tests.gpu_probe.conftest import COUNTS, TOKEN, make_batch

NOW = 1_750_000_000.0


@pytest.fixture
def make_sender(server, tmp_path):
    made = []

    def make(url=None, token=lambda: TOKEN, jitter=1.0, **more):
        if made:  # a restart: the spool is one probe's
            made.pop().close()
        sender = Sender(
            url or server.url,
            token,
            tmp_path / "spool",
            timeout_s=more.pop("timeout_s", 5.0),
            clock=lambda: NOW,
            jitter=lambda: jitter,
            max_spool_age_s=1e12,
            **more,
        )
        made.append(sender)
        return sender

    yield make
    for sender in made:
        sender.close()


@pytest.fixture
def sender(make_sender):
    return make_sender()


def test_a_batch_is_pushed_compressed_with_the_token(sender, server):
    sender.keep(make_batch())
    assert sender.send_next().outcome is Outcome.SENT
    ((path, headers, body),) = server.seen
    assert path == "/v1/gpu-samples"
    assert {
        name: headers[name] for name in ("Authorization", "Content-Type", "Content-Encoding")
    } == {
        "Authorization": "Bearer probe-token-1",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }
    assert decode(gzip.decompress(body)) == make_batch()
    assert sender.spool.waiting_count == 0
    assert sender.send_next().outcome is Outcome.EMPTY


def test_a_backlog_is_drained_in_order_after_an_outage(sender, server):
    server.will_answer(503, "starting")
    for sequence in range(4):
        sender.keep(make_batch(sequence))
    failed = sender.drain()
    assert (failed.outcome, sender.spool.waiting_count) == (Outcome.FAILED, 4)
    assert failed.reason == f"{server.url}/v1/gpu-samples answers 503: starting"
    assert sender.drain().outcome is Outcome.EMPTY
    assert server.sequences == [0, 0, 1, 2, 3]


def test_a_batch_sent_again_is_the_same_bytes(make_sender, server):
    server.will_answer(500)
    first = make_sender()
    first.keep(make_batch(7))
    first.send_next()
    make_sender().send_next()
    (_, _, once), (_, _, again) = server.seen
    assert once == again


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [
        ("30", 30),
        ("0", 0),
        (formatdate(NOW + 45, usegmt=True), 45),
        (formatdate(NOW - 45, usegmt=True), 0),
        ("31536000", 3600),  # a year is taken for a mistake
        ("soon", 1),  # not understood: the ordinary first wait
        ("-5", 1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(make_sender, server, status, retry_after, wait_s):
    server.will_answer(status, Retry_After=retry_after)
    sender = make_sender(jitter=0.0 if wait_s != 1 else 1.0)
    sender.keep(make_batch())
    assert sender.send_next().wait_s == wait_s


def test_a_retry_date_is_utc_wherever_the_host_stands(sender, server, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        server.will_answer(503, Retry_After="Sun, 15 Jun 2025 15:06:55 -0000")
        sender.keep(make_batch())
        assert sender.send_next().wait_s == pytest.approx(15 * 1.1)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_waits_grow_to_a_limit_and_start_anew_after_success(sender, server):
    sender.keep(make_batch())
    for _ in range(11):
        server.will_answer(502)
    assert [sender.send_next().wait_s for _ in range(11)] == [
        *(1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300),
    ]
    assert sender.send_next().outcome is Outcome.SENT
    server.will_answer(502)
    sender.keep(make_batch(1))
    assert sender.send_next().wait_s == 1


def test_waits_are_spread_over_half_their_length(make_sender, server):
    server.will_answer(502)
    sender = make_sender(jitter=0.0)
    sender.keep(make_batch())
    assert sender.send_next().wait_s == 0.5


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_batch_is_set_aside_with_the_answer_and_the_next_follows(
    sender, server, caplog, status
):
    server.will_answer(status, json.dumps({"detail": "readings[0].power_w: must be finite"}))
    sender.keep(make_batch(0))
    sender.keep(make_batch(1))
    assert sender.drain().outcome is Outcome.EMPTY
    assert server.sequences == [0, 1]
    assert set_aside(sender) == {
        "000000000000001.answer.txt": (
            f'HTTP {status}: {{"detail": "readings[0].power_w: must be finite"}}\n'
        ),
        "000000000000001.json.gz": make_batch(0),
    }
    assert f"the server refused a batch (HTTP {status}" in caplog.text
    assert sender.spool.retry_rejected() == 1
    assert sender.drain().outcome is Outcome.EMPTY
    assert server.sequences == [0, 1, 0]


def set_aside(sender):
    """What lies in rejected/, the batches decoded."""
    directory = sender.spool.directory / "rejected"
    return {
        path.name: decode(gzip.decompress(path.read_bytes()))
        if path.suffix == ".gz"
        else path.read_text()
        for path in directory.iterdir()
    }


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_holds_everything_back_in_its_order(sender, server, status):
    server.will_answer(status, "token revoked")
    for sequence in range(3):
        sender.keep(make_batch(sequence))
    step = sender.drain()
    assert (step.outcome, step.reason, step.wait_s) == (
        Outcome.TOKEN_REFUSED,
        f"HTTP {status}: token revoked",
        60,
    )
    assert (sender.spool.waiting_count, sender.spool.rejected_count) == (3, 0)
    assert (server.sequences, sender.is_token_refused) == ([0], True)
    assert sender.drain().outcome is Outcome.EMPTY
    assert (server.sequences, sender.is_token_refused) == ([0, 0, 1, 2], False)


@pytest.mark.parametrize("answer", ["<html>Please sign in</html>", "[]", "", "true"])
def test_a_200_that_is_no_json_object_is_no_acknowledgement(sender, server, answer):
    server.will_answer(200, answer)
    sender.keep(make_batch())
    step = sender.send_next()
    assert (step.outcome, step.reason) == (
        Outcome.FAILED,
        f"{server.url}/v1/gpu-samples answers 200 but no JSON object;"
        " is --url Breakeven's address?",
    )
    assert sender.spool.waiting_count == 1


def test_an_answer_cut_short_is_no_acknowledgement(sender, server):
    server.will_answer(200, '{"inserted": 2', Content_Length="400")
    sender.keep(make_batch())
    assert sender.send_next().outcome is Outcome.FAILED
    assert sender.spool.waiting_count == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_neither_followed_nor_taken_for_an_acknowledgement(sender, server, status):
    server.will_answer(status, Location=f"{server.url}/elsewhere")
    sender.keep(make_batch())
    assert sender.send_next().outcome is Outcome.FAILED
    assert [path for path, _, _ in server.seen] == ["/v1/gpu-samples"]
    assert sender.spool.waiting_count == 1


def test_a_server_too_slow_to_answer_gets_the_batch_again(make_sender, server):
    server.will_answer(200, json.dumps(COUNTS), wait_s=5)
    sender = make_sender(timeout_s=0.2)
    sender.keep(make_batch())
    step = sender.send_next()
    assert (step.outcome, step.reason) == (
        Outcome.FAILED,
        f"no answer from {server.url}/v1/gpu-samples (timed out)",
    )
    assert sender.send_next().outcome is Outcome.SENT
    assert server.sequences == [0, 0]


def test_without_a_server_batches_wait_on_disk(make_sender):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sender = make_sender(f"http://127.0.0.1:{unused.getsockname()[1]}")
        sender.keep(make_batch())
        step = sender.send_next()
    assert step.outcome is Outcome.FAILED
    assert "Connection refused" in step.reason
    assert sender.spool.waiting_count == 1


def test_a_new_token_is_used_without_a_restart(make_sender, server):
    tokens = iter(["old", "new"])
    sender = make_sender(token=lambda: next(tokens))
    server.will_answer(503)
    sender.keep(make_batch())
    sender.send_next()
    sender.send_next()
    assert [headers["Authorization"] for _, headers, _ in server.seen] == [
        "Bearer old",
        "Bearer new",
    ]


def test_without_a_token_nothing_is_sent_and_nothing_is_lost(make_sender, server):
    def no_token():
        raise TokenError("The token file /run/token cannot be read.")

    sender = make_sender(token=no_token)
    sender.keep(make_batch())
    step = sender.send_next()
    assert (step.outcome, step.reason) == (
        Outcome.FAILED,
        "The token file /run/token cannot be read.",
    )
    assert (server.seen, sender.spool.waiting_count) == ([], 1)


def test_a_batch_that_somebody_deleted_is_said_and_the_next_goes(sender, server, caplog):
    sender.keep(make_batch(0))
    sender.keep(make_batch(1))
    sender.spool.oldest().path.unlink()
    assert sender.drain().outcome is Outcome.EMPTY
    assert server.sequences == [1]
    assert "was deleted by somebody else" in caplog.text


def test_the_token_is_never_logged(sender, server, caplog):
    caplog.set_level(0)
    server.will_answer(401, "who?")
    server.will_answer(500)
    for sequence in range(2):
        sender.keep(make_batch(sequence))
        sender.send_next()
    assert "who?" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("https://breakeven.example.com", "https://breakeven.example.com/v1/gpu-samples"),
        ("http://10.0.0.7:8000/", "http://10.0.0.7:8000/v1/gpu-samples"),
        ("https://example.com/finops/", "https://example.com/finops/v1/gpu-samples"),
        ("https://example.com/v1/gpu-samples", "https://example.com/v1/gpu-samples"),
        ("http://[::1]:8000", "http://[::1]:8000/v1/gpu-samples"),
    ],
)
def test_the_address_may_be_the_servers_or_the_full_one(url, full):
    assert endpoint(url) == full


@pytest.mark.parametrize(
    "url",
    [
        "breakeven.example.com",
        "file:///etc/passwd",
        "https://",
        "https://example.com:port",
        "https://user:secret@example.com",
        "https://example.com/?token=secret",
        f"https://{'a' * 64}.example.com",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_a_secret(url):
    with pytest.raises(ValueError, match=r"is no web address|holds more than an address") as caught:
        endpoint(url)
    assert "secret" not in str(caught.value)
