"""What rules of allocation move of requests, from the project that sent them."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

ORIGINS = ["bill", "hardware", "requests"]
PARTS = ["bill", "hardware", "requests", "shared", "usage"]
LEAST, MOST = -1_000_000_000_000, 1_000_000_000_000


def project():
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project"
    )


def amount(**options):
    return models.DecimalField(decimal_places=20, max_digits=38, **options)


def finite(name):
    return models.CheckConstraint(
        condition=Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__gt": LEAST, f"{name}__lt": MOST}),
        name=f"landed_usage_{name}_finite",
    )


def known_again(model, column, values):
    name = f"{model}_{column}_known"
    return [
        migrations.RemoveConstraint(model_name=model, name=name),
        migrations.AddConstraint(
            model_name=model,
            constraint=models.CheckConstraint(condition=Q(**{f"{column}__in": values}), name=name),
        ),
    ]


class Migration(migrations.Migration):
    dependencies = [("finops", "0013_slack_and_flapping"), ("ingest", "0014_charged_until")]

    operations = [
        migrations.CreateModel(
            name="LandedUsage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
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
                ("sender", project()),
                ("project", project()),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="finops.allocationrule",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["day", "sender"], name="landed_usage_day")],
                "constraints": [
                    finite("cost"),
                    finite("list_cost"),
                    models.CheckConstraint(
                        condition=~Q(project=models.F("sender")), name="landed_usage_moves"
                    ),
                ],
            },
        ),
        *known_again("allocationrule", "origin", ORIGINS),
        *known_again("landing", "origin", ORIGINS),
        *known_again("chargebackline", "part", PARTS),
        migrations.AlterField(
            model_name="allocationrule",
            name="origin",
            field=models.CharField(help_text="bill, hardware or requests", max_length=10),
        ),
        migrations.AlterField(
            model_name="landing",
            name="owner_id",
            field=models.BigIntegerField(help_text="The bill's period, pool or project."),
        ),
    ]
