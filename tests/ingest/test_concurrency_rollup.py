"""How much was at once, against a count in plain Python of the same random requests."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.db import connection

from ingest import store
from ingest.models import ConcurrencyQuarter, SealedDay
from ingest.rollup import roll_up
from tests.ingest.make import span

pytestmark = pytest.mark.django_db

QUARTER, WINDOW = timedelta(minutes=15), timedelta(minutes=5)
START = datetime(2026, 11, 10, 20, tzinfo=UTC)


def requests(dice, count):
    """Over seven hours and midnight: mostly short, some across quarters, a few beyond an hour."""
    for n in range(count):
        at = START + timedelta(microseconds=dice.randrange(7 * 3600 * 10**6))
        took = dice.choice((0, 3, 40, 700, 2000, 5000)) * dice.random()
        yield span(
            n + 1,
            started_at=at,
            ended_at=None if n % 11 == 0 else at + timedelta(seconds=took),
            service=dice.choice(("chat", "search")),
            model=dice.choice(("small", "large")),
            user_id=dice.choice(("", "asha", "ben", "cleo")),
            session_id=f"s{dice.randrange(12)}" if n % 3 else "",
            kind=dice.choice(("llm", "llm", "embedding", "tool")),
        )


def quarter_of(at):
    return at - (at - START) % QUARTER


def oracle(spans):
    """{(service, model) or None for all, quarter: row}, from the definitions alone."""
    pieces = defaultdict(list)
    for one in spans:
        if one.kind == "tool":
            continue
        end = one.started_at if one.ended_at is None else one.ended_at
        end = min(end, one.started_at + timedelta(hours=1))
        at = quarter_of(one.started_at)
        while at == quarter_of(one.started_at) or at < end:
            for name in (None, (one.service, one.model)):
                pieces[name, at].append((one, max(one.started_at, at), min(end, at + QUARTER)))
            at += QUARTER
    return {key: row(key[1], found) for key, found in pieces.items()}


def row(quarter, pieces):
    moments = [lo for _, lo, hi in pieces if hi > lo]
    new = [one for one, _, _ in pieces if one.started_at >= quarter]
    return (
        len(new),
        sum(one.ended_at is not None for one in new),
        sum(bool(one.user_id) for one in new),
        sum(bool(one.session_id) for one in new),
        round(sum((hi - lo) / timedelta(milliseconds=1) for _, lo, hi in pieces), 3),
        max((sum(lo <= at < hi for _, lo, hi in pieces) for at in moments), default=0),
        different(quarter, pieces, "user_id"),
        different(quarter, pieces, "session_id"),
    )


def different(quarter, pieces, name):
    if not any(getattr(one, name) for one, _, _ in pieces):
        return None
    windows = [(quarter + n * WINDOW, quarter + (n + 1) * WINDOW) for n in range(3)]
    return [
        len({
            getattr(one, name)
            for one, lo, hi in pieces
            if getattr(one, name) and lo < end and (hi > start or start <= lo == hi)
        })
        for start, end in windows
    ]  # fmt: skip


def by_window(row):
    """Users, and sessions, in each of its windows; None where none is named."""
    windows = (
        [getattr(row, f"{who}_{window}") for window in (1, 2, 3)] for who in ("users", "sessions")
    )
    return tuple(None if counts == [None] * 3 else counts for counts in windows)


def stored():
    return {
        (None if one.whole else (one.service, one.model), one.at): (
            one.requests, one.timed, one.user_requests, one.session_requests,
            round(one.busy_ms, 3), one.peak, *by_window(one),
        )
        for one in ConcurrencyQuarter.objects.all()
    }  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_concurrency_equals_a_plain_count_of_random_requests(source, seed):
    spans = list(requests(random.Random(seed), 300))
    store.spans(source, spans)
    roll_up()
    assert stored() == oracle(spans)


def test_concurrency_is_the_same_however_deliveries_are_cut(source):
    dice = random.Random(4)
    spans = list(requests(dice, 200))
    dice.shuffle(spans)
    for part in range(0, 200, 40):
        store.spans(source, spans[part : part + 40])
        roll_up()
    assert stored() == oracle(spans)


def test_next_request_may_start_when_the_last_one_ends(source):
    spans = [
        span(n, started_at=START + timedelta(seconds=n), ended_at=START + timedelta(seconds=n + 1))
        for n in range(5)
    ]
    store.spans(source, spans)
    roll_up()
    assert ConcurrencyQuarter.objects.get(whole=True).peak == 1


def test_users_are_unknown_where_nobody_names_one(source):
    store.spans(source, [span(1, user_id="", session_id="s")])
    roll_up()
    row = ConcurrencyQuarter.objects.get(whole=True)
    assert (*by_window(row), row.user_requests) == (None, [0, 1, 0], 0)


def test_migration_splits_the_arrays_of_before(source):
    store.spans(source, requests(random.Random(5), 50))
    roll_up()
    before, names = stored(), ("users", "sessions")
    arrays = ", ".join(f"{who} = ARRAY[{who}_1, {who}_2, {who}_3]" for who in names)
    nothing = ", ".join(f"{who}_{window} = NULL" for who in names for window in (1, 2, 3))
    with connection.cursor() as cursor:
        for who in names:
            cursor.execute(f"ALTER TABLE ingest_concurrency_quarter ADD {who} integer[]")
        cursor.execute(f"UPDATE ingest_concurrency_quarter SET {arrays}")
        cursor.execute(f"UPDATE ingest_concurrency_quarter SET {nothing}")
        cursor.execute(import_module("ingest.migrations.0006_concurrency_by_window").SPLIT)
    assert stored() == before


def test_closed_day_keeps_its_concurrency(source):
    late = datetime(2026, 11, 10, 23, 50, tzinfo=UTC)
    store.spans(source, [span(1, started_at=late, ended_at=late + timedelta(minutes=20))])
    roll_up()
    before = stored()
    assert len(before) == 4
    SealedDay.objects.create(table="ingest_span", day=late.date() + timedelta(days=1))
    store.spans(source, [span(2, started_at=late, ended_at=late + timedelta(minutes=20))])
    roll_up()
    changed = {key: new for key, new in stored().items() if new != before[key]}
    assert {at.day for _, at in changed} == {10}, "the day after is closed and stays"


def test_nothing_of_concurrency_is_computed_anew_for_each_row(source):
    store.spans(source, [span(n) for n in range(200)])
    plans = []

    def explained(execute, sql, params, many, context):
        if "INSERT INTO ingest_concurrency_quarter" in sql:
            execute(f"EXPLAIN (FORMAT JSON) {sql}", params, many, context)
            plans.extend(one["Plan"] for one in context["cursor"].fetchone()[0])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained):
        roll_up()
    assert len(plans) == 1
    assert not [node for node in nodes(plans[0]) if node["Node Type"] == "Nested Loop"]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
