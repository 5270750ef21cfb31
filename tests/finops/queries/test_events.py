"""Which events stand in a period and near an unexpected day, and for whom."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from finops.models import AnomalyMark
from finops.queries import events
from finops.queries.filters import Filters
from ingest.models import Event
from tests.factories.ingest import ProjectFactory

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 10)


def at(day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def event(title, when, kind="release", **more) -> Event:
    return Event.objects.create(
        **{"kind": kind, "title": title, "happened_at": when, "origin": "api",
           "external_id": f"{title} {when}", **more}
    )  # fmt: skip


def filters(**more) -> Filters:
    given = {"zone": "UTC", "start": date(2026, 11, 9), "end": date(2026, 11, 12), **more}
    return Filters(**given)


def titles(**more):
    return [row.title for row in events.events(filters(), **more).rows]


def mark(scope="all", day=DAY) -> AnomalyMark:
    amounts = dict.fromkeys(("actual", "expected", "low", "high"), Decimal(1))
    return AnomalyMark.objects.create(
        scope=scope, currency="USD", day=day, score=9.0, method_version=1, **amounts
    )


def near(one: AnomalyMark, zone="UTC") -> list[str]:
    return [found.said for found in events.near([one], zone)[one.pk]]


def test_period_holds_what_happened_or_still_went_on_in_it():
    event("before", at(8, 23, 59))
    event("first", at(9, 0))
    event("last", at(11, 23, 59))
    event("after", at(12, 0))
    event("over", at(1), "incident", ended_at=at(8))
    event("long", at(1), "incident", ended_at=at(9, 1))
    event("open", at(2), "incident")
    event("removed", at(10), removed_at=at(11))
    assert titles() == ["last", "first", "open", "long"]
    assert [one.title for one in events.marked(filters())] == ["long", "open", "first", "last"]
    assert [one.title for one in events.open_incidents(filters())] == ["open"]


def test_list_is_narrowed_by_kind_and_environment():
    event("a", at(9), environment="production")
    event("b", at(10), "incident", environment="staging")
    assert (titles(kind="release"), titles(environment="staging")) == (["a"], ["b"])
    assert events.environments(filters()) == ["production", "staging"]


def test_project_sees_its_own_events_and_those_of_the_whole_estate():
    mine, others = ProjectFactory(), ProjectFactory()
    event("mine", at(9), project=mine)
    event("others", at(9), project=others)
    event("all", at(9))
    found = events.events(filters(project_ids=(mine.pk,))).rows
    assert {row.title for row in found} == {"mine", "all"}


def test_service_keeps_what_names_no_other():
    event("search", at(9), service="search")
    event("chat", at(9), service="chat")
    event("none", at(9))
    found = events.events(filters(services=("search",))).rows
    assert {row.title for row in found} == {"search", "none"}


def test_pages_follow_each_other_without_a_gap_even_at_the_same_instant():
    for number in range(5):
        event(f"e{number}", at(10))
    seen, cursor = [], None
    while True:
        page = events.events(filters(), limit=2, cursor=cursor)
        seen += [row.title for row in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert seen == ["e4", "e3", "e2", "e1", "e0"]


def test_anomaly_names_the_release_before_it():
    event("search 1.4.2", at(9, 22))
    assert near(mark()) == ["2 h after release search 1.4.2"]


def test_anomaly_names_what_happened_on_its_day_with_the_time():
    event("batch size", at(10, 14, 5), "config_change")
    assert near(mark()) == ["on the day of config change batch size, at 14:05"]


def test_anomaly_names_an_incident_that_went_on():
    event("GPU host down", at(7), "incident", ended_at=at(10, 3))
    assert near(mark()) == ["during incident GPU host down"]


def test_minutes_are_said_when_it_was_less_than_an_hour():
    event("x", at(9, 23, 40))
    assert near(mark()) == ["20 min after release x"]


def test_anomaly_does_not_name_what_was_too_long_before_or_came_later():
    event("early", at(8, 23, 59))
    event("late", at(11, 0))
    event("over", at(7), "incident", ended_at=at(9, 23))
    event("removed", at(10), removed_at=at(11))
    assert near(mark()) == []


def test_three_nearest_are_named():
    for hour in (3, 20, 22, 23):
        event(f"at {hour}", at(9, hour))
    assert near(mark()) == [f"{24 - h} h after release at {h}" for h in (23, 22, 20)]


def test_anomaly_of_a_project_names_its_own_and_the_whole_estates_events():
    mine, others = ProjectFactory(), ProjectFactory()
    event("mine", at(9, 22), project=mine)
    event("others", at(9, 23), project=others)
    event("all", at(9, 21))
    assert near(mark(f"project:{mine.pk}")) == [
        "2 h after release mine", "3 h after release all",
    ]  # fmt: skip
    assert len(near(mark())) == 3


def test_day_of_an_anomaly_is_one_of_the_accounting_zone(settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kolkata"
    event("x", at(9, 19))
    assert near(mark(), "Asia/Kolkata") == ["on the day of release x, at 00:30"]


def test_events_near_many_anomalies_are_read_at_once(django_assert_num_queries):
    marks = [mark(day=DAY + timedelta(days=number)) for number in range(5)]
    event("x", at(9, 22), project=ProjectFactory())
    with django_assert_num_queries(1):
        assert len(events.near(marks, "UTC")) == 5
    assert events.near([], "UTC") == {}
