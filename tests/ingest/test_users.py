"""What each user used in a day: from facts, not more often than it is worth, never half."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ingest import partitions, store
from ingest.models import UserDay, UserDayState
from ingest.rollup import roll_up, sum_users
from ingest.rollup.users import LEAST_WAIT
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db

DAY = NOON.date()


def come(source, *records, now):
    store.spans(source, records)
    roll_up()
    return sum_users(now)


def used():
    return {
        row.user_id: (row.spans, row.input_tokens) for row in UserDay.objects.order_by("user_id")
    }


@pytest.fixture
def now():
    return timezone.now()


def test_users_are_summed_from_facts_and_nobody_named_is_a_user_of_its_own(source, now):
    records = [span(1, user_id="ada"), span(2, user_id="ada"), span(3, user_id="bo"), span(4)]
    assert come(source, *records, now=now) == 1
    assert used() == {"": (1, 100), "ada": (2, 200), "bo": (1, 100)}


def test_sums_of_users_add_up_to_the_day(source, now):
    root = {"kind": "agent", "span_id": "root", "user_id": "ada"}
    leaf = {"span_id": "leaf", "parent_span_id": "root", "user_id": "ada"}
    come(source, span(1, **root), span(1, **leaf), span(2, kind="tool", input_tokens=None,
         output_tokens=None), now=now)  # fmt: skip
    assert sum(tokens for _, tokens in used().values()) == 100


def test_changed_day_is_summed_anew_but_not_before_its_time(source, now):
    come(source, span(1, user_id="ada"), now=now)
    assert come(source, span(2, user_id="ada"), now=now + LEAST_WAIT / 2) == 0
    assert used() == {"ada": (1, 100)}
    assert sum_users(now + 2 * LEAST_WAIT) == 1
    assert used() == {"ada": (2, 200)}
    assert sum_users(now + 9 * LEAST_WAIT) == 0


def test_day_that_takes_long_is_left_alone_for_twenty_times_as_long(source, now, monkeypatch):
    clock = iter([0.0, 30.0])
    monkeypatch.setattr("ingest.rollup.users.monotonic", lambda: next(clock))
    come(source, span(1), now=now)
    assert UserDayState.objects.get().not_before == now + timedelta(minutes=10)


def test_days_are_those_of_the_accounting_zone(source, now, settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kathmandu"
    late = datetime(2026, 11, 10, 18, 20, tzinfo=UTC)  # 00:05 of the 11th there
    come(source, span(1, user_id="ada"), span(2, user_id="ada", started_at=late), now=now)
    assert list(UserDay.objects.order_by("day").values_list("day__day", "spans")) == [
        (10, 1),
        (11, 1),
    ]


def test_day_is_not_dropped_before_its_users_are_summed(source, now):
    store.spans(source, [span(1, user_id="ada")])
    roll_up()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_span SET received_at = %s", [NOON])
    later = DAY + timedelta(days=400)
    assert partitions.drop_expired(later) == []
    sum_users(now)
    assert partitions.drop_expired(later) == ["ingest_span_20261110"]
    assert used() == {"ada": (1, 100)}


def test_users_of_a_closed_day_stay_when_something_late_comes(source, now):
    test_day_is_not_dropped_before_its_users_are_summed(source, now)
    come(source, span(2, user_id="ada"), now=now + timedelta(days=1))
    assert used() == {"ada": (1, 100)}


def test_accounting_day_of_which_a_part_is_closed_stays(source, now, settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kathmandu"
    evening = datetime(2026, 11, 10, 20, tzinfo=UTC)  # 01:45 of the 11th there
    come(source, span(1, user_id="ada", started_at=evening), now=now)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_span SET received_at = %s", [NOON])
    assert partitions.drop_expired(DAY + timedelta(days=400))
    come(source, span(2, user_id="ada", started_at=evening + timedelta(hours=6)),
         now=now + timedelta(days=1))  # fmt: skip
    assert list(UserDay.objects.values_list("day", "spans")) == [(date(2026, 11, 11), 1)]
    assert not UserDayState.objects.exclude(changed=2).filter(day=date(2026, 11, 11)).exists()
