"""What the levers found, with the evidence behind it."""

from django.db import models
from django.db.models import Q

from ingest.models.fields import one_of

from .leases import Leased
from .targets import Target

CALIBRATION_STATES = ("waiting", "running", "done", "failed")
EVIDENCE_KINDS = ("simulation", "experiment")
FINDING_OUTCOMES = ("recommended", "refused", "needs_experiment", "not_enough_data")
RECOMMENDATION_STATES = ("open", "proposed", "dismissed", "superseded")


class Calibration(Leased):
    """Service times for batches of 1…max, measured on a shadow of the target's model."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="calibrations")
    state = models.CharField(max_length=10, default="waiting")
    requested_by = models.ForeignKey(
        "finops.User", null=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    config = models.JSONField(null=True, help_text="The live config it was measured beside.")
    curve = models.JSONField(null=True)
    measurements = models.JSONField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-requested_at"]
        constraints = [
            one_of("calibration", "state", CALIBRATION_STATES),
            models.UniqueConstraint(
                fields=["target"],
                condition=Q(state__in=["waiting", "running"]),
                name="calibration_one_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"calibration of {self.target} ({self.state})"


class Evidence(models.Model):
    """A simulation or an experiment, with all it takes to do it again. Never edited."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="evidence")
    kind = models.CharField(max_length=12)
    lever = models.CharField(max_length=40)
    versions = models.JSONField(help_text="Of the lever, the simulator and the judge.")
    calibration = models.ForeignKey(Calibration, null=True, on_delete=models.PROTECT)
    window_from = models.DateTimeField()
    window_to = models.DateTimeField()
    requests = models.PositiveBigIntegerField()
    seed = models.BigIntegerField()
    input_hash = models.CharField(max_length=64)
    results = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "evidence"
        constraints = [one_of("evidence", "kind", EVIDENCE_KINDS)]

    def __str__(self) -> str:
        return f"{self.kind} for {self.lever} {self.input_hash[:12]}"


class Recommendation(models.Model):
    """What one lever says about one target now: an advice, or why there is none."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="recommendations")
    lever = models.CharField(max_length=40)
    outcome = models.CharField(max_length=20)
    reason = models.TextField()
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=12, default="open")
    evidence = models.ForeignKey(Evidence, null=True, on_delete=models.PROTECT)
    current_config = models.JSONField()
    candidate_config = models.JSONField(null=True)
    effect = models.JSONField(null=True, help_text="Per metric: before, after, change, interval.")
    risk = models.TextField(blank=True)
    rollback = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(
        "finops.User", null=True, on_delete=models.PROTECT, related_name="+"
    )
    closed_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            one_of("recommendation", "outcome", FINDING_OUTCOMES),
            one_of("recommendation", "state", RECOMMENDATION_STATES),
            models.UniqueConstraint(
                fields=["target", "lever"],
                condition=Q(state="open"),
                name="recommendation_one_open",
            ),
            models.CheckConstraint(
                condition=~Q(outcome="recommended")
                | Q(candidate_config__isnull=False, effect__isnull=False, evidence__isnull=False),
                name="recommendation_has_evidence",
            ),
        ]

    def __str__(self) -> str:
        return self.title
