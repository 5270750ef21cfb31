"""Alerts, what became of each, the rules by which people are told, and planned silences.

One row is one problem that somebody should look at. Its history can be added to and read only.
"""

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from ingest.models.fields import one_of

BUDGET, UNPRICED, SOURCE_LAG, ANOMALY = "budget", "unpriced", "source_lag", "anomaly"
SLO, DRIFT, VERDICT, THRESHOLD = "slo", "drift", "verdict", "threshold"
ALERT_KINDS = (BUDGET, UNPRICED, SOURCE_LAG, ANOMALY, SLO, THRESHOLD, DRIFT, VERDICT)

INFO, WARNING, CRITICAL = "info", "warning", "critical"
SEVERITIES = (INFO, WARNING, CRITICAL)
"""From the least to the worst."""

OPEN, ACKNOWLEDGED, SNOOZED, RESOLVED = "open", "acknowledged", "snoozed", "resolved"
ALERT_STATES = (OPEN, ACKNOWLEDGED, SNOOZED, RESOLVED)

OPENED, ROSE, RETURNED, SENT_LATE = "opened", "rose", "returned", "told_late"
REMINDED, ESCALATED = "reminded", "escalated"
REOPENED, SETTLED = "reopened", "settled"
ALERT_ACTS = (
    OPENED, ROSE, RETURNED, SENT_LATE, REMINDED, ESCALATED, ACKNOWLEDGED, SNOOZED, RESOLVED,
    REOPENED, SETTLED,
)  # fmt: skip

LONGEST_KEY = 300
QUIET_S = 900
"""What is over and comes again sooner than this is the same alert."""


def person(**options: Any) -> models.ForeignKey:
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", **options
    )


def channel_list(**options: Any) -> ArrayField:
    return ArrayField(models.IntegerField(), default=list, blank=True, **options)


class Alert(models.Model):
    """One problem. Of one kind and key at most one is not resolved."""

    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=LONGEST_KEY, help_text="What it is about, to its producer.")
    severity = models.CharField(max_length=10)
    title = models.CharField(max_length=300)
    text = models.TextField()
    path = models.CharField(max_length=1000, help_text="The page where it is seen.")
    project = models.ForeignKey(
        "ingest.Project",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: for members of the organisation.",
    )
    figures = models.JSONField(default=dict, help_text="Name → value, in words for people.")
    owner = person()
    channel_ids = channel_list(help_text="Empty: those that the rule of its kind names.")
    state = models.CharField(max_length=20, default=OPEN)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    times_seen = models.BigIntegerField(default=1)
    waiting_since = models.DateTimeField(
        help_text="When it last began to wait for somebody: opened, came back, or grew worse."
    )
    told_at = models.DateTimeField(null=True, help_text="When channels were last told to look.")
    escalated_at = models.DateTimeField(null=True)
    acknowledged_by = person()
    acknowledged_at = models.DateTimeField(null=True)
    snoozed_until = models.DateTimeField(null=True)
    resolved_by = person(help_text="Empty: it ended by itself.")
    resolved_at = models.DateTimeField(null=True)
    why = models.TextField(blank=True, help_text="Why it is resolved.")
    holds = models.BooleanField(
        default=True, help_text="What it tells of was still so when its producer last looked."
    )
    swings = models.PositiveIntegerField(
        default=0, help_text="How often it was over and came again within the quiet time."
    )
    swung_at = models.DateTimeField(null=True, help_text="When it last came again.")
    is_flapping = models.BooleanField(
        default=False, help_text="Channels were told so, and hear of it when it holds still."
    )

    class Meta:
        ordering = ["-opened_at", "-id"]
        indexes = [
            models.Index(fields=["-opened_at", "-id"], name="alert_newest"),
            models.Index(fields=["kind", "key", "-id"], name="alert_key"),
            models.Index(fields=["project"], condition=Q(state=OPEN), name="alert_open"),
        ]
        constraints = [
            one_of("alert", "kind", ALERT_KINDS),
            one_of("alert", "severity", SEVERITIES),
            one_of("alert", "state", ALERT_STATES),
            models.UniqueConstraint(
                fields=["kind", "key"], condition=~Q(state=RESOLVED), name="alert_once"
            ),
            models.CheckConstraint(condition=~Q(key="") & ~Q(title=""), name="alert_says_what"),
            models.CheckConstraint(condition=Q(times_seen__gte=1), name="alert_was_seen"),
            models.CheckConstraint(
                condition=Q(last_seen_at__gte=F("opened_at")), name="alert_seen_after_opened"
            ),
            models.CheckConstraint(
                condition=Q(state=SNOOZED, snoozed_until__isnull=False)
                | (~Q(state=SNOOZED) & Q(snoozed_until=None)),
                name="alert_snoozed_until",
            ),
            models.CheckConstraint(
                condition=Q(state=RESOLVED, resolved_at__isnull=False)
                | (~Q(state=RESOLVED) & Q(resolved_at=None, resolved_by=None, why="")),
                name="alert_resolved_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref} {self.title}"

    @property
    def ref(self) -> str:
        """The one id that people and channels know it by."""
        return f"A-{self.pk}"


class AlertEvent(models.Model):
    """One thing that became of an alert. A trigger refuses UPDATE and DELETE.

    Ids follow the order of commits, so that a reader who goes on after one misses none.
    """

    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="events")
    act = models.CharField(max_length=20)
    severity = models.CharField(max_length=10, help_text="As it was then.")
    at = models.DateTimeField()
    by = person()
    by_name = models.CharField(max_length=150, blank=True, help_text="Empty: nobody, by itself.")
    note = models.TextField(blank=True)
    told = channel_list(help_text="The channels this was handed to.")

    class Meta:
        ordering = ["id"]
        constraints = [one_of("alertevent", "act", ALERT_ACTS)]

    def __str__(self) -> str:
        return f"A-{self.alert_id} {self.act}"


class AlertRule(models.Model):
    """How alerts of one kind reach people. A kind without a row follows `ALERT_DEFAULTS`."""

    kind = models.CharField(max_length=20, primary_key=True)
    enabled = models.BooleanField(
        default=True, help_text="Off: alerts are kept and shown here, and nobody is told."
    )
    severity = models.CharField(max_length=10, default=WARNING)
    channel_ids = channel_list()
    remind_every_s = models.PositiveIntegerField(null=True, help_text="Empty: never.")
    escalate_after_s = models.PositiveIntegerField(null=True, help_text="Empty: never.")
    escalation_channel_ids = channel_list()
    quiet_s = models.PositiveIntegerField(
        null=True,
        default=QUIET_S,
        help_text="Over and back within this time: the same alert. Empty: a new one each time.",
    )
    changed_at = models.DateTimeField(null=True)
    changed_by = person()

    class Meta:
        ordering = ["kind"]
        constraints = [
            one_of("alertrule", "kind", ALERT_KINDS),
            one_of("alertrule", "severity", SEVERITIES),
        ]

    def __str__(self) -> str:
        return f"rule of {self.kind}"


class Silence(models.Model):
    """Planned activity: what alerts in this time is shown as silenced and told to no channel."""

    kind = models.CharField(max_length=20, blank=True, help_text="Empty: every kind.")
    project = models.ForeignKey(
        "ingest.Project",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: every alert, whatever its project.",
    )
    key_pattern = models.CharField(
        max_length=LONGEST_KEY, blank=True, help_text="As in `source:*`; empty: every key."
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    why = models.CharField(max_length=500)
    created_by = person()
    created_at = models.DateTimeField()
    ended_by = person()
    ended_at = models.DateTimeField(null=True, help_text="When somebody ended it early.")

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            one_of("silence", "kind", ("", *ALERT_KINDS)),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="silence_forward"),
            models.CheckConstraint(condition=~Q(why=""), name="silence_says_why"),
        ]

    def __str__(self) -> str:
        return f"silence from {self.starts_at:%F %H:%M}: {self.why}"

    def covers(self, alert: Alert, now: datetime) -> bool:
        if not self.starts_at <= now < min(self.ends_at, self.ended_at or self.ends_at):
            return False
        if self.kind and self.kind != alert.kind:
            return False
        if self.project_id is not None and self.project_id != alert.project_id:
            return False
        return not self.key_pattern or fnmatchcase(alert.key, self.key_pattern)


HOUR_S, DAY_S = 3600, 86_400
ALERT_DEFAULTS: dict[str, dict[str, object]] = {
    BUDGET: {"severity": WARNING, "remind_every_s": DAY_S},
    UNPRICED: {"severity": WARNING, "remind_every_s": DAY_S},
    SOURCE_LAG: {"severity": WARNING, "remind_every_s": 4 * HOUR_S},
    # One day's cost stays what it was: saying it again tells nothing new.
    ANOMALY: {"severity": WARNING, "quiet_s": None},
    SLO: {"severity": CRITICAL, "remind_every_s": HOUR_S},
    # A watch rule has an urgency of its own.
    THRESHOLD: {"severity": WARNING, "remind_every_s": DAY_S},
    DRIFT: {"severity": WARNING, "remind_every_s": DAY_S},
    VERDICT: {"severity": INFO, "quiet_s": None},
}
"""The rules a new installation starts with."""
