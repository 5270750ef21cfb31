from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions import exchange
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
    with django_assert_max_num_queries(21) as one:
        overview(filters)
    for n in range(2):
        spent(search, at(2), "1", model=f"other-{n}")
    with django_assert_max_num_queries(21) as three:
        overview(filters)
    assert len(one) == len(three)


@pytest.fixture
def rates(db):
    """A euro is 2 dollars until the 9th, 1.25 from the 10th, 1.6 on the 17th; then none."""
    lines = [f"2025-10-{day:02},{'2' if day < 10 else '1.25'}," for day in range(1, 17)]
    text = "\n".join(["Date,USD,", *lines, "2025-10-17,1.6,", ""])
    return exchange.import_file(text.encode(), by=None, via="command")


def test_month_end_adds_the_forecasts_of_all_currencies_at_the_newest_rate(ask, chat, rates):
    spent(chat, at(2), "100")  # at 2
    spent(chat, at(19), "100")  # at 1.6, of the 17th
    spent(chat, at(19), "30", currency="EUR", model="mistral")
    spent(chat, at(19), "7", currency="Credits", model="flux")
    expect()
    expect(currency="EUR", input_sha256=b"eur")
    expect(currency="GBP", input_sha256=b"gbp")  # without a rate, as the credits
    found = overview(ask("range=30d&convert=EUR"))
    end = found.month_end
    # Twelve days at ten dollars and ten euros each, today among them.
    ahead = 12 * (Decimal("6.25") + 10)
    assert (end.spent, end.expected) == (Decimal("142.5"), Decimal("142.5") + ahead)
    assert (end.low80, end.high80) == (142.5 + 12 * 13, Decimal("142.5") + 12 * Decimal("19.5"))
    assert end.as_of == TODAY - timedelta(days=1)
    [used] = found.conversion.ahead
    assert (used.currency, used.rate, used.rate_day) == (
        "USD",
        Decimal("0.625"),
        date(2025, 10, 17),
    )
    assert [point["mean"] for point in found.forecast.points[:2]] == ["16.25", "16.25"]
    assert found.forecast.pk is None


@pytest.mark.parametrize(
    ("euros", "reason"),
    [
        (None, "No forecast of EUR has been made yet."),
        ({"reason": "Only 5 days are known."}, "Of EUR: Only 5 days are known."),
        ({"days": 3}, "The forecast of 2025-10-19 does not reach the end of the month."),
    ],
)
def test_month_without_a_forecast_of_one_currency_expects_nothing_of_the_whole(
    ask, chat, rates, euros, reason
):
    spent(chat, at(19), "16")
    spent(chat, at(19), "30", currency="EUR", model="mistral")
    expect()
    if euros is not None:
        expect(currency="EUR", input_sha256=b"eur", **euros)
    end = overview(ask("range=7d&convert=EUR")).month_end
    assert (end.spent, end.expected, end.reason) == (40, None, reason)


def test_currency_of_months_ago_does_not_hide_what_is_expected_of_this_one(ask, chat, rates):
    spent(chat, at(19), "16")
    expect()
    expect(currency="EUR", input_sha256=b"eur", as_of=date(2025, 7, 1))
    end = overview(ask("range=7d&convert=EUR")).month_end
    assert (end.spent, end.expected) == (10, 10 + 12 * Decimal("6.25"))


def test_unexpected_days_are_converted_and_say_what_they_were_recorded_in(ask, chat, rates):
    mark = marked("all", date(2025, 10, 5))
    marked("all", date(2025, 9, 22))  # no rate holds then
    found = overview(ask("range=30d&convert=EUR"))
    assert [(one.actual, one.low, one.high) for one in found.anomalies] == [
        (Decimal("4.5"), Decimal(1), Decimal(2))
    ]
    assert found.recorded_in == {mark.pk: "USD"}
    assert AnomalyMark.objects.get(pk=mark.pk).actual == 9
