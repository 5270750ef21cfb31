"""The month added up: the same figures as the costs page and the first page, and whose budgets."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.http import QueryDict
from django.utils import timezone

from finops.actions import budget_watch, budgets
from finops.actions.budgets import Draft
from finops.actions.exchange import import_file
from finops.models import Forecast, User
from finops.queries.course import month_course
from finops.queries.expectations import latest_forecast
from finops.queries.filters import Filters, today
from finops.queries.overview import month_end, overview
from finops.queries.spend import spend_total
from finops.views.costs_month import month_chart, month_table, said

pytestmark = pytest.mark.usefixtures("estate")


def filters_of(query: str, username: str = "asha") -> tuple[Filters, User]:
    user = User.objects.get(username=username)
    filters, errors = Filters.parse(QueryDict(query), user)
    assert errors == []
    return filters, user


def test_this_month_is_the_page_s_total_and_the_last_one_too(db):
    filters, user = filters_of("range=30d")
    course = month_course(filters, user)
    this, _ = filters_of("range=mtd")
    last, _ = filters_of("range=last-month")
    assert course.days[today().day - 1].cost == spend_total(this).cost > 0
    assert [day.previous for day in course.days if day.previous][-1] == spend_total(last).cost
    assert course.month == this.start
    assert [day.cost for day in course.days[today().day :]] == [None] * (
        len(course.days) - today().day
    )


def test_last_day_expects_what_the_first_page_expects(db):
    filters, user = filters_of("range=7d")
    course = month_course(filters, user)
    end = month_end(filters, latest_forecast("all", "USD"))
    (last,) = [day for day in course.days if day.day == last_of(course.month)]
    assert (last.expected, last.low, last.high) == (end.expected, end.low80, end.high80)
    assert course.end == end
    assert course.days[today().day - 2].expected is None or today().day == 1


def last_of(month):
    return (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def test_month_that_is_over_has_no_forecast_and_stands_beside_the_one_before(db):
    filters, user = filters_of("range=last-month")
    course = month_course(filters, user)
    assert course.month == filters.start
    assert course.end is None
    assert {day.expected for day in course.days} == {None}
    assert [day.cost for day in course.days if day.day][-1] == spend_total(filters).cost


def test_without_a_forecast_the_reason_is_told(db):
    Forecast.objects.all().delete()
    course = month_course(*filters_of("range=7d"))
    assert course.end is not None
    assert course.end.reason.startswith("No forecast has been made yet")
    assert {day.expected for day in course.days} == {None}


def test_nothing_known_is_not_zero(db):
    filters, user = filters_of("from=2020-02-01&to=2020-03-01")
    course = month_course(filters, user)
    assert {day.cost for day in course.days} == {day.previous for day in course.days} == {None}
    assert len(course.days) == 31
    assert [day.day for day in course.days[29:]] == [None, None]
    assert course.unknown_days == 29


def test_budget_of_the_same_scope_is_drawn_for_those_who_may_see_it(db):
    scopes = {"Everything": ({}, "book"), "Chat": ({"project": ("support-chat",)}, "usage"),
              "Search": ({"project": ("product-search",)}, "usage")}  # fmt: skip
    asha = User.objects.get(username="asha")
    for name, (scope, basis) in scopes.items():
        draft = Draft(name=name, owner="asha", scope=scope, basis=basis, currency="USD",
                      period="monthly", starts_on=today().replace(day=1), amount_kind="fixed",
                      amount=Decimal(500))  # fmt: skip
        budget_watch.evaluate(budgets.add(draft, by=asha, via="command").pk, timezone.now())

    def drawn(query: str, username: str = "asha") -> list[tuple[str, Decimal]]:
        course = month_course(*filters_of(query, username))
        return [(line.name, line.amount) for line in course.budgets]

    assert drawn("range=7d") == [("Everything", 500)]
    assert drawn("range=7d&f.project=support-chat&basis=usage") == [("Chat", 500)]
    assert drawn("range=7d&f.project=support-chat&basis=usage", "cleo") == [("Chat", 500)]
    assert drawn("range=7d&basis=usage", "cleo") == []
    assert drawn("range=7d&f.model=gpt-4o") == drawn("range=last-month") == []
    assert drawn("range=7d&metric=list") == []


def test_course_asks_the_database_a_few_times(db, django_assert_max_num_queries):
    filters, user = filters_of("range=90d")
    with django_assert_max_num_queries(25):
        month_course(filters, user)


def test_converted_course_ends_where_the_first_page_does(db):
    lines = [f"{today() - timedelta(days=back)},1.25," for back in range(70)]
    import_file("\n".join(["Date,USD,", *lines, ""]).encode(), by=None, via="command")
    filters, user = filters_of("range=7d&convert=EUR")

    course, plain = month_course(filters, user), month_course(*filters_of("range=7d"))

    (last,) = [day for day in course.days if day.day == last_of(course.month)]
    assert (last.expected, last.low, last.high) == (
        course.end.expected, course.end.low80, course.end.high80
    )  # fmt: skip
    assert course.end == overview(filters).month_end
    assert course.end.expected == plain.end.expected * Decimal("0.8")
    assert [used.rate_day for used in course.conversion.ahead] == [today()]
    assert course.budgets == ()


def test_budgets_are_drawn_in_the_currency_of_the_page_and_say_what_they_count(db):
    import_file(f"Date,USD,\n{today()},1.25,\n".encode(), by=None, via="command")
    asha = User.objects.get(username="asha")
    for currency in ("USD", "EUR", "JPY"):
        draft = Draft(name=f"In {currency}", owner="asha", scope={}, basis="book",
                      currency=currency, period="monthly", starts_on=today().replace(day=1),
                      amount_kind="fixed", amount=Decimal(500))  # fmt: skip
        budget_watch.evaluate(budgets.add(draft, by=asha, via="command").pk, timezone.now())

    course = month_course(*filters_of("range=7d&convert=EUR"))

    assert {
        line.name: (line.amount, line.currency, line.recorded, line.rate)
        for line in course.budgets
    } == {
        "In USD": (Decimal(400), "USD", 500, Decimal("0.8")),
        "In EUR": (Decimal(500), "EUR", 500, Decimal(1)),
        "In JPY": (None, "JPY", 500, None),
    }  # fmt: skip
    told = said(course)
    assert (
        "The budget In USD is €400.00: $500.00 at 0.8, the rate of the day it was computed; "
        "it counts what was recorded in USD alone."
    ) in told
    assert "The budget In EUR is €500.00." in told
    assert (
        "The budget In JPY of ¥500 is not drawn: there is no rate for the day it was computed, "
        "and it counts what was recorded in JPY alone."
    ) in told
    assert [column.label for column in month_table(course).columns][6:] == [
        "Budget In EUR", "Budget In USD",
    ]  # fmt: skip
    names = [one["name"] for one in month_chart(course).drawing.figure["data"]]
    assert [name for name in names if name.startswith("Budget")] == [
        "Budget In EUR", "Budget In USD",
    ]  # fmt: skip
    assert [line.name for line in month_course(*filters_of("range=7d")).budgets] == ["In USD"]
