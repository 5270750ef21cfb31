"""Changes, who decides on them, how they are carried out and judged."""

from django.conf import settings
from django.db import migrations, models

from ingest.migrations.first_tables.parts import is_known, own_id

TABLES = [
    migrations.CreateModel(
        name="Change",
        fields=[
            ("id", own_id()),
            ("lever", models.CharField(max_length=40)),
            ("title", models.CharField(max_length=200)),
            ("why", models.TextField(blank=True)),
            ("state", models.CharField(default="proposed", max_length=12)),
            ("live_config", models.JSONField(help_text="The full config this change is based on.")),
            ("desired_config", models.JSONField(help_text="The full config it asks for.")),
            ("effect", models.JSONField(null=True)),
            ("risk", models.TextField(blank=True)),
            ("rollback", models.TextField(blank=True)),
            ("policy", models.JSONField(help_text="How it is tried out, judged and approved.")),
            ("expires_at", models.DateTimeField()),
            ("revision", models.PositiveIntegerField(default=1)),
            ("plan_hash", models.CharField(max_length=64)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("closed_at", models.DateTimeField(null=True)),
            (
                "proposer",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
            (
                "evidence",
                models.ForeignKey(null=True, on_delete=models.PROTECT, to="optimiser.evidence"),
            ),
            (
                "recommendation",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="changes",
                    to="optimiser.recommendation",
                ),
            ),
            (
                "target",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="changes", to="optimiser.target"
                ),
            ),
        ],
        options={
            "ordering": ["-created_at"],
            "indexes": [
                models.Index(fields=["state", "-created_at"], name="change_state"),
            ],
            "constraints": [
                is_known(
                    "state",
                    [
                        "approved",
                        "expired",
                        "failed",
                        "promoted",
                        "proposed",
                        "rejected",
                        "rolled_back",
                        "rolling_out",
                        "withdrawn",
                    ],
                    name="change_state_known",
                ),
                models.UniqueConstraint(fields=("id", "proposer"), name="change_and_proposer"),
            ],
        },
    ),
    migrations.CreateModel(
        name="ChangeEditor",
        fields=[
            ("id", own_id()),
            ("at", models.DateTimeField(auto_now_add=True)),
            (
                "change",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="editors", to="optimiser.change"
                ),
            ),
            (
                "editor",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(fields=("change", "editor"), name="editor_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="ChangeEvent",
        fields=[
            ("id", own_id()),
            ("at", models.DateTimeField(auto_now_add=True)),
            ("kind", models.CharField(max_length=30)),
            ("text", models.TextField()),
            ("detail", models.JSONField(default=dict)),
            (
                "actor",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "change",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="events", to="optimiser.change"
                ),
            ),
        ],
        options={
            "ordering": ["at", "id"],
        },
    ),
    migrations.CreateModel(
        name="Approval",
        fields=[
            ("id", own_id()),
            ("plan_hash", models.CharField(max_length=64)),
            ("decision", models.CharField(max_length=10)),
            ("comment", models.TextField(blank=True)),
            ("via", models.CharField(max_length=10)),
            ("at", models.DateTimeField(auto_now_add=True)),
            ("voided_at", models.DateTimeField(null=True)),
            ("void_reason", models.TextField(blank=True)),
            (
                "approver",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
            (
                "proposer",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
            (
                "change",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="approvals", to="optimiser.change"
                ),
            ),
        ],
        options={
            "ordering": ["at"],
            "constraints": [
                is_known("decision", ["approve", "ask", "reject"], name="approval_decision_known"),
                models.CheckConstraint(
                    condition=models.Q(("approver", models.F("proposer")), _negated=True),
                    name="approval_by_a_second_person",
                ),
                models.UniqueConstraint(
                    condition=models.Q(
                        ("voided_at", None), models.Q(("decision", "ask"), _negated=True)
                    ),
                    fields=("change", "approver", "plan_hash"),
                    name="approval_once",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Rollout",
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
            ("plan_hash", models.CharField(help_text="Exactly what was approved.", max_length=64)),
            ("state", models.CharField(default="waiting", max_length=20)),
            ("reason", models.TextField(blank=True, help_text="Why it is where it is.")),
            (
                "snapshot",
                models.JSONField(
                    help_text="The full config before; what rollback loads.", null=True
                ),
            ),
            ("seed", models.BigIntegerField()),
            (
                "arms",
                models.JSONField(default=list, help_text="The randomised order of the blocks."),
            ),
            ("stop_asked_at", models.DateTimeField(null=True)),
            (
                "attempts",
                models.PositiveIntegerField(default=0, help_text="Failed tries of this step."),
            ),
            ("not_before", models.DateTimeField(help_text="When the next step is due.", null=True)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("started_at", models.DateTimeField(null=True)),
            ("finished_at", models.DateTimeField(null=True)),
            ("error", models.TextField(blank=True)),
            (
                "change",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="rollouts", to="optimiser.change"
                ),
            ),
            (
                "stop_asked_by",
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
                    on_delete=models.PROTECT, related_name="rollouts", to="optimiser.target"
                ),
            ),
        ],
        options={
            "ordering": ["-created_at"],
            "constraints": [
                is_known(
                    "state",
                    [
                        "measuring",
                        "promoted",
                        "promoting",
                        "refused",
                        "restoring",
                        "rollback_failed",
                        "rolled_back",
                        "snapshot",
                        "waiting",
                    ],
                    name="rollout_state_known",
                ),
                models.UniqueConstraint(
                    condition=models.Q(
                        (
                            "state__in",
                            (
                                "waiting",
                                "snapshot",
                                "measuring",
                                "promoting",
                                "restoring",
                                "rollback_failed",
                            ),
                        )
                    ),
                    fields=("target",),
                    name="rollout_one_a_target",
                ),
                models.UniqueConstraint(fields=("change", "plan_hash"), name="rollout_once_a_plan"),
            ],
        },
    ),
    migrations.CreateModel(
        name="RolloutBlock",
        fields=[
            ("id", own_id()),
            ("index", models.PositiveIntegerField()),
            (
                "arm",
                models.CharField(
                    blank=True, help_text="Empty for a split: both at once.", max_length=10
                ),
            ),
            ("weight", models.FloatField(help_text="The canary's share, for a split.", null=True)),
            ("applied_at", models.DateTimeField(null=True)),
            ("measured_from", models.DateTimeField(help_text="After the wash-out.", null=True)),
            ("measured_to", models.DateTimeField(null=True)),
            (
                "statistics_from",
                models.JSONField(help_text="The server's own counts then.", null=True),
            ),
            ("statistics_to", models.JSONField(null=True)),
            (
                "dropped_reason",
                models.TextField(blank=True, help_text="Why the judge does not see it."),
            ),
            (
                "rollout",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="blocks", to="optimiser.rollout"
                ),
            ),
        ],
        options={
            "ordering": ["rollout", "index"],
            "constraints": [
                models.UniqueConstraint(fields=("rollout", "index"), name="block_once"),
                models.CheckConstraint(
                    condition=models.Q(
                        ("measured_to", None),
                        ("measured_to__gt", models.F("measured_from")),
                        _connector="OR",
                    ),
                    name="block_has_length",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Verdict",
        fields=[
            ("id", own_id()),
            ("look", models.PositiveIntegerField()),
            ("looks", models.PositiveIntegerField()),
            ("outcome", models.CharField(max_length=12)),
            ("reason", models.TextField()),
            ("metrics", models.JSONField()),
            ("stops", models.BooleanField()),
            ("judge_version", models.CharField(max_length=40)),
            ("input_hash", models.CharField(max_length=64)),
            ("at", models.DateTimeField(auto_now_add=True)),
            (
                "rollout",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="verdicts", to="optimiser.rollout"
                ),
            ),
        ],
        options={
            "ordering": ["rollout", "look"],
            "constraints": [
                is_known("outcome", ["FAIL", "INCONCLUSIVE", "PASS"], name="verdict_outcome_known"),
                models.UniqueConstraint(fields=("rollout", "look"), name="verdict_once_a_look"),
            ],
        },
    ),
]
