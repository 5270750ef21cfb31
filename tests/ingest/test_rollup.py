from datetime import UTC, date, datetime, timedelta
from threading import Timer

import pytest
from django.db import connection
from django.utils import timezone

from gpu_probe.wire import Batch, GpuReading
from ingest import sketch, store
from ingest.models import (
    ConcurrencyQuarter,
    DirtyHour,
    GpuQuarter,
    RestingDay,
    RolledHour,
    SeriesQuarter,
    Source,
    SpanDay,
    SpanHour,
    SpanQuarter,
)
from ingest.rollup import roll_up, run
from tests.ingest.make import NOON, metric, span
from tests.other_worker import at_work

pytestmark = pytest.mark.django_db


def test_sums_equal_the_facts_at_every_grain(source):
    times = [NOON + timedelta(minutes=7 * n) for n in range(40)]
    store.spans(source, [span(n, started_at=at) for n, at in enumerate(times)])
    roll_up()
    for rollup in (SpanQuarter, SpanHour, SpanDay):
        assert sum(row.spans for row in rollup.objects.all()) == 40
        assert sum(row.input_tokens for row in rollup.objects.all()) == 4000
        assert sum(sum(row.latency_counts) for row in rollup.objects.all()) == 40
    assert not DirtyHour.objects.exists()


def test_second_delivery_of_an_hour_is_recomputed_not_added(source):
    records = [span(n) for n in range(5)]
    store.spans(source, records)
    roll_up()
    store.spans(source, [*records, span(9, output_tokens=80)])
    roll_up()
    row = SpanHour.objects.get()
    assert (row.spans, row.output_tokens) == (6, 180)
    assert RolledHour.objects.get().revision == 2


def test_nothing_is_summed_anew_for_each_row_of_a_day_without_statistics(source):
    """A new day's partition has none, and the planner then expects one row of everything."""
    store.spans(source, [span(n) for n in range(200)])
    plans = []

    def explained(execute, sql, params, many, context):
        if "INSERT INTO ingest_span_" in sql:
            execute(f"EXPLAIN (FORMAT JSON) {sql}", params, many, context)
            plans.extend(one["Plan"] for one in context["cursor"].fetchone()[0])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained):
        roll_up()
    assert len(plans) == 4, "quarters, hours, days and weeks"
    for plan in plans:
        for loop in (node for node in nodes(plan) if node["Node Type"] == "Nested Loop"):
            again = loop["Plans"][1]
            assert not [one for one in nodes(again) if one["Node Type"] == "Aggregate"], loop


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def test_day_that_was_summed_a_moment_ago_rests_and_the_others_go_on(source, pool_source):
    store.spans(source, [span(1)])
    assert roll_up(rests=True) == 2, "the project's sums, and what was at once"
    rest("project", source.project_id, 60.0 / run.REST)
    store.spans(source, [span(2)])
    store.metrics(pool_source, [metric("up", 1.0, NOON, "gauge")])
    assert roll_up(rests=True) == 1
    assert DirtyHour.objects.get().owner_kind == "project"
    wake("project")
    assert roll_up(rests=True) == 1
    assert SpanHour.objects.get().spans == 2
    assert {one.owner_kind for one in DirtyHour.objects.all()} == {"concurrency"}
    assert ConcurrencyQuarter.objects.filter(whole=True).get().requests == 1
    wake("concurrency")
    assert roll_up(rests=True) == 1
    assert ConcurrencyQuarter.objects.filter(whole=True).get().requests == 2


def wake(owner_kind):
    assert RestingDay.objects.filter(owner_kind=owner_kind).update(until=timezone.now())


def test_day_rests_nine_times_as_long_as_it_took_for_every_worker(source):
    for took_s in (2.0, 4.0):
        rest("project", source.project_id, took_s)
        assert 9 * took_s - 5 < left_s("project") <= 9 * took_s
    rest("concurrency", source.project_id, 0.1)
    assert 25 < left_s("concurrency") < 30
    store.spans(source, [span(1)])
    assert roll_up(rests=True) == 0, "no worker's memory: it is the database that says so"
    assert roll_up() == 2
    assert left_s("project") > 20, "who does not rest leaves it as it is"


def test_day_that_took_no_time_rests_too_so_that_one_call_sums_it_once(source, monkeypatch):
    """New facts come while it is summed, each time."""

    def recompute(cursor, owner, hours):
        store.spans(source, [span(2 + len(summed))])
        summed.append(hours)

    summed = []
    monkeypatch.setattr(run, "REST", 1e6)
    monkeypatch.setitem(run.RECOMPUTE, "project", recompute)
    store.spans(source, [span(1)])
    roll_up(limit=9, rests=True)
    assert len(summed) == 1
    wake("project")
    roll_up(limit=9, rests=True)
    assert len(summed) == 2
    assert RestingDay.objects.filter(owner_kind="project").count() == 1


def test_rest_that_is_over_is_forgotten(source):
    rest("project", source.project_id, 2.0, NOON.date() - timedelta(days=1))
    rest("pool", source.project_id, 2.0)
    RestingDay.objects.update(until=timezone.now())
    rest("project", source.project_id, 2.0)
    kept = RestingDay.objects.values_list("owner_kind", "day")
    assert set(kept) == {("project", NOON.date()), ("pool", NOON.date())}


def rest(owner_kind, owner_id, took_s, day=None):
    with connection.cursor() as cursor:
        run._rest(cursor, (owner_kind, owner_id, day or NOON.date()), took_s)


def left_s(owner_kind):
    until = RestingDay.objects.get(owner_kind=owner_kind).until
    return (until - timezone.now()).total_seconds()


def test_owner_that_another_worker_sums_is_left_to_it(source, pool_source):
    store.spans(source, [span(1)])
    store.metrics(pool_source, [metric("up", 1.0, NOON, "gauge")])
    with at_work(f"rollup:project:{source.project_id}") as other:
        assert roll_up(rests=True) == 1
        assert DirtyHour.objects.get().owner_kind == "project"
        release = Timer(0.3, other.commit)
        release.start()
        assert roll_up() == 2, "waited for, as there is nothing else; then what was at once"
        release.join()
    assert SpanHour.objects.get().spans == 1
    assert not DirtyHour.objects.exists()


def test_percentile_of_a_day_comes_from_merged_quarters(source):
    spans = [
        span(
            n,
            started_at=NOON + timedelta(minutes=n),
            ended_at=NOON + timedelta(minutes=n, milliseconds=10 * n),
        )
        for n in range(1, 101)
    ]
    store.spans(source, spans)
    roll_up()
    day = SpanDay.objects.get()
    p50 = sketch.quantile(day.latency_keys, day.latency_counts, 0.5)
    assert p50 == pytest.approx(500, rel=0.02)


def test_nested_usage_counts_at_the_leaf_only(source):
    agent = span(1, kind="agent", span_id="root")
    leaf = span(1, span_id="leaf", parent_span_id="root")
    store.spans(source, [agent, leaf])
    roll_up()
    assert sum(row.input_tokens for row in SpanHour.objects.all()) == 100
    assert sum(row.spans for row in SpanHour.objects.all()) == 2


def test_unknown_usage_is_counted_apart_from_zero(source):
    store.spans(source, [span(1, input_tokens=None, output_tokens=None), span(2, input_tokens=0)])
    roll_up()
    assert SpanHour.objects.get().usage_unknown == 1


def test_day_follows_the_accounting_time_zone_to_the_quarter(source, settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kathmandu"  # UTC+5:45
    before = datetime(2026, 11, 10, 18, 10, tzinfo=UTC)
    after = datetime(2026, 11, 10, 18, 20, tzinfo=UTC)
    store.spans(source, [span(1, started_at=before), span(2, started_at=after)])
    roll_up()
    days = dict(SpanDay.objects.values_list("day", "spans"))
    assert days == {date(2026, 11, 10): 1, date(2026, 11, 11): 1}


def test_prompt_size_band_is_kept_apart(source):
    store.spans(source, [span(1), span(2, input_tokens=150_000, cache_read_tokens=60_000)])
    roll_up()
    assert sorted(SpanHour.objects.values_list("input_band", flat=True)) == [0, 200_000]


def test_counter_reset_is_not_a_negative_increase(pool_source):
    readings = [0, 10, 25, 5, 9]
    store.metrics(
        pool_source,
        [
            metric("nv_inference_count", value, NOON + timedelta(seconds=15 * n), model="m")
            for n, value in enumerate(readings)
        ],
    )
    roll_up()
    row = SeriesQuarter.objects.get()
    assert (row.increase, row.resets, row.covered_s) == (10 + 15 + 5 + 4, 1, 60)


def test_gap_in_readings_is_not_covered(pool_source):
    at = [NOON, NOON + timedelta(seconds=15), NOON + timedelta(seconds=420)]
    store.metrics(pool_source, [metric("up", n, t) for n, t in enumerate(at)])
    roll_up()
    row = SeriesQuarter.objects.get()
    assert (row.samples, row.covered_s, row.increase) == (3, 15, 1)


def test_gpu_quarter_keeps_unknown_unknown(pool):
    source = Source.objects.create(kind="gpu", name="GPUs", pool=pool)
    readings = tuple(
        GpuReading(
            uuid="GPU-1", index=0, name="H100", at=NOON.timestamp() + 10 * n, power_w=400.0,
            energy_mj=4_000_000 * n,
        )
        for n in range(4)
    )  # fmt: skip
    batch = Batch(
        host="h1", pool=pool.name, probe_version="1", driver_version=None, boot_id="b",
        sequence=1, simulated=True, readings=readings,
    )  # fmt: skip
    assert store.gpus(source, batch).inserted == 4
    assert store.gpus(source, batch).unchanged == 4
    roll_up()
    row = GpuQuarter.objects.get()
    assert (row.utilization_pct, row.power_w, row.energy_j) == (None, 400.0, 12_000.0)


@pytest.mark.parametrize(
    ("energy_mj", "joules"),
    [
        # The probe and DCGM read one counter, DCGM late: their steps cancel out.
        ([900_000_000, 899_990_000, 900_010_000, 900_005_000, 900_020_000], 20),
        # The driver was loaded anew: its counter begins at nothing.
        ([900_000_000, 5_000, 9_000], 9),
    ],
)
def test_energy_of_a_gpu_with_two_readers_is_not_taken_for_a_reset(pool, energy_mj, joules):
    source = Source.objects.create(kind="gpu", name="GPUs", pool=pool)
    readings = tuple(
        GpuReading(uuid="GPU-1", index=0, name="H100", at=NOON.timestamp() + 5 * n, energy_mj=mj)
        for n, mj in enumerate(energy_mj)
    )
    batch = Batch(
        host="h1", pool=pool.name, probe_version="1", driver_version=None, boot_id="b",
        sequence=1, simulated=True, readings=readings,
    )  # fmt: skip
    store.gpus(source, batch)
    roll_up()
    assert GpuQuarter.objects.get().energy_j == joules
