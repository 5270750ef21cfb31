"""Changes and who decided on them.

The database itself keeps four eyes: see migration 0002. An approval carries the proposer, so that a
CHECK can compare the two, and a trigger turns away everybody who edited the change.
"""

from django.db import models
from django.db.models import F, Q

from ingest.models.fields import one_of

from .recommendations import Recommendation
from .targets import Target

CHANGE_STATES = (
    "proposed",
    "approved",
    "rejected",
    "withdrawn",
    "expired",
    "rolling_out",
    "promoted",
    "rolled_back",
    "failed",
)
APPROVAL_DECISIONS = ("approve", "reject", "ask")


class Change(models.Model):
    """Something somebody wants carried out, sealed by the plan hash that approvals name."""

    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="changes")
    recommendation = models.ForeignKey(
        Recommendation, null=True, on_delete=models.PROTECT, related_name="changes"
    )
    lever = models.CharField(max_length=40)
    title = models.CharField(max_length=200)
    why = models.TextField(blank=True)
    proposer = models.ForeignKey("finops.User", on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=12, default="proposed")
    live_config = models.JSONField(help_text="The full config this change is based on.")
    desired_config = models.JSONField(help_text="The full config it asks for.")
    evidence = models.ForeignKey("optimiser.Evidence", null=True, on_delete=models.PROTECT)
    effect = models.JSONField(null=True)
    risk = models.TextField(blank=True)
    rollback = models.TextField(blank=True)
    policy = models.JSONField(help_text="How it is tried out, judged and approved.")
    expires_at = models.DateTimeField()
    revision = models.PositiveIntegerField(default=1)
    plan_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            one_of("change", "state", CHANGE_STATES),
            # What a foreign key of two columns points to.
            models.UniqueConstraint(fields=["id", "proposer"], name="change_and_proposer"),
        ]
        indexes = [models.Index(fields=["state", "-created_at"], name="change_state")]

    def __str__(self) -> str:
        return self.title


class ChangeEditor(models.Model):
    """Whoever wrote any part of a change, the proposer first, may not approve it."""

    change = models.ForeignKey(Change, on_delete=models.CASCADE, related_name="editors")
    editor = models.ForeignKey("finops.User", on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["change", "editor"], name="editor_once")]

    def __str__(self) -> str:
        return f"{self.editor} edited {self.change_id}"


class Approval(models.Model):
    """One person's decision on one plan hash. Only ever voided, never changed or removed."""

    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="approvals")
    proposer = models.ForeignKey("finops.User", on_delete=models.PROTECT, related_name="+")
    approver = models.ForeignKey("finops.User", on_delete=models.PROTECT, related_name="+")
    plan_hash = models.CharField(max_length=64)
    decision = models.CharField(max_length=10)
    comment = models.TextField(blank=True)
    via = models.CharField(max_length=10)
    at = models.DateTimeField(auto_now_add=True)
    voided_at = models.DateTimeField(null=True)
    void_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["at"]
        constraints = [
            one_of("approval", "decision", APPROVAL_DECISIONS),
            models.CheckConstraint(
                condition=~Q(approver=F("proposer")), name="approval_by_a_second_person"
            ),
            models.UniqueConstraint(
                fields=["change", "approver", "plan_hash"],
                condition=Q(voided_at=None) & ~Q(decision="ask"),
                name="approval_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.decision} by {self.approver} of {self.plan_hash[:12]}"


class ChangeEvent(models.Model):
    """A line of the timeline. The audit chain is the proof; this is the story."""

    change = models.ForeignKey(Change, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey("finops.User", null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=30)
    text = models.TextField()
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return self.text
