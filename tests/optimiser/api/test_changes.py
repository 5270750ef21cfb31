"""Changes by API: what is answered, and that every decision is about the plan that was read."""

from __future__ import annotations

import pytest

from finops.models import Audit
from optimiser import approvals
from optimiser.models import Approval, Change
from tests.optimiser import made


def edited(change, by, **changes):
    return approvals.edit(change.pk, by, via="page", plan_hash=change.plan_hash, **changes)


def test_change_says_what_its_page_says(by_token, people, change, rollout):
    made.verdict(rollout, "INCONCLUSIVE", made.metric(low=None))
    answer = by_token("asha", "read").get(f"changes/{change.pk}")
    told = answer.json()
    assert answer["ETag"] == f'"{change.plan_hash}"'
    assert (told["state"], told["proposer"], told["agreed"], told["needed"]) == (
        "rolling_out", "dev", 1, 1,
    )  # fmt: skip
    assert [one["path"] for one in told["moved"]] == [
        "dynamic_batching.max_queue_delay_microseconds",
        "dynamic_batching.preferred_batch_size",
    ]
    assert told["moved"][1]["old"] is None
    assert told["moved"][1]["new"] == [8]
    [approval] = told["approvals"]
    assert (approval["approver"], approval["voided_at"]) == ("ben", None)
    [run] = told["rollouts"]
    assert [len(run["arms"]), len(run["blocks"]), run["is_running"]] == [8, 3, True]
    assert run["verdicts"][0]["metrics"][0]["low"] is None
    assert told["may"]["roll_back"].endswith("your role does not.")
    assert [event["kind"] for event in told["events"]] == ["propose", "approve", "begin"]


@pytest.mark.parametrize("by", ["body", "header"])
def test_second_person_approves_by_body_or_if_match(by_token, change, by):
    ben, path = by_token("ben"), f"changes/{change.pk}/approve"
    if by == "body":
        answer = ben.send(path, {"plan_hash": change.plan_hash, "comment": "Go ahead."})
    else:
        answer = ben.send(path, {"comment": "Go ahead."}, **{"If-Match": f'"{change.plan_hash}"'})
    assert (answer.status_code, answer.json()["state"]) == (200, "approved")
    approval = Approval.objects.get()
    assert (approval.via, approval.comment) == ("api", "Go ahead.")


@pytest.mark.parametrize("decision", ["approve", "reject", "ask"])
def test_own_change_is_refused_and_recorded(by_token, people, change, decision):
    people["dev"].memberships.create(role=people["ben"].memberships.get().role)
    sent = {"plan_hash": change.plan_hash, "comment": "Mine."}
    answer = by_token("dev", "admin").send(f"changes/{change.pk}/{decision}", sent)
    assert answer.status_code == 403
    assert answer.json()["detail"] == "Nobody decides on their own change; ask another approver."
    assert not Approval.objects.exists()
    record = Audit.objects.latest("id")
    assert (record.action, record.via) == (f"change.{decision}_refused", "api")


@pytest.mark.parametrize(("by", "status"), [("body", 409), ("header", 412)])
def test_stale_plan_is_a_problem_that_says_what_moved(by_token, people, change, by, status):
    edited(change, people["dev"], desired_config=made.batching("chat", 500))
    ben, path = by_token("ben"), f"changes/{change.pk}/approve"
    stale = change.plan_hash
    sent = {"plan_hash": stale} if by == "body" else {}
    answer = ben.send(path, sent, **({"If-Match": f'"{stale}"'} if by == "header" else {}))
    told = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert told["moved"] == [
        "desired_config.dynamic_batching.max_queue_delay_microseconds: 2000 → 500"
    ]
    assert told["detail"] == "The plan has moved since you read it. Read it again."
    assert not Approval.objects.exists()


def test_what_moved_is_only_what_moved_since(by_token, people, change):
    edited(change, people["dev"], desired_config=made.batching("chat", 500))
    read = Change.objects.get()
    edited(read, people["dev"], desired_config=made.batching("chat", 100))
    told = by_token("ben").send(f"changes/{change.pk}/approve", {"plan_hash": read.plan_hash})
    assert told.json()["moved"] == [
        "desired_config.dynamic_batching.max_queue_delay_microseconds: 500 → 100"
    ]
    told = by_token("ben").send(f"changes/{change.pk}/approve", {"plan_hash": "0" * 64})
    assert (told.status_code, told.json()["moved"]) == (409, [])


def test_decision_without_a_plan_is_not_taken(by_token, change):
    for path, method in (("/approve", "POST"), ("", "PATCH")):
        caller = by_token("ben" if path else "dev")
        answer = caller.send(f"changes/{change.pk}{path}", {}, method)
        assert answer.status_code == 428


def test_deciding_twice_is_a_conflict(by_token, change):
    ben, path = by_token("ben"), f"changes/{change.pk}/approve"
    assert ben.send(path, {"plan_hash": change.plan_hash}).status_code == 200
    answer = ben.send(path, {"plan_hash": change.plan_hash})
    assert (answer.status_code, answer.json()["moved"]) == (409, [])
    assert "there is nothing left to decide" in answer.json()["detail"]


def test_no_needs_its_reason(by_token, change):
    answer = by_token("ben").send(f"changes/{change.pk}/reject", {"plan_hash": change.plan_hash})
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["errors"]] == ["comment"]


def test_edit_voids_and_answers_the_new_plan(by_token, people, change):
    made.approved(change, people["ben"])
    sent = {"policy": {"blocks": 20, "judge": {"latency_margin": 0.05}}, "title": "Batch less"}
    match = {"If-Match": f'"{change.plan_hash}"'}
    answer = by_token("dev").send(f"changes/{change.pk}", sent, "PATCH", **match)
    told = answer.json()
    assert (answer.status_code, told["state"], told["revision"]) == (200, "proposed", 2)
    assert (told["title"], told["policy"]["blocks"]) == ("Batch less", 20)
    assert told["policy"]["judge"] == {"latency_margin": 0.05}
    assert answer["ETag"] == f'"{told["plan_hash"]}"' != f'"{change.plan_hash}"'
    assert told["approvals"][0]["void_reason"].startswith("dev edited the change: ")


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"policy": {"blocks": 7}}, "policy.blocks"),
        ({"policy": {"blocks": "many"}}, "policy.blocks"),
        ({"policy": {"colour": "red"}}, "policy.colour"),
        ({"policy": {"block_s": 1}}, "policy.block_s"),
        ({"policy": {"judge": {"latency_margin": 5}}}, "policy.judge.latency_margin"),
        ({"policy": {"judge": {"mood": 1}}}, "policy.judge.mood"),
        ({"policy": {"judge": "kind"}}, "policy.judge"),
        ({"policy": {"judge": {"design": "split"}}}, "policy.judge.design"),
        ({"policy": {"experiment": "coin"}}, "policy.experiment"),
        ({"desired_config": {"name": "chat"}}, "desired_config"),
        ({"desired_config": made.config("chat")}, "desired_config"),
        ({"desired_config": [1]}, "desired_config"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"why": 7 * ["x"]}, "why"),
        ({"state": "approved"}, "state"),
        ({}, "change"),
    ],
)
def test_field_that_cannot_work_is_named(by_token, change, sent, field):
    body = {"plan_hash": change.plan_hash, **sent}
    answer = by_token("dev").send(f"changes/{change.pk}", body, "PATCH")
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    before = change.plan_hash
    change.refresh_from_db()
    assert change.plan_hash == before


def test_proposing_answers_the_change(by_token, advice):
    sent = {"why": "It is dear.", "policy": {"approvals": 2}}
    answer = by_token("dev").send(f"recommendations/{advice.pk}/propose", sent)
    told = answer.json()
    assert (answer.status_code, told["state"], told["needed"]) == (201, "proposed", 2)
    assert (told["why"], told["recommendation"]) == ("It is dear.", advice.pk)
    again = by_token("dev").send(f"recommendations/{advice.pk}/propose", sent)
    assert (again.status_code, again.json()["moved"]) == (409, [])


def test_withdrawing_closes_it(by_token, change):
    answer = by_token("dev").send(f"changes/{change.pk}/withdraw", {"reason": "Not now"})
    assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn")


def test_roll_back_is_asked_of_the_controller(by_token, change, rollout):
    answer = by_token("ben").send(f"changes/{change.pk}/rollback")
    assert answer.status_code == 202
    assert answer.json()["rollouts"][0]["stop_asked_by"] == "ben"
    assert by_token("asha").send(f"changes/{change.pk}/rollback").status_code == 403
    assert by_token("cleo").send(f"changes/{change.pk}/rollback").status_code == 404


def test_nothing_applied_is_nothing_to_roll_back(by_token, change):
    answer = by_token("ben").send(f"changes/{change.pk}/rollback")
    assert (answer.status_code, answer.json()["moved"]) == (409, [])


def test_states_narrow_the_list(by_token, people, change):
    made.proposed(people["dev"])
    approvals.withdraw(change.pk, people["dev"], via="page")
    asha = by_token("asha", "read")
    found = {
        state: len(asha.get("changes", state=state).json()["data"])
        for state in ("open", "proposed", "withdrawn", "all", "promoted")
    }
    assert found == {"open": 1, "proposed": 1, "withdrawn": 1, "all": 2, "promoted": 0}
