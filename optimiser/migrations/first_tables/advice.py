"""Servers, what runs on them, advice, and what it rests on."""

from django.conf import settings
from django.db import migrations, models

from ingest.migrations.first_tables.parts import is_known, own_id

TABLES = [
    migrations.CreateModel(
        name="Server",
        fields=[
            ("id", own_id()),
            ("name", models.CharField(max_length=100, unique=True)),
            (
                "url",
                models.CharField(
                    help_text="Its HTTP address, as in http://triton:8000.", max_length=300
                ),
            ),
            (
                "admin_key",
                models.BinaryField(
                    blank=True, help_text="Encrypted; empty when it asks for none.", null=True
                ),
            ),
            ("timeout_s", models.FloatField(default=10, help_text="How long one call may take.")),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "statistics_source",
                models.ForeignKey(
                    blank=True,
                    help_text="The source of kind triton_statistics that measures this server.",
                    null=True,
                    on_delete=models.PROTECT,
                    to="ingest.source",
                ),
            ),
        ],
        options={
            "ordering": ["name"],
            "constraints": [
                models.CheckConstraint(
                    condition=models.Q(("timeout_s__gt", 0), ("timeout_s__lte", 60)),
                    name="server_timeout_sensible",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Target",
        fields=[
            ("id", own_id()),
            ("kind", models.CharField(default="model", max_length=10)),
            (
                "model",
                models.CharField(
                    help_text="Its name in Triton's model repository.", max_length=200
                ),
            ),
            (
                "shadow_model",
                models.CharField(
                    blank=True,
                    help_text="The same files under another name, for calibration; empty when"
                    " there is none.",
                    max_length=200,
                ),
            ),
            (
                "request_model",
                models.CharField(
                    help_text="The model its callers ask for: `gen_ai.request.model` of spans.",
                    max_length=200,
                ),
            ),
            (
                "desired_config",
                models.JSONField(
                    blank=True,
                    help_text="The full config it should have; empty until first read.",
                    null=True,
                ),
            ),
            ("desired_since", models.DateTimeField(blank=True, null=True)),
            (
                "live_config",
                models.JSONField(blank=True, help_text="As read at `checked_at`.", null=True),
            ),
            ("live_state", models.CharField(default="unknown", max_length=10)),
            ("live_state_since", models.DateTimeField(blank=True, null=True)),
            (
                "live_detail",
                models.TextField(blank=True, help_text="What differs, or why it is unknown."),
            ),
            ("checked_at", models.DateTimeField(blank=True, null=True)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "pool",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.pool"),
            ),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "server",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="targets", to="optimiser.server"
                ),
            ),
            (
                "epoch",
                models.PositiveIntegerField(
                    default=0,
                    help_text="Counts the leases; a holder of an older one may not write.",
                ),
            ),
            ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
            ("lease_holder", models.CharField(blank=True, max_length=100)),
        ],
        options={
            "ordering": ["server__name", "model"],
            "constraints": [
                is_known("kind", ["model", "router"], name="target_kind_known"),
                is_known(
                    "live_state",
                    ["away", "drifted", "in_step", "unknown"],
                    name="target_live_state_known",
                ),
                models.UniqueConstraint(fields=("server", "model"), name="target_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="Calibration",
        fields=[
            ("id", own_id()),
            ("lease_holder", models.CharField(blank=True, max_length=100)),
            ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
            (
                "epoch",
                models.PositiveIntegerField(
                    default=0,
                    help_text="Counts the leases; a holder of an older one may not write.",
                ),
            ),
            ("state", models.CharField(default="waiting", max_length=10)),
            ("requested_at", models.DateTimeField(auto_now_add=True)),
            ("started_at", models.DateTimeField(null=True)),
            ("finished_at", models.DateTimeField(null=True)),
            (
                "config",
                models.JSONField(help_text="The live config it was measured beside.", null=True),
            ),
            ("curve", models.JSONField(null=True)),
            ("measurements", models.JSONField(null=True)),
            ("error", models.TextField(blank=True)),
            (
                "requested_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "target",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="calibrations", to="optimiser.target"
                ),
            ),
        ],
        options={
            "ordering": ["-requested_at"],
            "constraints": [
                is_known(
                    "state",
                    ["done", "failed", "running", "waiting"],
                    name="calibration_state_known",
                ),
                models.UniqueConstraint(
                    condition=models.Q(("state__in", ["waiting", "running"])),
                    fields=("target",),
                    name="calibration_one_at_a_time",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Evidence",
        fields=[
            ("id", own_id()),
            ("kind", models.CharField(max_length=12)),
            ("lever", models.CharField(max_length=40)),
            ("versions", models.JSONField(help_text="Of the lever, the simulator and the judge.")),
            ("window_from", models.DateTimeField()),
            ("window_to", models.DateTimeField()),
            ("requests", models.PositiveBigIntegerField()),
            ("seed", models.BigIntegerField()),
            ("input_hash", models.CharField(max_length=64)),
            ("results", models.JSONField()),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "calibration",
                models.ForeignKey(null=True, on_delete=models.PROTECT, to="optimiser.calibration"),
            ),
            (
                "target",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="evidence", to="optimiser.target"
                ),
            ),
        ],
        options={
            "verbose_name_plural": "evidence",
            "constraints": [
                is_known("kind", ["experiment", "simulation"], name="evidence_kind_known"),
            ],
        },
    ),
    migrations.CreateModel(
        name="Recommendation",
        fields=[
            ("id", own_id()),
            ("lever", models.CharField(max_length=40)),
            ("outcome", models.CharField(max_length=20)),
            ("reason", models.TextField()),
            ("title", models.CharField(max_length=200)),
            ("state", models.CharField(default="open", max_length=12)),
            ("current_config", models.JSONField()),
            ("candidate_config", models.JSONField(null=True)),
            (
                "effect",
                models.JSONField(
                    help_text="Per metric: before, after, change, interval.", null=True
                ),
            ),
            ("risk", models.TextField(blank=True)),
            ("rollback", models.TextField(blank=True)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("closed_at", models.DateTimeField(null=True)),
            ("closed_reason", models.TextField(blank=True)),
            (
                "closed_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "evidence",
                models.ForeignKey(null=True, on_delete=models.PROTECT, to="optimiser.evidence"),
            ),
            (
                "target",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="recommendations", to="optimiser.target"
                ),
            ),
        ],
        options={
            "ordering": ["-created_at"],
            "constraints": [
                is_known(
                    "outcome",
                    ["needs_experiment", "not_enough_data", "recommended", "refused"],
                    name="recommendation_outcome_known",
                ),
                is_known(
                    "state",
                    ["dismissed", "open", "proposed", "superseded"],
                    name="recommendation_state_known",
                ),
                models.UniqueConstraint(
                    condition=models.Q(("state", "open")),
                    fields=("target", "lever"),
                    name="recommendation_one_open",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("outcome", "recommended"), _negated=True),
                        models.Q(
                            ("candidate_config__isnull", False),
                            ("effect__isnull", False),
                            ("evidence__isnull", False),
                        ),
                        _connector="OR",
                    ),
                    name="recommendation_has_evidence",
                ),
            ],
        },
    ),
]
