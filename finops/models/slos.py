"""Service level objectives: what holds, every version there was, proposals and who decided on them.

The database itself keeps four eyes: see migration 0007. An objective changes only by a version, a
version only by a proposal that a second person approved, and none of these rows is ever rewritten.
"""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from finops.costing.burn import STATES
from finops.costing.objectives import ACTS, Definition
from ingest.models.fields import one_of

PROPOSED, APPROVED, REJECTED = "proposed", "approved", "rejected"
WITHDRAWN, EXPIRED, VOID = "withdrawn", "expired", "void"
PROPOSAL_STATES = (PROPOSED, APPROVED, REJECTED, WITHDRAWN, EXPIRED, VOID)
SLO_DECISIONS = ("approve", "reject", "ask")


def _user(**options: Any) -> models.ForeignKey:
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", **options
    )


class Slo(models.Model):
    """An objective of one project. What it says is in its current version, and nowhere else."""

    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    current = models.ForeignKey(
        "finops.SloVersion",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The newest; empty only while its first one is written.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return str(self.current.definition["name"]) if self.current else f"objective {self.pk}"

    @property
    def definition(self) -> Definition:
        assert self.current is not None
        return Definition.from_json(self.current.definition)


class SloProposal(models.Model):
    """An objective as somebody wants it, sealed by the hash that decisions name."""

    slo = models.ForeignKey(Slo, null=True, on_delete=models.PROTECT, related_name="proposals")
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    act = models.CharField(max_length=10)
    definition = models.JSONField(help_text="The whole one that is wanted.")
    based_on = models.PositiveIntegerField(
        default=0, help_text="The version that was live; 0: there was none."
    )
    why = models.TextField(blank=True)
    proposer = _user()
    state = models.CharField(max_length=10, default=PROPOSED)
    revision = models.PositiveIntegerField(default=1)
    plan_hash = models.CharField(max_length=64)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)
    why_closed = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            one_of("sloproposal", "state", PROPOSAL_STATES),
            one_of("sloproposal", "act", ACTS),
            # What a foreign key of two columns points to.
            models.UniqueConstraint(fields=["id", "proposer"], name="sloproposal_and_proposer"),
            models.CheckConstraint(
                condition=Q(act="create", based_on=0)
                | (~Q(act="create") & Q(based_on__gte=1, slo__isnull=False)),
                name="sloproposal_is_based_on_one",
            ),
        ]
        indexes = [models.Index(fields=["state", "-created_at"], name="sloproposal_state")]

    def __str__(self) -> str:
        return f"{self.act} {self.name}"

    @property
    def name(self) -> str:
        return str(self.definition["name"])


class SloEditor(models.Model):
    """Whoever wrote any part of a proposal, the proposer first, may not decide on it."""

    proposal = models.ForeignKey(SloProposal, on_delete=models.PROTECT, related_name="editors")
    editor = _user()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["proposal", "editor"], name="sloeditor_once")
        ]

    def __str__(self) -> str:
        return f"{self.editor} edited {self.proposal_id}"


class SloDecision(models.Model):
    """One person's decision on one seal. Never changed or removed."""

    proposal = models.ForeignKey(SloProposal, on_delete=models.PROTECT, related_name="decisions")
    proposer = _user()
    approver = _user()
    plan_hash = models.CharField(max_length=64)
    decision = models.CharField(max_length=10)
    comment = models.TextField(blank=True)
    via = models.CharField(max_length=10)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            one_of("slodecision", "decision", SLO_DECISIONS),
            models.CheckConstraint(
                condition=~Q(approver=F("proposer")), name="slodecision_by_a_second_person"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.decision} by {self.approver} of {self.plan_hash[:12]}"


class SloVersion(models.Model):
    """What an objective says from a moment on. Exactly what one proposal said."""

    slo = models.ForeignKey(Slo, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    proposal = models.OneToOneField(SloProposal, on_delete=models.PROTECT, related_name="version")
    definition = models.JSONField()
    retires = models.BooleanField(default=False, help_text="From here on it holds no more.")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slo", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["slo", "number"], name="sloversion_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="sloversion_counts_from_one"),
        ]

    def __str__(self) -> str:
        return f"version {self.number} of {self.slo_id}"


class SloStatus(models.Model):
    """How an objective does, as of `evaluated_at`. NULL is unknown."""

    slo = models.OneToOneField(
        Slo, primary_key=True, on_delete=models.CASCADE, related_name="status"
    )
    version = models.PositiveIntegerField()
    state = models.CharField(max_length=10)
    why = models.TextField()
    severity = models.CharField(max_length=10, blank=True, help_text="Of its alert.")
    good = models.BigIntegerField()
    total = models.BigIntegerField()
    unknown = models.BigIntegerField()
    budget_left = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    burn_1h = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    as_of = models.DateTimeField(null=True, help_text="Of the newest fact.")
    evaluated_at = models.DateTimeField()

    class Meta:
        constraints = [
            one_of("slostatus", "state", STATES),
            models.CheckConstraint(
                condition=Q(good__gte=0, total__gte=F("good"), unknown__gte=0),
                name="slostatus_counts",
            ),
            models.CheckConstraint(
                condition=Q(budget_left__isnull=True) | Q(budget_left__lte=1),
                name="slostatus_left_sane",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slo_id}: {self.state}"
