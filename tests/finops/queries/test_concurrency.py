"""What was at once, over days and hours: what is exact, what is a bound and what is unknown."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from django.http import QueryDict

from finops.queries import traffic
from finops.queries.filters import Filters
from ingest import store
from ingest.models import ConcurrencyQuarter, Project, Source, SpanDay
from ingest.rollup import roll_up
from tests.factories.finops import person
from tests.ingest.make import span

pytestmark = pytest.mark.django_db

NOON = datetime(2025, 10, 2, 12, tzinfo=UTC)
WEEK = "from=2025-10-01&to=2025-10-08"


@pytest.fixture(autouse=True)
def utc(settings):
    settings.ACCOUNTING_TIME_ZONE = "UTC"


@pytest.fixture
def sources(db):
    return {
        slug: Source.objects.create(
            kind="otlp", name=slug, project=Project.objects.create(slug=slug, name=slug)
        )
        for slug in ("chat", "search")
    }


def keep(source, *records):
    store.spans(source, list(records))
    roll_up()


def request(number, start_s, end_s, **changes):
    at = NOON + timedelta(seconds=start_s)
    end = None if end_s is None else NOON + timedelta(seconds=end_s)
    return span(number, started_at=at, ended_at=end, **changes)


def ask(query=WEEK):
    filters, problems = Filters.parse(QueryDict(query), person(f"asha{random.random()}", "analyst"))
    assert not problems
    return filters


def test_means_and_peaks_are_those_of_a_plain_count(sources):
    dice = random.Random(3)
    records = []
    for n in range(150):
        start = dice.randrange(0, 20_000)
        records.append(request(n, start, start + dice.randrange(1, 3000)))
    keep(sources["chat"], *records)
    found = traffic.concurrency(ask())
    busy_s = sum((one.ended_at - one.started_at).total_seconds() for one in records)
    peak = max(sum(o.started_at <= a.started_at < o.ended_at for o in records) for a in records)
    assert found.total.in_flight_mean == pytest.approx(busy_s / (7 * 86400))
    assert found.total.in_flight_peak == peak
    assert (found.peak_at_most, found.requests, found.timed) == (False, 150, 150)


def test_steps_without_requests_are_zero_and_hours_agree_with_days(sources):
    keep(sources["chat"], request(1, 0, 1800, user_id="asha", session_id="s"))
    days = traffic.concurrency(ask())
    hours = traffic.concurrency(ask(), step="hour")
    assert days.points[1] == date(2025, 10, 2)
    assert [one.in_flight_peak for one in days.steps] == [0, 1, 0, 0, 0, 0, 0]
    assert days.steps[1].in_flight_mean == pytest.approx(0.5 / 24)
    assert days.steps[1].users_mean == pytest.approx(6 / (24 * 12))
    at_noon = hours.steps[hours.points.index(NOON)]
    assert (at_noon.in_flight_mean, at_noon.users_peak, at_noon.sessions_peak) == (0.5, 1, 1)
    assert hours.total == days.total


def test_peaks_of_several_projects_are_a_bound_and_their_users_are_not(sources):
    keep(sources["chat"], request(1, 0, 60, user_id="asha"))
    keep(sources["search"], request(2, 300, 360, user_id="asha"))
    both = traffic.concurrency(ask())
    assert (both.total.in_flight_peak, both.peak_at_most) == (2, True)
    assert (both.total.users_peak, both.users_at_most) == (1, False), "in different windows"
    one = traffic.concurrency(ask(f"{WEEK}&f.project=chat"))
    assert (one.total.in_flight_peak, one.peak_at_most) == (1, False)


def test_one_service_and_model_is_exact_and_several_are_a_bound(sources):
    keep(
        sources["chat"],
        request(1, 0, 60, model="small", user_id="asha"),
        request(2, 100, 160, model="large", user_id="asha"),
    )
    small = traffic.concurrency(ask(f"{WEEK}&f.model=small"))
    assert (small.total.in_flight_peak, small.total.users_peak) == (1, 1)
    assert (small.peak_at_most, small.users_at_most) == (False, False)
    service = traffic.concurrency(ask(f"{WEEK}&f.service=search"))
    assert (service.total.in_flight_peak, service.total.users_peak) == (2, 2)
    assert service.peak_at_most
    assert service.users_at_most
    whole = traffic.concurrency(ask())
    assert (whole.total.in_flight_peak, whole.total.users_peak) == (1, 1)


def test_requests_whose_end_nobody_told_are_unknown_not_idle(sources):
    keep(sources["chat"], request(1, 0, None))
    found = traffic.concurrency(ask())
    assert (found.total.in_flight_mean, found.total.in_flight_peak) == (None, None)
    assert (found.requests, found.timed) == (1, 0)


def test_users_are_unknown_where_none_is_named(sources):
    keep(sources["chat"], request(1, 0, 9, session_id="s"))
    found = traffic.concurrency(ask())
    assert (found.total.users_peak, found.steps[0].users_peak) == (None, None)
    assert (found.total.sessions_peak, found.naming_session, found.naming_user) == (1, 1, 0)


def test_days_summed_before_there_was_concurrency_are_unknown(sources):
    keep(sources["chat"], request(1, 0, 60))
    ConcurrencyQuarter.objects.all().delete()
    assert SpanDay.objects.get().spans == 1
    found = traffic.concurrency(ask())
    assert found.total.in_flight_peak is None
    assert [one.in_flight_peak for one in found.steps] == [0, None, 0, 0, 0, 0, 0]


def test_hours_of_a_long_time_are_refused(sources):
    with pytest.raises(traffic.NoSuchSeries):
        traffic.concurrency(ask("range=30d"), step="hour")


def test_abandoned_share_is_of_requests_whose_ending_is_known(sources):
    keep(
        sources["chat"],
        request(1, 0, 5, model="m"),
        request(2, 0, 5, model="m", status="error", error_type="CancelledError"),
        request(3, 0, 5, model="m", output_tokens=None),
        request(4, 0, 5, model="quiet", output_tokens=None),
    )
    table = traffic.request_summary(ask())
    rows = {row.keys[0]: row for row in table.rows}
    assert rows["m"].abandonment_rate == pytest.approx(1 / 2)
    assert rows["quiet"].abandonment_rate is None
    assert (table.total.abandoned, table.total.endings_known, table.total.errors) == (1, 2, 1)


def test_percentiles_of_time_per_token_stand_beside_the_others(sources):
    keep(sources["chat"], *(request(n, 0, 1, ttft_ms=800.0, output_tokens=n) for n in range(1, 12)))
    row = traffic.request_summary(ask()).total
    # 200 ms over 1 to 10 tokens; of a single token nothing can be said.
    assert row.tpot.count == 10
    assert row.tpot.p50_ms == pytest.approx(200 / 6, rel=0.011)
    assert row.tpot.p99_ms == pytest.approx(200, rel=0.011)
    series = traffic.latency_series(ask())
    assert [point.count for point in series.tpot] == [0, 10, 0, 0, 0, 0, 0]
