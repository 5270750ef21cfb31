"""What the judge is given: spans as their callers saw them, work as the server counted it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from ingest import store
from ingest.models import Score
from ingest.records import ScoreRecord
from optimiser import observe
from optimiser.models import Rollout, RolloutBlock
from tests.factories.ingest import SourceFactory
from tests.ingest.make import span

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


@pytest.fixture
def start():
    return timezone.now().replace(microsecond=0) - timedelta(minutes=10)


@pytest.fixture
def source(target):
    return SourceFactory(project=target.project)


@pytest.fixture
def traced(source, start):
    """`traced(at_s, …)` is a stored span that began so many seconds after the start."""
    numbers = iter(range(1, 10_000))

    def stored(at_s, latency_ms=100, **changes):
        began = start + at_s * SECOND
        usual = {
            "kind": "inference", "provider": "triton", "model": "chat", "request_model": "chat",
            "started_at": began, "ended_at": began + timedelta(milliseconds=latency_ms),
        }  # fmt: skip
        record = span(next(numbers), **{**usual, **changes})
        store.spans(source, [record])
        return record

    return stored


def counted(requests_ok, busy_s, failed=0, model="chat"):
    return {
        "model": model,
        "at": "",
        "requests_ok": requests_ok,
        "failed": failed,
        "executions": requests_ok,
        "busy_s": busy_s,
    }


@pytest.fixture
def block(rollout, start):
    """A treated block from 10 to 20 s, in which the server answered four requests in 0.8 s."""
    Rollout.objects.filter(pk=rollout.pk).update(state="measuring")
    rollout.blocks.all().delete()

    def made_block(arm="treated", index=0, first=None, last=None, **more):
        return RolloutBlock.objects.create(
            rollout=rollout,
            index=index,
            arm=arm,
            measured_from=start + 10 * SECOND,
            measured_to=start + 20 * SECOND,
            statistics_from=first or {arm: counted(100, 5.0)},
            statistics_to=last or {arm: counted(104, 5.8)},
            **more,
        )

    return made_block


def seen(rollout, *blocks):
    return [one for one, _ in observe.blocks(rollout, blocks)]


def test_block_holds_what_began_within_it(rollout, block, traced):
    for at in (9.9, 10, 15, 19.9, 20):
        traced(at, latency_ms=100 + at)
    (found,) = seen(rollout, block())
    assert found.latencies_ms.tolist() == pytest.approx([110, 115, 119.9])
    assert (found.arm, found.errors, found.pair) == ("treated", 0, 0)


def test_gpu_time_is_the_traced_requests_share_of_the_servers_work(rollout, block, traced):
    """Three of the four it answered were ours: another project's request is not ours to pay."""
    for at in (11, 12, 13):
        traced(at)
    (found,) = seen(rollout, block())
    assert found.gpu_seconds == pytest.approx(0.6)


def test_without_counters_there_is_no_gpu_time(rollout, block, traced):
    traced(11)
    (found,) = seen(
        rollout, block(first={"treated": counted(4, 1.0)}, last={"treated": counted(4, 1.0)})
    )
    assert (found.gpu_seconds, found.requests) == (None, 1)


def test_errors_are_counted_and_have_no_latency(rollout, block, traced):
    traced(11)
    traced(12, status="error", error_type="timeout")
    (found,) = seen(rollout, block())
    assert (len(found.latencies_ms), found.errors, found.requests) == (1, 1, 2)


@pytest.mark.parametrize(
    "other", [{"request_model": "other"}, {"kind": "tool"}, {"request_model": "", "model": "x"}]
)
def test_other_requests_are_not_the_targets(rollout, block, traced, other):
    traced(11, **other)
    assert seen(rollout, block())[0].requests == 0


def test_spans_that_name_no_asked_model_are_known_by_the_one_that_answered(rollout, block, traced):
    traced(11, request_model="")
    assert seen(rollout, block())[0].requests == 1


def test_requests_of_another_project_are_not_the_targets(rollout, block, start):
    other = SourceFactory()
    usual = {"kind": "inference", "model": "chat", "request_model": "chat"}
    at = start + 11 * SECOND
    store.spans(other, [span(1, started_at=at, ended_at=at + SECOND, **usual)])
    assert seen(rollout, block())[0].requests == 0


def test_scores_tell_good_answers_from_bad(rollout, block, traced, source, start):
    one, two, _unscored = traced(11), traced(12), traced(13)
    store.scores(source, [score(one, 1.0), score(two, 0.0)])
    (found,) = seen(rollout, block())
    assert found.scores.tolist() == [1.0, 0.0]
    assert Score.objects.count() == 2


def score(of, number):
    return ScoreRecord(
        external_id=of.span_id, trace_id=of.trace_id, span_id=of.span_id, name="correct",
        at=of.started_at, number=number,
    )  # fmt: skip


def test_dropped_block_is_seen_and_empty(rollout, block, traced):
    """Left out altogether it would not be missed; whatever emptied it may have picked the rest."""
    traced(11)
    (found,) = seen(rollout, block(dropped_reason="The server was restarted."))
    assert (found.requests, found.gpu_seconds) == (0, None)


def test_neighbouring_blocks_are_a_pair(rollout, block):
    found = seen(rollout, *(block(arm, n) for n, arm in enumerate(("control", "treated") * 2)))
    assert [(one.arm, one.pair) for one in found] == [
        ("control", 0), ("treated", 0), ("control", 1), ("treated", 1),
    ]  # fmt: skip


# Splits


def both(control, treated):
    return {
        "control": counted(*control, model="chat_fp32"),
        "treated": counted(*treated, model="chat_int8"),
    }


@pytest.fixture
def split(block):
    first, last = both((0, 0.0), (0, 0.0)), both((8, 1.6), (2, 0.1))
    return block(arm="", index=3, first=first, last=last)


def test_model_that_answered_tells_the_arm(rollout, split, traced):
    for at in range(11, 19):
        traced(at, model="chat_fp32")
    for at in (11, 12):
        traced(at, latency_ms=50, model="chat_int8")
    control, treated = seen(rollout, split)
    assert (control.arm, len(control.latencies_ms), control.gpu_seconds) == (
        "control", 8, pytest.approx(1.6),
    )  # fmt: skip
    assert (treated.arm, len(treated.latencies_ms), treated.gpu_seconds) == (
        "treated", 2, pytest.approx(0.1),
    )  # fmt: skip
    assert (control.pair, treated.pair) == (3, 3)


def test_what_the_canary_failed_at_counts_against_it_though_the_base_answered(
    rollout, block, traced
):
    first, last = both((0, 0.0), (0, 0.0)), both((8, 1.6, 0), (2, 0.1, 5))
    for at in range(11, 19):
        traced(at, model="chat_fp32")
    control, treated = seen(rollout, block(arm="", first=first, last=last))
    assert (control.errors, treated.errors) == (0, 5)


def test_error_that_names_no_arm_is_borne_by_both(rollout, split, traced):
    for at in range(11, 19):
        traced(at, model="chat_fp32")
    for at in (11, 12):
        traced(at, model="chat_int8")
    for at in range(10, 15):
        traced(at, model="chat", status="error", error_type="timeout")
    control, treated = seen(rollout, split)
    assert (control.errors, treated.errors) == (4, 1)


# The input hash


def test_what_was_seen_can_be_known_again(rollout, block, traced):
    one = block()
    traced(11)
    before = [told for _, told in observe.blocks(rollout, [one])]
    assert [told for _, told in observe.blocks(rollout, [one])] == before
    traced(12)
    assert [told for _, told in observe.blocks(rollout, [one])] != before


def test_newest_requests_are_kept_when_there_are_too_many(target, traced, start):
    for at in (11, 12, 13):
        traced(at)
    found = observe.requests(target, start, start + 20 * SECOND, 2)
    assert [one.started_at for one in found] == [start + 12 * SECOND, start + 13 * SECOND]
