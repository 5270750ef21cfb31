"""A budget's figures are those of the costs page, and its forecast is that of the overview."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions.allocation import landing
from finops.actions.allocation.rules import Draft as RuleDraft
from finops.actions.allocation.rules import add as add_rule
from finops.actions.budgets import Draft, query_of
from finops.costing.allocating import Condition
from finops.costing.budget_states import AT_RISK, FORECAST, KNOWN, ON_TRACK, OVER, PACE, UNKNOWN
from finops.models import BillMatch, Budget, Forecast
from finops.queries import filters as filters_module
from finops.queries import overview as overview_module
from finops.queries import spend as spend_module
from finops.queries.budget_figures import told
from finops.queries.budgets import rhythm_of
from finops.queries.filters import Filters
from finops.queries.overview import month_end
from finops.queries.spend import spend_total
from tests.factories.finops import billed, paid, person, spent

TODAY = date(2025, 10, 20)
NOW = datetime(2025, 10, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def on_a_known_day(monkeypatch):
    for module in (filters_module, overview_module, spend_module):
        monkeypatch.setattr(module, "today", lambda: TODAY)


def at(day, month=10):
    return datetime(2025, month, day, 12, tzinfo=UTC)


@pytest.fixture
def made(asha):
    def budget(**changes) -> Budget:
        usual = {
            "name": "October", "owner": asha, "basis": "book", "currency": "USD",
            "period": "monthly", "starts_on": date(2025, 1, 1), "amount_kind": "fixed",
            "amount": Decimal(100),
        }  # fmt: skip
        return Budget.objects.create(**{**usual, **changes})

    return budget


def of(budget, now=NOW):
    return told(budget, rhythm_of(budget).at(now.date()), now)


def expect(scope="all", as_of=TODAY - timedelta(days=1), days=45):
    points = [
        {
            "day": (as_of + timedelta(days=n)).isoformat(),
            "mean": "10", "low80": "8", "high80": "12", "low95": "7", "high95": "13",
        }
        for n in range(1, days + 1)
    ]  # fmt: skip
    return Forecast.objects.create(
        scope=scope, currency="USD", as_of=as_of, method="test", method_version=1,
        input_sha256=scope.encode(), points=points, backtest={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "basis"),
    [
        ({}, "book"),
        ({}, "usage"),
        ({}, "bill"),
        ({"project": ["chat"]}, "usage"),
        ({"team": ["Search team"]}, "usage"),
        ({"provider": ["anthropic"]}, "book"),
        ({"model": ["gpt-4o"], "service": ["api"]}, "usage"),
    ],
)
def test_spent_is_the_total_of_the_costs_page(made, asha, chat, search, pool, bills, scope, basis):
    BillMatch.objects.create(usage_provider="openai", bill_provider="OpenAI", bill_service="API")
    spent(chat, at(5), "3")
    spent(chat, at(20), "0.25")
    spent(search, at(6), "4", provider="anthropic", model="claude")
    spent(search, at(30, 9), "70", provider="anthropic", model="claude")
    paid(pool, at(7), idle="2", bert="1")
    billed(bills, date(2025, 10, 1), range(5, 6), "50")
    budget = made(scope=scope, basis=basis)
    query = query_of(
        Draft(name="", owner="", scope=scope, basis=basis, currency="USD", period="monthly",
              starts_on=TODAY, amount_kind="fixed")
    )  # fmt: skip
    query["range"] = "mtd"
    costs, errors = Filters.parse(query, asha)
    figures = of(budget).figures
    total = spend_total(costs)
    assert errors == []
    assert (figures.spent, figures.reconciled, figures.as_of) == (
        total.cost,
        total.reconciled,
        total.as_of,
    )
    assert figures.spent > 0
    assert figures.provisional == total.provisional


def test_project_counted_from_the_book_has_what_rules_land_on_it(made, asha, ask, chat, bills):
    rule = RuleDraft(
        name="AWS is chat's", origin="bill", conditions=(Condition("provider", "is", ("aws",)),),
        split="one", targets=(("chat", None),),
    )  # fmt: skip
    add_rule(rule, by=asha, via="page")
    spent(chat, at(5), "3")
    billed(bills, date(2025, 10, 1), range(1, 5), "20", provider="AWS")
    while landing.land():
        pass
    scope = {"project": ["chat"]}
    counted = {basis: of(made(name=basis, scope=scope, basis=basis)) for basis in ("usage", "book")}
    assert {basis: now.figures.spent for basis, now in counted.items()} == {"usage": 3, "book": 83}
    assert spend_total(ask("range=mtd&basis=book&f.project=chat")).cost == 83


def test_project_on_shared_hardware_is_not_on_track_for_nothing(made, chat, pool):
    for day in range(1, 20):
        spent(chat, at(day), None, provider="triton", model="bert", kind="inference",
              unpriced_spans=0, unpriced_tokens=0, tokens=0)  # fmt: skip
        paid(pool, at(day), idle="30", bert="10")
    usage = of(made(name="usage", scope={"project": ["chat"]}, basis="usage")).figures
    assert (usage.spent, usage.state) == (0, UNKNOWN)
    assert usage.why.startswith("190 of 190 requests were answered by shared hardware, whose cost")
    whole = of(made(name="whole")).figures
    assert (whole.spent, whole.missing) == (760, "")


def test_forecast_of_the_month_is_the_one_of_the_overview(made, ask, chat, search):
    for day in range(1, 21):
        spent(chat, at(day), "4")
    forecast = expect()
    figures = of(made()).figures
    month = month_end(ask("range=mtd"), forecast)
    assert (figures.spent, figures.expected) == (month.spent, month.expected)
    assert (figures.expected_low, figures.expected_high) == (month.low80, month.high80)
    assert (figures.method, figures.state) == (FORECAST, AT_RISK)  # 76 so far, 196 in the end


def test_scope_without_a_forecast_is_projected_from_its_days_and_says_how(made, chat):
    expect()
    for day in range(6, 21):
        spent(chat, at(day), "2")
    figures = of(made(scope={"model": ["gpt-4o"]}, basis="usage")).figures
    assert (figures.spent, figures.expected) == (30, 52)
    assert (figures.method, figures.state) == (PACE, ON_TRACK)
    assert "mean of the last 14 known days" in figures.method_said


def test_few_days_are_not_enough_for_a_forecast(made, chat):
    spent(chat, at(19), "2")
    figures = of(made()).figures
    assert (figures.expected, figures.expected_low, figures.expected_high) == (None, None, None)
    assert figures.method_said == "Not enough data: 1 of the 7 whole days needed are known."


def test_course_ends_where_the_figures_say(made, chat):
    for day in range(1, 21):
        spent(chat, at(day), "4")
    expect()
    found = of(made())
    last, today = found.course[-1], found.course[19]
    assert len(found.course) == 31
    assert (today.day, today.actual, last.actual) == (TODAY, found.figures.spent, None)
    assert (last.mean, last.low, last.high) == (
        found.figures.expected,
        found.figures.expected_low,
        found.figures.expected_high,
    )
    assert last.pace == found.figures.amount


def test_more_than_the_budget_is_over_and_no_facts_are_unknown(made, chat):
    budget = made(amount=Decimal(5))
    nothing = of(budget).figures
    assert (nothing.state, nothing.spent) == (UNKNOWN, None)
    spent(chat, at(3), "5.01")
    assert of(budget).figures.state == OVER


def test_usage_without_a_price_is_said_and_never_free(made, chat):
    spent(chat, at(3), None, model="house")
    alone = of(made(name="House", scope={"model": ["house"]}, basis="usage")).figures
    assert (alone.spent, alone.state) == (None, UNKNOWN)
    spent(chat, at(3), "1")
    beside = of(made(amount=Decimal("2.5"))).figures
    assert (beside.spent, beside.state) == (1, UNKNOWN)
    assert beside.missing.startswith("10 of 20 requests have no price")


def test_other_currency_stands_beside_and_is_never_added(made, chat):
    spent(chat, at(3), "1")
    spent(chat, at(3), "7", currency="EUR", model="mistral")
    figures = of(made()).figures
    assert figures.spent == 1
    assert "Beside it, not added: €7.00." in figures.missing


def test_rolling_budget_holds_the_last_days_and_has_no_pace(made, chat):
    for day in range(1, 21):
        spent(chat, at(day), "1")
    budget = made(period="rolling", rolling_days=7, starts_on=date(2025, 10, 1))
    figures = of(budget).figures
    assert (figures.since, figures.until) == (date(2025, 10, 14), date(2025, 10, 21))
    assert (figures.spent, figures.pace) == (7, None)
    assert (figures.starts_on, figures.ends_before) == (date(2025, 10, 15), date(2025, 10, 22))
    assert figures.expected == 7  # the window of the block's last day


def test_adjusting_amount_is_the_average_of_complete_months_at_most_the_cap(made, chat):
    for month, amount in ((7, "10"), (8, "20"), (9, "60")):
        spent(chat, at(1, month), amount)
    adjusting = {"amount_kind": "adjusting", "amount": None, "average_of": 3}
    figures = of(made(**adjusting, cap=Decimal(100))).figures
    assert (figures.amount, figures.amount_said) == (
        30,
        "The average of the last 3 periods, at most the cap.",
    )
    assert of(made(name="Capped", **adjusting, cap=Decimal(25))).figures.amount == 25


def test_month_that_began_before_the_first_fact_is_not_averaged(made, chat):
    spent(chat, at(15, 8), "500")
    spent(chat, at(2, 9), "60")
    budget = made(amount_kind="adjusting", amount=None, average_of=3, cap=Decimal(1000))
    assert of(budget).figures.amount == 60


def test_planned_amount_is_the_month_s(made, chat):
    budget = made(amount_kind="planned", amount=None)
    for month in range(1, 13):
        budget.months.create(month=month, amount=month * 10)
    assert of(budget).figures.amount == 100


def test_period_that_is_over_is_final(made, chat):
    spent(chat, at(3, 9), "8")
    budget = made()
    period = rhythm_of(budget).at(date(2025, 9, 1))
    figures = told(budget, period, NOW).figures
    assert (figures.spent, figures.expected, figures.method) == (8, 8, KNOWN)
    assert figures.pace == figures.amount == 100


def test_budget_is_unseen_by_whoever_misses_one_of_its_projects(made, cleo, asha, chat, search):
    from finops.queries.budgets import budgets

    made(name="Both", scope={"project": ["chat", "search"]}, basis="usage")
    made(name="Own", scope={"project": ["chat"]}, basis="usage")
    made(name="Team", scope={"team": ["Support"]}, basis="usage")
    made(name="Other team", scope={"team": ["Search team"]}, basis="usage")
    made(name="Estate")
    made(name="Model", scope={"model": ["gpt-4o"]})
    assert [row.budget.name for row in budgets(cleo)] == ["Own", "Team"]
    assert len(budgets(asha)) == 6
    assert budgets(person("nobody", "viewer", project=search))[0].budget.name == "Other team"
