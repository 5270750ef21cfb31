"""Four hundred requests of a week: every list of them against all of them, sorted in Python."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import transaction

from finops.models import User
from finops.queries import traffic
from ingest import store
from ingest.models import Project, Span
from ingest.rollup import roll_up
from ingest.sketch import ACCURACY
from tests.factories.finops import person
from tests.factories.ingest import ProjectFactory, SourceFactory
from tests.ingest.make import span

pytestmark = pytest.mark.usefixtures("week")

WEEK = "from=2025-10-01&to=2025-10-08"
START = datetime(2025, 10, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def week(django_db_setup, django_db_blocker):
    """A tenth failed, at the very same latency as after a timeout. Rolled back at the end."""
    with django_db_blocker.unblock(), transaction.atomic():
        dice = random.Random(7)
        for slug in ("chat", "search"):
            project = ProjectFactory(slug=slug, name=slug.title())
            store.spans(SourceFactory(project=project), list(_records(slug, dice)))
        roll_up()
        person("asha", "analyst")
        person("cleo", "viewer", project=Project.objects.get(slug="chat"))
        yield
        transaction.set_rollback(True)


def _records(slug, dice):
    for n in range(200):
        at = START + timedelta(seconds=dice.randrange(7 * 86400))
        latency = 30_000 if n % 10 == 0 else dice.lognormvariate(6, 1)
        yield span(
            n + 1,
            started_at=at,
            ended_at=at + timedelta(milliseconds=round(latency)),
            ttft_ms=latency / 4,
            status="error" if n % 10 == 0 else "ok",
            model=dice.choice(("gpt-4o", "gpt-4o-mini")),
            service=slug,
            kind="tool" if n % 50 == 1 else "llm",
        )


@pytest.fixture
def asha(db):
    return User.objects.get(username="asha")


@pytest.fixture
def cleo(db):
    return User.objects.get(username="cleo")


def every_page(read, filters, limit):
    """All rows, page by page."""
    rows, cursor = [], None
    while True:
        page = read(filters, limit, cursor)
        assert len(page.rows) <= limit
        rows += page.rows
        cursor = page.next
        if cursor is None:
            return rows


def expected(order, **narrowed):
    found = Span.objects.filter(kind="llm", **narrowed).only(
        "project_id", "day", "key", "latency_ms", "started_at"
    )
    return [str(row.key) for row in sorted(found, key=order)]


def test_percentiles_are_those_of_the_requests_to_one_percent(ask):
    table = traffic.request_summary(ask(f"{WEEK}&group_by=project,model"))
    for row in table.rows:
        slug, model = row.keys
        latencies = sorted(
            Span.objects.filter(service=slug, model=model, kind="llm").values_list(
                "latency_ms", flat=True
            )
        )
        assert (row.requests, row.latency.count) == (len(latencies), len(latencies))
        for q, value in (
            (0.5, row.latency.p50_ms),
            (0.95, row.latency.p95_ms),
            (0.99, row.latency.p99_ms),
        ):
            exact = latencies[int(q * (len(latencies) - 1))]
            assert value == pytest.approx(exact, rel=ACCURACY)
    assert table.total.requests == sum(row.requests for row in table.rows) == 392
    assert table.total.errors == sum(row.errors for row in table.rows) == 40
    assert table.total.error_rate == 40 / 392
    assert table.total.tokens["input"] == 392 * 100


def test_requests_leave_out_tools_and_other_steps(ask):
    kinds = traffic.request_summary(ask(f"{WEEK}&group_by=kind")).rows
    assert [row.keys for row in kinds] == [("llm",)]


def test_grouping_that_requests_do_not_have_falls_back_to_the_model(ask):
    table = traffic.request_summary(ask(f"{WEEK}&group_by=sku"))
    assert table.group_by == ("model",)


@pytest.mark.parametrize("limit", [7, 50])
@pytest.mark.parametrize("query", ["", "&f.project=chat", "&f.model=gpt-4o", "&f.service=search"])
def test_pages_of_the_newest_hold_every_request_once_in_order(ask, limit, query):
    rows = every_page(traffic.recent, ask(WEEK + query), limit)
    narrowed = dict(
        [{"f.project": ("service", "chat"), "f.model": ("model", "gpt-4o"),
          "f.service": ("service", "search")}[query[1:].split("=")[0]]] if query else []
    )  # fmt: skip
    newest_first = expected(lambda row: (row.started_at, row.key), **narrowed)[::-1]
    assert [row.key for row in rows] == newest_first


def test_pages_of_failures_hold_every_failure_once_in_order(ask):
    rows = every_page(traffic.errors, ask(WEEK), 7)
    newest_first = expected(lambda row: (row.started_at, row.key), status="error")[::-1]
    assert [row.key for row in rows] == newest_first


def test_slowest_come_first_and_each_once(ask):
    rows = every_page(traffic.slowest, ask(f"{WEEK}&f.project=chat"), 30)
    slow_first = expected(lambda row: -row.latency_ms, service="chat")
    assert len(rows) == len({row.key for row in rows}) == len(slow_first)
    assert {row.key for row in rows} == set(slow_first)
    latencies = [row.latency_ms for row in rows]
    for one, following in pairwise(latencies):
        assert following <= one * (1 + 2.1 * ACCURACY)
    first = traffic.slowest(ask(f"{WEEK}&f.project=chat"), 10).rows
    assert [row.latency_ms for row in first] == [30_000] * 10


def test_slowest_list_ends_somewhere(ask):
    rows = every_page(traffic.slowest, ask(WEEK), 200)
    assert len(rows) == 250


def test_viewer_finds_only_requests_of_the_project(ask, cleo):
    filters = ask(WEEK, cleo)
    for read in (traffic.recent, traffic.errors, traffic.slowest):
        assert {row.project for row in read(filters, 200).rows} == {"Chat"}
    assert traffic.request_summary(filters).total.requests == 196
    hidden = Span.objects.filter(service="search").only("project_id", "day", "key").first()
    where = (hidden.project_id, hidden.day, str(hidden.key))
    assert traffic.span_detail(cleo, *where) is None
    own = Span.objects.filter(service="chat").only("project_id", "day", "key").first()
    found = traffic.span_detail(cleo, own.project_id, own.day, str(own.key))
    assert (found.project, found.key) == ("Chat", str(own.key))


def test_time_per_output_token_is_what_the_rest_took(ask):
    rows = traffic.recent(ask(f"{WEEK}&model=gpt-4o"), 5).rows
    row = next(row for row in rows if row.status == "ok")

    assert row.tokens["output"] == 20
    assert row.tpot_ms == pytest.approx((row.latency_ms - row.ttft_ms) / 19)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 10.0),
        ({"latency_ms": None}, None),
        ({"ttft_ms": None}, None),
        ({"status": "error"}, None),
        ({"ttft_ms": 400.0}, None),
        ({"tokens": {"output": 1, "reasoning": None, "audio_output": None}}, None),
        ({"tokens": {"output": None, "reasoning": None, "audio_output": None}}, None),
        ({"tokens": {"output": 11, "reasoning": 10, "audio_output": None}}, 10.0),
    ],
)
def test_time_per_output_token_is_unknown_rather_than_guessed(ask, changes, expected):
    [row] = traffic.recent(ask(WEEK), 1).rows
    known = {
        "status": "ok",
        "latency_ms": 300.0,
        "ttft_ms": 100.0,
        "tokens": {"output": 21, "reasoning": 0, "audio_output": None},
    }

    assert replace(row, **{**known, **changes}).tpot_ms == expected
