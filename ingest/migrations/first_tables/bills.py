"""Bills."""

from django.db import migrations, models

from ingest.migrations.first_tables.parts import amount, composite_key, is_finite, own_id
from ingest.models.fields import PlainNumeric

TABLES = [
    migrations.CreateModel(
        name="DeliveryPeriod",
        fields=[
            ("id", own_id()),
            ("source_id", models.IntegerField()),
            ("billing_account_id", models.TextField()),
            ("billing_month", models.DateField()),
            ("line_count", models.BigIntegerField()),
            ("last_charge_at", models.DateTimeField(help_text="End of the newest charge in it.")),
            ("known_from", models.DateTimeField()),
            (
                "known_to",
                models.DateTimeField(help_text="Empty while it is the current one.", null=True),
            ),
            (
                "delivery",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="periods", to="ingest.delivery"
                ),
            ),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(
                    condition=models.Q(("known_to__isnull", True)),
                    fields=("source_id", "billing_account_id", "billing_month"),
                    name="delivery_period_one_current",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="BillLine",
        fields=[
            ("pk", composite_key("source_id", "billing_month", "delivery_id", "line")),
            ("source_id", models.IntegerField()),
            ("billing_month", models.DateField()),
            ("delivery_id", models.BigIntegerField()),
            ("line", models.BigIntegerField()),
            ("period_id", models.BigIntegerField()),
            ("billing_account_id", models.TextField()),
            ("billing_account_name", models.TextField()),
            ("billing_period_start", models.DateTimeField()),
            ("billing_period_end", models.DateTimeField()),
            ("charge_period_start", models.DateTimeField()),
            ("charge_period_end", models.DateTimeField()),
            ("billing_currency", models.TextField()),
            ("billed_cost", amount(null=True)),
            ("effective_cost", amount(null=True)),
            ("list_cost", amount(null=True)),
            ("contracted_cost", amount(null=True)),
            ("charge_category", models.TextField()),
            ("charge_class", models.TextField()),
            ("charge_description", models.TextField()),
            ("charge_frequency", models.TextField()),
            ("commitment_discount_id", models.TextField()),
            ("commitment_discount_status", models.TextField()),
            ("consumed_quantity", PlainNumeric(decimal_places=20, max_digits=60, null=True)),
            ("consumed_unit", models.TextField()),
            ("pricing_category", models.TextField()),
            ("pricing_quantity", PlainNumeric(decimal_places=20, max_digits=60, null=True)),
            ("pricing_unit", models.TextField()),
            ("provider_name", models.TextField()),
            ("publisher_name", models.TextField()),
            ("invoice_issuer_name", models.TextField()),
            ("invoice_id", models.TextField()),
            ("region_id", models.TextField()),
            ("resource_id", models.TextField()),
            ("resource_name", models.TextField()),
            ("resource_type", models.TextField()),
            ("service_category", models.TextField()),
            ("service_name", models.TextField()),
            ("sku_id", models.TextField()),
            ("sku_price_id", models.TextField()),
            ("sub_account_id", models.TextField()),
            ("sub_account_name", models.TextField()),
            ("tags", models.JSONField(default=dict)),
            ("extra", models.JSONField(default=dict)),
            ("repairs", models.JSONField(default=list)),
            ("content_hash", models.BinaryField()),
        ],
        options={
            "db_table": "ingest_bill_line",
            "managed": False,
        },
    ),
    migrations.CreateModel(
        name="BillDay",
        fields=[
            ("id", own_id()),
            ("day", models.DateField()),
            ("currency", models.TextField()),
            ("provider", models.TextField()),
            ("service_category", models.TextField()),
            ("service", models.TextField()),
            ("sku", models.TextField()),
            ("sub_account", models.TextField()),
            ("region", models.TextField()),
            ("charge_category", models.TextField()),
            ("lines", models.BigIntegerField()),
            ("billed_cost", amount(null=True)),
            ("effective_cost", amount(null=True)),
            ("list_cost", amount(null=True)),
            ("contracted_cost", amount(null=True)),
            (
                "period",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="days", to="ingest.deliveryperiod"
                ),
            ),
            (
                "charged_until",
                models.DateTimeField(
                    help_text="The end of the newest charge that began on this day, within a day.",
                    null=True,
                ),
            ),
        ],
        options={
            "indexes": [
                models.Index(fields=["day", "period"], name="bill_day_day"),
            ],
            "constraints": [
                is_finite("billed_cost", name="bill_day_billed_cost_finite"),
                is_finite("effective_cost", name="bill_day_effective_cost_finite"),
                is_finite("list_cost", name="bill_day_list_cost_finite"),
                is_finite("contracted_cost", name="bill_day_contracted_cost_finite"),
            ],
        },
    ),
]
