"""Fewer readings, the same increase."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.records import MetricRecord, SeriesKey
from ingest.sources.metrics import thinning
from ingest.sources.metrics.readings import Readings, Said, labels_of, read

START = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COUNTER = SeriesKey("requests", "counter")


def records(values, step_s=15, key=COUNTER):
    return [
        MetricRecord(key, START + timedelta(seconds=step_s * place), float(value))
        for place, value in enumerate(values, 1)
    ]


def increase(found):
    """As the rollup counts: a counter that fell was reset, and its whole value has come since."""
    values = [record.value for record in sorted(found, key=lambda record: record.at)]
    return sum(
        later - earlier if later >= earlier else later for earlier, later in pairwise(values)
    )


def test_last_reading_of_each_step_stays():
    kept = thinning.series(records(range(1, 9)), MINUTE)

    assert [(record.at, record.value) for record in kept] == [
        (START + MINUTE, 4),
        (START + 2 * MINUTE, 8),
    ]


def test_reset_within_a_step_is_not_thinned_away():
    kept = thinning.series(records([10, 20, 1, 30]), MINUTE)

    assert [record.value for record in kept] == [20, 1, 30]


def test_gauge_may_fall_as_it_likes():
    kept = thinning.series(records([10, 20, 1, 30], key=SeriesKey("load", "gauge")), MINUTE)

    assert [record.value for record in kept] == [30]


@given(st.lists(st.integers(0, 50), min_size=8, max_size=60))
def test_increase_is_the_same_as_of_all_readings(values):
    every = [MetricRecord(COUNTER, START, 0.0), *records(values)]

    kept = thinning.series(every, MINUTE)

    # After the last whole step nothing is compared: it is not over.
    assert increase(kept) == increase(every)


@given(st.lists(st.integers(0, 50), min_size=8, max_size=60))
def test_thinning_again_changes_nothing(values):
    kept = thinning.series(records(values), MINUTE)

    assert sorted(thinning.series(kept, MINUTE), key=lambda r: r.at) == sorted(
        kept, key=lambda r: r.at
    )


def test_driver_reload_within_a_step_is_not_thinned_away():
    points = [
        (START + timedelta(seconds=15 * place), value)
        for place, value in enumerate([100, 200, 3, 50], 1)
    ]
    labels = labels_of({"UUID": "GPU-1", "gpu": "0"})
    found = read([Said("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", labels, points)], ["dcgm"])

    [batch] = thinning.gpus(found.gpus, MINUTE)

    assert [reading.energy_mj for reading in batch.readings] == [200, 3, 50]


def test_largest_metrics_go_until_the_others_fit():
    counts = {"a": 5, "flood": 1000, "b": 5, "spray": 90}

    assert thinning.crowded(counts, 1100) == []
    assert thinning.crowded(counts, 100) == ["flood"]
    assert thinning.crowded(counts, 99) == ["flood", "spray"]


def test_what_is_left_out_is_said():
    flood = [
        MetricRecord(SeriesKey("flood", "gauge", labels=(("id", str(n)),)), START, 1.0)
        for n in range(20)
    ]

    found = thinning.within(Readings([*flood, *records([1, 2])]), 10)

    assert {record.series.name for record in found.records} == {"requests"}
    [reject] = found.rejects
    assert (reject.reason, reject.external_id) == ("too_many_series", "flood")
    assert reject.detail == (
        "flood has 20 of 21 series, more than 10 in all: left out whole, so that the others stay."
        " Narrow the source, or raise max_series."
    )
