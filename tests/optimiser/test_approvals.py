"""Four eyes: in code, and again in the database when somebody comes by another door."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from finops.models import Audit
from optimiser import approvals
from optimiser.approvals import BadEdit, Conflict, NotAllowed
from optimiser.models import Approval, Change, ChangeEditor, Rollout
from optimiser.plan import difference
from optimiser.policy import Policy
from tests.factories.finops import person
from tests.optimiser import made

pytestmark = pytest.mark.django_db


def approve(change, who, **how):
    given = {"plan_hash": change.plan_hash, "via": "page", **how}
    return approvals.approve(change.pk, who, **given)


def actions() -> list[str]:
    return list(Audit.objects.order_by("id").values_list("action", flat=True))


# Proposing


def test_advice_on_a_config_that_moved_is_not_proposed_and_says_what_moved(advice, target, people):
    target.live_config = made.config("chat", max_batch_size=4)
    target.save()
    with pytest.raises(Conflict, match="max_batch_size: 32 → 4") as refused:
        made.proposed(people["dev"], advice)
    assert [one.path for one in refused.value.moved] == ["max_batch_size"]
    advice.refresh_from_db()
    assert advice.state == "open"
    assert not Change.objects.exists()


def test_other_spelling_of_the_same_live_config_is_the_same(advice, target, people):
    target.live_config = {**target.live_config, "max_batch_size": "32"}
    target.save()
    assert made.proposed(people["dev"], advice).state == "proposed"


# Who may decide


def test_second_person_approves_and_the_change_may_begin(change, people):
    decision = approve(change, people["ben"], comment="Tuesday is fine")
    change.refresh_from_db()
    assert (decision.agreed, decision.needed, decision.is_enough) == (1, 1, True)
    assert (change.state, decision.approval.proposer) == ("approved", people["dev"])
    assert actions() == ["change.propose", "change.approve"]
    assert [one.text for one in change.events.all()] == [
        "dev proposed this change.",
        f"ben approved plan {change.plan_hash[:12]}: Tuesday is fine.",
    ]


@pytest.fixture
def own(advice):
    """A change of somebody who is engineer and approver in one."""
    both = person("eve", "engineer")
    from django.contrib.auth.models import Group

    from finops.models import Membership

    Membership.objects.create(user=both, role=Group.objects.get_or_create(name="approver")[0])
    return made.proposed(both, advice)


@pytest.mark.parametrize("decide", [approvals.approve, approvals.reject, approvals.ask])
@pytest.mark.parametrize("via", ["page", "api", "admin"])
def test_nobody_decides_on_their_own_change_by_any_door(own, decide, via):
    with pytest.raises(NotAllowed, match="Nobody decides on their own change"):
        decide(own.pk, own.proposer, plan_hash=own.plan_hash, comment="fine", via=via)
    assert not own.approvals.exists()
    record = Audit.objects.latest("id")
    assert (record.action, record.via) == (f"change.{decide.__name__}_refused", via)


def test_whoever_edited_a_change_does_not_decide_on_it(own, people):
    approvals.edit(own.pk, people["dev"], via="page", plan_hash=own.plan_hash, title="Batch more")
    own.refresh_from_db()
    from finops.models import Membership

    Membership.objects.filter(user=people["dev"]).update(role=group("approver"))
    with pytest.raises(NotAllowed, match="Whoever edited a change"):
        approve(own, fresh(people["dev"]))


def group(name):
    from django.contrib.auth.models import Group

    return Group.objects.get(name=name)


def fresh(user):
    """Without the permissions that it has looked up before."""
    return type(user).objects.get(pk=user.pk)


@pytest.mark.parametrize("who", ["asha", "dev2", "ada", "cleo"])
def test_only_approvers_of_the_project_decide(change, people, who):
    people["dev2"] = person("dev2", "engineer")
    with pytest.raises(NotAllowed, match="No role of yours decides on changes"):
        approve(change, people[who])
    assert actions()[-1] == "change.approve_refused"


@pytest.mark.parametrize("who", ["asha", "ben", "ada", "cleo"])
def test_only_engineers_propose(advice, people, who):
    with pytest.raises(NotAllowed, match="No role of yours proposes changes"):
        made.proposed(people[who], advice)


def test_as_many_people_as_the_policy_asks_for(people, advice):
    change = made.proposed(people["dev"], advice, policy=Policy(approvals=2))
    assert approve(change, people["ben"]).is_enough is False
    with pytest.raises(Conflict, match="You have decided on this plan already"):
        approve(change, people["ben"])
    assert approve(change, person("bea", "approver")).is_enough is True
    change.refresh_from_db()
    assert change.state == "approved"


def test_no_and_questions_need_a_reason(change, people):
    for decide in (approvals.reject, approvals.ask):
        with pytest.raises(BadEdit, match="say why"):
            decide(change.pk, people["ben"], plan_hash=change.plan_hash, comment=" ", via="page")


def test_rejected_change_is_closed_and_its_advice_is_free_again(change, people):
    approvals.reject(
        change.pk, people["ben"], plan_hash=change.plan_hash, comment="Not now", via="page"
    )
    change.refresh_from_db()
    change.recommendation.refresh_from_db()
    assert (change.state, change.recommendation.state) == ("rejected", "superseded")
    with pytest.raises(Conflict, match="there is nothing left to decide"):
        approve(change, person("bea", "approver"))


# What voids


EDITS = {
    "desired_config.dynamic_batching.max_queue_delay_microseconds": {
        "desired_config": made.batching("chat", delay_us=500)
    },
    "policy.block_s": {"policy": Policy(block_s=30)},
    "expires_at": {"expires_at": timezone.now() + timedelta(hours=5)},
}


@pytest.mark.parametrize("field", EDITS)
def test_edit_voids_approvals_and_says_which_field(change, people, field):
    read = change.plan_hash
    approve(change, people["ben"])
    approvals.edit(change.pk, people["dev"], via="page", plan_hash=read, **EDITS[field])
    change.refresh_from_db()
    approval = change.approvals.get()
    assert (change.state, change.plan_hash == read) == ("proposed", False)
    assert approval.voided_at is not None
    assert approval.void_reason.startswith(f"dev edited the change: {field}: ")
    assert approvals.agreed(change) == 0
    with pytest.raises(Conflict, match=f"The plan has moved since you read it. dev edited {field}"):
        approve(change, people["ben"], plan_hash=read)
    approve(change, people["ben"])
    assert approvals.agreed(change) == 1


@pytest.mark.parametrize(
    "field", ["live_config", "desired_config", "policy", "expires_at", "lever", "evidence"]
)
def test_everything_an_approver_says_yes_to_is_in_the_seal(change, field):
    before = approvals.plan_of(change).sealed()
    values = {
        "live_config": {**change.live_config, "max_batch_size": 1},
        "desired_config": {**change.desired_config, "max_batch_size": 1},
        "policy": {**change.policy, "block_s": 1.0},
        "expires_at": change.expires_at + timedelta(microseconds=1),
        "lever": "other",
        "evidence": None,
    }
    setattr(change, field, values[field])
    assert approvals.plan_of(change).sealed() != before


def test_drift_voids_approvals_and_says_which_field(change, people):
    read = change.plan_hash
    approve(change, people["ben"])
    moved = difference(change.live_config, made.config("chat", max_batch_size=4))
    with transaction.atomic():
        approvals.live_moved(approvals.locked(change.pk), moved)
    change.refresh_from_db()
    assert change.state == "proposed"
    assert change.approvals.get().void_reason == (
        "The live config is not the approved baseline: max_batch_size: 32 → 4."
    )
    with pytest.raises(Conflict, match="max_batch_size: 32 → 4"):
        approve(change, people["ben"], plan_hash=read)


def test_expiry_closes_what_was_not_begun_in_time(change, people):
    approve(change, people["ben"])
    assert approvals.expire_overdue(change.expires_at - timedelta(seconds=1)) == 0
    assert approvals.expire_overdue(change.expires_at) == 1
    change.refresh_from_db()
    assert (change.state, approvals.agreed(change)) == ("expired", 0)
    assert change.approvals.get().void_reason == "The change expired."
    assert approvals.begin(change.pk) is None


def test_expired_change_is_neither_approved_nor_begun(people, advice):
    change = made.proposed(people["dev"], advice)
    approve(change, people["ben"])
    Change.objects.filter(pk=change.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert approvals.begin(change.pk) is None
    change.refresh_from_db()
    assert change.state == "expired"


# Beginning


def test_target_is_given_to_one_change_at_a_time(change, people, target):
    other = made.proposed(people["dev"], made.RecommendationFactory(target=target, lever="other"))
    for one in (change, other):
        made.approved(one, people["ben"])
    assert approvals.begin(change.pk).plan_hash == change.plan_hash
    assert approvals.begin(other.pk) is None
    assert approvals.begin(change.pk) is None


def test_only_what_is_approved_begins(change):
    assert approvals.begin(change.pk) is None
    assert not Rollout.objects.exists()


# By SQL, past all of this code


def sql(text, **values):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(text, values)


INSERT = """
INSERT INTO optimiser_approval (change_id, proposer_id, approver_id, plan_hash, decision, comment,
    via, at, void_reason, voided_at)
VALUES (%(change)s, %(proposer)s, %(approver)s, %(plan)s, 'approve', '', 'sql', now(), '',
    %(voided)s)"""


def insert(change, approver, proposer=None, plan=None, voided=None):
    sql(
        INSERT,
        change=change.pk,
        proposer=(proposer or change.proposer).pk,
        approver=approver.pk,
        plan=plan or change.plan_hash,
        voided=voided,
    )


def test_sql_of_a_proper_approval_is_taken(change, people):
    insert(change, people["ben"])
    assert approvals.agreed(change) == 1


def test_sql_does_not_approve_ones_own_change(change):
    with pytest.raises(DatabaseError, match="Whoever edited a change does not approve it"):
        insert(change, change.proposer)


def test_sql_does_not_approve_ones_own_change_even_without_the_trigger(change):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE optimiser_approval DISABLE TRIGGER approval_is_proper")
        with pytest.raises(IntegrityError, match="approval_by_a_second_person"):
            insert(change, change.proposer)
        cursor.execute("ALTER TABLE optimiser_approval ENABLE TRIGGER approval_is_proper")


@pytest.mark.django_db(transaction=True)
def test_sql_does_not_pass_off_somebody_else_as_the_proposer(change, people):
    """The foreign key over both columns makes the proposer the true one."""
    with pytest.raises(DatabaseError, match="approval_names_the_proposer"):
        insert(change, people["ben"], proposer=people["asha"])


def test_sql_of_an_editor_is_turned_away(change, people):
    ChangeEditor.objects.create(change=change, editor=people["ben"])
    with pytest.raises(DatabaseError, match="Whoever edited a change does not approve it"):
        insert(change, people["ben"])


def test_sql_of_an_approver_does_not_edit(change, people):
    insert(change, people["ben"])
    with pytest.raises(DatabaseError, match="Whoever approved a change does not edit it"):
        sql(
            "INSERT INTO optimiser_changeeditor (change_id, editor_id, at)"
            " VALUES (%(change)s, %(who)s, now())",
            change=change.pk,
            who=people["ben"].pk,
        )


def test_sql_of_another_plan_or_of_a_closed_change_is_turned_away(change, people):
    with pytest.raises(DatabaseError, match="The plan has moved or expired"):
        insert(change, people["ben"], plan="0" * 64)
    approvals.withdraw(change.pk, people["dev"], via="page")
    with pytest.raises(DatabaseError, match="Only a proposed change can be decided on"):
        insert(change, people["ben"])


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE optimiser_approval SET decision = 'reject'",
        "UPDATE optimiser_approval SET plan_hash = repeat('0', 64)",
        "UPDATE optimiser_approval SET approver_id = approver_id + 1",
        "UPDATE optimiser_approval SET voided_at = NULL",
        "DELETE FROM optimiser_approval",
        "DELETE FROM optimiser_changeeditor",
        "UPDATE optimiser_changeeditor SET editor_id = editor_id + 1",
        "UPDATE optimiser_change SET proposer_id = proposer_id + 1",
        "UPDATE optimiser_change SET desired_config = '{}'",
        "UPDATE optimiser_change SET live_config = '{}'",
        "UPDATE optimiser_change SET policy = '{}'",
        "UPDATE optimiser_change SET plan_hash = repeat('0', 64)",
    ],
)
def test_sql_does_not_rewrite_what_was_decided(change, people, text):
    insert(change, people["ben"])
    with pytest.raises(DatabaseError, match=r"refused\.|keeps its|does not move|only with a new"):
        sql(text)


ROLLOUT = """
INSERT INTO optimiser_rollout (change_id, target_id, plan_hash, state, reason, seed, arms, attempts,
    created_at, error, lease_holder, epoch)
VALUES (%(change)s, %(target)s, %(plan)s, 'waiting', '', 1, '[]', 0, now(), '', '', 0)"""


def test_sql_does_not_begin_what_too_few_have_approved(people, advice):
    change = made.proposed(people["dev"], advice, policy=Policy(approvals=2))
    given = {"change": change.pk, "target": change.target_id, "plan": change.plan_hash}
    insert(change, people["ben"])
    with pytest.raises(DatabaseError, match="A rollout needs the approvals of exactly its plan"):
        sql(ROLLOUT, **given)
    insert(change, person("bea", "approver"))
    sql(ROLLOUT, **given)
    assert Rollout.objects.get().change == change


def test_sql_does_not_begin_on_a_void_approval(change, people):
    given = {"change": change.pk, "target": change.target_id, "plan": change.plan_hash}
    insert(change, people["ben"])
    Approval.objects.update(voided_at=timezone.now())
    with pytest.raises(DatabaseError, match="A rollout needs the approvals of exactly its plan"):
        sql(ROLLOUT, **given)
    assert Change.objects.get().state == "proposed"
