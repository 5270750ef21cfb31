"""`manage.py budget`: what it lists, what it computes, and how it ends."""

import json

import pytest
from django.core.management import CommandError, call_command

from finops.actions import budgets
from finops.queries.filters import today
from tests.factories.finops import person, spent
from tests.factories.ingest import ProjectFactory
from tests.finops.actions.test_budgets import draft, midday

pytestmark = pytest.mark.django_db


def run(capsys, *args: str) -> list[str]:
    call_command("budget", *args)
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def budget(db):
    chat = ProjectFactory(slug="chat", name="Chat")
    made = budgets.add(draft(), by=person("asha", "analyst"), via="page")
    spent(chat, midday(today()), "40")
    return made


def test_without_budgets_it_says_so(db, capsys):
    assert run(capsys, "list") == ["There are no budgets."]


def test_check_computes_and_list_shows_what_was_computed(budget, capsys):
    assert json.loads(run(capsys, "list", "--json")[0])["spent"] is None
    checked = json.loads(run(capsys, "check", "--json")[0])
    assert (checked["name"], checked["spent"], checked["amount"]) == ("Chat", "40", "100")
    [line] = run(capsys, "list")
    assert line.startswith(f"#{budget.pk} Chat: ")
    assert "$40.00 of $100.00 (40%)" in line


def test_check_ends_with_its_own_code_when_something_is_over(budget, capsys):
    spent(ProjectFactory._meta.model.objects.get(slug="chat"), midday(today()), "70", model="o3")
    with pytest.raises(CommandError) as error:
        call_command("budget", "check")
    assert (error.value.returncode, str(error.value)) == (3, "Over budget: Chat.")
