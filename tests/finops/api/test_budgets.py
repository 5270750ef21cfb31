"""Budgets through the API: set, changed under their revision, judged, and polled by a gateway."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from finops.actions import budget_watch
from finops.models import Audit, Budget, Membership, User
from finops.queries.filters import today
from tests.factories.finops import spent
from tests.factories.ingest import ProjectFactory
from tests.finops.actions.test_budgets import midday

pytestmark = pytest.mark.django_db

BUDGETS, LIMITS = "/api/v1/budgets", "/api/v1/limits"


@pytest.fixture
def chat(db):
    return ProjectFactory(slug="chat", name="Chat", team__name="Support")


@pytest.fixture
def asha(chat, by_token):
    from tests.factories.finops import person

    person("asha", "analyst")
    return by_token("asha", "write")


@pytest.fixture
def cleo(chat, by_token):
    from tests.factories.finops import person

    person("cleo", "viewer", project=chat)
    return by_token("cleo", "write")


def wanted(**changes) -> str:
    usual = {"name": "Chat", "scope": {"project": ["chat"]}, "amount": "100.50"}
    return json.dumps({**usual, **changes})


def test_budget_answers_as_it_was_sent_with_its_defaults(asha):
    answer = asha.post(
        BUDGETS,
        wanted(thresholds=[{"percent": "80", "on": "actual"}], limit_signal="soft"),
    )
    made = answer.json()
    assert answer.status_code == 201, made
    assert answer["ETag"] == '"1"'
    assert {name: made[name] for name in ("owner", "basis", "currency", "period", "amount")} == {
        "owner": "asha", "basis": "usage", "currency": "USD", "period": "monthly",
        "amount": "100.5",
    }  # fmt: skip
    assert made["thresholds"] == [
        {"percent": "80.00", "on": "actual", "severity": "warning", "owner": "",
         "channel_ids": []}
    ]  # fmt: skip
    assert asha.get(f"{BUDGETS}/{made['id']}").json() == made
    listed = asha.get(BUDGETS).json()
    assert listed["data"][0].pop("current")["amount"] == "100.5"
    assert listed == {"data": [{**made, "converted": None}], "next": None}


def test_every_kind_of_amount_and_period_can_be_set(asha):
    for at, changes in enumerate(
        (
            {"amount_kind": "planned", "amount": None, "months": ["10"] * 12},
            {"amount_kind": "adjusting", "amount": None, "cap": "50", "average_of": 3},
            {"period": "rolling", "rolling_days": 30},
            {"period": "until", "last_day": (today() + timedelta(days=9)).isoformat()},
            {"period": "quarterly"},
            {"period": "weekly"},
            {"period": "daily", "scope": {}},
        )
    ):
        answer = asha.post(BUDGETS, wanted(name=f"Budget {at}", **changes))
        assert answer.status_code == 201, answer.json()
        for name, value in changes.items():
            if name != "scope":
                assert answer.json()[name] == value
    assert len(asha.get(BUDGETS).json()["data"]) == 7


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"scope": {"project": ["none"]}}, "scope"),
        ({"scope": {"colour": ["red"]}}, "scope"),
        ({"basis": "books"}, "basis"),
        ({"period": "yearly"}, "period"),
        ({"thresholds": [{"percent": "2000", "on": "actual"}]}, "thresholds"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_what_is_wrong_is_named(asha, changes, field):
    answer = asha.post(BUDGETS, wanted(**changes))
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].partition(".")[0] == field
    assert not Budget.objects.exists()


def test_change_names_the_revision_it_was_read_at(asha):
    path = f"{BUDGETS}/{asha.post(BUDGETS, wanted()).json()['id']}"
    assert asha.patch(path, '{"amount": "5"}').status_code == 428
    changed = asha.patch(path, '{"amount": "5"}', **{"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["amount"], changed["ETag"]) == (200, "5", '"2"')
    assert asha.patch(path, '{"amount": "6"}', **{"If-Match": '"1"'}).status_code == 412
    assert asha.patch(path, '{"amount": "6", "revision": 1}').status_code == 409
    paused = asha.patch(path, '{"is_paused": true, "revision": 2}').json()
    assert (paused["is_paused"], paused["state"], paused["amount"]) == (True, "paused", "5")
    assert list(Audit.objects.order_by("id").values_list("action", "via")) == [
        ("budget.add", "api"),
        ("budget.change", "api"),
        ("budget.pause", "api"),
    ]
    assert asha.delete(path).status_code == 204
    assert asha.get(path).status_code == 404


def test_status_says_what_is_spent_and_that_it_is_provisional(asha, chat):
    spent(chat, midday(today()), "120.25")
    made = asha.post(
        BUDGETS, wanted(thresholds=[{"percent": "100", "on": "actual", "severity": "critical"}])
    ).json()
    status = asha.get(f"{BUDGETS}/{made['id']}/status").json()
    current = status["current"]
    spend = asha.get("/api/v1/spend", **{"range": "mtd", "f.project": "chat", "basis": "usage"})
    assert current["spent"] == spend.json()["cost"] == "120.25"
    assert (current["state"], current["provisional"], current["amount"]) == ("over", True, "100.5")
    [crossing] = status["crossings"]
    assert (crossing["figure"], crossing["on"], crossing["resolved_at"]) == (
        "120.25", "actual", None,
    )  # fmt: skip
    assert status["history"] == []


def test_gateway_polls_limits_and_is_told_only_of_changes(asha, chat):
    asha.post(BUDGETS, wanted(limit_signal="hard"))
    asha.post(BUDGETS, wanted(name="Silent"))
    first = asha.get(LIMITS)
    [limit] = first.json()["data"]
    assert (limit["state"], limit["since"], limit["scope"]["project"]) == ("ok", None, ["chat"])
    asha.headers["If-None-Match"] = first["ETag"]
    again = asha.get(LIMITS)
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    spent(chat, midday(today()), "100.50")
    budget_watch.evaluate(Budget.objects.get(name="Chat").pk, midday(today()))
    [stopped] = asha.get(LIMITS).json()["data"]
    assert stopped["state"] == "hard"
    assert stopped["since"] is not None
    assert stopped["why"].startswith("The budget of $100.50 is used up until ")


def test_viewer_reads_what_is_theirs_and_sets_nothing(asha, cleo):
    own = asha.post(BUDGETS, wanted(limit_signal="soft")).json()["id"]
    estate = asha.post(BUDGETS, wanted(name="Estate", scope={}, limit_signal="soft")).json()["id"]
    assert [one["id"] for one in cleo.get(BUDGETS).json()["data"]] == [own]
    assert [one["budget"] for one in cleo.get(LIMITS).json()["data"]] == [own]
    for path in (f"{BUDGETS}/{estate}", f"{BUDGETS}/{estate}/status"):
        assert cleo.get(path).status_code == 404
    assert cleo.post(BUDGETS, wanted(name="Mine")).status_code == 403
    assert cleo.patch(f"{BUDGETS}/{own}", '{"amount": "1", "revision": 1}').status_code == 403
    assert cleo.delete(f"{BUDGETS}/{own}").status_code == 403


def test_analyst_of_another_project_changes_nothing_of_this_one(asha, cleo):
    other = ProjectFactory(slug="other", name="Other")
    own = asha.post(BUDGETS, wanted()).json()["id"]
    member = Membership.objects.get(user__username="asha")
    Membership.objects.create(
        user=User.objects.get(username="cleo"), role=member.role, project=other
    )
    answer = cleo.patch(f"{BUDGETS}/{own}", '{"amount": "1", "revision": 1}')
    assert answer.status_code == 403
    assert Budget.objects.get().amount == Decimal("100.5")


def test_pages_of_budgets_follow_by_name(asha):
    for name in ("b", "a", "c"):
        asha.post(BUDGETS, wanted(name=name))
    first = asha.get(BUDGETS, limit=2).json()
    rest = asha.get(BUDGETS, limit=2, cursor=first["next"]).json()
    assert [one["name"] for one in first["data"] + rest["data"]] == ["a", "b", "c"]
    assert rest["next"] is None
    assert asha.get(BUDGETS, state="sad").status_code == 400


def test_more_budgets_need_no_more_queries(asha):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counts = []
    for names in (("a",), ("b", "c")):
        for name in names:
            asha.post(BUDGETS, wanted(name=name, thresholds=[{"percent": "5", "on": "actual"}]))
        with CaptureQueriesContext(connection) as asked:
            asha.get(BUDGETS)
        counts.append(len(asked))
    assert counts[0] == counts[1]
