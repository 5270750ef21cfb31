"""Requests summed by the week, and whole projects by the day, say what the days say."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from finops.models import User
from finops.queries import traffic
from finops.queries.book import REQUEST_KINDS, days
from finops.queries.traffic import summary
from ingest import sketch, store
from ingest.models import RequestDay, SpanDay, SpanWeek
from ingest.models.rollups import DIMENSIONS, SpanSums
from ingest.rollup import roll_up, spans
from tests.factories.finops import person
from tests.factories.ingest import ProjectFactory, SourceFactory
from tests.ingest.make import span

pytestmark = pytest.mark.usefixtures("weeks")

START = datetime(2025, 10, 2, tzinfo=UTC)
DAYS = 18
"""From a Thursday: days of one week, and two whole ones."""
SKETCHES = ("latency", "ttft", "tpot")


@pytest.fixture(scope="module")
def weeks(django_db_setup, django_db_blocker):
    """The last day comes late, so that its week is summed twice. Rolled back at the end."""
    with django_db_blocker.unblock(), transaction.atomic():
        dice = random.Random(3)
        projects = [ProjectFactory(slug=slug, name=slug.title()) for slug in ("chat", "search")]
        late = START + timedelta(days=10)
        for project in projects:
            source = SourceFactory(project=project)
            records = list(_records(dice))
            for is_late in (False, True):
                store.spans(source, [one for one in records if (one.started_at >= late) == is_late])
                roll_up(1000)
        person("asha", "analyst")
        person("cleo", "viewer", project=projects[0])
        yield
        transaction.set_rollback(True)


@pytest.fixture
def asha(db):
    return User.objects.get(username="asha")


def _records(dice):
    for n in range(60):
        at = START + timedelta(seconds=dice.randrange(DAYS * 86400))
        latency = dice.lognormvariate(6, 1)
        yield span(
            n + 1,
            started_at=at,
            ended_at=at + timedelta(milliseconds=round(latency)),
            ttft_ms=latency / 4,
            status="error" if n % 9 == 0 else "ok",
            model=dice.choice(("gpt-4o", "gpt-4o-mini")),
            kind=dice.choice(("llm", "llm", "embedding", "tool")),
        )


def added(rows, key):
    """Key → what the rows of it add up to, sketches as dictionaries."""
    found = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return {
        name: (
            [sum(getattr(row, column) or 0 for row in own) for column in SpanSums.SUMMED],
            [_merged(own, one) for one in SKETCHES],
        )
        for name, own in found.items()
    }


def _merged(rows, name):
    told = ((getattr(row, f"{name}_keys"), getattr(row, f"{name}_counts")) for row in rows)
    return sketch.merge(told)


def same(left, right):
    assert left.keys() == right.keys()
    for key, (sums, sketches) in left.items():
        assert sums == pytest.approx(right[key][0])
        assert sketches == right[key][1]


def test_weeks_are_their_days_added_up():
    def key(row):
        monday = row.day - timedelta(days=row.day.weekday())
        return (row.project_id, monday, *(getattr(row, name) for name in DIMENSIONS))

    found = list(SpanWeek.objects.all())
    assert len({row.day for row in found}) == 3
    same(added(found, key), added(SpanDay.objects.all(), key))


def test_requests_of_a_day_are_those_of_all_its_dimensions():
    def key(row):
        return row.project_id, row.day

    assert spans.REQUEST_KINDS == REQUEST_KINDS
    requests = SpanDay.objects.filter(kind__in=REQUEST_KINDS)
    same(added(RequestDay.objects.all(), key), added(requests, key))
    assert set(RequestDay.objects.values_list(*DIMENSIONS)) == {("", "", "", "", "", 0)}


@pytest.mark.parametrize("user", ["asha", "cleo"])
@pytest.mark.parametrize(("first", "last"), [(0, 18), (4, 18), (5, 12), (1, 3)])
def test_answers_by_the_week_are_those_by_the_day(ask, monkeypatch, user, first, last):
    start, end = (START.date() + timedelta(days=n) for n in (first, last))
    filters = ask(f"group_by=model&from={start}&to={end}", User.objects.get(username=user))
    by_week, series = traffic.request_summary(filters), traffic.latency_series(filters)
    monkeypatch.setattr(summary, "weeks_and_days", lambda start, end: ([], days(start, end)))
    assert by_week == traffic.request_summary(filters)
    assert by_week.total.requests == sum(series.requests)

    both = ask(
        f"from={start}&to={end}&f.model=gpt-4o&f.model=gpt-4o-mini", User.objects.get(username=user)
    )
    assert traffic.latency_series(both) == series
