"""The carrying-out of an approved change, block by block, and what was concluded."""

from django.db import models
from django.db.models import F, Q

from ingest.models.fields import one_of

from .changes import Change
from .leases import Leased
from .targets import Target

ROLLOUT_STATES = (
    "waiting",
    "snapshot",
    "measuring",
    "promoting",
    "restoring",
    "promoted",
    "rolled_back",
    "refused",
    "rollback_failed",
)
OPEN_ROLLOUTS = ("waiting", "snapshot", "measuring", "promoting", "restoring", "rollback_failed")
"""While one of these holds its target, no other rollout may begin there."""

ARMS = ("control", "treated")
VERDICT_OUTCOMES = ("PASS", "FAIL", "INCONCLUSIVE")


class Rollout(Leased):
    """One attempt to carry out a change. `advance` moves it one step at a time."""

    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="rollouts")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="rollouts")
    plan_hash = models.CharField(max_length=64, help_text="Exactly what was approved.")
    state = models.CharField(max_length=20, default="waiting")
    reason = models.TextField(blank=True, help_text="Why it is where it is.")
    snapshot = models.JSONField(null=True, help_text="The full config before; what rollback loads.")
    seed = models.BigIntegerField()
    arms = models.JSONField(default=list, help_text="The randomised order of the blocks.")
    stop_asked_by = models.ForeignKey(
        "finops.User", null=True, on_delete=models.PROTECT, related_name="+"
    )
    stop_asked_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0, help_text="Failed tries of this step.")
    not_before = models.DateTimeField(null=True, help_text="When the next step is due.")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            one_of("rollout", "state", ROLLOUT_STATES),
            models.UniqueConstraint(
                fields=["target"], condition=Q(state__in=OPEN_ROLLOUTS), name="rollout_one_a_target"
            ),
            models.UniqueConstraint(fields=["change", "plan_hash"], name="rollout_once_a_plan"),
        ]

    def __str__(self) -> str:
        return f"rollout of {self.change} ({self.state})"


class RolloutBlock(models.Model):
    """A stretch of time under one config (switchback), or of a split at one weight."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="blocks")
    index = models.PositiveIntegerField()
    arm = models.CharField(max_length=10, blank=True, help_text="Empty for a split: both at once.")
    weight = models.FloatField(null=True, help_text="The canary's share, for a split.")
    applied_at = models.DateTimeField(null=True)
    measured_from = models.DateTimeField(null=True, help_text="After the wash-out.")
    measured_to = models.DateTimeField(null=True)
    statistics_from = models.JSONField(null=True, help_text="The server's own counts then.")
    statistics_to = models.JSONField(null=True)
    dropped_reason = models.TextField(blank=True, help_text="Why the judge does not see it.")

    class Meta:
        ordering = ["rollout", "index"]
        constraints = [
            models.UniqueConstraint(fields=["rollout", "index"], name="block_once"),
            models.CheckConstraint(
                condition=Q(measured_to=None) | Q(measured_to__gt=F("measured_from")),
                name="block_has_length",
            ),
        ]

    def __str__(self) -> str:
        return f"block {self.index} of {self.rollout_id}: {self.arm or self.weight}"


class Verdict(models.Model):
    """What the judge said at one look, with the version that said it."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="verdicts")
    look = models.PositiveIntegerField()
    looks = models.PositiveIntegerField()
    outcome = models.CharField(max_length=12)
    reason = models.TextField()
    metrics = models.JSONField()
    stops = models.BooleanField()
    judge_version = models.CharField(max_length=40)
    input_hash = models.CharField(max_length=64)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["rollout", "look"]
        constraints = [
            one_of("verdict", "outcome", VERDICT_OUTCOMES),
            models.UniqueConstraint(fields=["rollout", "look"], name="verdict_once_a_look"),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} at look {self.look} of {self.looks}"
