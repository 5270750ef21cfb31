"""Langfuse's own ingestion, spoken as its SDKs speak it."""

import base64
import copy
import gzip
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections
from django.db.models import Sum
from django.test import Client

from ingest import privacy, rollup, store
from ingest.models import Reject, Score, Span, SpanHour, ToldPart
from tests.factories.ingest import ProjectFactory, SourceFactory, push_token
from tests.ingest.sources.otlp_body import START, body

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ingest.urls")]

TRACE = "11111111-2222-4333-8444-555555555555"
CHAT = "aaaaaaaa-0000-4000-8000-000000000001"
ROOT = "aaaaaaaa-0000-4000-8000-000000000002"
SECRET = "My mother's maiden name is Rumpelstilzchen, what is my password?"


@pytest.fixture
def source():
    return SourceFactory()


@pytest.fixture
def send(source):
    """Posts JSON as an SDK does: the public key as user, a push token as the secret."""
    token = push_token(source)

    def post(told, path="/api/public/ingestion", secret=token, **headers):
        credentials = base64.b64encode(f"{secret[:20]}:{secret}".encode()).decode()
        return Client().post(
            path,
            told if isinstance(told, bytes) else json.dumps(told),
            content_type="application/json",
            headers={"Authorization": f"Basic {credentials}", **headers},
        )

    return post


def at(seconds: float) -> str:
    moment = START + timedelta(seconds=seconds)
    return moment.isoformat().replace("+00:00", "Z")


def event(number, kind, **told):
    return {"id": f"event-{number}", "type": kind, "timestamp": at(number), "body": told}


def generation():
    """What SDK 2.60 sends for one streamed generation in a trace, part by part."""
    return [
        event(1, "trace-create", id=TRACE, name="answer", timestamp=at(0), input=SECRET),
        event(2, "span-create", id=ROOT, traceId=TRACE, name="answer", startTime=at(0)),
        event(3, "generation-create", id=CHAT, traceId=TRACE, parentObservationId=ROOT,
              name="chat", startTime=at(0.5), model="gpt-4o-mini", input=SECRET,
              modelParameters={"temperature": "0.1", "service_tier": "flex"},
              metadata={"ls_provider": "openai", "arm": "b", "question": SECRET}),
        event(4, "generation-update", id=CHAT, traceId=TRACE, completionStartTime=at(0.62)),
        event(5, "generation-update", id=CHAT, traceId=TRACE, output="done", endTime=at(1.5),
              usageDetails={"input": 11, "input_cached_tokens": 100, "output": 7, "total": 118},
              costDetails={"input": 0.001, "output": 0.002}),
        event(6, "span-update", id=ROOT, traceId=TRACE, endTime=at(2)),
        event(7, "trace-create", id=TRACE, userId="ann", sessionId="s1", tags=["a"],
              release="r1", output="done"),
    ]  # fmt: skip


def stored(name):
    return Span.objects.get(span_id=name)


FACTS = [field.name for field in Span._meta.concrete_fields if field.name != "received_at"]


def facts():
    return list(Span.objects.order_by("key").values(*FACTS))


# ---- merging


def test_generation_is_put_together_from_its_parts(send, source):
    response = send({"batch": generation()})

    assert response.status_code == 207
    assert response.json() == {
        "successes": [{"id": f"event-{number}", "status": 201} for number in range(1, 8)],
        "errors": [],
    }
    chat = stored(CHAT)
    assert (chat.trace_id, chat.parent_span_id, chat.kind) == (TRACE, ROOT, "llm")
    assert (chat.provider, chat.model, chat.tier) == ("openai", "gpt-4o-mini", "flex")
    assert (chat.input_tokens, chat.cache_read_tokens, chat.output_tokens) == (11, 100, 7)
    assert chat.usage_convention == "exclusive"
    assert chat.source_cost_usd == Decimal("0.003")
    assert (chat.ttft_ms, chat.latency_ms) == (120, 1000)
    assert (chat.user_id, chat.session_id) == ("ann", "s1")
    assert chat.prompt_hash == privacy.fingerprint(SECRET, privacy.project_key(source.project_id))
    assert (chat.input_chars, chat.output_chars) == (len(SECRET), 4)
    assert chat.attributes == {
        "langfuse.release": "r1",
        "langfuse.trace.name": "answer",
        "langfuse.trace.tags": ["a"],
        "langfuse.observation.metadata.arm": "b",
        "langfuse.observation.metadata.ls_provider": "openai",
    }
    root = stored(ROOT)
    assert (root.kind, root.latency_ms, root.user_id) == ("span", 2000, "ann")
    assert root.input_tokens is None


@pytest.mark.parametrize("seed", range(6))
def test_order_requests_and_replays_make_no_difference(send, seed):
    send({"batch": generation()})
    expected = facts()
    Span.objects.all().delete()
    ToldPart.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE ingest_span_key")

    dice = random.Random(seed)
    events = generation() * 2
    dice.shuffle(events)
    while events:
        size = dice.randint(1, 4)
        assert send({"batch": events[:size]}).json()["errors"] == []
        events = events[size:]

    assert [{**span, "key": None, "day": None} for span in facts()] == [
        {**span, "key": None, "day": None} for span in expected
    ]


def test_trace_that_comes_later_reaches_what_is_stored_and_summed(send, source):
    *before, trace = generation()
    send({"batch": before})
    rollup.roll_up()
    assert stored(CHAT).user_id == ""

    send({"batch": [trace]})

    assert {span.user_id for span in Span.objects.all()} == {"ann"}
    rollup.roll_up()
    [sums] = SpanHour.objects.filter(project_id=source.project_id, kind="llm")
    assert (sums.spans, sums.input_tokens, sums.output_tokens) == (1, 11, 7)


def test_update_waits_for_its_beginning(send):
    beginning, update = generation()[2], generation()[4]
    assert send({"batch": [update]}).json()["errors"] == []
    assert Span.objects.count() == 0

    send({"batch": [beginning]})

    assert (stored(CHAT).input_tokens, stored(CHAT).latency_ms) == (11, 1000)


def test_update_without_its_trace_finds_it(send):
    update = generation()[4]
    del update["body"]["traceId"]

    send({"batch": [update]})
    send({"batch": [*generation()[:3], generation()[6]]})

    assert (stored(CHAT).trace_id, stored(CHAT).input_tokens) == (TRACE, 11)
    late = {**event(9, "generation-update", id=CHAT, usageDetails={"input": 12, "output": 8})}
    send({"batch": [late]})
    assert (stored(CHAT).input_tokens, stored(CHAT).user_id) == (12, "ann")


def test_parts_of_a_trace_may_come_by_two_sources_of_a_project(send, source):
    other = push_token(SourceFactory(project=source.project))

    send({"batch": generation()[:3]}, secret=other)
    send({"batch": generation()[3:]})

    assert (stored(CHAT).input_tokens, stored(CHAT).user_id) == (11, "ann")


def test_same_ids_in_two_projects_are_two_things(send):
    send({"batch": generation()})
    send({"batch": generation()[:3]}, secret=push_token(SourceFactory()))

    assert sorted(Span.objects.filter(span_id=CHAT).values_list("user_id", flat=True)) == [
        "", "ann",
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_parts_sent_at_once_by_many_are_all_there(source):
    key = privacy.project_key(source.project_id)
    events = [
        copy.deepcopy(one) | {"id": f"{one['id']}-{number}"}
        for number in range(8)
        for one in generation()
    ]
    for number, one in enumerate(events):
        for name in ("id", "traceId", "parentObservationId"):
            if name in one["body"]:
                one["body"][name] += f"-{number // 7 % 2}"
    random.Random(1).shuffle(events)

    def push(some):
        from functools import partial

        from ingest.sources import langfuse_ingestion as langfuse

        try:
            batch = langfuse.decode(json.dumps({"batch": some}).encode(), key=key, keeps_text=False)
            whole = partial(langfuse.whole, key=key)
            return store.parts.take(source, batch.parts, batch.rejects, whole).problems
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(push, [events[n::8] for n in range(8)])) == [{}] * 8

    assert Span.objects.count() == 4
    assert set(Span.objects.values_list("user_id", flat=True)) == {"ann"}
    total = Span.objects.aggregate(input=Sum("input_tokens"), output=Sum("output_tokens"))
    assert total == {"input": 22, "output": 14}


def test_third_sdk_says_the_user_at_one_span_of_the_trace_only(send, source):
    def push(*spans):
        import opentelemetry.proto.collector.trace.v1.trace_service_pb2 as wire

        request = wire.ExportTraceServiceRequest.FromString(body(*spans))
        request.resource_spans[0].scope_spans[0].scope.name = "langfuse-sdk"
        response = Client().post(
            "/api/public/otel/v1/traces",
            request.SerializeToString(),
            content_type="application/x-protobuf",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert response.status_code == 200

    token = push_token(source)
    trace = {"_trace_id": b"t" * 16}
    chat = {**trace, "_span_id": b"1" * 8, "langfuse.observation.type": "generation"}
    root = {**trace, "_span_id": b"2" * 8, "user.id": "ann", "session.id": "s1"}
    late = {**trace, "_span_id": b"3" * 8, "langfuse.observation.type": "generation"}

    push(chat)
    rollup.roll_up()
    push(root)
    push(late)
    push(chat)

    assert set(Span.objects.values_list("user_id", "session_id")) == {("ann", "s1")}
    assert Span.objects.count() == 3


# ---- what cannot be taken


def test_bad_events_cost_only_themselves(send):
    bad = [
        event(20, "generation-create", id="x", startTime="soon"),
        event(21, "generation-create", id="y", usageDetails={"input": -1}),
        event(22, "poem-create", id="z"),
        event(23, "generation-update", traceId=TRACE),
        event(24, "score-create", traceId=TRACE, name="s", value=None),
        {"id": "event-25", "type": "span-create", "timestamp": "never", "body": {}},
        {"id": "event-26", "type": "span-create", "timestamp": at(1), "body": []},
        event(27, "generation-create", id="e", startTime=at(9), endTime=at(1)),
        event(28, "sdk-log", log="hello"),
    ]

    answer = send({"batch": [*bad, *generation()]}).json()

    assert [error["id"] for error in answer["errors"]] == [f"event-{n}" for n in range(20, 28)]
    assert {error["status"] for error in answer["errors"]} == {400}
    assert answer["errors"][0]["message"] == (
        "startTime: Must be a time such as 2026-05-01T12:00:00.000Z."
    )
    assert answer["errors"][7]["message"] == "Ends before it starts."
    assert len(answer["successes"]) == 8
    assert Span.objects.count() == 2
    assert Reject.objects.count() == 8


@pytest.mark.parametrize(
    ("told", "status", "message"),
    [
        (b"{", 400, "The body is no JSON, or it was cut off; send it again whole."),
        (b"\xff", 400, "The body is no UTF-8; send JSON in UTF-8."),
        (b"[]", 400, 'The body must be {"batch": [\u2026]}, as the Langfuse SDKs send it.'),
        (b"[" * 100_000, 400, "The body is nested too deeply; send at most 64 levels."),
        (
            b'{"a":' * 70 + b"1" + b"}" * 70,
            400,
            "The body is nested too deeply; send at most 64 levels.",
        ),
    ],
)
def test_body_that_cannot_be_read_is_told_why(send, told, status, message):
    response = send(told)

    assert (response.status_code, response.json()["message"]) == (status, message)


def test_hostile_values_are_answered_and_never_break_the_server(send):
    odd = ["\0", "\ud800", 1e400, 10**400, [[]], {"": {}}, True, -1, "x" * 300, None, "NaN"]
    names = (
        "id", "traceId", "name", "startTime", "endTime", "model", "usage", "usageDetails",
        "costDetails", "metadata", "modelParameters", "input", "level", "tags", "userId",
        "statusMessage", "completionStartTime", "value", "dataType", "promptVersion",
    )  # fmt: skip
    batch = [
        event(number, kind, **{"id": f"i{number}", "startTime": at(0), name: value})
        for number, (kind, name, value) in enumerate(
            (kind, name, value)
            for kind in ("trace-create", "generation-create", "observation-update", "score-create")
            for name in names
            for value in odd
        )
    ]

    answer = send({"batch": batch})

    assert answer.status_code == 207
    told = answer.json()
    assert len(told["successes"]) + len(told["errors"]) == len(batch)
    assert send({"batch": batch}).status_code == 207


def test_no_prompt_text_is_stored_anywhere(send):
    told = {"input": SECRET, "output": {"content": SECRET}, "metadata": {"note": SECRET}}
    batch = [
        event(1, "trace-create", id=TRACE, tags=[SECRET], **told),
        event(2, "generation-create", id=CHAT, traceId=TRACE, level="ERROR",
              statusMessage=f"ValueError: {SECRET}", usage={"unit": SECRET}, **told),
        event(3, "generation-update", id="waits", usageDetails={"input": -1}, **told),
        event(4, "generation-update", id="waits", **told),
    ]  # fmt: skip

    send({"batch": batch})

    with connection.cursor() as cursor:
        for table in ("ingest_span", "ingest_told_part", "ingest_reject", "ingest_span_text"):
            cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%Rumpelst%'")
            assert cursor.fetchone() == (0,), table
    assert stored(CHAT).error_type == "ValueError"


def test_text_is_kept_where_the_project_keeps_text(send):
    keeping = SourceFactory(project=ProjectFactory(keeps_text=True))

    send({"batch": generation()}, secret=push_token(keeping))

    with connection.cursor() as cursor:
        cursor.execute("SELECT texts FROM ingest_span_text")
        [(texts,)] = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM ingest_told_part t WHERE t::text LIKE '%Rumpelst%'")
        assert cursor.fetchone() == (0,)
    assert json.loads(texts) == {
        "langfuse.observation.input": SECRET,
        "langfuse.observation.output": "done",
    }


def test_what_never_began_is_quarantined_after_a_week(send):
    send({"batch": [*generation()[:3], event(9, "generation-update", id="lost", name="x")]})
    now = datetime.now(UTC)

    assert store.parts.forget(now + timedelta(days=6)) == 0
    assert store.parts.forget(now + timedelta(days=8)) == 4

    assert [(reject.reason, reject.external_id) for reject in Reject.objects.all()] == [
        ("never_began", "/lost")
    ]
    assert ToldPart.objects.count() == 0


# ---- scores, keys, health


def test_scores_come_in_a_batch_alone_or_as_an_array(send):
    number = {"id": "n", "traceId": TRACE, "name": "quality", "value": 0.9}
    label = {"id": "l", "traceId": TRACE, "observationId": CHAT, "name": "tone",
             "value": "good", "dataType": "CATEGORICAL", "timestamp": at(0)}  # fmt: skip
    truth = {"id": "t", "traceId": TRACE, "name": "ok", "value": 1, "dataType": "BOOLEAN"}

    assert send({"batch": [event(1, "score-create", **number)]}).json()["errors"] == []
    single = send(label, path="/api/public/scores")
    assert (single.status_code, single.json()) == (200, {"id": "l"})
    array = send([truth, label], path="/api/public/scores")
    assert (array.status_code, array.json()) == (202, {"message": "Accepted"})

    assert {score.name: score.number or score.label or score.truth for score in
            Score.objects.all()} == {"quality": 0.9, "tone": "good", "ok": True}  # fmt: skip
    assert Score.objects.get(name="tone").span_id == CHAT


def test_bad_scores_are_told_and_leave_the_others_alone(send):
    good = {"traceId": TRACE, "name": "quality", "value": 0.9, "timestamp": at(0)}
    bad = {"name": "quality", "value": 0.9}

    response = send([good, bad], path="/api/public/scores")

    assert response.status_code == 207
    assert (response.json()["accepted"], response.json()["rejected"]) == (1, 1)
    assert "belongs to no trace" in response.json()["errors"][0]["message"]
    assert send(bad, path="/api/public/scores").status_code == 400
    assert send(3, path="/api/public/scores").status_code == 400
    send(good, path="/api/public/scores")
    assert Score.objects.count() == 1  # without an id the same words are the same score


def test_project_of_a_key_is_told_and_a_bad_key_is_refused(source):
    def ask(secret):
        basic = base64.b64encode(f"brk:{secret}".encode()).decode()
        return Client().get("/api/public/projects", headers={"Authorization": f"Basic {basic}"})

    [told] = ask(push_token(source)).json()["data"]
    assert (told["id"], told["name"]) == (source.project.slug, source.project.name)
    assert ask("sk-lf-1").status_code == 401
    assert ask(push_token(source, "gpu:write")).status_code == 403
    assert "push token" in ask("sk-lf-1").json()["message"]


def test_health_needs_no_key(client):
    assert client.get("/api/public/health").json() == {"status": "OK", "version": "3.0.0"}


# ---- what real frameworks sent


def usage_of(told):
    """Its counts; one export has them under other names."""
    if told.get("inputUsage") is not None and "usageDetails" not in told:
        return {"input": told["inputUsage"], "output": told["outputUsage"]}
    return told.get("usageDetails") or {}


def events_of(recorded):
    """An export of Langfuse, told again part by part as its SDK would."""
    trace = recorded["trace"]
    yield event(0, "trace-create", id=trace["id"], timestamp=trace["timestamp"])
    for number, told in enumerate(recorded["observations"], start=1):
        later = ("endTime", "output", "usageDetails", "costDetails", "completionStartTime")
        first = {name: value for name, value in told.items() if name not in later}
        kind = told["type"].lower()
        told = {**told, "usageDetails": usage_of(told)}
        yield event(number * 2, f"{kind}-create", **first)
        last = {name: told[name] for name in later if told.get(name) is not None}
        yield event(number * 2 + 1, f"{kind}-update", id=told["id"], **last)
    about = {name: trace[name] for name in ("name", "userId", "sessionId", "tags", "release")}
    yield event(9999, "trace-create", id=trace["id"], **about)


@pytest.mark.parametrize("seed", [0, 7])
def test_recorded_traces_go_through_to_the_token(send, shared, seed):
    dice, observations = random.Random(seed), {}
    with gzip.open(shared("formats/langfuse_traces.jsonl.gz"), "rt") as file:
        recordings = [json.loads(line) for line in file]
    for recorded in recordings:
        events = list(events_of(recorded))
        dice.shuffle(events)
        for some in (events[::2], events[1::2], events[:3]):
            assert send({"batch": some}).json()["errors"] == []
        observations |= {told["id"]: usage_of(told) for told in recorded["observations"]}
        said = recorded["trace"]
        spans = {span.span_id: span for span in Span.objects.filter(trace_id=said["id"])}
        assert len(spans) == len(recorded["observations"])
        for told in recorded["observations"]:
            span, usage = spans[told["id"]], usage_of(told)
            assert (span.model, span.user_id, span.session_id) == (
                told.get("model") or "", said["userId"] or "", said["sessionId"] or "",
            )  # fmt: skip
            assert (span.input_tokens, span.output_tokens) == (
                usage.get("input"), usage.get("output"),
            )  # fmt: skip
            assert span.prompt_hash is not None or not told.get("input")
            assert (span.ended_at is None) == (told.get("endTime") is None)
    # Two frameworks' recordings are of one trace each time, so it is stored once.
    assert Span.objects.count() == len(observations) == 65
    total = Span.objects.aggregate(input=Sum("input_tokens"), output=Sum("output_tokens"))
    assert total == {
        name: sum(usage.get(name, 0) for usage in observations.values()) for name in total
    }
    assert Reject.objects.count() == 0
