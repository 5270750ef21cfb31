from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from finops.models import AnomalyMark, BillMatch, Forecast
from finops.queries import filters as filters_module
from finops.queries import overview as overview_module
from finops.queries import spend as spend_module
from finops.queries.expectations import all_anomalies, forecast_scope, forecasts
from finops.queries.overview import overview
from finops.queries.spend import spend_by, spend_series, spend_total
from tests.factories.finops import billed, paid, spent

TODAY = date(2025, 10, 20)


@pytest.fixture(autouse=True)
def on_a_known_day(monkeypatch):
    for module in (filters_module, overview_module, spend_module):
        monkeypatch.setattr(module, "today", lambda: TODAY)


def at(day, hour=12):
    return datetime(2025, 10, day, hour, tzinfo=UTC)


def expect(scope="all", as_of=TODAY - timedelta(days=1), days=45, reason="", **changes):
    points = [
        {
            "day": (as_of + timedelta(days=n)).isoformat(),
            "mean": "10", "low80": "8", "high80": "12", "low95": "7", "high95": "13",
        }
        for n in range(1, days + 1)
    ]  # fmt: skip
    usual = {
        "scope": scope, "currency": "USD", "as_of": as_of, "method": "test", "method_version": 1,
        "input_sha256": scope.encode(), "points": [] if reason else points, "backtest": {},
        "reason": reason,
    }  # fmt: skip
    return Forecast.objects.create(**{**usual, **changes})


def marked(scope, day):
    return AnomalyMark.objects.create(
        scope=scope, currency="USD", day=day, actual=9, expected=3, low=2, high=4, score=6,
        method_version=1,
    )  # fmt: skip


def test_every_figure_is_that_of_its_own_function(ask, chat, search, pool, bills):
    BillMatch.objects.create(usage_provider="openai", bill_provider="OpenAI", bill_service="API")
    spent(chat, at(5), "3")
    spent(search, at(6), "4", provider="anthropic", model="claude")
    spent(chat, datetime(2025, 9, 5, 12, tzinfo=UTC), "2", provider="anthropic")
    paid(pool, at(7), idle="2", bert="1")
    billed(bills, date(2025, 10, 1), range(5, 6), "50")
    filters = ask("range=30d")
    found = overview(filters)
    assert found.spend == spend_total(filters)
    assert found.previous == spend_total(filters.previous())
    assert found.by_project == spend_by(ask("range=30d&group_by=project"))
    assert found.by_model == spend_by(ask("range=30d&group_by=model"))
    assert found.series == spend_series(filters)
    assert found.spend.cost == found.by_model.total.cost == 57
    assert found.unallocated == 53
    assert found.change == 27.5
    assert [pool.idle for pool in found.pools.pools] == [2]


def test_month_ends_with_what_was_spent_and_what_is_expected_of_the_rest(ask, chat):
    for day in (1, 19):
        spent(chat, at(day), "100")
    spent(chat, at(20), "4")
    expect()
    end = overview(ask("range=7d")).month_end
    # 200 until yesterday, then twelve days at ten each, today among them.
    assert (end.month, end.spent) == (date(2025, 10, 1), 204)
    assert (end.expected, end.low80, end.high80) == (320, 296, 344)


def test_day_that_cost_more_than_expected_is_not_forecast_away(ask, chat):
    spent(chat, at(20), "500")
    expect()
    end = overview(ask("range=7d")).month_end
    assert (end.expected, end.low80, end.high80) == (500, 500, 500)


@pytest.mark.parametrize(
    ("forecast", "reason"),
    [
        ({"reason": "Only 5 days are known; it takes 21."}, "Only 5 days are known; it takes 21."),
        ({"days": 3}, "The forecast of 2025-10-19 does not reach the end of the month."),
        (None, "No forecast has been made yet; it needs some weeks of daily costs."),
    ],
)
def test_month_without_a_forecast_says_why(ask, chat, forecast, reason):
    spent(chat, at(19), "3")
    if forecast:
        expect(**forecast)
    end = overview(ask("range=7d")).month_end
    assert (end.spent, end.expected, end.reason) == (3, None, reason)


@pytest.mark.parametrize(
    ("query", "scope"),
    [
        ("range=7d", "all"),
        ("range=7d&basis=usage", ""),
        ("range=7d&f.project=chat", ""),
        ("range=7d&f.project=chat&basis=usage", "project"),
        ("range=7d&f.model=gpt-4o", ""),
        ("range=7d&known_on=2025-10-01", ""),
    ],
)
def test_forecast_is_shown_for_exactly_its_scope(ask, chat, query, scope):
    assert forecast_scope(ask(query)).partition(":")[0] == scope


def test_viewer_of_a_project_gets_its_own_forecast_and_marks(ask, cleo, chat, search):
    spent(search, at(5), "900")
    spent(chat, at(5), "3")
    scopes = ("all", f"project:{chat.pk}", f"project:{search.pk}")
    made = {scope: expect(scope) for scope in scopes}
    for scope in scopes:
        marked(scope, TODAY - timedelta(days=2))
    filters = ask("range=30d", cleo)
    found = overview(filters)
    assert found.forecast == made[f"project:{chat.pk}"]
    assert [mark.scope for mark in found.anomalies] == [f"project:{chat.pk}"]
    assert (found.spend.cost, found.unallocated, found.pools.pools) == (3, 0, ())
    assert forecasts(filters, [chat.pk]) == [made[f"project:{chat.pk}"]]
    assert len(all_anomalies(ask("range=30d"), [chat.pk, search.pk])) == 3


def test_newest_forecast_of_a_scope_is_the_one_shown(ask, chat):
    expect(as_of=TODAY - timedelta(days=3))
    newest = expect(as_of=TODAY - timedelta(days=1), input_sha256=b"other")
    assert overview(ask("range=7d")).forecast == newest


def test_overview_takes_as_many_queries_for_one_row_as_for_three(
    ask, chat, search, django_assert_max_num_queries
):
    filters = ask("range=30d")
    spent(chat, at(1), Decimal("1"))
    with django_assert_max_num_queries(20) as one:
        overview(filters)
    for n in range(2):
        spent(search, at(2), "1", model=f"other-{n}")
    with django_assert_max_num_queries(20) as three:
        overview(filters)
    assert len(one) == len(three)
