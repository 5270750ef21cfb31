"""What requests, users, labels and hardware cost."""

from django.db import migrations, models

from ingest.migrations.first_tables.parts import amount, composite_key, float_is_finite, is_finite
from ingest.models.fields import BitSet


def usage_and_cost():
    """What is counted of usage, and what it cost."""
    return [
        ("project_id", models.IntegerField()),
        ("service", models.TextField()),
        ("kind", models.TextField()),
        ("provider", models.TextField()),
        ("model", models.TextField()),
        ("tier", models.TextField()),
        ("input_band", models.IntegerField()),
        ("currency", models.TextField()),
        ("spans", models.BigIntegerField()),
        ("priced_spans", models.BigIntegerField()),
        ("unpriced_spans", models.BigIntegerField(default=0, help_text="Usage known, no price.")),
        ("unknown_spans", models.BigIntegerField(default=0, help_text="Usage itself unknown.")),
        ("tokens", models.BigIntegerField(default=0)),
        ("unpriced_tokens", models.BigIntegerField(default=0)),
        ("input_cost", amount(default=0)),
        ("cache_cost", amount(default=0)),
        ("output_cost", amount(default=0)),
        ("other_cost", amount(default=0)),
        ("cost", amount(default=0)),
    ]


def list_cost():
    return amount(
        help_text="At list prices, before any discount. Null: unknown, as where a price is our own"
        " and no list has it, or when it was priced before list costs were kept.",
        null=True,
    )


TABLES = [
    migrations.CreateModel(
        name="PricedHour",
        fields=[
            ("pk", composite_key("owner_kind", "owner_id", "hour")),
            ("owner_kind", models.TextField()),
            ("owner_id", models.IntegerField()),
            ("hour", models.DateTimeField()),
            ("revision", models.BigIntegerField()),
            ("priced_at", models.DateTimeField()),
            ("book", models.ForeignKey(on_delete=models.PROTECT, to="finops.pricebook")),
        ],
    ),
    migrations.CreateModel(
        name="CostQuarter",
        fields=[
            *usage_and_cost(),
            (
                "pk",
                composite_key(
                    "project_id",
                    "at",
                    "service",
                    "kind",
                    "provider",
                    "model",
                    "tier",
                    "input_band",
                    "currency",
                ),
            ),
            ("at", models.DateTimeField()),
            ("book", models.ForeignKey(on_delete=models.PROTECT, to="finops.pricebook")),
            ("list_cost", list_cost()),
        ],
        options={
            "indexes": [
                models.Index(fields=["at"], name="cost_quarter_at"),
                models.Index(
                    condition=models.Q(("unpriced_spans__gt", 0), ("unpriced_tokens", 0)),
                    fields=["at"],
                    name="cost_quarter_requests",
                ),
                models.Index(
                    condition=models.Q(
                        ("unpriced_tokens__gt", 0), models.Q(("currency", ""), _negated=True)
                    ),
                    fields=["at"],
                    name="cost_quarter_in_part",
                ),
            ],
            "constraints": [
                is_finite("cost", name="cost_quarter_cost_finite"),
                is_finite("list_cost", name="cost_quarter_list_cost_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="CostDay",
        fields=[
            *usage_and_cost(),
            (
                "pk",
                composite_key(
                    "project_id",
                    "day",
                    "service",
                    "kind",
                    "provider",
                    "model",
                    "tier",
                    "input_band",
                    "currency",
                ),
            ),
            ("day", models.DateField()),
            ("list_cost", list_cost()),
        ],
        options={
            "indexes": [
                models.Index(fields=["day"], name="cost_day_day"),
            ],
            "constraints": [
                is_finite("cost", name="cost_day_cost_finite"),
                is_finite("list_cost", name="cost_day_list_cost_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="LabelCostDay",
        fields=[
            *usage_and_cost(),
            ("list_cost", list_cost()),
            (
                "pk",
                composite_key(
                    "project_id",
                    "day",
                    "label",
                    "value",
                    "service",
                    "kind",
                    "provider",
                    "model",
                    "tier",
                    "input_band",
                    "currency",
                ),
            ),
            ("day", models.DateField()),
            ("label", models.TextField()),
            ("value", models.TextField()),
        ],
        options={
            "indexes": [
                models.Index(fields=["label", "day"], name="label_cost_day_label"),
            ],
            "constraints": [
                is_finite("cost", name="label_cost_day_cost_finite"),
                is_finite("list_cost", name="label_cost_day_list_cost_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="PricedUserDay",
        fields=[
            ("pk", composite_key("project_id", "day")),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            ("summed", models.BigIntegerField()),
            ("priced_at", models.DateTimeField()),
        ],
    ),
    migrations.CreateModel(
        name="UserCostDay",
        fields=[
            *usage_and_cost(),
            (
                "pk",
                composite_key(
                    "project_id",
                    "day",
                    "user_id",
                    "service",
                    "kind",
                    "provider",
                    "model",
                    "tier",
                    "input_band",
                    "currency",
                ),
            ),
            ("day", models.DateField()),
            ("user_id", models.TextField()),
            ("list_cost", list_cost()),
        ],
        options={
            "indexes": [
                models.Index(fields=["day"], name="user_cost_day_day"),
                models.Index(fields=["user_id", "day"], name="user_cost_day_user"),
            ],
            "constraints": [
                is_finite("cost", name="user_cost_day_cost_finite"),
                is_finite("list_cost", name="user_cost_day_list_cost_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="UserCostWeek",
        fields=[
            *usage_and_cost(),
            ("list_cost", list_cost()),
            (
                "pk",
                composite_key(
                    "project_id",
                    "day",
                    "user_id",
                    "service",
                    "kind",
                    "provider",
                    "model",
                    "tier",
                    "input_band",
                    "currency",
                ),
            ),
            ("day", models.DateField(help_text="The Monday.")),
            ("user_id", models.TextField()),
        ],
        options={
            "indexes": [
                models.Index(fields=["user_id", "day"], name="user_cost_week_user"),
            ],
            "constraints": [
                is_finite("cost", name="user_cost_week_cost_finite"),
                is_finite("list_cost", name="user_cost_week_list_cost_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="UserSpend",
        fields=[
            ("pk", composite_key("project_id", "days", "first", "user_id", "currency")),
            ("project_id", models.IntegerField()),
            ("days", models.SmallIntegerField(help_text="1 or 7.")),
            ("first", models.DateField()),
            ("user_id", models.TextField()),
            ("currency", models.TextField()),
            ("spans", models.BigIntegerField()),
            ("cost", models.FloatField(help_text="To compare by, not to show.")),
        ],
        options={
            "indexes": [
                models.Index(fields=["days", "first"], name="user_spend_first"),
            ],
        },
    ),
    migrations.CreateModel(
        name="UserNumber",
        fields=[
            ("pk", composite_key("project_id", "user_id")),
            ("project_id", models.IntegerField()),
            ("user_id", models.TextField()),
            ("number", models.IntegerField()),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(fields=("project_id", "number"), name="user_number_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="UserPage",
        fields=[
            (
                "pk",
                composite_key(
                    "project_id", "day", "service", "provider", "model", "currency", "page"
                ),
            ),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            ("service", models.TextField()),
            ("provider", models.TextField()),
            ("model", models.TextField()),
            ("currency", models.TextField()),
            ("page", models.IntegerField()),
            ("users", BitSet(help_text="Null: nobody is named.", null=True)),
            ("priced_spans", models.BigIntegerField()),
            ("cost", amount()),
        ],
        options={
            "indexes": [
                models.Index(fields=["day"], name="user_page_day"),
            ],
        },
    ),
    migrations.CreateModel(
        name="PoolQuarter",
        fields=[
            ("pk", composite_key("pool_id", "at", "model")),
            ("pool_id", models.IntegerField()),
            ("at", models.DateTimeField()),
            ("model", models.TextField()),
            ("requests", models.FloatField(null=True)),
            ("busy_s", models.FloatField(null=True)),
            ("covered_s", models.FloatField()),
            ("used", amount(null=True)),
            ("allocated", amount(null=True)),
            ("currency", models.TextField()),
            ("book", models.ForeignKey(on_delete=models.PROTECT, to="finops.pricebook")),
        ],
        options={
            "indexes": [
                models.Index(fields=["at"], name="pool_quarter_at"),
            ],
            "constraints": [
                float_is_finite("busy_s", name="pool_quarter_busy_s_finite"),
                is_finite("used", name="pool_quarter_used_finite"),
                is_finite("allocated", name="pool_quarter_allocated_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="PoolDay",
        fields=[
            ("pk", composite_key("pool_id", "day", "model", "currency")),
            ("pool_id", models.IntegerField()),
            ("day", models.DateField()),
            ("model", models.TextField()),
            ("currency", models.TextField()),
            ("allocated", amount(null=True)),
            ("requests", models.FloatField(default=0)),
            ("unpriced_quarters", models.BigIntegerField(default=0)),
            ("used", amount(null=True)),
            ("busy_s", models.FloatField(null=True)),
            (
                "counted_quarters",
                models.BigIntegerField(
                    default=0,
                    help_text="Of which the requests are known; with none of them, none is known.",
                ),
            ),
            (
                "observed_quarters",
                models.BigIntegerField(
                    default=0,
                    help_text="In which the pool was observed at all; the next three are of these.",
                ),
            ),
            ("observed_used", amount(default=0, help_text="Where requests are known.")),
            (
                "observed_requests",
                models.FloatField(default=0, help_text="Where it is known what they used."),
            ),
            ("uncounted_quarters", models.BigIntegerField(default=0)),
        ],
        options={
            "indexes": [
                models.Index(fields=["day"], name="pool_day_day"),
            ],
            "constraints": [
                is_finite("allocated", name="pool_day_allocated_finite"),
            ],
        },
    ),
    migrations.CreateModel(
        name="HardwareDay",
        fields=[
            ("pk", composite_key("pool_id", "day", "currency")),
            ("pool_id", models.IntegerField()),
            ("day", models.DateField()),
            ("currency", models.TextField()),
            ("first_at", models.DateTimeField()),
            ("paid", amount(null=True)),
            ("used", amount(null=True)),
            ("unobserved", amount(help_text="Paid while nothing was observed.", null=True)),
            ("covered_s", models.FloatField(null=True)),
            ("elapsed_s", models.FloatField(null=True)),
            ("unpriced_s", models.FloatField(default=0)),
            (
                "priced_paid",
                amount(help_text="In quarter hours of which every row has a price.", null=True),
            ),
            ("observed", amount(help_text="Of that, what was not unobserved.", null=True)),
            ("observed_used", amount(null=True)),
            ("observed_busy_s", models.FloatField(null=True)),
        ],
        options={
            "indexes": [
                models.Index(fields=["day"], name="hardware_day_day"),
            ],
            "constraints": [
                is_finite("paid", name="hardware_day_paid_finite"),
                is_finite("used", name="hardware_day_used_finite"),
            ],
        },
    ),
]
