"""Projects, and where their facts come from."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models
from django.db.models.functions import Lower

from ingest.migrations.first_tables.parts import is_known, own_id

TABLES = [
    migrations.CreateModel(
        name="Team",
        fields=[
            ("id", own_id()),
            ("name", models.CharField(max_length=100, unique=True)),
        ],
        options={
            "ordering": ["name"],
        },
    ),
    migrations.CreateModel(
        name="Project",
        fields=[
            ("id", own_id()),
            ("slug", models.SlugField(max_length=60, unique=True)),
            ("name", models.CharField(max_length=100)),
            ("environment", models.CharField(default="production", max_length=40)),
            (
                "keeps_text",
                models.BooleanField(
                    default=False,
                    help_text="Keep prompt and answer text. Off: only salted hashes and lengths.",
                ),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "team",
                models.ForeignKey(
                    blank=True, null=True, on_delete=models.PROTECT, to="ingest.team"
                ),
            ),
            (
                "text_days",
                models.PositiveSmallIntegerField(
                    db_default=30,
                    default=30,
                    help_text="How many days kept text stays after it came in.",
                    validators=[MinValueValidator(1), MaxValueValidator(3650)],
                ),
            ),
        ],
        options={
            "ordering": ["name"],
        },
    ),
    migrations.CreateModel(
        name="Pool",
        fields=[
            ("id", own_id()),
            ("name", models.CharField(max_length=100, unique=True)),
            (
                "provider",
                models.CharField(
                    blank=True,
                    help_text="The provider name its spans carry, such as triton or vllm.",
                    max_length=100,
                ),
            ),
            (
                "gpu_count",
                models.PositiveIntegerField(
                    blank=True,
                    help_text="GPUs (or machines) paid for; unknown when empty.",
                    null=True,
                ),
            ),
            (
                "hardware",
                models.CharField(
                    blank=True,
                    help_text="The price book's name of the hardware, as in H100.",
                    max_length=100,
                ),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
        ],
        options={
            "ordering": ["name"],
        },
    ),
    migrations.CreateModel(
        name="Source",
        fields=[
            ("id", own_id()),
            ("kind", models.CharField(max_length=40)),
            ("name", models.CharField(max_length=100, unique=True)),
            ("config", models.JSONField(blank=True, default=dict)),
            ("cursor", models.JSONField(blank=True, default=dict, editable=False)),
            ("enabled", models.BooleanField(default=True)),
            (
                "interval_s",
                models.PositiveIntegerField(
                    blank=True,
                    help_text="Seconds between pulls; empty for a source that pushes.",
                    null=True,
                ),
            ),
            (
                "is_sample",
                models.BooleanField(default=False, help_text="Made-up data, marked as such."),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("last_success_at", models.DateTimeField(blank=True, null=True)),
            (
                "last_fact_at",
                models.DateTimeField(
                    blank=True, help_text="Time of the newest fact it brought.", null=True
                ),
            ),
            ("last_error", models.TextField(blank=True)),
            ("last_error_at", models.DateTimeField(blank=True, null=True)),
            (
                "pool",
                models.ForeignKey(
                    blank=True, null=True, on_delete=models.PROTECT, to="ingest.pool"
                ),
            ),
            (
                "project",
                models.ForeignKey(
                    blank=True, null=True, on_delete=models.PROTECT, to="ingest.project"
                ),
            ),
            (
                "secrets",
                models.BinaryField(
                    help_text="Encrypted settings that go in and never come out.", null=True
                ),
            ),
            (
                "delayed_until",
                models.DateTimeField(
                    blank=True,
                    editable=False,
                    help_text="No request to its server before this.",
                    null=True,
                ),
            ),
            (
                "spent",
                models.JSONField(
                    db_default={},
                    default=dict,
                    editable=False,
                    help_text="Requests of this minute and day.",
                ),
            ),
        ],
        options={
            "ordering": ["name"],
        },
    ),
    migrations.CreateModel(
        name="Token",
        fields=[
            ("id", models.CharField(max_length=16, primary_key=True, serialize=False)),
            ("name", models.CharField(max_length=100)),
            ("secret_sha256", models.BinaryField(max_length=32)),
            ("scope", models.CharField(max_length=40)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "created_by",
                models.CharField(blank=True, help_text="A name, not a key.", max_length=150),
            ),
            ("expires_at", models.DateTimeField(blank=True, null=True)),
            ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ("last_used_at", models.DateTimeField(blank=True, null=True)),
            (
                "source",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="tokens", to="ingest.source"
                ),
            ),
        ],
        options={
            "ordering": [Lower("name")],
            "constraints": [
                is_known("scope", ["gpu:write", "traces:write"], name="token_scope_known"),
            ],
        },
    ),
    migrations.CreateModel(
        name="Pull",
        fields=[
            ("id", own_id()),
            ("rows_in", models.BigIntegerField(default=0)),
            ("inserted", models.BigIntegerField(default=0)),
            ("updated", models.BigIntegerField(default=0)),
            ("unchanged", models.BigIntegerField(default=0)),
            ("stale", models.BigIntegerField(default=0)),
            ("rejected", models.BigIntegerField(default=0)),
            ("window_from", models.DateTimeField()),
            ("window_to", models.DateTimeField()),
            ("state", models.CharField(default="running", max_length=10)),
            ("started_at", models.DateTimeField(auto_now_add=True)),
            ("finished_at", models.DateTimeField(blank=True, null=True)),
            ("error", models.TextField(blank=True)),
            (
                "source",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="pulls", to="ingest.source"
                ),
            ),
        ],
        options={
            "ordering": ["-started_at"],
            "indexes": [
                models.Index(
                    fields=["source", "-started_at"], name="ingest_pull_source__541823_idx"
                ),
            ],
            "constraints": [
                is_known("state", ["done", "failed", "running"], name="pull_state_known"),
                models.CheckConstraint(
                    condition=models.Q(
                        (
                            "rows_in",
                            models.F("inserted")
                            + models.F("updated")
                            + models.F("unchanged")
                            + models.F("stale")
                            + models.F("rejected"),
                        )
                    ),
                    name="pull_rows_add_up",
                ),
                models.UniqueConstraint(
                    fields=("source", "window_from", "window_to"), name="pull_window_once"
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Delivery",
        fields=[
            ("id", own_id()),
            ("rows_in", models.BigIntegerField(default=0)),
            ("inserted", models.BigIntegerField(default=0)),
            ("updated", models.BigIntegerField(default=0)),
            ("unchanged", models.BigIntegerField(default=0)),
            ("stale", models.BigIntegerField(default=0)),
            ("rejected", models.BigIntegerField(default=0)),
            ("name", models.TextField()),
            ("sha256", models.BinaryField(max_length=32)),
            ("received_at", models.DateTimeField()),
            (
                "complete",
                models.BooleanField(
                    default=False, help_text="Only a complete delivery supersedes an earlier one."
                ),
            ),
            (
                "source",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="deliveries", to="ingest.source"
                ),
            ),
            (
                "note",
                models.TextField(
                    blank=True, db_default="", default="", help_text="Why it is not complete."
                ),
            ),
            (
                "warnings",
                models.JSONField(
                    blank=True,
                    db_default=[],
                    default=list,
                    help_text="What is doubtful about its figures.",
                ),
            ),
        ],
        options={
            "ordering": ["-received_at", "-id"],
            "constraints": [
                models.UniqueConstraint(fields=("source", "sha256"), name="delivery_once"),
                models.CheckConstraint(
                    condition=models.Q(
                        (
                            "rows_in",
                            models.F("inserted")
                            + models.F("updated")
                            + models.F("unchanged")
                            + models.F("stale")
                            + models.F("rejected"),
                        )
                    ),
                    name="delivery_rows_add_up",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Reject",
        fields=[
            ("id", own_id()),
            ("received_at", models.DateTimeField(auto_now_add=True)),
            ("reason", models.CharField(max_length=60)),
            ("field", models.CharField(blank=True, max_length=100)),
            ("detail", models.TextField()),
            ("external_id", models.CharField(blank=True, max_length=200)),
            ("line", models.BigIntegerField(null=True)),
            (
                "payload",
                models.BinaryField(default=b"", help_text="Fernet-encrypted row as received."),
            ),
            (
                "delivery",
                models.ForeignKey(
                    null=True,
                    on_delete=models.CASCADE,
                    related_name="rejects",
                    to="ingest.delivery",
                ),
            ),
            (
                "source",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="rejects", to="ingest.source"
                ),
            ),
            (
                "form",
                models.CharField(
                    blank=True,
                    db_default="",
                    default="",
                    help_text="Which decoder reads the payload again; empty: none can.",
                    max_length=30,
                ),
            ),
            ("state", models.CharField(db_default="refused", default="refused", max_length=10)),
            ("tries", models.PositiveIntegerField(db_default=0, default=0)),
            (
                "tried_at",
                models.DateTimeField(help_text="When it was last tried again.", null=True),
            ),
        ],
        options={
            "ordering": ["-received_at", "-id"],
            "indexes": [
                models.Index(
                    fields=["source", "-received_at"], name="ingest_reje_source__b0088c_idx"
                ),
            ],
            "constraints": [
                is_known("state", ["refused", "taken"], name="reject_state_known"),
            ],
        },
    ),
    migrations.CreateModel(
        name="Job",
        fields=[
            ("id", own_id()),
            ("kind", models.CharField(max_length=40)),
            ("key", models.CharField(max_length=200)),
            ("scheduled_for", models.DateTimeField()),
            ("payload", models.JSONField(default=dict)),
            ("state", models.CharField(default="waiting", max_length=10)),
            ("attempts", models.PositiveIntegerField(default=0)),
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
            ("finished_at", models.DateTimeField(null=True)),
            ("progress", models.JSONField(default=dict)),
            ("error", models.TextField(blank=True)),
        ],
        options={
            "indexes": [
                models.Index(
                    condition=models.Q(("state__in", ["waiting", "running"])),
                    fields=["scheduled_for"],
                    name="job_open",
                ),
            ],
            "constraints": [
                is_known("state", ["done", "failed", "running", "waiting"], name="job_state_known"),
                models.UniqueConstraint(fields=("kind", "key", "scheduled_for"), name="job_once"),
            ],
        },
    ),
]
