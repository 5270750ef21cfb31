"""The ledger's writing side, on stored spans and statistics: what is booked, and what is not."""

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import Error, connection, transaction

from finops import audit
from finops.actions import ledger
from finops.actions.ledger import BadCost, Baseline, Expected, NotBooked, Scope
from finops.actions.price_book import set_hardware_price
from finops.costing.savings import Cash, Interval
from finops.models import Audit, LedgerEntry
from finops.money import Money
from ingest import store
from ingest.models import Pool, Project, Source
from ingest.rollup import roll_up
from ingest.sources.triton_statistics import EXECUTION_SECONDS, REQUESTS_OK
from tests.factories.finops import person
from tests.ingest.make import metric, span

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
DAY = date(2026, 11, 10)
MINUTE = timedelta(minutes=1)
STEP = timedelta(seconds=15)
A_MINUTE = 8
"""Requests a minute in these tests."""


@pytest.fixture
def statistics(pool):
    return Source.objects.create(kind="triton_statistics", name="Triton's own", pool=pool)


@pytest.fixture
def scope(project, pool):
    return Scope(project.pk, pool.pk, ("bert",), ("bert",))


@pytest.fixture
def priced(book):
    return set_hardware_price("H100", Decimal("3.60"))


@pytest.fixture
def serverless(book):
    return set_hardware_price("H100", Decimal("3.60"), billed_by="use")


@pytest.fixture
def served(source, statistics):
    """`served(0, 12, 0.5)`: 12 minutes of traffic in which a request takes half a GPU-second."""

    def serve(first, minutes, gpu_s, *, traced=1.0, resets_at=None, unread=(), model="bert"):
        spans, readings, value, answered = [], [], 0.0, 0.0
        for n in range(minutes * 4 + 1):
            at = NOON + first * MINUTE + n * STEP
            if resets_at is not None and n == resets_at * 4:
                value = answered = 0.0
            if n // 4 not in unread:
                readings += [
                    metric(EXECUTION_SECONDS, value, at, model=model, version="1"),
                    metric(REQUESTS_OK, answered, at, model=model, version="1"),
                ]
            value += gpu_s * A_MINUTE / 4
            answered += A_MINUTE / 4
        for n in range(minutes * A_MINUTE):
            if n % 10 < traced * 10:
                at = NOON + first * MINUTE + (n + 0.5) * MINUTE / A_MINUTE
                number = first * 1_000_000 + len(model) * 10_000 + n
                usual = {"provider": "triton", "model": model, "kind": "inference"}
                spans.append(span(number, started_at=at, ended_at=at + STEP / 60, **usual))
        store.metrics(statistics, readings)
        store.spans(source, spans)
        roll_up()

    return serve


BEFORE = Baseline(0.5, 0.48, 0.52, NOON - 60 * MINUTE, NOON, 480)


def realised(scope, first=0, last=12, **options):
    start, end = NOON + first * MINUTE, NOON + last * MINUTE
    return ledger.book_realised("change-1", "Batch bert", scope, BEFORE, start, end, **options)


def current():
    return LedgerEntry.objects.filter(superseded_by__isnull=True)


# What is booked


def test_capacity_is_requests_times_what_each_takes_less(served, scope, priced):
    served(0, 12, 0.2)
    entry = realised(scope).entry
    assert (entry.kind, entry.counts_as, entry.revision) == ("realised", "realised", 1)
    assert (entry.requests, entry.measured_s, entry.provisional) == (96, 720, True)
    assert entry.gpu_seconds_per_request == pytest.approx(0.2)
    assert entry.counterfactual_gpu_seconds_per_request == 0.5
    assert entry.capacity_gpu_seconds == pytest.approx(96 * 0.3)
    # These minutes are all alike, so what doubt there is, is that of the baseline.
    assert entry.capacity_gpu_seconds_low == pytest.approx(96 * 0.28, abs=0.1)
    assert entry.capacity_gpu_seconds_high == pytest.approx(96 * 0.32, abs=0.1)


def test_hours_that_are_paid_anyway_save_no_cash_and_the_entry_says_why(served, scope, priced):
    served(0, 12, 0.2)
    entry = realised(scope).entry
    assert (entry.cash, entry.cash_low, entry.cash_high) == (0, 0, 0)
    assert (entry.currency, entry.billed_by, entry.book) == ("USD", "hours", priced)
    assert entry.basis == (
        "96 requests in 12.0 measured minutes took 0.2 GPU-seconds each (0.2 to 0.2); before the"
        " change it was 0.5 (0.48 to 0.52, 480 requests, 10 Nov 11:00 to 10 Nov 12:00 UTC). The"
        " pool is paid by the hour ($3.60 per GPU) whether busy or not: capacity is freed, and no"
        f" cash is saved until the pool is made smaller. Price book version {priced.version}."
    )


def test_use_that_is_not_made_is_not_paid_where_use_is_what_is_paid(served, scope, serverless):
    served(0, 12, 0.2)
    entry = realised(scope).entry
    assert entry.cash == pytest.approx(Decimal("0.0288"))
    assert float(entry.cash_low) == pytest.approx(entry.capacity_gpu_seconds_low / 1000)
    assert entry.basis.endswith(
        "The pool is paid by use, at $3.60 per GPU-hour: what is not used is not paid."
        f" Price book version {serverless.version}."
    )


def test_a_change_for_the_worse_is_booked_as_it_is(served, scope, serverless):
    served(0, 12, 0.6)
    entry = realised(scope).entry
    assert entry.capacity_gpu_seconds == pytest.approx(-9.6)
    assert entry.cash < 0


def test_unknown_price_is_unknown_cash_and_no_zero(served, scope, book):
    served(0, 12, 0.2)
    entry = realised(scope).entry
    assert (entry.cash, entry.currency) == (None, "")
    assert entry.basis.endswith("The cash is unknown: enter a price of H100.")


def test_price_that_changed_in_the_period_weighs_by_requests(served, scope, serverless):
    set_hardware_price("H100", Decimal("7.20"), valid_from=NOON + 15 * MINUTE, billed_by="use")
    served(0, 30, 0.2)
    entry = realised(scope, 0, 30).entry
    assert entry.cash == pytest.approx(Decimal(240) * Decimal("0.3") * Decimal("5.4") / 3600)


def test_baseline_is_measured_as_the_saving_is(served, scope):
    served(-30, 30, 0.4)
    found = ledger.baseline(scope, [(NOON - 30 * MINUTE, NOON)])
    assert found.gpu_seconds_per_request == pytest.approx(0.4)
    assert (found.requests, found.measured_from, found.measured_to) == (
        240,
        NOON - 30 * MINUTE,
        NOON,
    )


def test_baseline_of_an_hour_of_which_two_minutes_were_read(served, scope):
    served(-2, 2, 0.4)
    found = ledger.baseline(scope, [(NOON - 60 * MINUTE, NOON)], least_minutes=1)
    assert found.gpu_seconds_per_request == pytest.approx(0.4)
    assert found.requests == 2 * A_MINUTE


def test_every_entry_has_its_audit_record(served, scope, priced):
    served(0, 12, 0.2)
    entry = realised(scope).entry
    record = Audit.objects.get(action="ledger.realised")
    assert (record.object_id, record.actor_name, record.via) == (str(entry.pk), "system", "system")
    assert record.detail["facts"] == bytes(entry.facts_hash).hex()
    assert audit.verify().is_whole


# What is not measured


def reason(answer):
    assert isinstance(answer, NotBooked)
    assert not LedgerEntry.objects.exists()
    return answer.reason


def test_ten_minutes_are_needed(served, scope, priced):
    served(0, 9, 0.2)
    assert reason(realised(scope)) == (
        "9.0 minutes were measured, 10 are needed; wait for more traffic."
    )
    assert realised(scope, least_minutes=5).is_new


def test_single_stretch_between_two_readings_shows_no_spread(served, scope, priced):
    served(0, 12, 0.2)
    assert reason(realised(scope, 0, 0.25, least_minutes=0.1)) == (
        "0.2 minutes were measured, in one stretch: without a second there is no interval; wait"
        " for more readings."
    )


def test_short_periods_are_cut_finer_so_that_they_show_their_spread(served, scope, priced):
    served(0, 2, 0.2)
    served(2, 2, 0.4)
    entry = realised(scope, 0, 4, least_minutes=3).entry
    # The half minute at whose end the counters begin again is nobody's.
    assert (entry.measured_s, entry.requests) == (210, 28)
    assert entry.capacity_gpu_seconds_low < entry.capacity_gpu_seconds - 1


def test_without_statistics_nothing_is_booked(source, scope, priced):
    store.spans(source, [span(1, started_at=NOON, model="bert", kind="inference")])
    assert reason(realised(scope)) == (
        "No Triton statistics of this pool were read in this time; connect a source of the kind"
        " Triton statistics and let it read at least once a minute."
    )


def test_minutes_whose_requests_were_not_traced_count_for_nothing(served, scope, priced):
    served(0, 20, 0.2, traced=0.5)
    assert reason(realised(scope, 0, 20)) == (
        "0.0 minutes were measured, 10 are needed; 20 had requests that spans and server count"
        " differently."
    )


def test_minute_of_a_reload_counts_for_nothing(served, scope, priced):
    served(0, 12, 0.2, resets_at=5)
    entry = realised(scope).entry
    assert (entry.requests, entry.measured_s) == (88, 660)
    assert "1 had a gap in Triton's statistics or a reload in between." in entry.basis


def test_gap_in_the_statistics_counts_for_nothing(served, scope, priced):
    served(0, 30, 0.2, unread=range(10, 18))
    entry = realised(scope, 0, 30).entry
    # The readings of minutes 10 to 17 are missing: nothing is known from 9:45 to 18:00.
    assert entry.requests == 21 * A_MINUTE
    assert entry.capacity_gpu_seconds == pytest.approx(21 * A_MINUTE * 0.3)


def test_everybody_who_shares_the_model_shares_its_work(served, scope, priced):
    served(0, 12, 0.2)
    other = Scope(Project.objects.unallocated().pk, scope.pool_id, ("bert",), ("bert",))
    entry = realised(other).entry
    assert (entry.requests, entry.project.slug) == (96, "unallocated")


def test_same_model_of_another_provider_is_another_model(served, scope, priced, pool):
    served(0, 12, 0.2)
    Pool.objects.filter(pk=pool.pk).update(provider="vllm")
    assert reason(realised(scope)).startswith("0.0 minutes were measured")


def test_time_out_of_force_counts_for_nothing(served, scope, priced):
    served(0, 30, 0.2)
    held = [(NOON, NOON + 8 * MINUTE), (NOON + 20 * MINUTE, NOON + 28 * MINUTE)]
    assert realised(scope, 0, 30, held=held).entry.measured_s == 16 * 60


def test_other_models_work_is_not_ours(served, scope, priced):
    served(0, 12, 0.2)
    served(0, 12, 0.9, model="llama")
    assert realised(scope).entry.gpu_seconds_per_request == pytest.approx(0.2)


def test_overlapping_instances_used_no_more_gpus_than_there_are(served, scope, pool, priced):
    # 8 requests a minute × 30 s of two models is 480 s a minute; two GPUs have 120.
    served(0, 12, 30)
    served(0, 12, 30, model="llama")
    assert realised(scope).entry.gpu_seconds_per_request == pytest.approx(7.5)


# Booking again


def test_the_same_facts_are_booked_once(served, scope, priced):
    served(0, 12, 0.2)
    first, again = realised(scope), realised(scope)
    assert (again.entry, again.is_new) == (first.entry, False)
    assert LedgerEntry.objects.count() == Audit.objects.filter(action__startswith="ledger").count()


def test_a_longer_period_supersedes_the_provisional_entry(served, scope, priced):
    served(0, 30, 0.2)
    first = realised(scope, 0, 12).entry
    later = realised(scope, 0, 30).entry
    assert (later.kind, later.supersedes, later.revision) == ("adjustment", first, 2)
    assert list(current()) == [later]
    assert LedgerEntry.objects.get(pk=first.pk).requests == 96


def test_a_period_that_starts_within_another_is_refused(served, scope, priced):
    served(0, 30, 0.2)
    realised(scope, 0, 20)
    assert realised(scope, 10, 30).reason == (
        "Part of this period is booked in an entry that began earlier; book from its start."
    )


def test_day_is_final_once_it_is_over_and_rolled_up(served, scope, priced):
    served(0, 30, 0.2)
    first = realised(scope, 0, 12).entry
    held, arguments = [(NOON, NOON + 30 * MINUTE)], ("change-1", "Batch bert", scope, BEFORE, DAY)
    early = ledger.book_day(*arguments, held, now=NOON + 60 * MINUTE)
    assert early == NotBooked("This day is not over; book it tomorrow.")
    tomorrow = NOON + timedelta(days=1)
    booked = ledger.book_day(*arguments, held, now=tomorrow)
    assert (booked.entry.supersedes, booked.entry.provisional) == (first, False)
    assert (booked.entry.period_from, booked.entry.period_to) == held[0]
    assert ledger.book_day(*arguments, held, now=tomorrow).is_new is False
    assert realised(scope, 0, 30).reason == (
        "This period is booked for good; a provisional entry does not replace it."
    )


def test_day_waits_for_its_facts(served, scope, priced, source):
    served(0, 30, 0.2)
    late = NOON + 10 * MINUTE
    store.spans(
        source, [span(9, started_at=late, model="bert", provider="triton", kind="inference")]
    )
    answer = ledger.book_day(
        "change-1",
        "Batch bert",
        scope,
        BEFORE,
        DAY,
        [(NOON, NOON + 30 * MINUTE)],
        now=NOON + timedelta(days=1),
    )
    assert reason(answer) == "Facts of this day are still being rolled up; try again in a minute."


def test_late_facts_make_an_adjustment_and_never_an_edit(served, scope, priced, source):
    served(0, 30, 0.2)
    arguments = ("change-1", "Batch bert", scope, BEFORE, DAY, [(NOON, NOON + 30 * MINUTE)])
    first = ledger.book_day(*arguments, now=NOON + timedelta(days=1)).entry
    usual = {"provider": "triton", "model": "bert", "kind": "inference"}
    late = span(99_999, started_at=NOON + 3 * MINUTE, **usual)
    store.spans(source, [late])
    roll_up()
    second = ledger.book_day(*arguments, now=NOON + timedelta(days=1)).entry
    assert (second.kind, second.supersedes, second.requests) == ("adjustment", first, 241)
    assert LedgerEntry.objects.get(pk=first.pk).requests == 240


def test_correction_of_a_person_outlives_the_next_run_of_the_job(served, scope, priced):
    served(0, 12, 0.2)
    first = realised(scope).entry
    asha = person("asha", "analyst")
    nothing = Cash(Decimal(0), Decimal(0), Decimal(0), "USD")
    fixed = ledger.adjust(
        first,
        "The baseline ran on other hardware.",
        capacity_gpu_seconds=Interval(0, 0, 0),
        cash=nothing,
        by=asha,
        via="command",
    ).entry
    assert (fixed.kind, fixed.counts_as, fixed.capacity_gpu_seconds) == (
        "adjustment",
        "realised",
        0,
    )
    assert realised(scope).is_new is False
    assert list(current()) == [fixed]
    again = ledger.adjust(first, "Once more.", capacity_gpu_seconds=None, cash=None)
    assert again == NotBooked("That entry was corrected already; correct the newest one.")


# Estimates and costs

EXPECTED = Expected(0.5, 0.2, 0.55, 0.65, 1_000_000)


def estimate(scope, expected=EXPECTED):
    end = NOON + timedelta(days=30)
    basis = "Replay of 9 November, seed 7."
    return ledger.book_estimate("change-1", "Batch bert", scope, expected, NOON, end, basis=basis)


def test_estimate_is_requests_times_the_expected_fall(scope, priced):
    entry = estimate(scope).entry
    assert (entry.kind, entry.capacity_gpu_seconds) == ("estimate", pytest.approx(300_000))
    assert entry.capacity_gpu_seconds_low == pytest.approx(275_000)
    assert entry.capacity_gpu_seconds_high == pytest.approx(325_000)
    assert (entry.cash, entry.requests) == (0, 1_000_000)


def test_new_estimate_supersedes_the_old_one(scope, priced):
    first = estimate(scope).entry
    assert estimate(scope).is_new is False
    second = estimate(scope, replace(EXPECTED, requests=2_000_000)).entry
    assert (second.kind, second.counts_as, second.supersedes) == ("adjustment", "estimate", first)


def test_estimate_and_realised_of_the_same_time_stand_side_by_side(served, scope, priced):
    served(0, 12, 0.2)
    both = {estimate(scope).entry.pk, realised(scope).entry.pk}
    assert set(current().values_list("pk", flat=True)) == both


def cost(amount="1200", **changes):
    by = changes.pop("by", None) or person("asha", "analyst")
    usual = {"on": date(2026, 11, 3), "note": "Two days of load tests"}
    return ledger.book_programme_cost(
        **{**usual, **changes}, cost=Money(Decimal(amount), "EUR"), by=by, via="page"
    )


def test_programme_cost_is_booked_on_its_day_with_its_audit_record(db):
    entry = cost()
    assert (entry.kind, entry.title) == ("programme_cost", "Two days of load tests")
    assert (entry.cash, entry.currency, entry.project.slug) == (1200, "EUR", "unallocated")
    assert entry.period_from.date() == date(2026, 11, 3)
    assert Audit.objects.get(action="ledger.programme_cost").actor_name == "asha"


def test_two_equal_costs_of_one_day_are_two_costs(db):
    first = cost()
    cost(by=first.created_by)
    assert current().count() == 2


def test_programme_cost_is_corrected_by_a_new_entry(db):
    first = cost()
    second = cost("0", by=first.created_by, corrects=first)
    assert (second.kind, second.supersedes, second.cash) == ("adjustment", first, 0)
    with pytest.raises(BadCost, match="is corrected already"):
        cost("5", by=first.created_by, corrects=first)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "-3"}, "amount"),
        ({"amount": "1000000000000"}, "amount"),
        ({"note": " "}, "note"),
        ({"on": date(2999, 1, 1)}, "on"),
    ],
)
def test_bad_cost_names_its_field(db, changes, field):
    with pytest.raises(BadCost) as bad:
        cost(**changes)
    assert bad.value.field == field
    assert not LedgerEntry.objects.exists()


# What the database holds by itself


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE finops_ledgerentry SET cash = 1",
        "DELETE FROM finops_ledgerentry",
    ],
)
def test_entries_are_never_changed(db, sql):
    cost()
    with (
        pytest.raises(Error, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)


def copied(entry, **changes):
    values = {
        field.attname: getattr(entry, field.attname)
        for field in LedgerEntry._meta.concrete_fields
        if not field.primary_key
    }
    with transaction.atomic():
        LedgerEntry.objects.create(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"revision": 1}, "is booked already"),
        ({"period_from": NOON + MINUTE}, "is booked already"),
        ({"change_ref": "other", "period_to": NOON}, "period_forward"),
        ({"change_ref": "other", "capacity_gpu_seconds_low": None}, "gpu_seconds_told"),
        ({"change_ref": "other", "cash_high": Decimal(-1)}, "cash_told"),
        ({"change_ref": "other", "currency": ""}, "cash_has_currency"),
        ({"change_ref": "other", "counts_as": "estimate"}, "adjustment_supersedes"),
        ({"change_ref": "other", "kind": "hope", "counts_as": "hope"}, "counts_as_known"),
        ({"change_ref": ""}, "saving_has_change"),
    ],
)
def test_impossible_entry_is_refused_by_the_database(served, scope, priced, changes, what):
    served(0, 12, 0.2)
    entry = realised(scope).entry
    with pytest.raises(Error, match=what):
        copied(entry, **changes)


@pytest.mark.django_db(transaction=True)
def test_two_bookings_at_once_make_one_entry(served, scope, priced):
    served(0, 12, 0.2)
    together, answers = threading.Barrier(4), []

    def book():
        together.wait()
        try:
            answers.append(realised(scope))
        finally:
            connection.close()

    threads = [threading.Thread(target=book) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.is_new for answer in answers) == [False, False, False, True]
    assert LedgerEntry.objects.count() == 1
