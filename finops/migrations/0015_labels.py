"""What each value of a label cost in a day."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("finops", "0014_usage_allocation"),
        ("ingest", "0015_labels"),
    ]

    operations = [
        migrations.CreateModel(
            name="LabelCostDay",
            fields=[
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
                (
                    "unpriced_spans",
                    models.BigIntegerField(default=0, help_text="Usage known, no price."),
                ),
                (
                    "unknown_spans",
                    models.BigIntegerField(default=0, help_text="Usage itself unknown."),
                ),
                ("tokens", models.BigIntegerField(default=0)),
                ("unpriced_tokens", models.BigIntegerField(default=0)),
                ("input_cost", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ("cache_cost", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ("output_cost", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ("other_cost", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ("cost", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                (
                    "list_cost",
                    models.DecimalField(
                        decimal_places=20,
                        help_text="At list prices, before any discount. Null: unknown, as where a"
                        " price is our own and no list has it, or when it was priced before list"
                        " costs were kept.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                (
                    "pk",
                    models.CompositePrimaryKey(
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
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("day", models.DateField()),
                ("label", models.TextField()),
                ("value", models.TextField()),
            ],
        ),
        migrations.AddIndex(
            model_name="labelcostday",
            index=models.Index(fields=["label", "day"], name="label_cost_day_label"),
        ),
        migrations.AddConstraint(
            model_name="labelcostday",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cost__isnull", True),
                    models.Q(("cost__gt", -1000000000000), ("cost__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="label_cost_day_cost_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="labelcostday",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("list_cost__isnull", True),
                    models.Q(("list_cost__gt", -1000000000000), ("list_cost__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="label_cost_day_list_cost_finite",
            ),
        ),
    ]
