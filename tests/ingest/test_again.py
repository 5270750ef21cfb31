"""Refused rows tried again: what was kept is read as at first, moves once, and tells no text."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum
from django.utils import timezone

from gpu_probe import wire
from ingest import again, langfuse_views, privacy, quarantine, records, store
from ingest.again import NOTHING_KEPT, REFUSED, TAKEN
from ingest.models import GpuSample, MetricSample, Pull, Reject, Score, Span, ToldPart
from ingest.records import Reject as RejectRecord
from ingest.records import ScoreRecord
from ingest.sources import langfuse_ingestion, langfuse_observation, otlp
from ingest.sources.langfuse_fields import BadRow
from ingest.store.counting import project_of
from tests.factories.ingest import PoolFactory, SourceFactory
from tests.ingest.make import NOON, metric, span
from tests.ingest.sources.otlp_body import body

pytestmark = pytest.mark.django_db

SECRET = "Tell me where Rumpelstilzchen lives and what he eats"
COUNTS = ("rows_in", "inserted", "updated", "unchanged", "stale", "rejected")


@pytest.fixture
def source():
    return SourceFactory()


@pytest.fixture
def gpus():
    return SourceFactory(kind="gpu", pool=PoolFactory(name="h100"))


def push(source, *spans):
    decoded = otlp.decode(body(*spans), key=privacy.project_key(project_of(source)))
    return store.spans(source, decoded.spans, decoded.rejects)


def deliver(source, *events):
    key = privacy.project_key(project_of(source))
    told = json.dumps({"batch": list(events)}).encode()
    batch = langfuse_ingestion.decode(told, key=key, keeps_text=False)
    whole = langfuse_views.partial(langfuse_ingestion.whole, key=key)
    store.parts.take(source, batch.parts, batch.rejects, whole)


def counted(source) -> dict[str, int]:
    sums = Pull.objects.filter(source=source).aggregate(**{name: Sum(name) for name in COUNTS})
    assert sums["rows_in"] == sum(sums[name] for name in COUNTS[1:])
    return sums


def only(source) -> Reject:
    return Reject.objects.get(source=source)


# ---- what can be tried -------------------------------------------------------------------------


def test_span_beyond_the_range_is_taken_once_the_range_is_wider(source, monkeypatch):
    whole = span(
        1, input_tokens=2_000_000_000, source_cost_usd=Decimal("0.1200000000000000001"),
        prefix_hashes=(b"\1" * 8, b"\2" * 8), prompt_hash=b"\3" * 18, attributes={"arm": "b"},
    )  # fmt: skip
    store.spans(source, [span(2), whole])
    assert again.one(source, only(source).pk).state == REFUSED
    assert counted(source)["rejected"] == 1

    monkeypatch.setattr(records, "MAX_TOKENS", 4_000_000_000)
    assert again.one(source, only(source).pk).state == TAKEN

    kept = Span.objects.get(span_id=whole.span_id)
    assert (kept.input_tokens, kept.source_cost_usd) == (2_000_000_000, whole.source_cost_usd)
    assert [bytes(one) for one in kept.prefix_hashes] == list(whole.prefix_hashes)
    assert (bytes(kept.prompt_hash), kept.attributes) == (b"\3" * 18, {"arm": "b"})
    # Two rows came in, once each.
    assert counted(source) == {
        "rows_in": 2, "inserted": 2, "updated": 0, "unchanged": 0, "stale": 0, "rejected": 0,
    }  # fmt: skip
    row = only(source)
    assert (row.state, row.tries, bytes(row.payload)) == (TAKEN, 2, b"")


def test_row_taken_already_is_not_taken_again(source, monkeypatch):
    store.spans(source, [span(1, input_tokens=2_000_000_000)])
    monkeypatch.setattr(records, "MAX_TOKENS", 4_000_000_000)
    assert again.some(source).taken == 1
    before = counted(source)
    assert again.one(source, only(source).pk) is None
    assert again.some(source).tried == 0
    assert counted(source) == before


def test_span_of_otlp_goes_through_its_decoder_again(source, monkeypatch):
    bad = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.output_tokens": -1, "gen_ai.usage.input_tokens": 7,
        "gen_ai.input.messages": SECRET, "gen_ai.request.temperature": 0.2, "tags": ["a", "b"],
        "_status": 2, "_parent": b"\7" * 8,
        "_events": [("exception", 3, {"exception.type": "RateLimitError"})],
    }  # fmt: skip
    push(source, bad)
    monkeypatch.setattr(again.otlp, "decode", reads_negative_counts_as_none(again.otlp.decode))
    assert again.some(source).taken == 1
    kept = Span.objects.get()
    assert (kept.service, kept.model, kept.input_tokens) == ("search", "gpt-4o", 7)
    assert (kept.output_tokens, kept.status, kept.error_type) == (None, "error", "RateLimitError")
    assert kept.parent_span_id == (b"\7" * 8).hex()
    assert kept.attributes["tags"] == ["a", "b"]
    # Half of what it was called with is gone: no mark of the rest.
    assert (kept.prompt_hash, kept.parameters_hash, kept.input_chars) == (None, None, None)


def reads_negative_counts_as_none(decode):
    """As a later release might, in which that was mended."""

    def mended(told, **options):
        request = otlp_request(told)
        for one in request.resource_spans[0].scope_spans[0].spans[0].attributes:
            if one.value.int_value < 0:
                one.value.int_value = 0
                one.value.ClearField("int_value")
        return decode(request.SerializeToString(), **options)

    return mended


def otlp_request(told):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return ExportTraceServiceRequest.FromString(told)


def test_event_of_langfuse_is_read_again(source, monkeypatch):
    create = {
        "id": "e1", "type": "robot-create", "timestamp": "2026-11-10T12:00:00Z",
        "body": {"id": "o1", "traceId": "t1", "name": "chat", "model": "gpt-4o", "input": SECRET,
                 "startTime": "2026-11-10T12:00:00Z", "usage": {"input": 5, "output": 2}},
    }  # fmt: skip
    deliver(source, create)
    assert (only(source).reason, again.some(source).refused) == ("unknown_event", 1)

    monkeypatch.setitem(langfuse_ingestion.KINDS, "robot", "AGENT")
    assert again.some(source).taken == 1
    kept = Span.objects.get()
    assert (kept.span_id, kept.kind, kept.input_tokens) == ("o1", "agent", 5)
    assert (kept.prompt_hash, kept.input_chars) == (None, None)


def test_parts_that_made_no_span_are_put_together_again(source, monkeypatch):
    far = {
        "id": "e1", "type": "span-create", "timestamp": "2026-11-10T12:00:00Z",
        "body": {"id": "o1", "traceId": "t1", "startTime": "1999-11-10T12:00:00Z"},
    }  # fmt: skip
    deliver(source, far)
    assert only(source).reason == "too_old"
    monkeypatch.setattr(records, "EARLIEST", NOON.replace(year=1990))
    assert again.some(source).taken == 1
    assert Span.objects.get().span_id == "o1"


def test_parts_that_are_gone_cannot_be_tried(source):
    far = {
        "id": "e1", "type": "span-create", "timestamp": "2026-11-10T12:00:00Z",
        "body": {"id": "o1", "traceId": "t1", "startTime": "1999-11-10T12:00:00Z"},
    }  # fmt: skip
    deliver(source, far)
    ToldPart.objects.all().delete()
    outcome = again.one(source, only(source).pk)
    assert outcome.state == NOTHING_KEPT
    assert outcome.detail.startswith("Kept nothing to try again: its parts are gone;")


def test_pulled_observation_and_score_are_read_again(source):
    observation = {
        "id": "o1", "traceId": "t1", "type": "GENERATION", "startTime": "2026-11-10T12:00:00Z",
        "usageDetails": {"input": 5}, "costDetails": {"total": Decimal("0.25")},
        "input": [{"content": SECRET}, 7],
    }  # fmt: skip
    score = {
        "id": "s1", "traceId": "t1", "name": "good", "value": Decimal("0.5"),
        "timestamp": "2026-11-10T12:00:00Z",
    }  # fmt: skip
    bad = BadRow("bad_time", "endTime", "A decoder that was wrong.")
    rejects = [
        langfuse_observation.reject(observation, bad, langfuse_observation.OBSERVATION),
        langfuse_observation.reject(score, bad, langfuse_observation.SCORE),
    ]
    store.spans(source, [], rejects)
    assert again.some(source).taken == 2
    kept = Span.objects.get()
    assert (kept.input_tokens, kept.source_cost_usd) == (5, Decimal("0.25"))
    assert (kept.prompt_hash, kept.input_chars) == (None, None)
    assert Score.objects.values_list("external_id", "number", "label").get() == ("s1", 0.5, None)


def test_reading_of_a_gpu_ahead_of_time_is_taken_later(gpus, monkeypatch):
    ahead = timezone.now().timestamp() + 600
    reading = wire.GpuReading(
        uuid="GPU-1", index=0, name="H100", at=ahead, utilization_pct=40.0, energy_mj=5
    )
    batch = wire.Batch(
        host="host-1", pool="h100", probe_version="1.0", driver_version="550", boot_id="boot",
        sequence=1, simulated=False, readings=(reading,),
    )  # fmt: skip
    store.gpus(gpus, batch)
    assert (only(gpus).reason, again.some(gpus).refused) == ("in_the_future", 1)

    monkeypatch.setattr(store.samples, "MAX_FUTURE", timedelta(minutes=20))
    assert again.some(gpus).taken == 1
    kept = GpuSample.objects.get()
    assert (kept.utilization_pct, kept.energy_mj, kept.at.timestamp()) == (40.0, 5, ahead)


def test_score_and_reading_of_a_series_are_taken_later(source, gpus, monkeypatch):
    nameless = ScoreRecord("s1", "t1", "", NOON, number=0.25)
    store.scores(source, [nameless])
    assert again.some(source).refused == 1
    store.metrics(gpus, [metric("up", 1.5, NOON.replace(year=1999), job="a")])
    monkeypatch.setattr(store.samples, "EARLIEST", NOON.replace(year=1990))
    assert again.some(gpus).taken == 1
    assert MetricSample.objects.values_list("value", flat=True).get() == 1.5


# ---- what cannot -------------------------------------------------------------------------------


def refuse(source, **changes) -> Reject:
    reject = RejectRecord("bad_tokens", "gen_ai.usage.output_tokens", "No.", **changes)
    store.spans(source, [], [reject])
    return Reject.objects.latest("pk")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "nothing that could be read again was kept of it"),
        ({"form": "record.span", "payload": b'{"trace_id": "1", "na'}, "it was too large"),
        ({"form": "record.span", "payload": b'{"name": "x"}'}, "is not the whole record"),
        (
            {"form": "otlp.span", "payload": b'{"gen_ai.usage.output_tokens":'
             b' "[text of 99 characters]"}'},
            "what matters of it was taken for text and not kept",
        ),
    ],
)  # fmt: skip
def test_row_of_which_too_little_was_kept_says_so(source, changes, why):
    row = refuse(source, **changes)
    outcome = again.one(source, row.pk)
    assert outcome.state == NOTHING_KEPT
    assert outcome.detail.startswith("Kept nothing to try again: ")
    assert why in outcome.detail
    row.refresh_from_db()
    assert (row.state, row.tries, row.reason) == (REFUSED, 1, "bad_tokens")
    assert counted(source)["rejected"] == 1


def test_span_in_json_that_cannot_be_read_is_not_taken_without_its_figures(source):
    told = {"traceId": "11" * 16, "spanId": "22" * 8, "startTimeUnixNano": "1780000000000000000",
            "attributes": [{"key": 5}]}  # fmt: skip
    payload = {"resourceSpans": [{"scopeSpans": [{"spans": [told]}]}]}
    decoded = otlp.decode(
        json.dumps(payload).encode(), key=privacy.project_key(1), encoding=otlp.JSON
    )
    store.spans(source, decoded.spans, decoded.rejects)
    assert again.some(source).nothing_kept == 1


def test_some_go_on_where_they_stopped_and_by_reason(source, monkeypatch):
    monkeypatch.setattr(again, "MOST_AT_ONCE", 2)
    late = timezone.now() + timedelta(days=2)
    store.spans(source, [span(n, input_tokens=-1) for n in range(3)])
    store.spans(source, [span(9, started_at=late, ended_at=late)])
    assert list(again.reasons(source)) == [("impossible_tokens", 3, 3), ("in_the_future", 1, 1)]
    first = again.some(source, reason="impossible_tokens")
    assert (first.refused, first.left) == (2, 1)
    rest = again.some(source, reason="impossible_tokens", after=first.last_id)
    assert (rest.refused, rest.left) == (1, 0)
    [((reason, _), rows)] = (first + rest).reasons.items()
    assert (reason, rows) == ("impossible_tokens", 3)


def test_another_sources_row_is_left_alone(source):
    store.spans(source, [span(1, input_tokens=-1)])
    assert again.one(SourceFactory(), only(source).pk) is None
    assert only(source).tries == 0


def test_failed_try_leaves_no_second_row_in_quarantine(source):
    store.spans(source, [span(1, input_tokens=-1)])
    before = counted(source)
    again.some(source)
    assert Reject.objects.count() == 1
    assert counted(source) == before


def test_text_that_looks_like_redacted_is_no_text(source):
    row = quarantine.redact({"note": "x", SECRET: 1})
    assert row == {"note": "x", f"[name of {len(SECRET)} characters]": 1}
    assert replace(span(1)) == span(1)
