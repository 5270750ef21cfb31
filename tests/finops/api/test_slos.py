"""Objectives and watch rules through the API: sealed, decided by a second person, page = API."""

import json

import pytest

from finops.models import Audit, Slo, WatchRule
from tests.factories.finops import person
from tests.factories.ingest import ProjectFactory

pytestmark = pytest.mark.django_db

SLOS, PROPOSALS, RULES = "/api/v1/slos", "/api/v1/slo-proposals", "/api/v1/alerts/watch-rules"


@pytest.fixture
def chat(db):
    return ProjectFactory(slug="chat", name="Chat", team__name="Support")


@pytest.fixture
def callers(chat, by_token):
    """One of each role, and a viewer of another project."""
    for name, role in (("asha", "analyst"), ("dev", "engineer"), ("ben", "approver")):
        person(name, role)
    person("cleo", "engineer", project=ProjectFactory(slug="search", name="Search"))
    return {name: by_token(name, "write") for name in ("asha", "dev", "ben", "cleo")}


def wanted(**changes) -> str:
    usual = {
        "project": "chat", "name": "Swift", "indicator": "latency", "threshold": "2000",
        "objective": "99.5", "why": "Customers wait.",
    }  # fmt: skip
    return json.dumps({**usual, **changes})


def seal_of(answer) -> dict[str, str]:
    return {"If-Match": answer["ETag"]}


def made(callers) -> int:
    answer = callers["dev"].post(PROPOSALS, wanted())
    assert answer.status_code == 201, answer.json()
    path = f"{PROPOSALS}/{answer.json()['proposal']['id']}/approve"
    assert callers["ben"].post(path, "{}", **seal_of(answer)).status_code == 200
    return Slo.objects.latest("pk").pk


def test_objective_is_proposed_by_one_and_approved_by_another(callers):
    answer = callers["dev"].post(PROPOSALS, wanted())
    found = answer.json()["proposal"]
    assert found["definition"] == {
        "name": "Swift", "indicator": "latency", "threshold": "2000", "score": "",
        "currency": "", "objective": "99.5", "window_days": 28, "least_events": 20,
        "services": [], "providers": [], "models": [],
    }  # fmt: skip
    assert answer["ETag"] == f'"{found["plan_hash"]}"'
    path = f"{PROPOSALS}/{found['id']}"
    own = callers["dev"].post(f"{path}/approve", "{}")
    assert (own.status_code, own.json()["detail"]) == (
        403, "Nobody decides on their own proposal; ask another approver.",
    )  # fmt: skip
    ben = callers["ben"]
    assert ben.get(path).json()["may_decide"] is True
    assert ben.post(f"{path}/approve", "{}").status_code == 428
    assert ben.post(f"{path}/approve", "{}", **{"If-Match": '"other"'}).status_code == 412
    assert ben.post(f"{path}/approve", '{"plan_hash": "other"}').status_code == 409
    assert ben.post(f"{path}/reject", "{}", **seal_of(answer)).status_code == 400
    done = ben.post(f"{path}/approve", '{"comment": "Good."}', **seal_of(answer)).json()
    assert (done["proposal"]["state"], done["decisions"][0]["approver"]) == ("approved", "ben")
    [row] = ben.get(SLOS).json()["data"]
    assert (row["id"], row["version"], row["state"]) == (done["proposal"]["slo"], 1, "unknown")
    assert row["status"]["budget_left"] is None
    assert list(Audit.objects.order_by("id").values_list("action", "via")) == [
        ("slo_proposal.propose", "api"),
        ("slo_proposal.approve_refused", "api"),
        ("slo_proposal.approve", "api"),
    ]


def test_changes_name_the_version_they_were_read_at(callers):
    dev, ben, pk = callers["dev"], callers["ben"], made(callers)
    path = f"{SLOS}/{pk}/proposals"
    assert dev.get(f"{SLOS}/{pk}")["ETag"] == '"1"'
    assert dev.post(path, '{"objective": "99"}').status_code == 428
    assert dev.post(path, '{"objective": "99"}', **{"If-Match": '"7"'}).status_code == 412
    assert dev.post(path, '{"objective": "99.5", "version": 1}').status_code == 409
    change = dev.post(path, '{"objective": "99", "version": 1}')
    assert change.json()["differs"] == [{"field": "objective", "old": "99.5", "new": "99"}]
    proposal = f"{PROPOSALS}/{change.json()['proposal']['id']}"
    edited = callers["asha"].patch(proposal, '{"objective": "98"}', **seal_of(change))
    assert (edited.status_code, edited.json()["editors"]) == (200, ["dev", "asha"])
    assert ben.post(f"{proposal}/approve", "{}", **seal_of(change)).status_code == 412
    assert ben.post(f"{proposal}/approve", "{}", **seal_of(edited)).status_code == 200
    versions = dev.get(f"{SLOS}/{pk}/versions").json()["data"]
    said = [(one["number"], one["definition"]["objective"], one["approver"]) for one in versions]
    assert said == [(2, "98", "ben"), (1, "99.5", "ben")]
    course = dev.get(f"{SLOS}/{pk}/course").json()
    assert (course["state"], course["budget_left"], len(course["points"])) == ("unknown", None, 28)
    assert [burn["at_least"] for burn in course["burns"]] == ["13.44", "5.6", "1"]
    end = dev.post(path, '{"retire": true, "version": 2}')
    back = f"{PROPOSALS}/{end.json()['proposal']['id']}/withdraw"
    assert dev.post(back, "{}", **seal_of(end)).json()["proposal"]["state"] == "withdrawn"
    states = [one["state"] for one in dev.get(PROPOSALS, state="all").json()["data"]]
    assert states == ["withdrawn", "approved", "approved"]
    first = dev.get(PROPOSALS, state="all", limit="2").json()
    rest = dev.get(PROPOSALS, state="all", limit="2", cursor=first["next"]).json()
    assert [one["state"] for one in rest["data"]] == ["approved"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"threshold": "NaN"}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"objective": "100"}, "objective"),
        ({"indicator": "mood"}, "indicator"),
        ({"window_days": 3}, "window_days"),
        ({"project": "nobodys"}, "project"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_what_is_wrong_is_named(callers, changes, field):
    answer = callers["dev"].post(PROPOSALS, wanted(**changes))
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_others_projects_are_answered_like_missing_ones(callers):
    pk, cleo = made(callers), callers["cleo"]
    assert cleo.get(SLOS).json()["data"] == []
    for path in (f"{SLOS}/{pk}", f"{SLOS}/{pk}/course", f"{SLOS}/{pk}/versions", f"{PROPOSALS}/1"):
        assert cleo.get(path).status_code == 404
    assert (
        cleo.post(f"{SLOS}/{pk}/proposals", '{"objective": "9", "version": 1}').status_code == 404
    )
    assert cleo.post(PROPOSALS, wanted()).json()["errors"][0]["field"] == "project"
    assert callers["ben"].post(PROPOSALS, wanted()).status_code == 403


def test_watch_rules_are_changed_under_their_revision(callers):
    asha = callers["asha"]
    assert len(asha.get(RULES).json()["data"]) == 5
    assert callers["cleo"].get(RULES).json()["data"] == []
    body = {
        "name": "Chat is dear", "metric": "cost_per_request", "comparison": "above",
        "threshold": "0.02", "currency": "USD", "project": "chat", "models": ["gpt-4o"],
        "urgency": "high", "action": "Ask for less.", "path": "/unit-costs",
    }  # fmt: skip
    rule = asha.post(RULES, json.dumps(body))
    assert (rule.status_code, rule["ETag"]) == (201, '"1"')
    path = f"{RULES}/{rule.json()['id']}"
    assert asha.get(path).json() == {
        **body, "id": rule.json()["id"], "window_minutes": 15, "needed": 2, "of_last": 3,
        "least_requests": 50, "is_on": True, "revision": 1, "alerts": 0,
    }  # fmt: skip
    assert asha.patch(path, '{"threshold": "0.03"}').status_code == 428
    changed = asha.patch(path, '{"threshold": "0.03", "is_on": false}', **{"If-Match": '"1"'})
    assert (changed.json()["threshold"], changed["ETag"]) == ("0.03", '"2"')
    assert asha.patch(path, '{"is_on": true, "revision": 1}').status_code == 409
    wrong = asha.patch(path, '{"threshold": null, "is_on": true, "revision": 2}')
    assert wrong.json()["errors"][0]["field"] == "threshold"
    assert callers["dev"].patch(path, '{"is_on": true, "revision": 2}').status_code == 403
    assert asha.delete(path).status_code == 204
    assert asha.get(path).status_code == 404
    assert WatchRule.objects.get(name="Chat is dear").removed_at is not None
