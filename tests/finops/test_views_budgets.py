"""The pages of budgets: list, form, one budget, its switch and its end."""

import csv
import io
import re

import pytest

from finops.actions import budgets as actions
from finops.models import Audit, Budget
from finops.queries import budgets as queries
from finops.queries.filters import today
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

FORM = {
    "name": "Chat", "owner": "asha", "projects": ["support-chat"], "currency": "USD",
    "period": "monthly", "amount_kind": "fixed", "amount": "1000",
    "limit_signal": "soft", "threshold-0-percent": "80", "threshold-1-percent": "100",
    "threshold-1-basis": "forecast", "threshold-1-severity": "critical",
}  # fmt: skip


def filled(**changes) -> dict:
    return {**FORM, "starts_on": today().replace(day=1).isoformat(), **changes}


@pytest.fixture
def asha(sign_in):
    return sign_in("asha")


def made(client, **changes) -> Budget:
    answer = client.post("/budgets/new", filled(**changes))
    assert answer.status_code == 302, Page(answer.text).words
    return Budget.objects.get(pk=int(answer["Location"].rpartition("/")[2]))


def csv_of(client, path):
    return list(csv.reader(io.StringIO(client.get(path).text)))


def test_empty_list_says_how_to_begin(asha, sign_in):
    words = Page(asha.get("/budgets").text).words
    assert "No budget yet" in words
    assert "Set a budget for a day, a week, a month" in words
    assert "Ask an analyst to set a budget" in Page(sign_in("ben").get("/budgets").text).words


def test_form_makes_the_budget_it_says(asha):
    budget = made(asha)
    draft = actions.draft_of(budget)
    assert (draft.scope, draft.basis, draft.amount) == (
        {"project": ("support-chat",)}, "usage", 1000,
    )  # fmt: skip
    assert [(one.percent, one.basis, one.severity) for one in draft.thresholds] == [
        (80, "actual", "warning"),
        (100, "forecast", "critical"),
    ]
    record = Audit.objects.latest("id")
    assert (record.action, record.via) == ("budget.add", "page")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"amount": ""}, "Give the amount of a fixed budget"),
        ({"amount": "NaN"}, "Enter a number."),
        ({"threshold-1-basis": "actual", "threshold-1-percent": "80"}, "Two thresholds are"),
        ({"threshold-0-percent": "none"}, "Enter a number."),
        ({"amount_kind": "planned", "month_1": "5"}, "Give twelve amounts, not 1."),
        ({"period": "rolling"}, "Give the days of a rolling budget"),
        ({"projects": ["nobodys"]}, "is not one of the available choices"),
    ],
)
def test_form_names_what_is_wrong_and_keeps_the_rest(asha, changes, said):
    answer = asha.post("/budgets/new", filled(**changes))
    assert answer.status_code == 422
    assert said in Page(answer.text).words
    assert not Budget.objects.exists()


def test_amounts_of_every_kind_and_period_come_through_the_form(asha):
    months = {f"month_{at}": str(at * 10) for at in range(1, 13)}
    planned = made(asha, name="Planned", amount_kind="planned", **months)
    assert actions.draft_of(planned).months == tuple(at * 10 for at in range(1, 13))
    adjusting = made(asha, name="Own", amount_kind="adjusting", cap="900", average_of="2")
    assert (adjusting.cap, adjusting.average_of, adjusting.amount) == (900, 2, None)
    rolling = made(asha, name="Rolling", period="rolling", rolling_days="7")
    assert (rolling.period, rolling.rolling_days) == ("rolling", 7)
    for budget in (planned, adjusting, rolling):
        assert asha.get(f"/budgets/{budget.pk}").status_code == 200


def test_change_keeps_what_was_not_touched_and_refuses_what_moved(asha):
    budget = made(asha)
    path = f"/budgets/{budget.pk}/edit"
    html = asha.get(path).text
    assert 'value="1000"' in html
    assert 'name="revision" value="1"' in html
    changed = filled(amount="2000", revision="1")
    assert asha.post(path, changed).status_code == 302
    assert Budget.objects.get().amount == 2000
    late = asha.post(path, filled(amount="3000", revision="1"))
    assert late.status_code == 422
    assert "Somebody has changed it since you read it" in Page(late.text).words


def test_budget_and_costs_show_the_same_total(asha):
    budget = made(asha)
    html = asha.get(f"/budgets/{budget.pk}").text
    shown = re.findall(r'figure-value" title="([\d.]+ USD)"', html)
    costs = asha.get("/costs?range=mtd&f.project=support-chat&basis=usage").text
    total = re.search(r'figure-value" title="([\d.]+ USD)"', costs)[1]
    assert shown[0] == total
    [linked] = [href for href in Page(html).hrefs if href.startswith("/costs?from=")]
    assert f'title="{total}"' in asha.get(linked).text


def test_list_shows_each_budget_with_its_state_and_its_csv_is_the_same(asha):
    made(asha)
    made(asha, name="Tiny", amount="0.01", projects=[], teams=["Search"])
    page = Page(asha.get("/budgets").text)
    rows = page.tables["budgets"]
    assert [row[0] for row in rows[1:]] == ["Chat", "Tiny"]
    assert rows[2][1] == "over"
    assert "Team Search" in page.words
    assert csv_of(asha, "/budgets.csv") == rows
    over = Page(asha.get("/budgets?state=over").text).tables["budgets"]
    assert [row[0] for row in over[1:]] == ["Tiny"]
    assert 'class="mark"' in asha.get("/budgets").text


def test_page_tells_course_thresholds_crossings_and_periods(asha):
    start = today().replace(day=1)
    earlier = (start.replace(month=start.month - 1) if start.month > 1
               else start.replace(year=start.year - 1, month=12))  # fmt: skip
    budget = made(asha, amount="0.01", starts_on=earlier.isoformat())
    path = f"/budgets/{budget.pk}"
    tables = Page(asha.get(path).text).tables
    assert len(tables["course"]) - 1 >= 28
    assert [row[:2] for row in tables["thresholds"][1:]] == [
        ["80", "what is spent"],
        ["100", "what is expected"],
    ]
    assert {row[1] for row in tables["crossings"][1:]} >= {"80"}
    assert tables["history"][1][0] == earlier.isoformat()
    assert csv_of(asha, f"{path}.csv") == tables["history"]
    assert csv_of(asha, f"{path}.csv?what=days") == tables["course"]


def test_pause_and_remove_ask_for_the_role_and_are_done(asha, sign_in):
    budget = made(asha)
    for name in ("ben", "cleo", "dev", "ada"):
        for act in ("switch", "remove"):
            assert sign_in(name).post(f"/budgets/{budget.pk}/{act}").status_code == 403
    assert asha.post(f"/budgets/{budget.pk}/switch", {"to": "off"}).status_code == 302
    words = Page(asha.get(f"/budgets/{budget.pk}").text).words
    assert "It is paused: nothing is computed and nobody is told." in words
    asha.post(f"/budgets/{budget.pk}/switch", {"to": "on"})
    assert not Budget.objects.get().is_paused
    asha.post(f"/budgets/{budget.pk}/remove")
    assert asha.get(f"/budgets/{budget.pk}").status_code == 404


def test_pages_are_for_those_who_may_see_the_budget(asha, sign_in):
    own = made(asha)
    estate = made(asha, name="Estate", projects=[])
    cleo = sign_in("cleo")
    assert [cleo.get(f"/budgets/{one.pk}").status_code for one in (own, estate)] == [200, 404]
    assert [row[0] for row in Page(cleo.get("/budgets").text).tables["budgets"][1:]] == ["Chat"]
    assert cleo.get(f"/budgets/{own.pk}/edit").status_code == 403
    assert cleo.get("/budgets/new").status_code == 403
    assert cleo.post("/budgets/new", filled(name="Mine")).status_code == 403
    assert "Change it" not in Page(cleo.get(f"/budgets/{own.pk}").text).words


def test_figure_counted_from_the_book_leads_on_only_who_may_read_bills(asha, sign_in):
    budget = made(asha, basis="book")
    pages = [Page(sign_in(name).get(f"/budgets/{budget.pk}").text) for name in ("asha", "cleo")]
    assert ["basis=book" in " ".join(page.hrefs) for page in pages] == [True, False]


def test_no_page_holds_what_a_strict_policy_refuses_or_a_slip(asha):
    budget = made(asha)
    paths = ("/budgets", "/budgets/new", f"/budgets/{budget.pk}", f"/budgets/{budget.pk}/edit")
    for path in paths:
        page = Page(asha.get(path).text)
        assert page.refused == [], path
        for slip in ("{{", "{%", "None", "nan", "Decimal(", "<SafeString", "datetime."):
            assert not re.search(rf"(?<!\w){re.escape(slip)}(?!\w)", page.words), (path, slip)


def test_state_without_a_period_says_when_it_starts(asha):
    budget = made(asha, starts_on="2090-01-01")
    words = Page(asha.get(f"/budgets/{budget.pk}").text).words
    assert "It starts on 1 Jan 2090." in words
    assert queries.history(budget) == []
