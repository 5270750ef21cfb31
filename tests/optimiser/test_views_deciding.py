"""Deciding, editing and withdrawing on the page of a change, and what it refuses, in words."""

from __future__ import annotations

import json

import pytest

from finops.models import Audit
from optimiser import approvals
from optimiser.forms import EditForm
from optimiser.models import Approval, Recommendation
from optimiser.policy import Policy
from tests.factories.finops import person
from tests.finops.reading import Page
from tests.optimiser import made

pytestmark = pytest.mark.django_db

USUAL = Policy()


def words_of(response) -> str:
    return Page(response.text).words


def decide(client, change, decision="approve", **given):
    sent = {"plan_hash": change.plan_hash, "decision": decision, "comment": "", **given}
    return client.post(f"/changes/{change.pk}/decide", sent)


def test_second_person_approves_what_was_read(sign_in, change):
    client = sign_in("ben")
    page = client.get(f"/changes/{change.pk}").text
    assert f'name="plan_hash" value="{change.plan_hash}"' in page

    assert decide(client, change, comment="Go ahead.")["Location"] == f"/changes/{change.pk}"

    approval = Approval.objects.get()
    assert (approval.approver.username, approval.via) == ("ben", "page")
    assert (approval.comment, approval.plan_hash) == ("Go ahead.", change.plan_hash)
    change.refresh_from_db()
    assert change.state == "approved"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dev", "You proposed this change, so somebody else decides on it."),
        ("asha", "Approvers of the project decide on it; your role does not."),
        ("ada", "Approvers of the project decide on it; your role does not."),
    ],
)
def test_those_who_may_not_decide_are_told_why_and_refused(sign_in, change, name, why):
    client = sign_in(name)
    page = client.get(f"/changes/{change.pk}")
    assert why in words_of(page)
    assert 'value="approve"' not in page.text
    for decision in ("approve", "reject", "ask"):
        answer = decide(client, change, decision, comment="Mine.")
        assert answer.status_code == 403
        assert "Nothing was done." in words_of(answer)
    assert not Approval.objects.exists()


def test_proposer_with_every_role_still_cannot_approve(sign_in, people, change):
    people["dev"].memberships.create(role=people["ben"].memberships.get().role)
    answer = decide(sign_in("dev"), change)
    assert answer.status_code == 403
    assert "Nobody decides on their own change; ask another approver." in words_of(answer)
    assert Audit.objects.latest("id").action == "change.approve_refused"


def test_stale_plan_is_refused_with_what_moved(sign_in, people, change):
    approvals.edit(
        change.pk,
        people["dev"],
        via="page",
        plan_hash=change.plan_hash,
        desired_config=made.batching("chat", 500),
    )
    answer = decide(sign_in("ben"), change)
    assert answer.status_code == 409
    said = words_of(answer)
    assert "Nothing was done. The plan has moved since you read it." in said
    moved = "desired_config.dynamic_batching.max_queue_delay_microseconds: 2000 → 500"
    assert f"What moved since you read it: {moved}" in said
    assert not Approval.objects.exists()
    # The form below is about the plan as it is now.
    change.refresh_from_db()
    assert f'name="plan_hash" value="{change.plan_hash}"' in answer.text


@pytest.mark.parametrize("decision", ["reject", "ask"])
def test_no_or_a_question_needs_its_reason(sign_in, change, decision):
    client = sign_in("ben")
    answer = decide(client, change, decision)
    assert answer.status_code == 422
    assert "Say why, so that the proposer knows what to do." in words_of(answer)

    assert decide(client, change, decision, comment="Too long a delay.").status_code == 302
    change.refresh_from_db()
    assert change.state == {"reject": "rejected", "ask": "proposed"}[decision]
    said = words_of(client.get(f"/changes/{change.pk}"))
    assert "Too long a delay." in said


def test_unknown_decision_is_no_decision(sign_in, change):
    assert decide(sign_in("ben"), change, "applaud").status_code == 422
    assert not Approval.objects.exists()


def test_decided_change_says_that_nothing_is_left(sign_in, people, change):
    made.approved(change, people["ben"])
    answer = decide(sign_in("ben"), change)
    assert answer.status_code == 409
    assert "there is nothing left to decide" in words_of(answer)


def test_void_approval_stays_with_its_reason(sign_in, people, change):
    policy = Policy(approvals=2)
    approvals.edit(change.pk, people["dev"], via="page", plan_hash=change.plan_hash, policy=policy)
    change.refresh_from_db()
    made.approved(change, people["ben"])
    said = words_of(sign_in("ben").get(f"/changes/{change.pk}"))
    assert "1 of 2 approvals of this plan. An approver of Support other than dev decides." in said
    assert "You have approved this plan; it waits for another approver." in said

    approvals.edit(
        change.pk, people["dev"], via="page", plan_hash=change.plan_hash, why="Better words."
    )
    said = words_of(sign_in("ben").get(f"/changes/{change.pk}"))
    assert "Void dev edited the change: its words." in said
    assert "0 of 2 approvals" in said


# Editing, withdrawing


def edited(change, **changes):
    """What the form sends when some of it is changed."""
    form = EditForm(change)
    config = json.dumps(change.desired_config)
    sent = {name: value for name, value in form.initial.items() if name in form.fields}
    sent |= {"desired_config": config, "expires_in": "", "plan_hash": change.plan_hash}
    return {**sent, **changes}


def test_edit_changes_what_was_touched_and_voids(sign_in, people, change):
    made.approved(change, people["ben"])
    policy = change.policy
    config = made.batching("chat", 1000)
    sent = edited(change, desired_config=json.dumps(config), why="Shorter.")
    answer = sign_in("dev").post(f"/changes/{change.pk}/edit", sent)
    assert answer["Location"] == f"/changes/{change.pk}"

    change.refresh_from_db()
    assert (change.state, change.revision, change.why) == ("proposed", 2, "Shorter.")
    assert (change.desired_config, change.policy) == (config, policy)
    assert Approval.objects.get().voided_at is not None
    said = words_of(sign_in("ben").get(f"/changes/{change.pk}"))
    assert "The evidence is about another config." in said


def test_edit_of_a_term_keeps_the_others(sign_in, change):
    sent = edited(change, blocks="20", latency_margin="5")
    assert sign_in("dev").post(f"/changes/{change.pk}/edit", sent).status_code == 302
    change.refresh_from_db()
    policy = Policy.from_json(change.policy)
    assert (policy.blocks, policy.block_s) == (20, USUAL.block_s)
    assert policy.judge["latency_margin"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "Enter a valid JSON."),
        ("[1]", "Give the config as a JSON object."),
        ('{"name": "chat", "x": NaN}', "NaN and infinity are no numbers in JSON."),
        (json.dumps(made.config("other")), "Cannot be asked for: name is 'other'"),
        (json.dumps(made.config("chat", backend="onnxruntime")), "backend would change"),
        (json.dumps(made.config("chat")), "Is the live config, so there would be nothing to do."),
    ],
)
def test_config_that_cannot_be_asked_for_is_refused_with_why(sign_in, change, config, said):
    answer = sign_in("dev").post(
        f"/changes/{change.pk}/edit", edited(change, desired_config=config)
    )
    assert answer.status_code == 422
    assert said in words_of(answer)
    before = change.plan_hash
    change.refresh_from_db()
    assert change.plan_hash == before


def test_edit_of_a_stale_plan_is_refused(sign_in, change):
    sent = edited(change, why="Mine.", plan_hash="0" * 64)
    assert sign_in("dev").post(f"/changes/{change.pk}/edit", sent).status_code == 409


def test_editor_does_not_decide(sign_in, people, change):
    people["eve"] = person("eve", "engineer")
    people["eve"].memberships.create(role=people["ben"].memberships.get().role)
    client = sign_in("eve")
    assert client.post(f"/changes/{change.pk}/edit", edited(change, why="Hers.")).status_code == 302
    change.refresh_from_db()
    assert "You edited this change, so somebody else decides" in words_of(
        client.get(f"/changes/{change.pk}")
    )
    assert decide(client, change).status_code == 403


@pytest.mark.parametrize("name", ["asha", "ben", "ada"])
def test_others_do_not_edit_or_withdraw(sign_in, change, name):
    client = sign_in(name)
    assert client.get(f"/changes/{change.pk}/edit").status_code == 403
    answer = client.post(f"/changes/{change.pk}/withdraw", {"plan_hash": change.plan_hash})
    assert answer.status_code == 403
    change.refresh_from_db()
    assert change.state == "proposed"


def test_withdrawn_change_is_closed_and_cannot_be_edited(sign_in, change):
    client = sign_in("dev")
    sent = {"plan_hash": change.plan_hash, "reason": "Not now"}
    assert client.post(f"/changes/{change.pk}/withdraw", sent).status_code == 302
    assert "dev withdrew it: Not now." in words_of(client.get(f"/changes/{change.pk}"))
    assert client.get(f"/changes/{change.pk}/edit").status_code == 409
    assert Recommendation.objects.get().state == "superseded"
