"""From a promotion to the ledger: what is handed over, and what is not."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from finops.actions.price_book import set_hardware_price
from finops.models import LedgerEntry
from ingest import store
from ingest.models import Source
from ingest.rollup import roll_up
from ingest.sources.triton_statistics import EXECUTION_SECONDS, REQUESTS_OK
from optimiser import approvals, booking, reconcile
from optimiser.models import ChangeEvent, Rollout, RolloutBlock
from optimiser.policy import Policy
from tests.factories.finops import PriceBookFactory
from tests.factories.ingest import SourceFactory
from tests.ingest.make import metric, span
from tests.optimiser import made

pytestmark = pytest.mark.django_db

MINUTE, STEP = timedelta(minutes=1), timedelta(seconds=15)
POLICY = Policy(book_least_minutes=10)


@pytest.fixture
def midday(monkeypatch):
    """Noon of yesterday, so that all of it lies in one day and in the past."""
    return (timezone.now() - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def served(target, midday):
    """`served(from_minute, minutes, gpu_s)`: 20 requests a minute that take so much each."""
    spans = SourceFactory(project=target.project)
    statistics = Source.objects.create(kind="triton_statistics", name="Stats", pool=target.pool)

    def serve(first, minutes, gpu_s, model="chat"):
        readings, records = [], []
        for n in range(minutes * 4 + 1):
            at = midday + first * MINUTE + n * STEP
            labels = {"model": model, "version": "1"}
            readings += [
                metric(EXECUTION_SECONDS, n * 5 * gpu_s, at, **labels),
                metric(REQUESTS_OK, n * 5.0, at, **labels),
            ]
        for n in range(minutes * 20):
            at = midday + first * MINUTE + (n + 0.5) * MINUTE / 20
            usual = {"provider": "triton", "model": model, "kind": "inference"}
            number = (first + 600) * 10_000 + n
            records.append(span(number, started_at=at, ended_at=at + STEP / 60, **usual))
        store.metrics(statistics, readings)
        store.spans(spans, records)
        roll_up()

    return serve


@pytest.fixture
def promoted(people, change, midday):
    """Ten minutes of the old config, an hour of nothing, and then promoted at noon."""
    rollout = made.begun(made.approved(change, people["ben"]))
    for index, arm in enumerate(("control", "treated") * 2):
        start = midday + (index * 12 - 60) * MINUTE
        RolloutBlock.objects.create(
            rollout=rollout, index=index, arm=arm,
            measured_from=start, measured_to=start + 10 * MINUTE,
        )  # fmt: skip
    Rollout.objects.filter(pk=rollout.pk).update(
        state="promoted", started_at=midday - 70 * MINUTE, finished_at=midday
    )
    rollout.change.refresh_from_db()
    approvals.move(rollout.change, "promoted")
    event(rollout, "promoted", midday)
    PriceBookFactory()
    set_hardware_price(rollout.target.pool.hardware, Decimal("3.60"), billed_by="use")
    return rollout


def event(rollout, kind, at, **detail):
    made_ = ChangeEvent.objects.create(change=rollout.change, kind=kind, text=kind, detail=detail)
    ChangeEvent.objects.filter(pk=made_.pk).update(at=at)


def entries(counts_as="realised"):
    return LedgerEntry.objects.filter(counts_as=counts_as).order_by("id")


def test_promotion_is_booked_provisionally_when_enough_minutes_are_measured(
    promoted, served, midday
):
    served(-60, 10, 0.02)
    served(-36, 10, 0.02)
    served(0, 8, 0.005)
    booking.book_all(midday + 9 * MINUTE)
    assert not entries().exists()

    served(8, 4, 0.005)
    booking.book_all(midday + 13 * MINUTE)
    entry = entries().get()
    assert (entry.change_ref, entry.provisional) == (str(promoted.change_id), True)
    assert entry.counterfactual_gpu_seconds_per_request == pytest.approx(0.02)
    assert entry.gpu_seconds_per_request == pytest.approx(0.005)
    assert entry.capacity_gpu_seconds == pytest.approx(entry.requests * 0.015)
    booking.book_all(midday + 14 * MINUTE)
    assert entries().count() == 1


def test_estimate_stands_beside_it_and_is_booked_once(promoted, midday):
    booking.book_all(midday + MINUTE)
    booking.book_all(midday + 2 * MINUTE)
    entry = entries("estimate").get()
    assert entry.period_from == midday
    assert entry.period_to - entry.period_from == timedelta(days=30)
    # 86,400 requests in the half hour of the evidence.
    assert entry.requests == 86_400 * 48 * 30
    assert entry.basis.startswith("Simulation of 86,400 requests from 20 Nov 08:00 to 20 Nov 08:30")


def test_each_whole_day_is_booked_for_good(promoted, served, midday):
    served(-60, 10, 0.02)
    served(-36, 10, 0.02)
    served(0, 30, 0.005)
    booking.book_all(midday + 31 * MINUTE)
    assert booking.book_all(midday + timedelta(days=1)) == 1
    provisional, final = entries()
    assert (final.supersedes, final.provisional) == (provisional, False)
    assert final.measured_s == pytest.approx(30 * 60, abs=60)
    assert booking.book_all(midday + timedelta(days=1, minutes=1)) == 0


def test_time_of_drift_is_not_booked(promoted, served, midday):
    served(-60, 10, 0.02)
    served(-36, 10, 0.02)
    served(0, 30, 0.005)
    event(promoted, "drifted", midday + 12 * MINUTE, since=(midday + 11 * MINUTE).isoformat())
    booking.book_all(midday + 31 * MINUTE)
    entry = entries().get()
    assert entry.period_to == midday + 11 * MINUTE
    assert entry.measured_s == pytest.approx(11 * 60, abs=60)


def test_control_blocks_too_short_to_measure_give_way_to_the_hour_before(promoted, served, midday):
    served(-130, 60, 0.04)
    served(0, 12, 0.005)
    booking.book_all(midday + 13 * MINUTE)
    assert entries().get().counterfactual_gpu_seconds_per_request == pytest.approx(0.04)


def test_what_the_next_change_brings_is_its_own(promoted, midday, people):
    later = made.proposed(
        people["dev"], made.RecommendationFactory(target=promoted.target, lever="other")
    )
    second = made.begun(made.approved(later, people["ben"]), state="promoted")
    Rollout.objects.filter(pk=second.pk).update(
        started_at=midday + 20 * MINUTE, finished_at=midday + 40 * MINUTE
    )
    assert booking.held(promoted, midday + 60 * MINUTE) == [(midday, midday + 20 * MINUTE)]
    Rollout.objects.filter(pk=second.pk).update(state="rolled_back")
    assert booking.held(promoted, midday + 60 * MINUTE) == [
        (midday, midday + 20 * MINUTE),
        (midday + 40 * MINUTE, midday + 60 * MINUTE),
    ]


def test_split_is_measured_under_the_names_of_its_arms(promoted):
    from optimiser.targets import router
    from tests.optimiser.rollout.test_split import GATE

    promoted.snapshot = GATE
    promoted.change.desired_config = router.promoted(GATE, "chat_int8")
    before, after = booking._scope_before(promoted), booking._scope_after(promoted)
    assert (before.serving_models, before.span_models) == (("chat_fp32",), ("chat_fp32",))
    assert (after.serving_models, after.span_models) == (("chat_int8",), ("chat_int8",))


def test_events_that_pause_booking_are_those_that_the_reconciler_writes():
    assert set(booking.LEFT) | {"in_step"} == set(reconcile.SAID)
