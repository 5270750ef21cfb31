"""Time per output token in the sums, against plain Python on random requests."""

import math
import random
from datetime import timedelta

import pytest

from ingest import sketch, store
from ingest.models import SealedDay, SpanDay, SpanHour, SpanQuarter
from ingest.rollup import roll_up
from ingest.sketch import ACCURACY
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db


def requests(dice):
    for n in range(400):
        took = timedelta(milliseconds=dice.randrange(1, 20_000))
        yield span(
            n,
            started_at=NOON + timedelta(seconds=20 * n),
            ended_at=None if n % 17 == 0 else NOON + timedelta(seconds=20 * n) + took,
            ttft_ms=None if n % 5 == 0 else dice.random() * 5_000,
            output_tokens=dice.choice((None, 0, 1, 2, 7, 300)),
            reasoning_tokens=dice.choice((None, 0, 40)),
            audio_output_tokens=dice.choice((None, None, 3)),
            status="error" if n % 13 == 0 else "ok",
        )


def expected(records):
    """(end − first token) ÷ (tokens produced − 1), where all of it is known."""
    found = []
    for one in records:
        if None in (one.latency_ms, one.ttft_ms, one.output_tokens) or one.status != "ok":
            continue
        produced = one.output_tokens + (one.reasoning_tokens or 0) + (one.audio_output_tokens or 0)
        if produced >= 2 and one.latency_ms >= one.ttft_ms:
            found.append((one.latency_ms - one.ttft_ms) / (produced - 1))
    return sorted(found)


@pytest.mark.parametrize("rollup", [SpanQuarter, SpanHour, SpanDay])
def test_time_per_token_equals_plain_python_at_every_grain(source, rollup):
    records = list(requests(random.Random(5)))
    store.spans(source, records)
    roll_up()
    times = expected(records)
    rows = list(rollup.objects.all())
    assert sum(row.tpot_count for row in rows) == len(times) > 100
    assert sum(row.tpot_ms_sum for row in rows) == pytest.approx(sum(times))
    keys, counts = sketch.merge((row.tpot_keys, row.tpot_counts) for row in rows)
    for q in (0.5, 0.95, 0.99):
        exact = times[math.ceil(q * len(times)) - 1]
        assert sketch.quantile(keys, counts, q) == pytest.approx(exact, rel=ACCURACY * 1.01)


def test_time_per_token_of_one_that_came_late_is_added(source):
    known = {"ttft_ms": 50.0, "output_tokens": 21}
    store.spans(source, [span(1, **known)])
    roll_up()
    SealedDay.objects.create(table="ingest_span", day=NOON.date(), keeps_keys=True)
    store.spans(source, [span(2, **known)])
    roll_up()
    row = SpanDay.objects.get()
    assert (row.spans, row.tpot_count, row.tpot_ms_sum) == (2, 2, pytest.approx(20.0))
    # Of what comes late the type of an error is not kept, so its ending is unknown.
    assert (row.endings_known, row.abandoned) == (1, 0)


def test_sums_of_before_have_no_time_per_token_rather_than_zero(source):
    store.spans(source, [span(1, ttft_ms=None)])
    roll_up()
    row = SpanDay.objects.get()
    assert (row.tpot_count, row.tpot_keys, row.tpot_counts) == (0, [], [])
    assert sketch.quantile(row.tpot_keys, row.tpot_counts, 0.5) is None
