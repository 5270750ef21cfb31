from datetime import date, timedelta
from decimal import Decimal

import pytest

from finops.actions.forecasting import HORIZON_DAYS, refresh_forecasts
from finops.models import AnomalyMark, CostDay, CostQuarter, Forecast
from finops.queries.spend import daily_spend

pytestmark = pytest.mark.django_db

FIRST = date(2026, 9, 7)
WEEK = ["100.25", "105", "103", "104.5", "98", "40", "35"]


def spend(project, book, days, currency="USD", first=0):
    """Priced usage of whole days, with a gentle wobble so that it is not the same every week."""
    for n in range(first, first + days):
        day = FIRST + timedelta(days=n)
        cost = Decimal(WEEK[n % 7]) + n * 37 % 11 - 5
        sums = {"spans": 10, "priced_spans": 10, "tokens": 1000, "input_cost": cost, "cost": cost}
        keys = {
            "project_id": project.pk,
            "service": "search",
            "kind": "llm",
            "provider": "openai",
            "model": "gpt-4o",
            "tier": "standard",
            "input_band": 0,
            "currency": currency,
        }
        CostDay.objects.create(day=day, **keys, **sums)
        noon = f"{day}T12:00Z"
        CostQuarter.objects.create(at=noon, book=book, **keys, **sums)


def today(days):
    return FIRST + timedelta(days=days)


def test_every_scope_has_a_forecast_of_its_own(project, book):
    spend(project, book, 60)
    assert refresh_forecasts(today(60)) == 2
    assert {(made.scope, made.currency) for made in Forecast.objects.all()} == {
        ("all", "USD"),
        (f"project:{project.pk}", "USD"),
    }


def test_forecast_rests_on_the_one_definition_of_spend(project, book):
    spend(project, book, 60)
    refresh_forecasts(today(60))
    made = Forecast.objects.get(scope="all")
    days = daily_spend("all", "USD", FIRST, today(60))
    assert made.as_of == days[-1][0] == today(59)
    assert (made.method, made.method_version) == ("ets-ana-7", 1)
    assert len(made.points) == HORIZON_DAYS
    assert made.points[0]["day"] == "2026-11-06"
    assert float(made.points[0]["mean"]) == pytest.approx(float(days[-7][1]), abs=12)
    assert made.backtest["days"] > 100
    assert 0 <= made.backtest["coverage80"] <= 1


def test_same_input_is_not_computed_again(project, book):
    spend(project, book, 60)
    refresh_forecasts(today(60))
    assert refresh_forecasts(today(60)) == 0
    spend(project, book, 1, first=60)
    assert refresh_forecasts(today(60)) == 0, "today is not over"
    assert refresh_forecasts(today(61)) == 2


def test_late_cost_of_a_past_day_makes_a_new_forecast(project, book):
    spend(project, book, 60)
    refresh_forecasts(today(60))
    day = today(50)
    CostDay.objects.filter(day=day).update(cost=Decimal(300))
    CostQuarter.objects.filter(at__date=day).update(cost=Decimal(300))
    assert refresh_forecasts(today(60)) == 2
    mark = AnomalyMark.objects.get(scope="all")
    assert (mark.day, mark.actual) == (day, Decimal(300))
    assert mark.low < mark.expected < mark.high < mark.actual


def test_marks_are_replaced_not_added(project, book):
    spend(project, book, 60)
    day = today(50)
    usual = CostDay.objects.get(day=day).cost
    marks = []
    for cost in (usual, Decimal(300), usual):
        CostDay.objects.filter(day=day).update(cost=cost)
        CostQuarter.objects.filter(at__date=day).update(cost=cost)
        refresh_forecasts(today(60))
        marks.append(AnomalyMark.objects.filter(scope="all").count())
    assert marks == [0, 1, 0]


def test_too_little_data_is_stored_with_its_reason(project, book):
    spend(project, book, 5)
    refresh_forecasts(today(5))
    made = Forecast.objects.get(scope="all")
    assert (made.method, made.points, made.backtest) == ("none", [], {})
    assert made.reason == "Not enough data: 5 of the 14 days needed."


def test_currencies_are_forecast_apart(project, book):
    spend(project, book, 30)
    spend(project, book, 30, currency="EUR")
    refresh_forecasts(today(30))
    assert sorted(Forecast.objects.values_list("scope", "currency")) == [
        ("all", "EUR"),
        ("all", "USD"),
        (f"project:{project.pk}", "EUR"),
        (f"project:{project.pk}", "USD"),
    ]
