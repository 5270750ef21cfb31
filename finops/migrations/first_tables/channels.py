"""Channels, their messages, and Slack's app: threads, whose user is whose, presses."""

from django.conf import settings
from django.db import migrations, models

from ingest.migrations.first_tables.parts import float_is_finite, is_known, is_not_negative, own_id

TABLES = [
    migrations.CreateModel(
        name="Channel",
        fields=[
            ("id", own_id()),
            ("kind", models.CharField(max_length=20)),
            ("name", models.CharField(max_length=100)),
            (
                "config",
                models.JSONField(default=dict, help_text="What may be shown, such as addresses."),
            ),
            (
                "secret",
                models.BinaryField(help_text="Encrypted JSON; never shown again.", null=True),
            ),
            ("state", models.CharField(default="active", max_length=10)),
            (
                "state_reason",
                models.CharField(blank=True, help_text="Why it is off.", max_length=500),
            ),
            ("state_at", models.DateTimeField()),
            (
                "paused_until",
                models.DateTimeField(
                    help_text="The receiver asked for no message before this time.", null=True
                ),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "created_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "ordering": ["name", "id"],
            "constraints": [
                is_known("state", ["active", "disabled", "removed"], name="channel_state_known"),
                models.CheckConstraint(
                    condition=models.Q(
                        ("state", "active"),
                        models.Q(("state_reason", ""), _negated=True),
                        _connector="OR",
                    ),
                    name="channel_off_says_why",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("state", "removed"), _negated=True),
                        ("secret__isnull", True),
                        _connector="OR",
                    ),
                    name="channel_removed_has_no_secret",
                ),
                models.UniqueConstraint(
                    condition=models.Q(("state", "removed"), _negated=True),
                    fields=("name",),
                    name="channel_name_once",
                ),
                is_known(
                    "kind",
                    ["email", "slack_app", "slack_webhook", "webhook"],
                    name="channel_kind_known",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Message",
        fields=[
            ("id", own_id()),
            ("public_id", models.UUIDField(unique=True)),
            ("alert_id", models.CharField(max_length=100)),
            ("event", models.CharField(max_length=20)),
            ("at", models.DateTimeField(help_text="When the told thing happened.")),
            ("payload", models.JSONField()),
            ("state", models.CharField(default="waiting", max_length=15)),
            ("attempts", models.PositiveIntegerField(default=0)),
            ("waiting_since", models.DateTimeField(help_text="Attempts end a day after it.")),
            ("next_try_at", models.DateTimeField()),
            (
                "epoch",
                models.PositiveIntegerField(
                    default=0,
                    help_text="Counts the leases; a holder of an older one may not write.",
                ),
            ),
            ("lease_holder", models.CharField(blank=True, max_length=100)),
            ("lease_expires_at", models.DateTimeField(null=True)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("sent_at", models.DateTimeField(null=True)),
            ("last_problem", models.CharField(blank=True, max_length=500)),
            (
                "channel",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="messages", to="finops.channel"
                ),
            ),
        ],
        options={
            "ordering": ["-id"],
            "indexes": [
                models.Index(
                    condition=models.Q(("state", "waiting")),
                    fields=["channel", "id"],
                    name="message_waiting",
                ),
                models.Index(fields=["channel", "-id"], name="message_log"),
            ],
            "constraints": [
                is_known(
                    "state",
                    ["failed", "not_delivered", "sent", "waiting"],
                    name="message_state_known",
                ),
                models.UniqueConstraint(
                    fields=("channel", "alert_id", "event", "at"), name="message_once"
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("state", "sent"), _negated=True),
                        ("sent_at__isnull", False),
                        _connector="OR",
                    ),
                    name="message_sent_says_when",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Attempt",
        fields=[
            ("id", own_id()),
            ("epoch", models.PositiveIntegerField()),
            ("at", models.DateTimeField()),
            ("delivered", models.BooleanField()),
            ("status_code", models.PositiveIntegerField(null=True)),
            ("retry_after_s", models.FloatField(help_text="As the receiver asked.", null=True)),
            (
                "duration_ms",
                models.FloatField(help_text="Unknown where the worker was killed.", null=True),
            ),
            ("problem", models.CharField(blank=True, max_length=500)),
            ("response_excerpt", models.CharField(blank=True, max_length=300)),
            (
                "message",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="log", to="finops.message"
                ),
            ),
        ],
        options={
            "ordering": ["-id"],
            "constraints": [
                models.UniqueConstraint(fields=("message", "epoch"), name="attempt_once"),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("delivered", True), ("problem", "")),
                        models.Q(("delivered", False), models.Q(("problem", ""), _negated=True)),
                        _connector="OR",
                    ),
                    name="attempt_says_what",
                ),
                is_not_negative("retry_after_s", name="attempt_retry_after_s_not_negative"),
                is_not_negative("duration_ms", name="attempt_duration_ms_not_negative"),
                float_is_finite("retry_after_s", name="attempt_retry_after_s_finite"),
                float_is_finite("duration_ms", name="attempt_duration_ms_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="SlackThread",
        fields=[
            ("id", own_id()),
            ("alert_id", models.CharField(max_length=100)),
            ("ts", models.CharField(help_text="Slack's name of the first message.", max_length=40)),
            (
                "shown_at",
                models.DateTimeField(help_text="When what the first message shows happened."),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "channel",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="threads", to="finops.channel"
                ),
            ),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(fields=("channel", "alert_id"), name="slack_thread_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="SlackLink",
        fields=[
            ("id", own_id()),
            ("team_id", models.CharField(help_text="Slack's id of the workspace.", max_length=30)),
            ("slack_user_id", models.CharField(max_length=30)),
            ("slack_name", models.CharField(help_text="As Slack told it then.", max_length=100)),
            ("linked_at", models.DateTimeField()),
            (
                "user",
                models.ForeignKey(
                    on_delete=models.CASCADE,
                    related_name="slack_links",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "ordering": ["-linked_at", "-id"],
            "constraints": [
                models.UniqueConstraint(
                    fields=("team_id", "slack_user_id"), name="slack_user_once"
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="SlackLinkCode",
        fields=[
            ("id", own_id()),
            ("code_sha256", models.BinaryField(max_length=32, unique=True)),
            ("team_id", models.CharField(max_length=30)),
            ("slack_user_id", models.CharField(max_length=30)),
            ("slack_name", models.CharField(max_length=100)),
            ("expires_at", models.DateTimeField()),
        ],
    ),
    migrations.CreateModel(
        name="SlackPress",
        fields=[
            ("id", own_id()),
            ("digest", models.BinaryField(max_length=32, unique=True)),
            ("team_id", models.CharField(max_length=30)),
            ("slack_user_id", models.CharField(max_length=30)),
            ("slack_name", models.CharField(max_length=100)),
            ("alert_id", models.CharField(max_length=100)),
            ("act", models.CharField(max_length=20)),
            ("at", models.DateTimeField()),
            ("outcome", models.CharField(default="waits", max_length=10)),
            ("done_at", models.DateTimeField(null=True)),
            (
                "channel",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="presses", to="finops.channel"
                ),
            ),
            (
                "user",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "ordering": ["-id"],
            "indexes": [
                models.Index(
                    condition=models.Q(("outcome", "waits")),
                    fields=["id"],
                    name="slack_press_waits",
                ),
            ],
            "constraints": [
                is_known("act", ["acknowledge", "snooze"], name="slackpress_act_known"),
                is_known(
                    "outcome",
                    ["done", "late", "refused", "unknown", "waits"],
                    name="slackpress_outcome_known",
                ),
            ],
        },
    ),
]
