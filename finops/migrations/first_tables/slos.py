"""Service level objectives, and watch rules."""

from django.conf import settings
from django.db import migrations, models

from ingest.migrations.first_tables.parts import is_known, own_id

TABLES = [
    migrations.CreateModel(
        name="Slo",
        fields=[
            ("id", own_id()),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "current",
                models.ForeignKey(
                    help_text="The newest; empty only while its first one is written.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="finops.sloversion",
                ),
            ),
        ],
        options={
            "ordering": ["pk"],
        },
    ),
    migrations.CreateModel(
        name="SloVersion",
        fields=[
            ("id", own_id()),
            ("number", models.PositiveIntegerField()),
            ("definition", models.JSONField()),
            (
                "retires",
                models.BooleanField(default=False, help_text="From here on it holds no more."),
            ),
            ("at", models.DateTimeField(auto_now_add=True)),
            (
                "proposal",
                models.OneToOneField(
                    on_delete=models.PROTECT, related_name="version", to="finops.sloproposal"
                ),
            ),
            (
                "slo",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="versions", to="finops.slo"
                ),
            ),
        ],
        options={
            "ordering": ["slo", "-number"],
            "constraints": [
                models.UniqueConstraint(fields=("slo", "number"), name="sloversion_once"),
                models.CheckConstraint(
                    condition=models.Q(("number__gte", 1)), name="sloversion_counts_from_one"
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="SloProposal",
        fields=[
            ("id", own_id()),
            ("act", models.CharField(max_length=10)),
            ("definition", models.JSONField(help_text="The whole one that is wanted.")),
            (
                "based_on",
                models.PositiveIntegerField(
                    default=0, help_text="The version that was live; 0: there was none."
                ),
            ),
            ("why", models.TextField(blank=True)),
            ("state", models.CharField(default="proposed", max_length=10)),
            ("revision", models.PositiveIntegerField(default=1)),
            ("plan_hash", models.CharField(max_length=64)),
            ("expires_at", models.DateTimeField()),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("closed_at", models.DateTimeField(null=True)),
            ("why_closed", models.TextField(blank=True)),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "proposer",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
            (
                "slo",
                models.ForeignKey(
                    null=True, on_delete=models.PROTECT, related_name="proposals", to="finops.slo"
                ),
            ),
        ],
        options={
            "ordering": ["-created_at", "-pk"],
            "indexes": [
                models.Index(fields=["state", "-created_at"], name="sloproposal_state"),
            ],
            "constraints": [
                is_known(
                    "state",
                    ["approved", "expired", "proposed", "rejected", "void", "withdrawn"],
                    name="sloproposal_state_known",
                ),
                is_known("act", ["change", "create", "retire"], name="sloproposal_act_known"),
                models.UniqueConstraint(fields=("id", "proposer"), name="sloproposal_and_proposer"),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("act", "create"), ("based_on", 0)),
                        models.Q(
                            models.Q(("act", "create"), _negated=True),
                            ("based_on__gte", 1),
                            ("slo__isnull", False),
                        ),
                        _connector="OR",
                    ),
                    name="sloproposal_is_based_on_one",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="SloEditor",
        fields=[
            ("id", own_id()),
            ("at", models.DateTimeField(auto_now_add=True)),
            (
                "editor",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
            (
                "proposal",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="editors", to="finops.sloproposal"
                ),
            ),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(fields=("proposal", "editor"), name="sloeditor_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="SloDecision",
        fields=[
            ("id", own_id()),
            ("plan_hash", models.CharField(max_length=64)),
            ("decision", models.CharField(max_length=10)),
            ("comment", models.TextField(blank=True)),
            ("via", models.CharField(max_length=10)),
            ("at", models.DateTimeField(auto_now_add=True)),
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
                "proposal",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="decisions", to="finops.sloproposal"
                ),
            ),
        ],
        options={
            "ordering": ["at", "pk"],
            "constraints": [
                is_known(
                    "decision", ["approve", "ask", "reject"], name="slodecision_decision_known"
                ),
                models.CheckConstraint(
                    condition=models.Q(("approver", models.F("proposer")), _negated=True),
                    name="slodecision_by_a_second_person",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="SloStatus",
        fields=[
            (
                "slo",
                models.OneToOneField(
                    on_delete=models.CASCADE,
                    primary_key=True,
                    related_name="status",
                    serialize=False,
                    to="finops.slo",
                ),
            ),
            ("version", models.PositiveIntegerField()),
            ("state", models.CharField(max_length=10)),
            ("why", models.TextField()),
            ("severity", models.CharField(blank=True, help_text="Of its alert.", max_length=10)),
            ("good", models.BigIntegerField()),
            ("total", models.BigIntegerField()),
            ("unknown", models.BigIntegerField()),
            ("budget_left", models.DecimalField(decimal_places=6, max_digits=20, null=True)),
            ("burn_1h", models.DecimalField(decimal_places=6, max_digits=20, null=True)),
            ("as_of", models.DateTimeField(help_text="Of the newest fact.", null=True)),
            ("evaluated_at", models.DateTimeField()),
        ],
        options={
            "constraints": [
                is_known(
                    "state",
                    ["burning", "exhausted", "met", "unknown"],
                    name="slostatus_state_known",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("good__gte", 0), ("total__gte", models.F("good")), ("unknown__gte", 0)
                    ),
                    name="slostatus_counts",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("budget_left__isnull", True), ("budget_left__lte", 1), _connector="OR"
                    ),
                    name="slostatus_left_sane",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="WatchRule",
        fields=[
            ("id", own_id()),
            ("name", models.CharField(max_length=100)),
            ("metric", models.CharField(max_length=20)),
            (
                "comparison",
                models.CharField(help_text="below or above the threshold", max_length=10),
            ),
            (
                "threshold",
                models.DecimalField(
                    decimal_places=6,
                    help_text="In the unit of the metric; empty: not given, and it is off.",
                    max_digits=20,
                    null=True,
                ),
            ),
            (
                "currency",
                models.CharField(blank=True, help_text="Of a cost per request.", max_length=20),
            ),
            ("window_minutes", models.PositiveSmallIntegerField(default=15)),
            ("needed", models.PositiveSmallIntegerField(default=2)),
            ("of_last", models.PositiveSmallIntegerField(default=3)),
            (
                "least_requests",
                models.PositiveIntegerField(
                    default=50, help_text="A window with fewer says nothing."
                ),
            ),
            (
                "only_models",
                models.JSONField(
                    default=list, help_text="Only these models; empty: all of them together."
                ),
            ),
            ("urgency", models.CharField(max_length=10)),
            ("action", models.TextField(help_text="What to do about it.")),
            (
                "path",
                models.CharField(blank=True, help_text="The page to do it on.", max_length=200),
            ),
            ("is_on", models.BooleanField(default=True)),
            ("revision", models.PositiveIntegerField(default=1)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("removed_at", models.DateTimeField(null=True)),
            (
                "created_by",
                models.ForeignKey(
                    help_text="Empty: it came with the installation.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "project",
                models.ForeignKey(
                    help_text="Empty: each project by itself.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="ingest.project",
                ),
            ),
        ],
        options={
            "ordering": ["name", "pk"],
            "constraints": [
                is_known(
                    "metric",
                    [
                        "cache_hit",
                        "cost_per_request",
                        "error_rate",
                        "gpu_utilization",
                        "latency_mean",
                        "latency_p95",
                        "ttft_p95",
                    ],
                    name="watchrule_metric_known",
                ),
                is_known("comparison", ["above", "below"], name="watchrule_comparison_known"),
                is_known(
                    "urgency", ["critical", "high", "low", "medium"], name="watchrule_urgency_known"
                ),
                is_known("window_minutes", [15, 30, 60], name="watchrule_window_minutes_known"),
                models.CheckConstraint(
                    condition=models.Q(
                        ("threshold__isnull", False), ("is_on", False), _connector="OR"
                    ),
                    name="watchrule_on_has_threshold",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("threshold__isnull", True),
                        models.Q(("threshold__gte", 0), ("threshold__lt", 1000000000000)),
                        _connector="OR",
                    ),
                    name="watchrule_threshold_sane",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("needed__gte", 1),
                        ("needed__lte", models.F("of_last")),
                        ("of_last__lte", 12),
                    ),
                    name="watchrule_needs_some_of_the_last",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(
                            ("metric", "cost_per_request"),
                            models.Q(("currency", ""), _negated=True),
                        ),
                        models.Q(
                            models.Q(("metric", "cost_per_request"), _negated=True),
                            ("currency", ""),
                        ),
                        _connector="OR",
                    ),
                    name="watchrule_cost_has_currency",
                ),
                models.UniqueConstraint(
                    condition=models.Q(("removed_at__isnull", True)),
                    fields=("name",),
                    name="watchrule_name_once",
                ),
            ],
        },
    ),
]
