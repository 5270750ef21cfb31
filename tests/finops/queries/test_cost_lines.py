"""The lines behind a figure add up to it, whatever it is a figure of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.http import QueryDict

from finops.models import User
from finops.queries import cursors
from finops.queries.cost_lines import EVERY_LINE, KEYS, NARROWED, cost_lines
from finops.queries.cursors import BadCursor
from finops.queries.filters import Filters
from finops.queries.spend import spend_by, spend_total

pytestmark = pytest.mark.usefixtures("estate")


def filters_of(query: str, username: str = "asha") -> Filters:
    filters, errors = Filters.parse(QueryDict(query), User.objects.get(username=username))
    assert errors == []
    return filters


@pytest.mark.parametrize(
    "query",
    [
        "range=60d",
        "range=30d&basis=usage&f.project=support-chat",
        "range=last-month&basis=bill&metric=list",
        "range=60d&f.model=gpt-4o&f.provider=openai",
        "from=2020-01-01&to=2020-02-01",
    ],
)
def test_lines_add_up_to_the_total(db, query):
    filters = filters_of(query)
    found, total = cost_lines(filters, limit=EVERY_LINE), spend_total(filters)
    assert found.total == sum(line.cost or 0 for line in found.rows) == total.cost
    assert sum(line.requests or 0 for line in found.rows) == (total.requests or 0)
    assert sum(line.unpriced_spans or 0 for line in found.rows) == (total.unpriced_spans or 0)


@pytest.mark.parametrize("group", [*NARROWED, "project", "provider", "service", "model"])
def test_lines_of_a_row_add_up_to_the_row(db, group):
    filters = filters_of(f"range=60d&group_by={group}")
    table = spend_by(filters)
    assert table.rows
    for row in table.rows:
        (key,) = row.keys
        if group in NARROWED:
            found = cost_lines(filters, {group: key})
        else:
            found = cost_lines(filters_of(filters.drill(group, key).to_query()))
        assert found.total == row.cost, row.labels


@pytest.mark.parametrize(
    ("query", "narrowed", "limit"),
    [
        ("range=30d", {}, 7),
        ("range=60d&metric=list", {"origin": "usage", "kind": "llm"}, 31),
        ("range=60d", {"origin": "bill"}, 31),
        ("range=60d&f.team=Support&basis=usage", {}, 50),
    ],
)
def test_pages_hold_every_line_once_newest_first(db, query, narrowed, limit):
    filters = filters_of(query)
    whole = cost_lines(filters, narrowed, limit=EVERY_LINE)
    rows, cursor = [], None
    for _ in whole.rows:
        page = cost_lines(filters, narrowed, limit=limit, cursor=cursor)
        assert replace(page, rows=(), next=None) == replace(whole, rows=())
        rows += page.rows
        cursor = page.next
        if cursor is None:
            break
    assert tuple(rows) == whole.rows != ()
    assert [line.day for line in rows] == sorted((line.day for line in rows), reverse=True)
    for other in ("x", cursors.encode("2020-01-01", 0), cursors.encode("yesterday", 0)):
        with pytest.raises(BadCursor):
            cost_lines(filters, cursor=other)


def test_line_without_a_price_costs_something_unknown(db):
    lines = cost_lines(filters_of("range=30d&f.model=gpt-house-tuned"), limit=EVERY_LINE).rows
    assert {line.cost for line in lines} == {None}
    assert set(lines[0].keys) == set(KEYS)


def test_reader_of_one_project_gets_its_lines_alone(db):
    lines = cost_lines(filters_of("range=30d&basis=usage", "cleo"), limit=EVERY_LINE).rows
    assert {(line.keys["project"], line.keys["origin"]) for line in lines} == {
        ("support-chat", "usage")
    }


def test_usage_of_our_own_hardware_is_paid_by_the_hour_and_not_free(db):
    lines = cost_lines(filters_of("range=60d&f.model=in-house-7b"), limit=EVERY_LINE).rows
    assert {(line.keys["origin"], line.by_the_hour) for line in lines} == {
        ("usage", True),
        ("hardware", False),
    }
