"""Alerts, their history, the rules of telling, and silences."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from ingest.migrations.first_tables.parts import is_known, own_id

TABLES = [
    migrations.CreateModel(
        name="Alert",
        fields=[
            ("id", own_id()),
            ("kind", models.CharField(max_length=20)),
            (
                "key",
                models.CharField(help_text="What it is about, to its producer.", max_length=300),
            ),
            ("severity", models.CharField(max_length=10)),
            ("title", models.CharField(max_length=300)),
            ("text", models.TextField()),
            ("path", models.CharField(help_text="The page where it is seen.", max_length=1000)),
            (
                "figures",
                models.JSONField(default=dict, help_text="Name → value, in words for people."),
            ),
            (
                "channel_ids",
                ArrayField(
                    base_field=models.IntegerField(),
                    blank=True,
                    default=list,
                    help_text="Empty: those that the rule of its kind names.",
                    size=None,
                ),
            ),
            ("state", models.CharField(default="open", max_length=20)),
            ("opened_at", models.DateTimeField()),
            ("last_seen_at", models.DateTimeField()),
            ("times_seen", models.BigIntegerField(default=1)),
            (
                "waiting_since",
                models.DateTimeField(
                    help_text="When it last began to wait for somebody: opened, came back, or grew"
                    " worse."
                ),
            ),
            (
                "told_at",
                models.DateTimeField(help_text="When channels were last told to look.", null=True),
            ),
            ("escalated_at", models.DateTimeField(null=True)),
            ("acknowledged_at", models.DateTimeField(null=True)),
            ("snoozed_until", models.DateTimeField(null=True)),
            ("resolved_at", models.DateTimeField(null=True)),
            ("why", models.TextField(blank=True, help_text="Why it is resolved.")),
            (
                "holds",
                models.BooleanField(
                    default=True,
                    help_text="What it tells of was still so when its producer last looked.",
                ),
            ),
            (
                "acknowledged_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "owner",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "project",
                models.ForeignKey(
                    help_text="Empty: for members of the organisation.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="ingest.project",
                ),
            ),
            (
                "resolved_by",
                models.ForeignKey(
                    help_text="Empty: it ended by itself.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "swings",
                models.PositiveIntegerField(
                    default=0,
                    help_text="How often it was over and came again within the quiet time.",
                ),
            ),
            ("swung_at", models.DateTimeField(help_text="When it last came again.", null=True)),
            (
                "is_flapping",
                models.BooleanField(
                    default=False,
                    help_text="Channels were told so, and hear of it when it holds still.",
                ),
            ),
        ],
        options={
            "ordering": ["-opened_at", "-id"],
            "indexes": [
                models.Index(fields=["-opened_at", "-id"], name="alert_newest"),
                models.Index(fields=["kind", "key", "-id"], name="alert_key"),
                models.Index(
                    condition=models.Q(("state", "open")), fields=["project"], name="alert_open"
                ),
            ],
            "constraints": [
                is_known("severity", ["critical", "info", "warning"], name="alert_severity_known"),
                is_known(
                    "state",
                    ["acknowledged", "open", "resolved", "snoozed"],
                    name="alert_state_known",
                ),
                models.UniqueConstraint(
                    condition=models.Q(("state", "resolved"), _negated=True),
                    fields=("kind", "key"),
                    name="alert_once",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("key", ""), _negated=True), models.Q(("title", ""), _negated=True)
                    ),
                    name="alert_says_what",
                ),
                models.CheckConstraint(
                    condition=models.Q(("times_seen__gte", 1)), name="alert_was_seen"
                ),
                models.CheckConstraint(
                    condition=models.Q(("last_seen_at__gte", models.F("opened_at"))),
                    name="alert_seen_after_opened",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("snoozed_until__isnull", False), ("state", "snoozed")),
                        models.Q(
                            models.Q(("state", "snoozed"), _negated=True), ("snoozed_until", None)
                        ),
                        _connector="OR",
                    ),
                    name="alert_snoozed_until",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("resolved_at__isnull", False), ("state", "resolved")),
                        models.Q(
                            models.Q(("state", "resolved"), _negated=True),
                            ("resolved_at", None),
                            ("resolved_by", None),
                            ("why", ""),
                        ),
                        _connector="OR",
                    ),
                    name="alert_resolved_when",
                ),
                is_known(
                    "kind",
                    [
                        "anomaly",
                        "budget",
                        "drift",
                        "slo",
                        "source_lag",
                        "threshold",
                        "unpriced",
                        "verdict",
                    ],
                    name="alert_kind_known",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="AlertEvent",
        fields=[
            ("id", own_id()),
            ("act", models.CharField(max_length=20)),
            ("severity", models.CharField(help_text="As it was then.", max_length=10)),
            ("at", models.DateTimeField()),
            (
                "by_name",
                models.CharField(blank=True, help_text="Empty: nobody, by itself.", max_length=150),
            ),
            ("note", models.TextField(blank=True)),
            (
                "told",
                ArrayField(
                    base_field=models.IntegerField(),
                    blank=True,
                    default=list,
                    help_text="The channels this was handed to.",
                    size=None,
                ),
            ),
            (
                "alert",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="events", to="finops.alert"
                ),
            ),
            (
                "by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "ordering": ["id"],
            "constraints": [
                is_known(
                    "act",
                    [
                        "acknowledged",
                        "escalated",
                        "opened",
                        "reminded",
                        "reopened",
                        "resolved",
                        "returned",
                        "rose",
                        "settled",
                        "snoozed",
                        "told_late",
                    ],
                    name="alertevent_act_known",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="AlertRule",
        fields=[
            ("kind", models.CharField(max_length=20, primary_key=True, serialize=False)),
            (
                "enabled",
                models.BooleanField(
                    default=True,
                    help_text="Off: alerts are kept and shown here, and nobody is told.",
                ),
            ),
            ("severity", models.CharField(default="warning", max_length=10)),
            (
                "channel_ids",
                ArrayField(base_field=models.IntegerField(), blank=True, default=list, size=None),
            ),
            ("remind_every_s", models.PositiveIntegerField(help_text="Empty: never.", null=True)),
            ("escalate_after_s", models.PositiveIntegerField(help_text="Empty: never.", null=True)),
            (
                "escalation_channel_ids",
                ArrayField(base_field=models.IntegerField(), blank=True, default=list, size=None),
            ),
            ("changed_at", models.DateTimeField(null=True)),
            (
                "changed_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "quiet_s",
                models.PositiveIntegerField(
                    default=900,
                    help_text="Over and back within this time: the same alert. Empty: a new one"
                    " each time.",
                    null=True,
                ),
            ),
        ],
        options={
            "ordering": ["kind"],
            "constraints": [
                is_known(
                    "severity", ["critical", "info", "warning"], name="alertrule_severity_known"
                ),
                is_known(
                    "kind",
                    [
                        "anomaly",
                        "budget",
                        "drift",
                        "slo",
                        "source_lag",
                        "threshold",
                        "unpriced",
                        "verdict",
                    ],
                    name="alertrule_kind_known",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Silence",
        fields=[
            ("id", own_id()),
            ("kind", models.CharField(blank=True, help_text="Empty: every kind.", max_length=20)),
            (
                "key_pattern",
                models.CharField(
                    blank=True, help_text="As in `source:*`; empty: every key.", max_length=300
                ),
            ),
            ("starts_at", models.DateTimeField()),
            ("ends_at", models.DateTimeField()),
            ("why", models.CharField(max_length=500)),
            ("created_at", models.DateTimeField()),
            (
                "ended_at",
                models.DateTimeField(help_text="When somebody ended it early.", null=True),
            ),
            (
                "created_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "ended_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "project",
                models.ForeignKey(
                    blank=True,
                    help_text="Empty: every alert, whatever its project.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="ingest.project",
                ),
            ),
        ],
        options={
            "ordering": ["-starts_at", "-id"],
            "constraints": [
                models.CheckConstraint(
                    condition=models.Q(("ends_at__gt", models.F("starts_at"))),
                    name="silence_forward",
                ),
                models.CheckConstraint(
                    condition=models.Q(("why", ""), _negated=True), name="silence_says_why"
                ),
                is_known(
                    "kind",
                    [
                        "",
                        "anomaly",
                        "budget",
                        "drift",
                        "slo",
                        "source_lag",
                        "threshold",
                        "unpriced",
                        "verdict",
                    ],
                    name="silence_kind_known",
                ),
            ],
        },
    ),
]
