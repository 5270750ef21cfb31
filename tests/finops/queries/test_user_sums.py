"""Narrow sums of users say the same as the wide rows they are made of."""

from copy import copy
from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.db import connection
from django.db.migrations import RunSQL
from django.db.models import DecimalField
from django.db.models.functions import Cast

from finops.actions import user_sums
from finops.models import (
    BillMatch,
    LabelCostDay,
    LabelCostFourWeeks,
    LabelCostWeek,
    LabelSpend,
    UserCostDay,
    UserCostFourWeeks,
    UserCostWeek,
    UserNumber,
    UserPage,
    UserSpend,
)
from finops.models.costs import Costs
from finops.queries import book, by_user
from finops.queries.book import Split, days
from finops.queries.book_coverage import coverage
from finops.queries.spend import spend_by
from finops.queries.unit_costs import labels, usage
from finops.queries.weeks import Periods, first_of_four, monday_of, periods
from ingest.models import Project
from tests.factories.finops import billed
from tests.factories.ingest import SourceFactory

pytestmark = pytest.mark.django_db

MONDAY = date(2026, 11, 2)
DAYS = 33
"""Four whole weeks that are a block, with days before and after."""


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
    starts = {1: lambda day: day, 7: monday_of, 28: first_of_four}
    for length, start in starts.items():
        wanted = {}
        for row in spent:
            first = start(row.day)
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


@pytest.mark.parametrize(("group_by", "length"), [("user", 14), ("user,model", 14), ("user", 28)])
def test_figures_by_the_week_are_those_of_the_days(spent, ask, monkeypatch, group_by, length):
    BillMatch.objects.create(usage_provider="openai", bill_provider="OpenAI", bill_service="API")
    billed(SourceFactory(kind="focus_csv", name="Bills", project=None), MONDAY.replace(day=1),
           range(6, 10), "5", service="API", provider="OpenAI")  # fmt: skip
    filters = ask(f"group_by={group_by}&from={MONDAY}&to={MONDAY + timedelta(days=length)}")
    covered = coverage(filters).days
    assert [window.end.weekday() for window in covered] != [0]
    by_week = spend_by(filters)
    by_day = Periods([], [], days(filters.start, filters.end))
    monkeypatch.setattr(book, "periods", lambda start, end, edges: by_day)
    assert by_week == spend_by(filters)
    assert by_week.total.cost > 0


@pytest.mark.parametrize(("first", "last"), [(0, 33), (2, 30), (3, 9), (1, 2), (4, 26), (8, 9)])
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
    columns = ("project_id", "days", "first", "user_id", "currency", "spans", "cost")
    before = set(UserSpend.objects.exclude(project_id=chat.pk, days__gt=1).values_list(*columns))
    pages = set(UserPage.objects.values_list("pk", "users", "priced_spans"))
    UserCostDay.objects.filter(project_id=chat.pk, day=MONDAY, user_id="bo").delete()
    with connection.cursor() as cursor:
        user_sums.write(cursor, chat.pk, MONDAY)
        user_sums.write(cursor, chat.pk, MONDAY)

    assert before - set(UserSpend.objects.values_list(*columns)) == {
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


def test_values_of_a_label_are_summed_as_users_are(spent, ask, monkeypatch):
    for label, rows in (("customer", spent), ("team", spent[::2])):
        LabelCostDay.objects.bulk_create(
            LabelCostDay(day=row.day, label=label, value=row.user_id, **of_costs(row))
            for row in rows
        )
    with connection.cursor() as cursor:
        for project, day in sorted({(row.project_id, row.day) for row in spent}):
            user_sums.write_labels(cursor, project, day)

    customers = {"label": "customer"}
    to_rank_by = Cast("cost", DecimalField(max_digits=20, decimal_places=9))
    ranked = ("project_id", "days", "first", "currency", "spans", to_rank_by)
    assert set(LabelSpend.objects.filter(**customers).values_list("value", *ranked)) == set(
        UserSpend.objects.values_list("user_id", *ranked)
    )
    costs = ("day", *(field.name for field in Costs._meta.fields))
    for of_label, of_user in (
        (LabelCostWeek, UserCostWeek),
        (LabelCostFourWeeks, UserCostFourWeeks),
    ):
        assert set(of_label.objects.filter(**customers).values_list("value", *costs)) == set(
            of_user.objects.values_list("user_id", *costs)
        )
    # What they say of a project's days is what the wide rows say.
    filters = ask(f"from={MONDAY}&to={MONDAY + timedelta(days=9)}")
    splits = [Split(), Split(("project",), by_time=True), Split(("model",))]
    narrow = labels.values(filters, splits, "team", {})
    monkeypatch.setattr(labels, "_source", lambda *_: "finops_labelcostday")
    wide = labels.values(filters, splits, "team", {})
    for one, other in zip(narrow, wide, strict=True):
        assert sorted(one, key=str) == sorted(other, key=str) != []


def of_costs(row):
    return {field.name: getattr(row, field.name) for field in Costs._meta.fields}


def test_range_is_the_fewest_periods_that_no_edge_divides():
    first, end = MONDAY - timedelta(days=1), MONDAY + timedelta(days=36)
    found = periods(first, end)
    assert (found.four_weeks, found.weeks) == ([MONDAY], [MONDAY + timedelta(days=28)])
    assert found.days == [first, MONDAY + timedelta(days=35)]

    edges = [MONDAY + timedelta(days=7), MONDAY + timedelta(days=9)]
    found = periods(first, end, edges)
    assert found.four_weeks == []
    assert found.weeks == [MONDAY + timedelta(days=n) for n in (0, 14, 21, 28)]
    assert found.days == [first, *(MONDAY + timedelta(days=n) for n in (*range(7, 14), 35))]


def test_migration_fills_them_as_pricing_does_also_for_days_long_past(spent, chat):
    long_ago = date(2023, 11, 16)
    rows = [*spent[:40], *(copy(row) for row in spent[:40])]
    for n, row in enumerate(rows[40:]):
        row.day = long_ago + timedelta(days=n % 20)
        row.input_band = 1 + n  # its own key
    LabelCostDay.objects.bulk_create(
        LabelCostDay(day=row.day, label="customer", value=row.user_id, **of_costs(row))
        for row in rows
    )
    UserCostDay.objects.bulk_create(rows[40:])
    with connection.cursor() as cursor:
        for project, day in sorted({(row.project_id, row.day) for row in rows}):
            user_sums.write(cursor, project, day)
            user_sums.write_labels(cursor, project, day)
    filled = (LabelSpend, LabelCostWeek, LabelCostFourWeeks, UserCostFourWeeks)
    before = [set(made.objects.values_list()) for made in filled]
    ranks = UserSpend.objects.filter(days=28)
    ranked = set(ranks.values_list("pk", "spans"))
    for made in filled:
        made.objects.all().delete()
    ranks.delete()

    migration = import_module("finops.migrations.0008_longer_sums").Migration
    with connection.cursor() as cursor:
        for operation in migration.operations:
            if isinstance(operation, RunSQL):
                cursor.execute(operation.sql)

    assert [set(made.objects.values_list()) for made in filled] == before
    assert set(ranks.values_list("pk", "spans")) == ranked
    assert {made.objects.filter(day__year=2023).exists() for made in filled[1:]} == {True}
