"""Rules of allocation, what they landed, and the statements frozen from it."""

from django.conf import settings
from django.db import migrations, models

from ingest.migrations.first_tables.parts import (
    amount,
    composite_key,
    float_is_finite,
    is_finite,
    is_known,
    own_id,
)

TABLES = [
    migrations.CreateModel(
        name="AllocationRule",
        fields=[
            ("id", own_id()),
            ("name", models.CharField(max_length=100)),
            ("origin", models.CharField(help_text="bill, hardware or requests", max_length=10)),
            (
                "position",
                models.PositiveIntegerField(help_text="The first that meets a charge takes it."),
            ),
            (
                "conditions",
                models.JSONField(
                    default=list, help_text="[{field, operator, values}]; all of them must hold."
                ),
            ),
            ("split", models.CharField(max_length=10)),
            ("valid_from", models.DateField(null=True)),
            ("last_day", models.DateField(null=True)),
            ("note", models.CharField(blank=True, max_length=300)),
            ("is_on", models.BooleanField(default=True)),
            (
                "revision",
                models.PositiveIntegerField(default=1, help_text="Grows with every change."),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("removed_at", models.DateTimeField(null=True)),
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
            "ordering": ["position", "pk"],
            "constraints": [
                is_known(
                    "split",
                    ["even", "one", "share", "telemetry", "usage"],
                    name="allocationrule_split_known",
                ),
                models.UniqueConstraint(
                    condition=models.Q(("removed_at__isnull", True)),
                    fields=("name",),
                    name="allocationrule_once",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("valid_from__isnull", True),
                        ("last_day__isnull", True),
                        ("last_day__gte", models.F("valid_from")),
                        _connector="OR",
                    ),
                    name="allocationrule_forward",
                ),
                is_known(
                    "origin", ["bill", "hardware", "requests"], name="allocationrule_origin_known"
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="AllocationTarget",
        fields=[
            ("id", own_id()),
            ("percent", models.DecimalField(decimal_places=6, max_digits=9, null=True)),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "rule",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="targets", to="finops.allocationrule"
                ),
            ),
        ],
        options={
            "ordering": ["rule", "project"],
            "constraints": [
                models.UniqueConstraint(fields=("rule", "project"), name="allocationtarget_once"),
                models.CheckConstraint(
                    condition=models.Q(
                        ("percent__isnull", True),
                        models.Q(("percent__gt", 0), ("percent__lte", 100)),
                        _connector="OR",
                    ),
                    name="allocationtarget_percent_sane",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Landing",
        fields=[
            ("pk", composite_key("origin", "owner_id", "day")),
            ("origin", models.TextField()),
            ("owner_id", models.BigIntegerField(help_text="The bill's period, pool or project.")),
            ("day", models.DateField(help_text="The billing month, or the day.")),
            ("rules", models.TextField(help_text="Digest of the rules.")),
            ("inputs", models.TextField(help_text="What else it came from, as of then.")),
            ("landed_at", models.DateTimeField()),
        ],
        options={
            "constraints": [
                is_known("origin", ["bill", "hardware", "requests"], name="landing_origin_known"),
            ],
        },
    ),
    migrations.CreateModel(
        name="LandedBill",
        fields=[
            ("id", own_id()),
            ("day", models.DateField()),
            ("currency", models.TextField()),
            ("provider", models.TextField()),
            ("service", models.TextField()),
            ("sku", models.TextField()),
            ("why", models.TextField(blank=True)),
            ("lines", models.BigIntegerField()),
            ("billed_cost", amount(default=0)),
            ("effective_cost", amount(default=0)),
            ("list_cost", amount(default=0)),
            ("contracted_cost", amount(default=0)),
            ("unknown_billed", models.BigIntegerField(default=0)),
            ("unknown_effective", models.BigIntegerField(default=0)),
            ("unknown_list", models.BigIntegerField(default=0)),
            ("unknown_contracted", models.BigIntegerField(default=0)),
            (
                "period",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="landed", to="ingest.deliveryperiod"
                ),
            ),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "rule",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="finops.allocationrule",
                ),
            ),
        ],
        options={
            "indexes": [
                models.Index(fields=["day", "period"], name="landed_bill_day"),
            ],
            "constraints": [
                is_finite("billed_cost", name="landed_bill_billed_cost_finite"),
                is_finite("effective_cost", name="landed_bill_effective_cost_finite"),
                is_finite("list_cost", name="landed_bill_list_cost_finite"),
                is_finite("contracted_cost", name="landed_bill_contracted_cost_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="LandedHardware",
        fields=[
            ("id", own_id()),
            ("pool_id", models.IntegerField()),
            ("at", models.DateTimeField()),
            ("model", models.TextField()),
            ("currency", models.TextField()),
            ("why", models.TextField(blank=True)),
            ("requests", models.FloatField(default=0)),
            ("allocated", amount()),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "rule",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="finops.allocationrule",
                ),
            ),
        ],
        options={
            "indexes": [
                models.Index(fields=["at"], name="landed_hardware_at"),
                models.Index(fields=["pool_id", "at"], name="landed_hardware_pool"),
            ],
            "constraints": [
                is_finite("allocated", name="landed_hardware_allocated_finite"),
                float_is_finite("requests", name="landed_hardware_requests_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="LandedHardwareDay",
        fields=[
            ("id", own_id()),
            ("pool_id", models.IntegerField()),
            ("day", models.DateField()),
            ("model", models.TextField()),
            ("currency", models.TextField()),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "rule",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="finops.allocationrule",
                ),
            ),
            ("requests", models.FloatField(default=0)),
            ("allocated", amount()),
        ],
        options={
            "indexes": [
                models.Index(fields=["day"], name="landed_hardware_day_day"),
                models.Index(fields=["pool_id", "day"], name="landed_hardware_day_pool"),
            ],
            "constraints": [
                is_finite("allocated", name="landed_hardware_day_allocated_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="LandedUsage",
        fields=[
            ("id", own_id()),
            ("day", models.DateField()),
            ("service", models.TextField()),
            ("kind", models.TextField()),
            ("provider", models.TextField()),
            ("model", models.TextField()),
            ("tier", models.TextField()),
            ("input_band", models.IntegerField()),
            ("currency", models.TextField()),
            ("cost", amount()),
            ("list_cost", amount(help_text="At list prices; null: unknown.", null=True)),
            (
                "sender",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "rule",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to="finops.allocationrule"
                ),
            ),
        ],
        options={
            "indexes": [
                models.Index(fields=["day", "sender"], name="landed_usage_day"),
            ],
            "constraints": [
                is_finite("cost", name="landed_usage_cost_finite"),
                is_finite("list_cost", name="landed_usage_list_cost_finite"),
                models.CheckConstraint(
                    condition=models.Q(("project", models.F("sender")), _negated=True),
                    name="landed_usage_moves",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="Chargeback",
        fields=[
            ("id", own_id()),
            ("month", models.DateField()),
            (
                "number",
                models.PositiveIntegerField(help_text="1 is the statement, the others adjust it."),
            ),
            ("as_of", models.DateTimeField(help_text="Of the newest fact.", null=True)),
            ("rules", models.JSONField(help_text="[{id, name, revision}] of the rules in force.")),
            ("rules_digest", models.CharField(max_length=40)),
            (
                "book_version",
                models.PositiveIntegerField(help_text="Newest price book then.", null=True),
            ),
            ("note", models.CharField(blank=True, max_length=300)),
            ("closed_at", models.DateTimeField()),
            (
                "closed_by",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
        ],
        options={
            "ordering": ["-month", "-number"],
            "constraints": [
                models.UniqueConstraint(fields=("month", "number"), name="chargeback_once"),
                models.CheckConstraint(
                    condition=models.Q(("month__day", 1), ("number__gte", 1)),
                    name="chargeback_of_a_month",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="ChargebackLine",
        fields=[
            ("id", own_id()),
            ("project_name", models.CharField(max_length=100)),
            ("team", models.CharField(blank=True, max_length=100)),
            ("part", models.CharField(max_length=10)),
            ("rule_name", models.CharField(blank=True, max_length=100)),
            ("amount", amount()),
            ("reconciled", amount()),
            ("currency", models.CharField(max_length=20)),
            (
                "chargeback",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="lines", to="finops.chargeback"
                ),
            ),
            (
                "project",
                models.ForeignKey(on_delete=models.PROTECT, related_name="+", to="ingest.project"),
            ),
            (
                "rule",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="finops.allocationrule",
                ),
            ),
        ],
        options={
            "ordering": ["chargeback", "team", "project_name", "part", "rule_name", "currency"],
            "constraints": [
                is_finite("amount", name="chargebackline_amount_finite"),
                is_finite("reconciled", name="chargebackline_reconciled_finite"),
                models.UniqueConstraint(
                    fields=("chargeback", "project", "part", "rule", "currency"),
                    name="chargebackline_once",
                    nulls_distinct=False,
                ),
                is_known(
                    "part",
                    ["bill", "hardware", "requests", "shared", "usage"],
                    name="chargebackline_part_known",
                ),
            ],
        },
    ),
]
