"""What a page does not show is not summed; what it shows is what the whole book has."""

from __future__ import annotations

import pytest
from django.http import QueryDict

from finops.models import User
from finops.queries import book
from finops.queries.book import MEASURES, Asked, Split
from finops.queries.filters import Filters
from finops.queries.spend import Answers, spend_groups, spend_page, spend_series, spend_total

pytestmark = pytest.mark.usefixtures("estate")


def filters_of(query: str) -> Filters:
    filters, errors = Filters.parse(QueryDict(query), User.objects.get(username="asha"))
    assert errors == []
    return filters


@pytest.mark.parametrize("top", [2, 7])
@pytest.mark.parametrize(
    "query",
    [
        "range=30d&group_by=project",
        "range=60d&group_by=team",
        "range=30d&group_by=sku",
        "range=30d&group_by=origin&f.provider=openai",
        "range=60d&group_by=project,model",
        "range=60d&group_by=team,model",
        "range=30d&group_by=model,service&basis=usage",
        "from=2020-01-01&to=2020-02-01&group_by=model",
    ],
)
def test_drawn_groups_and_the_rest_are_those_of_every_row(db, query, top):
    filters = filters_of(query)
    every = Answers(filters, [Split(filters.group_by, by_time=True)])
    series = spend_series(filters, top=top)
    assert series == every.series(filters.group_by, top)
    total, table, drawn = spend_page(filters, "day", top)
    assert (total, drawn) == (spend_total(filters), series)
    assert spend_groups(filters) == (total, table)


@pytest.mark.parametrize("metric", ["effective", "list"])
def test_measure_that_nobody_asks_for_changes_no_other(db, metric):
    filters = filters_of(f"range=60d&metric={metric}")
    splits = [Split(("project", "provider")), Split(("sku",), by_time=True), Split()]
    whole = book.sums(filters, splits)
    for names in (("cost", "reconciled"), ("requests",), MEASURES[5:]):
        narrow = book.sums(filters, splits, asked=Asked(measures=names))
        for every, some in zip(whole, narrow, strict=True):
            told = {(one.keys, one.point, one.currency): one.measures for one in every}
            assert told
            assert {(one.keys, one.point, one.currency): one.measures for one in some} == {
                key: {name: measures[name] for name in names} for key, measures in told.items()
            }


def test_groups_without_a_name_are_one_row(db):
    filters = filters_of("range=60d")
    split = Split(("model",), by_time=True)
    [every] = book.sums(filters, [split])
    named = Asked(named=(("gpt-4o",),))
    [found] = book.sums(filters, [split], asked=named)
    assert {one.keys for one in found} == {("gpt-4o",), (book.OTHER,)}
    assert len({one.keys for one in every}) > 2
    for name in ("cost", "requests", "unpriced_spans"):
        assert sum(one.measures[name] or 0 for one in found) == sum(
            one.measures[name] or 0 for one in every
        )
