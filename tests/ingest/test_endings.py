"""Whether the caller waited: by the word of every kind of source."""

import pytest

from ingest import endings, store
from ingest.models import SpanDay
from ingest.privacy import ProjectKey
from ingest.rollup import roll_up
from ingest.sources import langfuse_observation
from ingest.sources.request_log import RequestLog
from tests.ingest.make import span

KEY = ProjectKey(b"i" * 8, b"k" * 32)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "known", "abandoned"),
    [
        ({}, 1, 0),
        ({"status": "error", "error_type": "asyncio.exceptions.CancelledError"}, 1, 1),
        ({"status": "error", "error_type": "client_disconnected"}, 1, 1),
        ({"status": "error", "error_type": "499"}, 1, 1),
        ({"status": "error", "error_type": "context canceled"}, 1, 1),
        # Some SDKs close what was cancelled without an error.
        ({"error_type": "GeneratorExit"}, 1, 1),
        ({"status": "error", "error_type": "RateLimitError"}, 1, 0),
        ({"status": "error", "error_type": "TimeoutError"}, 1, 0),
        # A failure of no type may have been anything.
        ({"status": "error"}, 0, 0),
        # Usage comes at the end of a stream: without it, the stream may have been cut.
        ({"output_tokens": None}, 0, 0),
        ({"ended_at": None}, 0, 0),
        ({"kind": "embedding", "output_tokens": None}, 1, 0),
    ],
)
def test_ending_is_known_and_abandoned_by_what_a_span_says(source, changes, known, abandoned):
    record = span(1, **changes)
    store.spans(source, [record])
    roll_up()
    row = SpanDay.objects.get()
    assert (row.endings_known, row.abandoned) == (known, abandoned)
    said = endings.is_known(
        error_type=record.error_type,
        status=record.status,
        has_end=record.ended_at is not None,
        kind=record.kind,
        output_tokens=record.output_tokens,
    )
    assert (said, endings.is_abandoned(record.error_type)) == (bool(known), bool(abandoned))
    assert row.errors == (record.status == "error"), "an abandoned request is counted as before"


@pytest.mark.parametrize(
    ("message", "error_type"),
    [
        ("context canceled", "client_disconnected"),
        ("The request was aborted.", "client_disconnected"),
        ("Stream closed by the client after 12 chunks", "client_disconnected"),
        ("CancelledError: task was cancelled", "CancelledError"),
        ("Error: Request aborted by user", "client_disconnected"),
        ("RateLimitError: too many requests", "RateLimitError"),
        # A message that quotes a prompt says nothing of how it ended.
        ("ValueError: " + "tell me what context canceled means. " * 20, "ValueError"),
        (None, ""),
    ],
)
def test_langfuse_message_tells_who_left(message, error_type):
    found = langfuse_observation.span(
        {
            "id": "o1",
            "traceId": "t1",
            "type": "GENERATION",
            "startTime": "2026-11-10T12:00:00Z",
            "level": "ERROR",
            "statusMessage": message,
        },
        key=KEY,
        keeps_text=False,
    )
    assert (found.status, found.error_type) == ("error", error_type)


@pytest.mark.parametrize(
    ("code", "status", "error_type"),
    [
        ("200", "ok", ""),
        ("499", "error", "499"),
        ("500", "error", ""),
        ("cancelled", "error", "cancelled"),
    ],
)
def test_http_499_of_a_request_log_is_abandoned(tmp_path, code, status, error_type):
    log = tmp_path / "log.csv"
    log.write_text(f"at,in,out,code\n2026-11-10T12:00:00Z,5,3,{code}\n")
    columns = {
        "started_at": "at", "input_tokens": "in", "output_tokens": "out", "status": "code",
    }  # fmt: skip
    [found] = RequestLog().read(log, {"columns": columns})
    assert (found.status, found.error_type) == (status, error_type)
