"""Budgets are made by whoever may, and what they find is told once."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from finops import audit
from finops.actions import budget_watch, budgets
from finops.actions.budgets import Draft, Refused, Threshold
from finops.models import Alert, Audit, Budget, BudgetCrossing, BudgetPeriod
from finops.queries import budgets as queries
from finops.queries.filters import today
from tests.factories.finops import person, spent
from tests.factories.ingest import ProjectFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def chat(db):
    return ProjectFactory(slug="chat", name="Chat", team__name="Support")


@pytest.fixture
def search(db):
    return ProjectFactory(slug="search", name="Search", team__name="Search team")


@pytest.fixture
def asha(db):
    return person("asha", "analyst")


def midday(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def draft(**changes) -> Draft:
    usual = {
        "name": "Chat", "owner": "asha", "scope": {"project": ("chat",)}, "basis": "usage",
        "currency": "USD", "period": "monthly", "starts_on": today().replace(day=1),
        "amount_kind": "fixed", "amount": Decimal(100),
    }  # fmt: skip
    return Draft(**{**usual, **changes})


def thresholds(*wanted: tuple[str, str]) -> tuple[Threshold, ...]:
    return tuple(
        Threshold(percent=Decimal(percent), basis=basis, severity="warning")
        for percent, basis in wanted
    )


def acts() -> list[str]:
    return list(Audit.objects.order_by("id").values_list("action", flat=True))


# Making and changing


def test_budget_is_kept_as_wanted_audited_and_evaluated_at_once(asha, chat):
    spent(chat, midday(today()), "40")
    wanted = draft(thresholds=thresholds(("80", "actual"), ("100", "forecast")))
    made = budgets.add(wanted, by=asha, via="page")
    assert budgets.draft_of(Budget.objects.get()) == wanted
    assert acts() == ["budget.add"]
    assert Audit.objects.get().detail["amount"] == "100"
    assert BudgetPeriod.objects.get(budget=made, ends_before__gt=today()).spent == 40
    assert audit.verify().is_whole


def test_change_that_changes_nothing_leaves_no_record(asha, chat):
    made = budgets.add(draft(), by=asha, via="page")
    budgets.change(made, draft(), by=asha, via="page")
    assert acts() == ["budget.add"]
    changed = budgets.change(made, draft(amount=Decimal(200)), by=asha, via="api")
    assert (changed.amount, changed.plan, changed.revision) == (200, 2, 2)
    assert Audit.objects.latest("id").detail == {
        "name": "Chat",
        "before": {"amount": "100"},
        "after": {"amount": "200"},
    }


def test_change_of_what_was_read_before_another_change_is_refused(asha, chat):
    made = budgets.add(draft(), by=asha, via="page")
    budgets.change(made, draft(name="New"), by=asha, via="page", revision=1)
    with pytest.raises(Refused, match="Somebody has changed it"):
        budgets.change(made, draft(name="Other"), by=asha, via="page", revision=1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"owner": "nobody"}, "owner"),
        ({"scope": {"colour": ("red",)}}, "scope"),
        ({"scope": {"project": ("none",)}}, "scope"),
        ({"basis": "books"}, "basis"),
        ({"currency": "U$D"}, "currency"),
        ({"period": "yearly"}, "period"),
        ({"period": "until"}, "last_day"),
        ({"period": "until", "last_day": date(2001, 1, 1)}, "last_day"),
        ({"period": "rolling"}, "rolling_days"),
        ({"period": "rolling", "rolling_days": 367}, "rolling_days"),
        ({"amount": None}, "amount"),
        ({"amount": Decimal(0)}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal("1e12")}, "amount"),
        ({"amount_kind": "planned", "amount": None}, "months"),
        ({"amount_kind": "planned", "amount": None, "months": (Decimal(1),)}, "months"),
        ({"amount_kind": "adjusting", "amount": None, "cap": Decimal(5)}, "average_of"),
        ({"limit_signal": "loud"}, "limit_signal"),
        ({"thresholds": thresholds(("80", "actual"), ("80", "actual"))}, "thresholds"),
        ({"thresholds": thresholds(("0", "actual"))}, "thresholds"),
        ({"thresholds": thresholds(("80", "dreams"))}, "thresholds"),
        ({"thresholds": (replace(thresholds(("80", "actual"))[0], channel_ids=(9,)),)},
         "thresholds"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_its_field(asha, chat, changes, field):
    with pytest.raises(Refused) as refused:
        budgets.add(draft(**changes), by=asha, via="page")
    assert (refused.value.field, Budget.objects.count()) == (field, 0)


def test_name_can_be_taken_again_once_its_budget_is_removed(asha, chat):
    made = budgets.add(draft(), by=asha, via="page")
    with pytest.raises(Refused, match="There is a budget “Chat” already"):
        budgets.add(draft(), by=asha, via="page")
    budgets.remove(made, by=asha, via="page")
    budgets.add(draft(), by=asha, via="page")
    assert acts() == ["budget.add", "budget.remove", "budget.add"]


def test_analyst_of_one_project_sets_budgets_for_it_alone(asha, chat, search):
    own = person("own", "analyst", project=chat)
    budgets.add(draft(), by=own, via="page")
    for scope in ({}, {"model": ("gpt-4o",)}, {"project": ("search",)}):
        with pytest.raises(Refused) as refused:
            budgets.add(draft(name="More", scope=scope), by=own, via="page")
        assert refused.value.field == "scope"
    with pytest.raises(Refused, match="Bills are for members of the organisation"):
        budgets.add(draft(name="More", basis="book"), by=own, via="page")


@pytest.mark.parametrize(
    "columns",
    ["amount = 'NaN'", "amount = 0", "amount = NULL", "period = 'rolling'", "currency = ''",
     "limit_signal = 'loud'", "last_day = '2001-01-01'", "cap = 5"],
)  # fmt: skip
def test_database_refuses_what_no_budget_may_be(asha, chat, columns):
    budgets.add(draft(), by=asha, via="page")
    with (
        pytest.raises(IntegrityError),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE finops_budget SET {columns}")


# Watching


def crossed() -> list[tuple[str, Decimal]]:
    found = BudgetCrossing.objects.order_by("basis", "percent")
    return list(found.values_list("basis", "percent"))


@pytest.fixture
def daily(asha, chat):
    """A budget of 10 a day with thresholds at 50 and 100 %, begun two days ago."""
    wanted = draft(
        period="daily",
        starts_on=today() - timedelta(days=2),
        amount=Decimal(10),
        limit_signal="hard",
        thresholds=thresholds(("50", "actual"), ("100", "actual")),
    )
    return budgets.add(wanted, by=asha, via="page")


def test_threshold_is_told_once_in_a_period_and_resolved_with_the_next(daily, chat):
    now = midday(today())
    spent(chat, now, "6")
    for minutes in range(3):
        budget_watch.evaluate(daily.pk, now + timedelta(minutes=minutes))
    alert = Alert.objects.get()
    assert crossed() == [("actual", 50)]
    assert alert.title == "Budget Chat at 60% of $10.00"
    assert (alert.kind, alert.severity, alert.state) == ("budget", "warning", "open")
    assert (alert.path, alert.project, alert.owner) == (f"/budgets/{daily.pk}", chat, daily.owner)
    assert alert.figures["Driven by"] == "gpt-4o $6.00 (100%)"
    budget_watch.evaluate(daily.pk, now + timedelta(days=1))
    alert.refresh_from_db()
    assert (alert.state, alert.why) == ("resolved", "A new period has begun.")
    assert BudgetCrossing.objects.get().resolved_at == now + timedelta(days=1)


def test_person_who_resolved_the_alert_is_not_told_again_in_the_period(daily, chat, asha):
    from finops.actions import alerting

    now = midday(today())
    spent(chat, now, "6")
    budget_watch.evaluate(daily.pk, now)
    alerting.resolve_by_hand(Alert.objects.get(), "Known.", by=asha, via="page")
    budget_watch.evaluate(daily.pk, now + timedelta(minutes=1))
    assert Alert.objects.get().state == "resolved"


def test_figure_that_falls_back_resolves_and_is_not_told_again_in_the_period(daily, chat):
    from finops.models import CostDay

    now = midday(today())
    spent(chat, now, "6")
    budget_watch.evaluate(daily.pk, now)
    CostDay.objects.update(cost=Decimal(1))
    budget_watch.evaluate(daily.pk, now + timedelta(minutes=1))
    assert Alert.objects.get().why == "It is below 50% again."
    CostDay.objects.update(cost=Decimal(7))
    budget_watch.evaluate(daily.pk, now + timedelta(minutes=2))
    assert (Alert.objects.count(), Alert.objects.get().state) == (1, "resolved")


def test_larger_amount_ends_the_alert_and_lets_the_threshold_be_crossed_anew(daily, chat, asha):
    now = midday(today())
    spent(chat, now, "6")
    budget_watch.evaluate(daily.pk, now)
    larger = replace(budgets.draft_of(daily), amount=Decimal(11))
    budgets.change(daily, larger, by=asha, via="page")
    assert sorted(Alert.objects.values_list("state", "why")) == [
        ("open", ""),
        ("resolved", "The budget was changed."),
    ]
    assert [row.plan for row in BudgetCrossing.objects.order_by("plan")] == [1, 2]


def test_pausing_ends_alerts_and_keeps_the_watch_away(daily, chat, asha):
    now = midday(today())
    spent(chat, now, "6")
    budget_watch.evaluate(daily.pk, now)
    budgets.pause(daily, by=asha, via="page")
    assert Alert.objects.get().why == "The budget was paused."
    assert not budget_watch.evaluate(daily.pk, now)
    assert queries.limits(asha) == []
    budgets.resume(daily, by=asha, via="page")
    assert acts() == ["budget.add", "budget.pause", "budget.resume"]


def test_periods_that_are_over_keep_their_final_figures(daily, chat):
    rows = BudgetPeriod.objects.filter(ends_before__lte=today()).order_by("starts_on")
    assert [row.starts_on for row in rows] == [today() - timedelta(days=n) for n in (2, 1)]
    spent(chat, midday(today() - timedelta(days=1)), "12")
    budget_watch.evaluate(daily.pk, midday(today()) + timedelta(days=2))
    yesterday = BudgetPeriod.objects.get(starts_on=today() - timedelta(days=1))
    assert (yesterday.spent, yesterday.state, yesterday.amount) == (12, "over", 10)
    assert yesterday.limit_since is None
    assert not Alert.objects.exists()


def test_limit_is_given_from_the_whole_amount_on_with_the_time_it_began(daily, chat, asha):
    now = midday(today())
    spent(chat, now, "9")
    budget_watch.evaluate(daily.pk, now)
    [before] = queries.limits(asha)
    assert (before.state, before.since, before.why) == ("ok", None, "There is budget left.")
    spent(chat, now, "1", model="other")
    for minutes in (1, 2):
        budget_watch.evaluate(daily.pk, now + timedelta(minutes=minutes))
    [after] = queries.limits(asha)
    assert (after.state, after.since) == ("hard", now + timedelta(minutes=1))
    assert after.scope["project"] == ("chat",)


def test_forecast_crosses_its_own_threshold(asha, chat):
    first = today() - timedelta(days=20)
    for day in range(20):
        spent(chat, midday(first + timedelta(days=day)), "10")
    last = today() + timedelta(days=9)
    wanted = draft(
        period="until", starts_on=first, last_day=last, amount=Decimal(250),
        thresholds=thresholds(("100", "actual"), ("100", "forecast")),
    )  # fmt: skip
    budgets.add(wanted, by=asha, via="page")
    assert crossed() == [("forecast", 100)]
    assert Alert.objects.get().title == "Budget Chat expected at 120% of $250.00"
    assert Alert.objects.get().figures["Spent"] == "$200.00 (provisional)"


def test_everything_due_is_evaluated_and_soon_after_nothing_is(daily, asha):
    now = midday(today())
    budgets.add(draft(name="Second"), by=asha, via="page")
    BudgetPeriod.objects.update(evaluated_at=now)
    assert budget_watch.evaluate_all(now + timedelta(minutes=1)) == 0
    assert budget_watch.evaluate_all(now + timedelta(minutes=11)) == 2


def test_budget_that_ended_has_no_period_and_no_limit(asha, chat):
    wanted = draft(
        period="until", starts_on=today() - timedelta(days=9), limit_signal="soft",
        last_day=today() - timedelta(days=1),
    )  # fmt: skip
    made = budgets.add(wanted, by=asha, via="page")
    [row] = queries.budgets(asha)
    assert (row.current, row.state) == (None, "unknown")
    assert row.why.startswith("It ended on ")
    assert [one.starts_on for one in queries.history(made)] == [today() - timedelta(days=9)]
    assert [(one.state, one.fresh) for one in queries.limits(asha)] == [("ok", False)]
