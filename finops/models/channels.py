"""Where alerts are told: channels, the outbox of messages to them, the log of attempts.

A message is written in the transaction of what it tells, so neither is without the other. What was
attempted is append-only: a trigger refuses UPDATE. Secrets are encrypted and never shown again.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q

from ingest.models.fields import finite_float, not_negative, one_of

SLACK, WEBHOOK, EMAIL, SLACK_APP = "slack_webhook", "webhook", "email", "slack_app"
CHANNEL_KINDS = (SLACK, SLACK_APP, WEBHOOK, EMAIL)

ACTIVE, DISABLED, REMOVED = "active", "disabled", "removed"
CHANNEL_STATES = (ACTIVE, DISABLED, REMOVED)

WAITING, SENT, FAILED, NOT_DELIVERED = "waiting", "sent", "failed", "not_delivered"
MESSAGE_STATES = (WAITING, SENT, FAILED, NOT_DELIVERED)


class Channel(models.Model):
    """One place that people hear of alerts. What was removed stays for its log, without secret."""

    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=100)
    config = models.JSONField(default=dict, help_text="What may be shown, such as addresses.")
    secret = models.BinaryField(null=True, help_text="Encrypted JSON; never shown again.")
    state = models.CharField(max_length=10, default=ACTIVE)
    state_reason = models.CharField(max_length=500, blank=True, help_text="Why it is off.")
    state_at = models.DateTimeField()
    paused_until = models.DateTimeField(
        null=True, help_text="The receiver asked for no message before this time."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            one_of("channel", "kind", CHANNEL_KINDS),
            one_of("channel", "state", CHANNEL_STATES),
            models.CheckConstraint(
                condition=Q(state=ACTIVE) | ~Q(state_reason=""), name="channel_off_says_why"
            ),
            models.CheckConstraint(
                condition=~Q(state=REMOVED) | Q(secret__isnull=True),
                name="channel_removed_has_no_secret",
            ),
            models.UniqueConstraint(
                fields=["name"], condition=~Q(state=REMOVED), name="channel_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Message(models.Model):
    """One row of the outbox. Every outcome is written under the epoch of the lease it was sent in.

    `public_id` goes out with every attempt, so that a receiver can drop what it has already.
    """

    public_id = models.UUIDField(unique=True)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="messages")
    alert_id = models.CharField(max_length=100)
    event = models.CharField(max_length=20)
    at = models.DateTimeField(help_text="When the told thing happened.")
    payload = models.JSONField()
    state = models.CharField(max_length=15, default=WAITING)
    attempts = models.PositiveIntegerField(default=0)
    waiting_since = models.DateTimeField(help_text="Attempts end a day after it.")
    next_try_at = models.DateTimeField()
    epoch = models.PositiveIntegerField(
        default=0, help_text="Counts the leases; a holder of an older one may not write."
    )
    lease_holder = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)
    last_problem = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            one_of("message", "state", MESSAGE_STATES),
            models.UniqueConstraint(
                fields=["channel", "alert_id", "event", "at"], name="message_once"
            ),
            models.CheckConstraint(
                condition=~Q(state=SENT) | Q(sent_at__isnull=False),
                name="message_sent_says_when",
            ),
        ]
        indexes = [
            models.Index(
                fields=["channel", "id"], name="message_waiting", condition=Q(state=WAITING)
            ),
            models.Index(fields=["channel", "-id"], name="message_log"),
        ]

    def __str__(self) -> str:
        return f"{self.event} of {self.alert_id}"


class Attempt(models.Model):
    """What came of sending a message once. One per lease: two workers never both record one."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="log")
    epoch = models.PositiveIntegerField()
    at = models.DateTimeField()
    delivered = models.BooleanField()
    status_code = models.PositiveIntegerField(null=True)
    retry_after_s = models.FloatField(null=True, help_text="As the receiver asked.")
    duration_ms = models.FloatField(null=True, help_text="Unknown where the worker was killed.")
    problem = models.CharField(max_length=500, blank=True)
    response_excerpt = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["message", "epoch"], name="attempt_once"),
            models.CheckConstraint(
                condition=Q(delivered=True, problem="") | (Q(delivered=False) & ~Q(problem="")),
                name="attempt_says_what",
            ),
            *not_negative("attempt", "retry_after_s", "duration_ms"),
            *finite_float("attempt", "retry_after_s", "duration_ms"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%F %T} {self.problem or 'delivered'}"
