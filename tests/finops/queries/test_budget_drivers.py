"""What drove a budget's spend is named as the costs page splits it, and only where it is known."""

from datetime import UTC, date, datetime

from finops.actions.allocation import landing
from finops.actions.allocation.rules import Draft as RuleDraft
from finops.actions.allocation.rules import add as add_rule
from finops.costing.allocating import Condition
from finops.queries.budget_drivers import LONGEST_NAME, driven_by, drivers
from finops.queries.spend import spend_by, spend_total
from tests.factories.finops import billed, spent

WINDOW = "from=2025-10-01&to=2025-11-01"


def at(day):
    return datetime(2025, 10, day, 12, tzinfo=UTC)


def test_drivers_are_the_largest_rows_of_the_split_that_says_most(ask, chat, search):
    spent(chat, at(5), "60", model="gpt-4o")
    spent(chat, at(5), "25", model="mini")
    spent(search, at(6), "12", model="claude", provider="anthropic")
    spent(search, at(6), "3", model="nano")
    filters = ask(f"{WINDOW}&basis=usage&group_by=project")
    # Of two projects the larger one is more than the largest of four models.
    assert driven_by(filters) == "Chat $85.00 (85%), Search $15.00 (15%)"
    found = {(row.labels[0], row.cost, row.share) for row in spend_by(filters).rows}
    assert {(one.name, one.cost, one.share) for one in drivers(filters)} == found


def test_budget_of_one_project_names_its_models_and_none_below_a_tenth(ask, chat, search):
    for model, amount in (("gpt-4o", "60"), ("mini", "20"), ("o3", "11"), ("o1", "9")):
        spent(chat, at(5), amount, model=model)
    spent(search, at(6), "900", model="claude")
    filters = ask(f"{WINDOW}&basis=usage&f.project=chat")
    assert driven_by(filters) == "gpt-4o $60.00 (60%), mini $20.00 (20%), o3 $11.00 (11%)"
    of_model = ask(f"{WINDOW}&basis=usage&f.project=chat&f.model=mini&f.service=api")
    assert driven_by(of_model) == ""


def test_what_is_not_known_drives_nothing(ask, chat, bills):
    spent(chat, at(5), None, model="secret")
    spent(chat, at(6), "0", model="free")
    assert driven_by(ask(f"{WINDOW}&basis=usage")) == ""
    spent(chat, at(5), "4", model="", service="api")
    spent(chat, at(5), "1", model="x" * 200, service="jobs")
    found = drivers(ask(f"{WINDOW}&basis=usage"))
    assert [one.name for one in found] == ["api", "jobs"]
    of_api = ask(f"{WINDOW}&basis=usage&f.project=chat&f.service=jobs")
    name = "x" * (LONGEST_NAME - 1)
    assert driven_by(of_api) == f"{name}… $1.00 (100%)"


def test_book_of_one_project_names_nothing_that_a_rule_brought_there(
    ask, asha, chat, search, bills
):
    """Members of the project read it: the names are of bills and projects of others."""
    spent(chat, at(5), "3", model="gpt-4o")
    billed(bills, date(2025, 10, 1), range(5, 6), "50", service="Secret service")
    rule = RuleDraft(
        name="All to chat",
        origin="bill",
        conditions=(Condition("service", "is", ("secret service",)),),
        targets=(("chat", None),),
        valid_from=date(2025, 10, 1),
    )
    add_rule(rule, by=asha, via="page")
    while landing.land():
        pass
    filters = ask(f"{WINDOW}&f.project=chat")
    assert spend_total(filters).cost == 53
    assert driven_by(filters) == "gpt-4o $3.00 (5.7%)"
