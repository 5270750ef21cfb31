"""Bills by SKU and day, made of the days that are there."""

import django.db.models.deletion
from django.db import migrations, models

FILL = """
INSERT INTO ingest_billskuday (period_id, day, currency, provider, service, sku, is_used,
    billed_cost, effective_cost, list_cost, contracted_cost,
    unknown_billed, unknown_effective, unknown_list, unknown_contracted)
SELECT d.period_id, d.day, d.currency, d.provider, d.service, d.sku, bool_or(used.sku IS NOT NULL),
    sum(billed_cost), sum(effective_cost), sum(list_cost), sum(contracted_cost),
    coalesce(sum(lines) FILTER (WHERE billed_cost IS NULL), 0),
    coalesce(sum(lines) FILTER (WHERE effective_cost IS NULL), 0),
    coalesce(sum(lines) FILTER (WHERE list_cost IS NULL), 0),
    coalesce(sum(lines) FILTER (WHERE contracted_cost IS NULL), 0)
FROM ingest_billday d LEFT JOIN (
    SELECT DISTINCT period_id, provider, service, sku FROM ingest_billday
    WHERE charge_category NOT IN ('Credit', 'Tax', 'Adjustment')
) AS used USING (period_id, provider, service, sku)
GROUP BY d.period_id, d.day, d.currency, d.provider, d.service, d.sku"""


class Migration(migrations.Migration):
    dependencies = [
        ("ingest", "0004_bill_day_until"),
    ]

    operations = [
        migrations.CreateModel(
            name="BillSkuDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("currency", models.TextField()),
                ("provider", models.TextField()),
                ("service", models.TextField()),
                ("sku", models.TextField()),
                (
                    "is_used",
                    models.BooleanField(
                        help_text="Whether the period charges for this SKU otherwise than as credit or tax."
                    ),
                ),
                ("billed_cost", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                (
                    "effective_cost",
                    models.DecimalField(decimal_places=20, max_digits=38, null=True),
                ),
                ("list_cost", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                (
                    "contracted_cost",
                    models.DecimalField(decimal_places=20, max_digits=38, null=True),
                ),
                ("unknown_billed", models.BigIntegerField()),
                ("unknown_effective", models.BigIntegerField()),
                ("unknown_list", models.BigIntegerField()),
                ("unknown_contracted", models.BigIntegerField()),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sku_days",
                        to="ingest.deliveryperiod",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["day", "period"], name="bill_sku_day_day"),
                    models.Index(
                        condition=models.Q(("is_used", False)),
                        fields=["day", "period"],
                        name="bill_sku_day_unused",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("billed_cost__isnull", True),
                            models.Q(
                                ("billed_cost__gt", -1000000000000),
                                ("billed_cost__lt", 1000000000000),
                            ),
                            _connector="OR",
                        ),
                        name="bill_sku_day_billed_cost_finite",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("effective_cost__isnull", True),
                            models.Q(
                                ("effective_cost__gt", -1000000000000),
                                ("effective_cost__lt", 1000000000000),
                            ),
                            _connector="OR",
                        ),
                        name="bill_sku_day_effective_cost_finite",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("list_cost__isnull", True),
                            models.Q(
                                ("list_cost__gt", -1000000000000), ("list_cost__lt", 1000000000000)
                            ),
                            _connector="OR",
                        ),
                        name="bill_sku_day_list_cost_finite",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("contracted_cost__isnull", True),
                            models.Q(
                                ("contracted_cost__gt", -1000000000000),
                                ("contracted_cost__lt", 1000000000000),
                            ),
                            _connector="OR",
                        ),
                        name="bill_sku_day_contracted_cost_finite",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
