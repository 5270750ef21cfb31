"""Narrow sums of users say the same as the wide rows they are made of."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from finops.actions import user_sums
from finops.models import BillMatch, UserCostDay, UserNumber, UserPage, UserSpend
from finops.queries import book, by_user
from finops.queries.book import Split, days
from finops.queries.book_coverage import coverage
from finops.queries.spend import spend_by
from finops.queries.unit_costs import usage
from ingest.models import Project
from tests.factories.finops import billed
from tests.factories.ingest import SourceFactory

pytestmark = pytest.mark.django_db

MONDAY = date(2026, 11, 2)
DAYS = 17
"""Two whole weeks, with days before and after."""


@pytest.fixture
def spent(chat, search):
    """Seventeen days of five users of two projects; each does less than everybody."""
    rows = [
        UserCostDay(
            project_id=project.pk, day=MONDAY + timedelta(days=day - 2), user_id=user,
            service="api", kind="llm", provider="openai", model=model, tier="", input_band=0,
            currency=currency, spans=2, priced_spans=priced,
            cost=Decimal(place + day) / 7 if currency else 0,
        )
        for project in (chat, search)
        for day in range(DAYS)
        for place, user in enumerate(("", "ada", "bo", "cy", "dee"))
        for model, currency, priced in (("a", "USD", 2), ("b", "EUR", day % 2), ("c", "", 0))
        if (day + place) % 3
    ]  # fmt: skip
    UserCostDay.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        for project, day in sorted({(row.project_id, row.day) for row in rows}):
            user_sums.write(cursor, project, day)
    return rows


def test_days_and_weeks_are_the_wide_rows_summed(spent):
    """Usage without an amount stands with the currency that a user has, or alone."""
    for length in (1, 7):
        wanted = {}
        for row in spent:
            first = row.day - timedelta(days=row.day.weekday() if length == 7 else 0)
            has = {
                one.currency
                for one in spent
                if (one.project_id, one.day, one.user_id) == (row.project_id, row.day, row.user_id)
            }
            key = (row.project_id, first, row.user_id, row.currency or max(has))
            spans, cost = wanted.get(key, (0, Decimal(0)))
            wanted[key] = (spans + row.spans, cost + row.cost)
        found = UserSpend.objects.filter(days=length)
        columns = ("project_id", "first", "user_id", "currency", "spans", "cost")
        assert {
            row[:4]: (row[4], pytest.approx(row[5])) for row in found.values_list(*columns)
        } == {key: (spans, float(cost)) for key, (spans, cost) in wanted.items()}


@pytest.mark.parametrize("group_by", ["user", "user,model"])
def test_figures_by_the_week_are_those_of_the_days(spent, ask, monkeypatch, group_by):
    BillMatch.objects.create(usage_provider="openai", bill_provider="OpenAI", bill_service="API")
    billed(SourceFactory(kind="focus_csv", name="Bills", project=None), MONDAY.replace(day=1),
           range(6, 10), "5", service="API", provider="OpenAI")  # fmt: skip
    filters = ask(f"group_by={group_by}&from={MONDAY}&to={MONDAY + timedelta(days=14)}")
    covered = coverage(filters).days
    assert [window.end.weekday() for window in covered] != [0]
    by_week = spend_by(filters)
    monkeypatch.setattr(book, "weeks_and_days", lambda start, end, edges: ([], days(start, end)))
    assert by_week == spend_by(filters)
    assert by_week.total.cost > 0


@pytest.mark.parametrize(("first", "last"), [(0, 17), (2, 16), (3, 9), (1, 2), (4, 12), (8, 9)])
def test_the_dearest_are_those_of_the_wide_rows(spent, ask, monkeypatch, first, last):
    monkeypatch.setattr(by_user, "MOST_NAMED", 3)
    start, end = MONDAY + timedelta(days=first - 2), MONDAY + timedelta(days=last - 2)
    costs, spans = {}, {}
    for row in spent:
        if start <= row.day < end and row.currency in ("USD", ""):
            costs[row.user_id] = costs.get(row.user_id, 0) + row.cost
            spans[row.user_id] = spans.get(row.user_id, 0) + row.spans

    filters = ask(f"basis=usage&group_by=user&from={start}&to={end}")

    ranked = sorted(costs, key=lambda user: (-round(costs[user], 9), -spans[user], user))
    assert by_user.dearest(filters) == tuple(ranked[:3])


def test_a_day_written_again_changes_its_week_and_nothing_else(spent, chat):
    before = set(UserSpend.objects.exclude(project_id=chat.pk, days=7).values_list())
    pages = set(UserPage.objects.values_list("pk", "users", "priced_spans"))
    UserCostDay.objects.filter(project_id=chat.pk, day=MONDAY, user_id="bo").delete()
    with connection.cursor() as cursor:
        user_sums.write(cursor, chat.pk, MONDAY)
        user_sums.write(cursor, chat.pk, MONDAY)

    assert before - set(UserSpend.objects.values_list()) == {
        row for row in before if row[:4] == (chat.pk, 1, MONDAY, "bo")
    }
    week = UserSpend.objects.get(
        project_id=chat.pk, days=7, first=MONDAY, user_id="bo", currency="USD"
    )
    assert week.spans == 2 * sum(
        (row.user_id, row.project_id) == ("bo", chat.pk)
        and row.currency in ("USD", "")
        and MONDAY < row.day < MONDAY + timedelta(days=7)
        for row in spent
    )
    assert len(pages - set(UserPage.objects.values_list("pk", "users", "priced_spans"))) == 1


def test_different_users_are_counted_once_over_days_projects_and_pages(spent, ask, monkeypatch):
    UserNumber.objects.filter(user_id="dee").update(number=5 * 4096 + 4095)
    with connection.cursor() as cursor:
        for project, day in sorted({(row.project_id, row.day) for row in spent}):
            user_sums.write(cursor, project, day)
    filters = ask(f"basis=usage&group_by=model&from={MONDAY}&to={MONDAY + timedelta(days=9)}")
    own = [
        row
        for row in spent
        if MONDAY <= row.day < MONDAY + timedelta(days=9)
        and row.currency == "USD"
        and row.priced_spans
    ]

    total, days = usage.people(filters, [Split(), Split(("project",), by_time=True)], {})

    assert [row.values for row in total] == [(_people(own),)]
    assert {(row.keys, row.day): row.values[0] for row in days} == {
        ((str(project.pk),), day): _people(
            [row for row in own if (row.project_id, row.day) == (project.pk, day)]
        )
        for project in Project.objects.filter(pk__in={row.project_id for row in own})
        for day in {row.day for row in own if row.project_id == project.pk}
    }


def _people(rows):
    named = [row for row in rows if row.user_id]
    return usage.People(
        users=len({(row.project_id, row.user_id) for row in named}),
        cost=_rounded(named),
        named=sum(row.priced_spans for row in named),
        requests=sum(row.priced_spans for row in rows),
    )


def _rounded(rows):
    """As the column keeps it."""
    return sum((row.cost.quantize(Decimal(1).scaleb(-20)) for row in rows), Decimal(0))
