"""A prompt planted in every kind of row that cannot be taken is in no byte of the database.

Payloads are opened with the key first: what is encrypted must not hold it either. After seven days
all of it is gone.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from gpu_probe import wire
from ingest import encryption, files, store, tasks
from ingest.models import Reject
from ingest.records import ScoreRecord
from ingest.sources import langfuse_observation
from ingest.sources.langfuse_fields import BadRow
from tests.factories.ingest import PoolFactory, SourceFactory, push_token
from tests.ingest.make import NOON, metric, span
from tests.ingest.sources.otlp_body import body

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ingest.urls")]

CANARY = "Rumpelstilzchen"
PROMPT = f"Tell me, dear {CANARY}, what is the name of the king's daughter?"
TEXTS = {
    "gen_ai.input.messages": json.dumps([{"role": "user", "content": PROMPT}]),
    "gen_ai.output.messages": CANARY,
    "gen_ai.prompt.0.content": CANARY,
    "acme.unheard_of": PROMPT,
    PROMPT: "a name that is a text",
}


def post(source, path, told, content_type="application/json"):
    """To a door of the source, with a token of its own."""
    scope = "gpu:write" if source.kind == "gpu" else "traces:write"
    payload = told if isinstance(told, bytes) else json.dumps(told).encode()
    answer = Client().post(
        path,
        payload,
        content_type,
        headers={"Authorization": f"Bearer {push_token(source, scope)}"},
    )
    assert answer.status_code < 500
    return answer


def otlp(source, _):
    bad = {**TEXTS, "gen_ai.usage.output_tokens": -1}
    events = [("gen_ai.content.prompt", 1, {"gen_ai.prompt": PROMPT, "note": PROMPT})]
    text_for_a_count = {"gen_ai.usage.input_tokens": PROMPT}
    post(
        source, "/v1/traces", body({**bad, "_events": events}, text_for_a_count),
        "application/x-protobuf",
    )  # fmt: skip


def otlp_that_cannot_be_true(source, _):
    late = {**TEXTS, "_end_ns": 2**64 - 1}
    post(source, "/v1/traces", body(late), "application/x-protobuf")


def otlp_json(source, _):
    pair = {"key": "gen_ai.input.messages", "value": {"stringValue": PROMPT}}
    wrong = {"key": "note", "value": {"intValue": PROMPT}}
    told = {"traceId": "11" * 16, "spanId": PROMPT, "attributes": [pair, wrong], "name": "chat"}
    post(source, "/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [told]}]}]})


def langfuse_events(source, _):
    texts = {"input": [{"role": "user", "content": PROMPT}], "output": CANARY}
    more = {"metadata": {"question": PROMPT, "deep": [{"note": PROMPT}]}, "statusMessage": PROMPT}
    told = {"id": "o1", "traceId": "t1", **texts, **more}
    events = [
        {"id": "e1", "type": "robot-create", "timestamp": "2026-11-10T12:00:00Z", "body": told},
        {"id": "e2", "type": "span-create", "timestamp": PROMPT, "body": told},
        {"id": "e3", "type": "span-create", "timestamp": "2026-11-10T12:00:00Z",
         "body": {**told, "startTime": "1999-01-01T00:00:00Z"}},
        {"id": "e4", "type": "span-create", "timestamp": "2026-11-10T12:00:00Z", "body": PROMPT},
        {"id": "e5", "type": "generation-create", "timestamp": "2026-11-10T12:00:00Z",
         "body": {**told, "usage": {"input": PROMPT}}},
        PROMPT,
    ]  # fmt: skip
    post(source, "/api/public/ingestion", {"batch": events})


def langfuse_scores(source, _):
    told = {"id": "s1", "traceId": "t1", "name": "said", "value": PROMPT, "comment": PROMPT}
    post(source, "/api/public/scores", [told, {**told, "value": 1, "traceId": None}, PROMPT])


def langfuse_rows_that_were_pulled(source, _):
    row = {"id": "o1", "traceId": "t1", "input": PROMPT, "output": {"x": [PROMPT]}, "name": PROMPT}
    bad = BadRow("bad_time", "startTime", "No.")
    made = langfuse_observation.reject(row, bad, langfuse_observation.OBSERVATION)
    store.spans(source, [], [made])


def records(source, _):
    texts = {"gen_ai.input.messages": PROMPT}
    store.spans(source, [span(1, input_tokens=-1, texts=texts, attributes={"note": PROMPT})])
    store.scores(source, [ScoreRecord("s1", "t1", "", NOON, label=PROMPT)])


def gpu_batch(_, gpus):
    ahead = timezone.now().timestamp() + 600
    reading = wire.GpuReading(uuid="GPU-1", index=0, name="H100", at=ahead)
    batch = wire.Batch(
        host="host-1", pool="h100", probe_version="1.0", driver_version="550", boot_id="b",
        sequence=1, simulated=False, readings=(reading,),
    )  # fmt: skip
    post(gpus, "/v1/gpu-samples", wire.encode(batch))
    post(gpus, "/v1/gpu-samples", {"host": PROMPT})


def series(_, gpus):
    store.metrics(gpus, [metric("up", 1.0, NOON.replace(year=1999), prompt=PROMPT)])


def request_log(_, __, folder):
    source = SourceFactory(
        kind="request_log",
        config={"columns": {"started_at": "at", "input_tokens": "in", "reply": "reply"}},
    )
    path = folder / "log.csv"
    path.write_text(f'at,in,reply,prompt,note\n2026-11-10,-1,"{PROMPT}","{CANARY}","{PROMPT}"\n')
    files.take(source, path, name="log.csv")


KINDS = (
    otlp, otlp_that_cannot_be_true, otlp_json, langfuse_events, langfuse_scores,
    langfuse_rows_that_were_pulled, records, gpu_batch, series, request_log,
)  # fmt: skip


def everything() -> str:
    """Every row of every table as text, and what is encrypted opened with the key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = current_schema()::regnamespace"
        )
        rows = []
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            rows += [row for (row,) in cursor.fetchall()]
    for kept in Reject.objects.exclude(payload=b""):
        rows.append(encryption.decrypt(kept.payload).decode("utf-8", "replace"))
    return "\n".join(rows)


@pytest.mark.parametrize("plant", KINDS, ids=lambda plant: plant.__name__)
def test_prompt_of_a_refused_row_is_nowhere(plant, tmp_path):
    source, gpus = SourceFactory(), SourceFactory(kind="gpu", pool=PoolFactory(name="h100"))
    (partial(plant, folder=tmp_path) if plant is request_log else plant)(source, gpus)

    assert Reject.objects.exists()
    told = everything()
    assert CANARY not in told
    # Bytes come out of the database in hex.
    assert CANARY.encode().hex() not in told


def test_what_is_kept_is_encrypted(tmp_path):
    source = SourceFactory()
    otlp(source, None)
    [kept, *_] = Reject.objects.exclude(payload=b"")
    assert b"gen_ai" not in bytes(kept.payload)
    assert b"gen_ai" in encryption.decrypt(kept.payload)


def test_after_seven_days_it_is_gone_and_not_before():
    source = SourceFactory()
    otlp(source, None)
    now = timezone.now()
    first, second = Reject.objects.order_by("pk")
    Reject.objects.filter(pk=first.pk).update(received_at=now - timedelta(days=7, minutes=1))
    Reject.objects.filter(pk=second.pk).update(received_at=now - timedelta(days=6, hours=23))
    tasks.keep_house()
    assert list(Reject.objects.values_list("pk", flat=True)) == [second.pk]
