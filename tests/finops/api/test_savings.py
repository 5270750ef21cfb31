"""The savings API says what the page says, and takes programme costs."""

import json
from datetime import timedelta

import pytest
from django.http import QueryDict

from finops.models import Audit, LedgerEntry, User
from finops.money import plain
from finops.queries import savings
from finops.queries.filters import Filters, midnight, today
from ingest.models import Project
from tests.factories.finops import booked

pytestmark = pytest.mark.usefixtures("estate")

DAY = timedelta(days=1)
COSTS = "/api/v1/savings/programme-costs"


@pytest.fixture
def ledger(db):
    chat = Project.objects.get(slug="support-chat")
    start = midnight(today() - 5 * DAY, "UTC")
    booked(chat, start, counts_as="estimate", freed=90_000.0, lasts=30 * DAY)
    old = booked(chat, start, provisional=True)
    booked(chat, start, supersedes=old, cash="0.1234567890123456789")
    booked(Project.objects.get(slug="doc-assistant"), start, change_ref="77", cash=None)


def test_savings_are_the_querys_to_the_last_digit(by_token, ledger):
    answer = by_token("asha").get("/api/v1/savings").json()
    filters, _ = Filters.parse(QueryDict(), User.objects.get(username="asha"))
    found = savings.savings(filters)
    assert answer["realised"]["cash"]["amount"] == plain(found.realised.cash.amount)
    assert answer["realised"]["cash"]["amount"] == "0.1234567890123456789"
    assert answer["realised"]["unknown_cash"] == 1
    assert answer["estimated"]["capacity"] == {
        "gpu_seconds": 90_000.0,
        "low": 89_640.0,
        "high": 90_360.0,
    }
    assert [row["change_ref"] for row in answer["data"]] == [
        row.change_ref for row in found.changes
    ]
    assert answer["programme_cost"] is None
    assert answer["payback"] == {
        "state": "no_cost",
        "cost": "0",
        "cash": "0.1234567890123456789",
        "months": None,
        "at": None,
    }


def test_entries_come_in_pages_with_what_they_supersede(by_token, ledger):
    asha = by_token("asha")
    first = asha.get("/api/v1/savings/entries", limit=1, change="1", counts_as="realised").json()
    [entry] = first["data"]
    rest = asha.get(
        "/api/v1/savings/entries",
        limit=5,
        change="1",
        counts_as="realised",
        cursor=first["next"],
    ).json()
    [old] = rest["data"]
    assert (entry["kind"], entry["supersedes"], entry["superseded_by"]) == (
        "adjustment",
        old["id"],
        None,
    )
    assert (old["superseded_by"], rest["next"]) == (entry["id"], None)
    stored = LedgerEntry.objects.get(pk=old["id"])
    assert old["facts_sha256"] == bytes(stored.facts_hash).hex()


def test_cleo_is_told_of_her_project_alone(by_token, ledger):
    cleo = by_token("cleo")
    assert [row["change_ref"] for row in cleo.get("/api/v1/savings").json()["data"]] == ["1"]
    entries = cleo.get("/api/v1/savings/entries").json()["data"]
    assert {entry["project"] for entry in entries} == {"support-chat"}


def body(**changes):
    usual = {"on": "2026-01-05", "amount": "900.10", "currency": "eur", "note": "Load tests"}
    return json.dumps({**usual, **changes})


def test_programme_cost_is_booked_with_its_audit_record(by_token):
    answer = by_token("asha", "write").post(COSTS, body(project="support-chat"))
    assert answer.status_code == 201
    told = answer.json()
    assert (told["cash"], told["currency"], told["project"]) == ("900.1", "EUR", "support-chat")
    record = Audit.objects.get(action="ledger.programme_cost")
    assert (record.actor_name, record.via, record.object_id) == ("asha", "api", str(told["id"]))


def test_programme_cost_is_taken_back_by_a_new_entry(by_token):
    asha = by_token("asha", "write")
    first = asha.post(COSTS, body()).json()["id"]
    answer = asha.post(COSTS, body(amount="0", corrects=first)).json()
    assert (answer["kind"], answer["supersedes"], answer["cash"]) == ("adjustment", first, "0")
    again = asha.post(COSTS, body(amount="1", corrects=first))
    assert again.status_code == 400


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1e40"}, "amount"),
        ({"amount": None}, "amount"),
        ({"on": "2999-01-01"}, "on"),
        ({"on": "soon"}, "on"),
        ({"note": " "}, "note"),
        ({"currency": "EURO"}, "currency"),
        ({"project": "no-such"}, "project"),
        ({"corrects": 999_999}, "corrects"),
        ({"corrects": 2**70}, ""),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_programme_cost_names_its_field(by_token, changes, field):
    answer = by_token("asha", "write").post(COSTS, body(**changes))
    assert answer.status_code == 400
    if field:
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not LedgerEntry.objects.exists()


def test_project_that_cannot_be_seen_is_answered_like_none(by_token):
    """Only members of the organisation may enter costs, and they see every project."""
    assert by_token("cleo", "write").post(COSTS, body()).status_code == 403
    assert by_token("asha").post(COSTS, body()).status_code == 403


@pytest.mark.parametrize("query", [{"counts_as": "hope"}, {"cursor": "x"}, {"limit": "0"}])
def test_bad_parameter_is_refused(by_token, query):
    assert by_token("asha").get("/api/v1/savings/entries", **query).status_code == 400
