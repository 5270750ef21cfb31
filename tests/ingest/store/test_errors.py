"""Errors in quarter hours: pushed ones add up once, pulled ones are set, whatever is repeated."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from ingest import tasks
from ingest.error_records import REMEMBERED_FOR, ErrorRecord, ErrorTally, ErrorWindow, quarter_of
from ingest.models import ErrorCount, ErrorSeen, Reject
from ingest.store import Counts, errors
from tests.pulled import pulled

NOW = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)
NOON = quarter_of(NOW)


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW + timedelta(minutes=5))


def error(number: int = 1, **changes) -> ErrorRecord:
    usual = {
        "service": "search",
        "type": "TimeoutError",
        "at": NOW,
        "exemplar": "It took too long",
        "trace_id": "ab" * 16,
        "identity": UUID(int=number).bytes,
    }
    return ErrorRecord(**{**usual, **changes})


def tally(kind: str = "TimeoutError", count: int = 1, **changes) -> ErrorTally:
    usual = {"service": "search", "at": NOON, "exemplar": f"{kind} came"}
    return ErrorTally(type=kind, count=count, **{**usual, **changes})


def window(*tallies: ErrorTally) -> ErrorWindow:
    return ErrorWindow(NOON - timedelta(hours=1), NOON + timedelta(hours=1), tallies)


def kept(source) -> dict:
    rows = ErrorCount.objects.filter(source=source).order_by("at", "service", "type")
    return {
        (row.at.strftime("%H:%M"), row.service, row.type): (row.count, row.exemplar) for row in rows
    }


# ---- pushed -----------------------------------------------------------------------------------


def test_pushed_errors_add_up_by_quarter_hour_service_and_type(source):
    errors.take(source, [error(1), error(2, exemplar="")])
    errors.take(
        source,
        [
            error(3, at=NOW + timedelta(minutes=4), exemplar="Newest"),
            error(4, at=NOW - timedelta(minutes=10)),
            error(5, service="chat"),
            error(6, type="ValueError"),
        ],
    )

    assert kept(source) == {
        ("11:45", "search", "TimeoutError"): (1, "It took too long"),
        ("12:00", "chat", "TimeoutError"): (1, "It took too long"),
        ("12:00", "search", "TimeoutError"): (3, "Newest"),
        ("12:00", "search", "ValueError"): (1, "It took too long"),
    }


def test_error_sent_again_is_counted_once(source):
    sent = [error(1), error(2), error(3, service="chat")]
    assert errors.take(source, sent) == Counts(inserted=3)
    before = kept(source)

    assert errors.take(source, [*reversed(sent), error(4)]) == Counts(inserted=1, unchanged=3)

    assert errors.take(source, [error(4), error(4)]) == Counts(unchanged=2)
    assert kept(source) == {**before, ("12:00", "search", "TimeoutError"): (3, "It took too long")}


def test_shuffled_and_cut_deliveries_come_to_the_oracles_count(source):
    dice = random.Random(7)
    sent = [
        error(number, at=NOW - timedelta(minutes=dice.randrange(120)), type=dice.choice("abc"))
        for number in range(300)
    ]
    for _ in range(4):
        shuffled = dice.sample(sent, len(sent))
        while shuffled:
            size = dice.randrange(1, 80)
            errors.take(source, shuffled[:size])
            shuffled = shuffled[size:]

    oracle: dict = {}
    for one in sent:
        key = (quarter_of(one.at).strftime("%H:%M"), one.service, one.type)
        oracle[key] = oracle.get(key, 0) + 1
    assert {key: count for key, (count, _) in kept(source).items()} == oracle


def test_the_same_error_of_two_sources_is_kept_apart(source, pool_source):
    errors.take(source, [error(1)])
    errors.take(pool_source, [error(1)])

    assert sorted(ErrorCount.objects.values_list("source_id", "count")) == sorted(
        [(source.pk, 1), (pool_source.pk, 1)]
    )


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (NOW + timedelta(minutes=11), "in_the_future"),
        (datetime(1999, 1, 1, tzinfo=UTC), "too_old"),
        (NOW - REMEMBERED_FOR, "too_late"),
    ],
)
def test_error_of_a_time_that_cannot_be_counted_costs_only_itself(source, at, reason):
    counts = errors.take(source, [error(1, at=at), error(2)])

    assert counts == Counts(inserted=1, rejected=1)
    assert [reject.reason for reject in Reject.objects.all()] == [reason]
    assert pulled() == counts


def test_what_is_forgotten_can_no_longer_be_sent_again(source):
    errors.take(source, [error(1, at=NOW - REMEMBERED_FOR + timedelta(hours=1))])

    later = NOW + timedelta(hours=3)
    errors.forget(later)

    assert not ErrorSeen.objects.exists()
    assert error(1, at=NOW - REMEMBERED_FOR + timedelta(hours=1)).problem(later) is not None


def test_rarest_types_are_counted_as_other(source, monkeypatch):
    monkeypatch.setattr(errors, "MOST_TYPES", 2)
    monkeypatch.setattr(errors, "MOST_SERVICES", 2)

    errors.take(source, [error(1, type="a"), error(2, type="b")])
    errors.take(source, [error(3, type="c"), error(4, type="a"), error(5, service="chat")])
    errors.take(source, [error(6, type="d"), error(7, service="third", type="e")])

    assert {key[1:]: count for key, (count, _) in kept(source).items()} == {
        ("chat", "TimeoutError"): 1,
        ("other", "e"): 1,
        ("search", "a"): 2,
        ("search", "b"): 1,
        ("search", "other"): 2,
    }


def test_names_that_postgresql_cannot_hold_are_mended(source):
    errors.take(source, [error(1, service="a\0b", type="x" * 500)])

    assert list(kept(source)) == [("12:00", "a\ufffdb", "x" * 200)]


def test_nothing_to_count_still_says_that_the_source_answers(source):
    assert errors.take(source, []) == Counts()
    source.refresh_from_db()
    assert source.last_success_at is not None


# ---- pulled -----------------------------------------------------------------------------------


def test_pulled_window_read_again_changes_nothing(source):
    told = window(tally("a", 3), tally("b", 2))
    assert errors.settle(source, [told], position={"to": "x"}) == Counts(inserted=2)
    before = list(ErrorCount.objects.order_by("pk").values())

    other_words = window(tally("a", 3, exemplar="another one"), tally("b", 2))
    assert errors.settle(source, [other_words]) == Counts(unchanged=2)

    assert list(ErrorCount.objects.order_by("pk").values()) == before
    source.refresh_from_db()
    assert source.cursor == {"to": "x"}


def test_quarter_hour_that_is_spoken_of_is_set_as_a_whole(source):
    errors.settle(source, [window(tally("a", 3), tally("b", 2))])

    counts = errors.settle(source, [window(tally("a", 5), tally("c", 1))])

    assert counts == Counts(inserted=1, updated=1)
    assert {key[2]: count for key, (count, _) in kept(source).items()} == {"a": 5, "c": 1}


def test_quarter_hour_the_log_store_has_forgotten_stays_as_it_was(source):
    early = NOON - timedelta(minutes=30)
    errors.settle(source, [window(tally("a", 3, at=early), tally("a", 1))])

    assert errors.settle(source, [window()]) == Counts()
    assert errors.settle(source, [window(tally("a", 2))]) == Counts(updated=1)

    assert {key[0]: count for key, (count, _) in kept(source).items()} == {"11:30": 3, "12:00": 2}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (tally(at=NOON + timedelta(hours=1)), "outside_window"),
        (tally(at=NOON + timedelta(minutes=7)), "outside_window"),
        (tally(count=0), "impossible_count"),
        (tally(count=-4), "impossible_count"),
        (tally(count=10**13), "impossible_count"),
        (tally(at=NOON + timedelta(minutes=30)), "in_the_future"),
    ],
)
def test_tally_that_cannot_be_costs_only_itself(source, bad, reason):
    assert errors.settle(source, [window(bad, tally("b"))]) == Counts(inserted=1, rejected=1)
    assert [reject.reason for reject in Reject.objects.all()] == [reason]


def test_tally_past_the_retention_is_refused(source, settings):
    settings.RETENTION_DAYS = {**settings.RETENTION_DAYS, "span": 2}
    old = NOON - timedelta(days=3)
    told = ErrorWindow(old, old + timedelta(hours=1), [tally(at=old)])

    assert errors.settle(source, [told]) == Counts(rejected=1)


def test_pulled_types_beyond_the_limit_are_one_and_stay_the_same_when_read_again(
    source, monkeypatch
):
    monkeypatch.setattr(errors, "MOST_TYPES", 2)
    told = window(*(tally(kind, count) for kind, count in zip("abcd", (1, 9, 2, 8), strict=True)))

    first = errors.settle(source, [told])
    again = errors.settle(source, [told])

    assert (first, again) == (Counts(inserted=3, unchanged=1), Counts(unchanged=4))
    assert {key[2]: count for key, (count, _) in kept(source).items()} == {
        "b": 9,
        "d": 8,
        "other": 3,
    }


# ---- keeping house ----------------------------------------------------------------------------


def test_counts_go_with_the_facts_of_their_time(source, settings):
    settings.RETENTION_DAYS = {**settings.RETENTION_DAYS, "span": 2}
    ErrorCount.objects.create(
        source=source,
        project_id=source.project_id,
        service="search",
        type="old",
        at=NOON - timedelta(days=3),
        count=1,
        changed_at=NOON,
    )
    errors.take(source, [error(1)])

    tasks.keep_house()

    assert [row.type for row in ErrorCount.objects.all()] == ["TimeoutError"]
