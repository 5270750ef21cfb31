"""Narrow sums of users say the same as the wide rows they are made of."""

from copy import copy
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module

import numpy as np
import pytest
from django.db import connection
from django.db.migrations import RunSQL
from django.test.utils import CaptureQueriesContext

from finops.actions import user_sums
from finops.models import (
    BillMatch,
    KnownUser,
    LabelCostDay,
    LabelCostFourWeeks,
    LabelCostWeek,
    LabelSpend,
    LabelTotal,
    UserCostDay,
    UserCostFourWeeks,
    UserCostWeek,
    UserNumber,
    UserPage,
    UserSpend,
)
from finops.models.costs import Costs
from finops.queries import book, dearest
from finops.queries.book import Split, days
from finops.queries.book_coverage import Coverage, Window, coverage
from finops.queries.spend import spend_by
from finops.queries.unit_costs import labels, usage
from finops.queries.weeks import Periods, first_of_four, monday_of, periods
from ingest.models import Project
from tests.factories.finops import billed
from tests.factories.ingest import ProjectFactory, SourceFactory
from tests.kept_estate import kept

pytestmark = pytest.mark.django_db

MONDAY = date(2026, 11, 2)
DAYS = 33
"""Four whole weeks that are a block, with days before and after."""


@pytest.fixture(scope="module")
def kept_spent(django_db_setup, django_db_blocker):
    with kept(django_db_blocker):
        yield spend(project_of("chat", "Support"), project_of("search", "Search team"))


def project_of(slug, team):
    return ProjectFactory(slug=slug, name=slug.title(), team__name=team)


def spend(*projects):
    """Thirty-three days of five users of two projects; each does less than everybody."""
    rows = [
        UserCostDay(
            project_id=project.pk, day=MONDAY + timedelta(days=day - 2), user_id=user,
            service="api", kind="llm", provider="openai", model=model, tier="", input_band=0,
            currency=currency, spans=2, priced_spans=priced,
            cost=Decimal(place + day) / 7 if currency else 0,
        )
        for project in projects
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


@pytest.fixture
def spent(kept_spent, db):
    """The rows as they were made: some tests change theirs."""
    return [copy(row) for row in kept_spent]


@pytest.fixture
def chat(kept_spent, db):
    return Project.objects.get(slug="chat")


def test_days_and_weeks_are_the_wide_rows_summed(spent):
    """Once of everything, and once by service, provider and model."""
    starts = {1: lambda day: day, 7: monday_of, 28: first_of_four}
    wanted = {}
    for length, start in starts.items():
        for row in spent:
            for of_what in ((True, "", "", ""), (False, row.service, row.provider, row.model)):
                key = (row.project_id, length, start(row.day), *of_what, row.currency, row.user_id)
                spans, cost = wanted.get(key, (0, Decimal(0)))
                wanted[key] = (spans + row.spans, cost + row.cost)
    assert ranks() == {
        key: (spans, pytest.approx(float(cost))) for key, (spans, cost) in wanted.items()
    }


RANKED = ("project_id", "days", "first", "of_all", "service", "provider", "model", "currency")


def ranks(**chosen):
    """What each user's place in the arrays says."""
    names = dict(KnownUser.objects.values_list("number", "user_id"))
    return {
        (*key, names[user]): (spans, cost)
        for *key, users, costs, counts in UserSpend.objects.filter(**chosen).values_list(
            *RANKED, "users", "costs", "spans"
        )
        for user, cost, spans in zip(
            np.frombuffer(users, ">i4").tolist(),
            np.frombuffer(costs, ">f8").tolist(),
            np.frombuffer(counts, ">i8").tolist(),
            strict=True,
        )
    }


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


@pytest.mark.parametrize("narrowed", ["", "&f.model=a", "&f.model=a&f.model=c&f.service=api"])
@pytest.mark.parametrize(("first", "last"), [(0, 33), (2, 30), (3, 9), (1, 2), (4, 26), (8, 9)])
def test_the_dearest_are_those_of_the_wide_rows(spent, ask, monkeypatch, first, last, narrowed):
    monkeypatch.setattr(dearest, "MOST_NAMED", 3)
    start, end = MONDAY + timedelta(days=first - 2), MONDAY + timedelta(days=last - 2)
    costs, spans = {}, {}
    for row in spent:
        is_asked = not narrowed or f"f.model={row.model}" in narrowed
        if is_asked and start <= row.day < end and row.currency in ("USD", ""):
            costs[row.user_id] = costs.get(row.user_id, 0) + row.cost
            spans[row.user_id] = spans.get(row.user_id, 0) + row.spans

    filters = ask(f"basis=usage&group_by=user&from={start}&to={end}{narrowed}")

    ranked = sorted(costs, key=lambda user: (-round(costs[user], 9), -spans[user], user))
    assert dearest.dearest(filters) == tuple(ranked[:3])


def test_a_day_written_again_changes_its_week_and_nothing_else(spent, chat):
    before = ranks()
    pages = set(UserPage.objects.values_list("pk", "users", "priced_spans"))
    UserCostDay.objects.filter(project_id=chat.pk, day=MONDAY, user_id="bo").delete()
    with connection.cursor() as cursor:
        user_sums.write(cursor, chat.pk, MONDAY)
        user_sums.write(cursor, chat.pk, MONDAY)

    after = ranks()
    own = [key for key in before if (key[0], key[2], key[-1]) == (chat.pk, MONDAY, "bo")]
    assert {key for key in before if key not in after} == {key for key in own if key[1] == 1}
    assert {key for key in after if after[key] != before[key]} == {key for key in own if key[1] > 1}
    week = (chat.pk, 7, MONDAY, True, "", "", "", "USD", "bo")
    assert after[week][0] == 2 * sum(
        (row.user_id, row.project_id, row.currency) == ("bo", chat.pk, "USD")
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
    of_users = {key[:3] + key[-2:]: told for key, told in ranks(of_all=True).items()}
    narrow = {
        (*row.pk[:3], row.currency, row.value): (row.spans, row.cost)
        for row in LabelSpend.objects.filter(**customers)
    }
    # Usage without an amount stands with the currency that a value has, or alone.
    for key, (spans, cost) in narrow.items():
        own = of_users[key]
        priceless = of_users.get((*key[:3], "", key[-1]), (0, 0))
        assert float(cost) == pytest.approx(own[1])
        assert spans in (own[0], own[0] + priceless[0])
    assert sum(spans for spans, _ in narrow.values()) == sum(
        spans for spans, _ in of_users.values()
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


@pytest.mark.parametrize(
    "narrowed", [{}, {"label": "customer", "labels": ("ada",)}, {"providers": ("openai", "TRITON")}]
)
@pytest.mark.parametrize("keys", [("label",), ("label", "provider"), ("project", "label")])
def test_totals_of_a_label_say_what_its_wide_rows_do(spent, ask, pool, monkeypatch, keys, narrowed):
    for n, row in enumerate(spent):
        row.kind = ("llm", "tool", "embedding")[n % 3]
        row.provider = ("openai", pool.provider.upper(), "azure")[n % 5 % 3]
        row.tokens, row.unpriced_tokens, row.unpriced_spans = 10 * n, n % 4, n % 2
        row.unknown_spans = n % 7
    LabelCostDay.objects.bulk_create(
        LabelCostDay(day=row.day, label="customer", value=row.user_id, **of_costs(row))
        for row in spent
    )
    with connection.cursor() as cursor:
        for project, day in sorted({(row.project_id, row.day) for row in spent}):
            user_sums.write_labels(cursor, project, day)
    month = ask(f"from={MONDAY}&to={MONDAY + timedelta(days=30)}")
    filters = replace(month, group_by=("label:customer",), **narrowed)
    billed_days = Window("openai", MONDAY + timedelta(days=3), MONDAY + timedelta(days=12))
    asked = (filters, [Split(), Split(keys)])

    def told():
        values = ("", "ada", "bo", "cy")
        found = book.sums(*asked, users=values, covered=Coverage(days=(billed_days,)))
        return [sorted(rows, key=lambda one: one[::2]) for rows in found]

    narrow = told()
    assert any(one.measures["pool_requests"] for one in narrow[1])
    assert "finops_labeltotal" in read_by(told)
    monkeypatch.setattr(book, "_labels_alone", lambda *_: False)
    assert "finops_labelcost" in read_by(told)
    assert narrow == told()


def read_by(act):
    with CaptureQueriesContext(connection) as statements:
        act()
    return " ".join(one["sql"] for one in statements)


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
    ranked = ranks()
    for made in (*filled, UserSpend, KnownUser):
        made.objects.all().delete()

    migration = import_module("finops.migrations.0008_longer_sums").Migration
    with connection.cursor() as cursor:
        for operation in migration.operations:
            if isinstance(operation, RunSQL):
                cursor.execute(operation.sql)

    assert [set(made.objects.values_list()) for made in filled] == before
    assert ranks() == {key: (spans, pytest.approx(cost)) for key, (spans, cost) in ranked.items()}
    assert {made.objects.filter(day__year=2023).exists() for made in filled[1:]} == {True}

    totals = set(LabelTotal.objects.values_list())
    LabelTotal.objects.all().delete()
    with connection.cursor() as cursor:
        for statement in import_module("finops.migrations.0009_label_totals").FILLS:
            cursor.execute(statement)
    assert set(LabelTotal.objects.values_list()) == totals
