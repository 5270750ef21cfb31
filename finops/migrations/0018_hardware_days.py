"""Hardware by the accounting day, made of the quarter hours that are there."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

PAID = """
INSERT INTO finops_poolday (pool_id, day, model, currency, allocated, requests, unpriced_quarters)
SELECT pool_id, (at AT TIME ZONE %s)::date, model, currency, sum(allocated),
    coalesce(sum(requests), 0), count(*) FILTER (WHERE model = '' AND allocated IS NULL)
FROM finops_poolquarter GROUP BY 1, 2, 3, 4"""

LANDED = """
INSERT INTO finops_landedhardwareday
    (pool_id, day, model, currency, project_id, rule_id, requests, allocated)
SELECT pool_id, (at AT TIME ZONE %s)::date, model, currency, project_id, rule_id, sum(requests),
    sum(allocated)
FROM finops_landedhardware GROUP BY 1, 2, 3, 4, 5, 6"""


def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        for statement in (PAID, LANDED):
            cursor.execute(statement, [settings.ACCOUNTING_TIME_ZONE])


def amount(**options):
    return models.DecimalField(decimal_places=20, max_digits=38, **options)


def is_finite(table):
    least, most = -1_000_000_000_000, 1_000_000_000_000
    return models.CheckConstraint(
        condition=models.Q(allocated__isnull=True)
        | models.Q(allocated__gt=least, allocated__lt=most),
        name=f"{table}_allocated_finite",
    )


def points_at(model, **options):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=model, **options
    )


class Migration(migrations.Migration):
    dependencies = [("finops", "0017_saved_views")]

    operations = [
        migrations.CreateModel(
            name="PoolDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "pool_id",
                        "day",
                        "model",
                        "currency",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("pool_id", models.IntegerField()),
                ("day", models.DateField()),
                ("model", models.TextField()),
                ("currency", models.TextField()),
                ("allocated", amount(null=True)),
                ("requests", models.FloatField(default=0)),
                ("unpriced_quarters", models.BigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["day"], name="pool_day_day")],
                "constraints": [is_finite("pool_day")],
            },
        ),
        migrations.CreateModel(
            name="LandedHardwareDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("pool_id", models.IntegerField()),
                ("day", models.DateField()),
                ("model", models.TextField()),
                ("currency", models.TextField()),
                ("project", points_at("ingest.project")),
                ("rule", points_at("finops.allocationrule", null=True)),
                ("requests", models.FloatField(default=0)),
                ("allocated", amount()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["day"], name="landed_hardware_day_day"),
                    models.Index(fields=["pool_id", "day"], name="landed_hardware_day_pool"),
                ],
                "constraints": [is_finite("landed_hardware_day")],
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
