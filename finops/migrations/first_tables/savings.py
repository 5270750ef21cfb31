"""What is expected, what was not, and the savings ledger."""

from django.conf import settings
from django.db import migrations, models

from ingest.migrations.first_tables.parts import (
    amount,
    float_is_finite,
    is_finite,
    is_known,
    own_id,
)

TABLES = [
    migrations.CreateModel(
        name="Forecast",
        fields=[
            ("id", own_id()),
            ("scope", models.CharField(help_text="`all` or `project:ID`.", max_length=100)),
            ("currency", models.CharField(max_length=20)),
            ("as_of", models.DateField(help_text="The last day it had seen.")),
            ("method", models.CharField(max_length=60)),
            ("method_version", models.PositiveIntegerField()),
            ("input_sha256", models.BinaryField(max_length=32)),
            (
                "points",
                models.JSONField(
                    help_text="[{day, mean, low80, high80, low95, high95}] as strings."
                ),
            ),
            (
                "backtest",
                models.JSONField(
                    help_text="Coverage and error of the same method on days held back."
                ),
            ),
            (
                "reason",
                models.TextField(
                    blank=True, help_text="Why there is none, as in: not enough data."
                ),
            ),
            ("made_at", models.DateTimeField(auto_now_add=True)),
        ],
        options={
            "get_latest_by": "made_at",
            "constraints": [
                models.UniqueConstraint(
                    fields=(
                        "scope",
                        "currency",
                        "as_of",
                        "method",
                        "method_version",
                        "input_sha256",
                    ),
                    name="forecast_once",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="AnomalyMark",
        fields=[
            ("id", own_id()),
            ("scope", models.CharField(max_length=100)),
            ("currency", models.CharField(max_length=20)),
            ("day", models.DateField()),
            ("actual", amount()),
            ("expected", amount()),
            ("low", amount()),
            ("high", amount()),
            (
                "score",
                models.FloatField(help_text="Distance from what was expected, in robust sigmas."),
            ),
            ("method_version", models.PositiveIntegerField()),
            ("made_at", models.DateTimeField(auto_now=True)),
        ],
        options={
            "ordering": ["-day"],
            "constraints": [
                models.UniqueConstraint(fields=("scope", "currency", "day"), name="anomaly_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="LedgerEntry",
        fields=[
            ("id", own_id()),
            ("kind", models.CharField(max_length=20)),
            (
                "counts_as",
                models.CharField(
                    help_text="An adjustment counts as what it supersedes; others as their kind.",
                    max_length=20,
                ),
            ),
            ("revision", models.PositiveIntegerField(default=1)),
            (
                "change_ref",
                models.CharField(
                    blank=True,
                    help_text="Whoever books says which change; empty for a cost.",
                    max_length=100,
                ),
            ),
            ("title", models.CharField(max_length=200)),
            ("period_from", models.DateTimeField()),
            ("period_to", models.DateTimeField()),
            (
                "measured_s",
                models.FloatField(help_text="The part of the period with all facts.", null=True),
            ),
            ("capacity_gpu_seconds", models.FloatField(null=True)),
            ("capacity_gpu_seconds_low", models.FloatField(null=True)),
            ("capacity_gpu_seconds_high", models.FloatField(null=True)),
            ("cash", amount(null=True)),
            ("cash_low", amount(null=True)),
            ("cash_high", amount(null=True)),
            ("currency", models.CharField(blank=True, max_length=20)),
            (
                "billed_by",
                models.CharField(blank=True, help_text="As it was in the period.", max_length=5),
            ),
            ("requests", models.BigIntegerField(null=True)),
            (
                "gpu_seconds_per_request",
                models.FloatField(help_text="As it was, or is expected.", null=True),
            ),
            (
                "counterfactual_gpu_seconds_per_request",
                models.FloatField(help_text="As it would have been without the change.", null=True),
            ),
            ("provisional", models.BooleanField(default=False)),
            ("method_version", models.PositiveIntegerField(default=0)),
            ("basis", models.TextField(help_text="What it rests on, in words for people.")),
            ("facts_hash", models.BinaryField(max_length=32)),
            ("created_at", models.DateTimeField()),
            ("book", models.ForeignKey(null=True, on_delete=models.PROTECT, to="finops.pricebook")),
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
                "pool",
                models.ForeignKey(
                    null=True, on_delete=models.PROTECT, related_name="+", to="ingest.pool"
                ),
            ),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "supersedes",
                models.OneToOneField(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="superseded_by",
                    to="finops.ledgerentry",
                ),
            ),
        ],
        options={
            "verbose_name_plural": "ledger entries",
            "ordering": ["-period_from", "-id"],
            "indexes": [
                models.Index(fields=["change_ref", "period_from"], name="ledger_change"),
                models.Index(fields=["period_from", "period_to"], name="ledger_period"),
            ],
            "constraints": [
                is_known(
                    "kind",
                    ["adjustment", "estimate", "programme_cost", "realised"],
                    name="ledger_kind_known",
                ),
                is_known(
                    "counts_as",
                    ["estimate", "programme_cost", "realised"],
                    name="ledger_counts_as_known",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(
                            ("kind", models.F("counts_as")),
                            ("revision", 1),
                            ("supersedes__isnull", True),
                        ),
                        models.Q(
                            ("kind", "adjustment"),
                            ("revision__gt", 1),
                            ("supersedes__isnull", False),
                        ),
                        _connector="OR",
                    ),
                    name="ledger_adjustment_supersedes",
                ),
                models.CheckConstraint(
                    condition=models.Q(("period_from__lt", models.F("period_to"))),
                    name="ledger_period_forward",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("cash__isnull", True),
                        models.Q(("currency", ""), _negated=True),
                        _connector="OR",
                    ),
                    name="ledger_cash_has_currency",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("counts_as", "programme_cost"),
                        models.Q(("change_ref", ""), _negated=True),
                        _connector="OR",
                    ),
                    name="ledger_saving_has_change",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(
                            ("capacity_gpu_seconds__isnull", True),
                            ("capacity_gpu_seconds_high__isnull", True),
                            ("capacity_gpu_seconds_low__isnull", True),
                        ),
                        models.Q(
                            ("capacity_gpu_seconds__isnull", False),
                            ("capacity_gpu_seconds_high__isnull", False),
                            ("capacity_gpu_seconds_low__isnull", False),
                            ("capacity_gpu_seconds_high__gte", models.F("capacity_gpu_seconds")),
                            ("capacity_gpu_seconds_low__lte", models.F("capacity_gpu_seconds")),
                        ),
                        _connector="OR",
                    ),
                    name="ledger_capacity_gpu_seconds_told",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(
                            ("cash__isnull", True),
                            ("cash_high__isnull", True),
                            ("cash_low__isnull", True),
                        ),
                        models.Q(
                            ("cash__isnull", False),
                            ("cash_high__isnull", False),
                            ("cash_low__isnull", False),
                            ("cash_high__gte", models.F("cash")),
                            ("cash_low__lte", models.F("cash")),
                        ),
                        _connector="OR",
                    ),
                    name="ledger_cash_told",
                ),
                is_finite("cash", name="ledger_cash_finite"),
                is_finite("cash_low", name="ledger_cash_low_finite"),
                is_finite("cash_high", name="ledger_cash_high_finite"),
                float_is_finite("capacity_gpu_seconds", name="ledger_capacity_gpu_seconds_finite"),
                float_is_finite(
                    "capacity_gpu_seconds_low", name="ledger_capacity_gpu_seconds_low_finite"
                ),
                float_is_finite(
                    "capacity_gpu_seconds_high", name="ledger_capacity_gpu_seconds_high_finite"
                ),
                float_is_finite(
                    "gpu_seconds_per_request", name="ledger_gpu_seconds_per_request_finite"
                ),
                float_is_finite(
                    "counterfactual_gpu_seconds_per_request",
                    name="ledger_counterfactual_gpu_seconds_per_request_finite",
                ),
                models.UniqueConstraint(
                    condition=models.Q(("counts_as", "programme_cost"), _negated=True),
                    fields=("change_ref", "counts_as", "period_from", "period_to", "revision"),
                    name="ledger_once",
                ),
            ],
        },
    ),
]
