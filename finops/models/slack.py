"""What is known of Slack: threads of alerts, whose user is whose, buttons that were pressed.

A press counts once, by the digest of what signed it. A code that links is kept as its digest alone.
Refuses tokens: those are a channel's secret.
"""

from django.conf import settings
from django.db import models

from ingest.models.fields import one_of

from .channels import Channel

ACKNOWLEDGE, SNOOZE = "acknowledge", "snooze"
PRESSES = (ACKNOWLEDGE, SNOOZE)
"""What a button may ask for. Nothing is approved from Slack."""

WAITS, DONE, UNKNOWN, REFUSED, LATE = "waits", "done", "unknown", "refused", "late"
PRESS_OUTCOMES = (WAITS, DONE, UNKNOWN, REFUSED, LATE)


class SlackThread(models.Model):
    """The first message of an alert in one channel: what follows is a reply to it."""

    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="threads")
    alert_id = models.CharField(max_length=100)
    ts = models.CharField(max_length=40, help_text="Slack's name of the first message.")
    shown_at = models.DateTimeField(help_text="When what the first message shows happened.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["channel", "alert_id"], name="slack_thread_once")
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} in {self.channel}"


class SlackLink(models.Model):
    """A user of Slack acts as this person, who said so while signed in."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="slack_links"
    )
    team_id = models.CharField(max_length=30, help_text="Slack's id of the workspace.")
    slack_user_id = models.CharField(max_length=30)
    slack_name = models.CharField(max_length=100, help_text="As Slack told it then.")
    linked_at = models.DateTimeField()

    class Meta:
        ordering = ["-linked_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["team_id", "slack_user_id"], name="slack_user_once")
        ]

    def __str__(self) -> str:
        return f"{self.slack_name} is {self.user}"


class SlackLinkCode(models.Model):
    """Sent to one user of Slack, who may use it once, soon."""

    code_sha256 = models.BinaryField(max_length=32, unique=True)
    team_id = models.CharField(max_length=30)
    slack_user_id = models.CharField(max_length=30)
    slack_name = models.CharField(max_length=100)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"code of {self.slack_name}"


class SlackPress(models.Model):
    """A button that was pressed, carried out by a worker. `digest` makes a replay none."""

    digest = models.BinaryField(max_length=32, unique=True)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="presses")
    team_id = models.CharField(max_length=30)
    slack_user_id = models.CharField(max_length=30)
    slack_name = models.CharField(max_length=100)
    alert_id = models.CharField(max_length=100)
    act = models.CharField(max_length=20)
    at = models.DateTimeField()
    outcome = models.CharField(max_length=10, default=WAITS)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            one_of("slackpress", "act", PRESSES),
            one_of("slackpress", "outcome", PRESS_OUTCOMES),
        ]
        indexes = [
            models.Index(fields=["id"], name="slack_press_waits", condition=models.Q(outcome=WAITS))
        ]

    def __str__(self) -> str:
        return f"{self.act} of {self.alert_id} by {self.slack_name}"
