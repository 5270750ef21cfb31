"""Labels of requests that people chose, and what each of their values used in a day."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingest", "0014_charged_until"),
    ]

    operations = [
        migrations.CreateModel(
            name="LabelDay",
            fields=[
                ("project_id", models.IntegerField()),
                ("day", models.DateField()),
                ("service", models.TextField()),
                ("kind", models.TextField()),
                ("provider", models.TextField()),
                ("model", models.TextField()),
                ("tier", models.TextField()),
                ("input_band", models.IntegerField()),
                ("spans", models.BigIntegerField()),
                ("errors", models.BigIntegerField()),
                ("usage_unknown", models.BigIntegerField()),
                ("input_tokens", models.BigIntegerField()),
                ("cache_read_tokens", models.BigIntegerField()),
                ("cache_write_5m_tokens", models.BigIntegerField()),
                ("cache_write_1h_tokens", models.BigIntegerField()),
                ("output_tokens", models.BigIntegerField()),
                ("reasoning_tokens", models.BigIntegerField()),
                ("audio_input_tokens", models.BigIntegerField()),
                ("audio_output_tokens", models.BigIntegerField()),
                ("image_input_tokens", models.BigIntegerField()),
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
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("label", models.TextField()),
                ("value", models.TextField()),
            ],
            options={
                "db_table": "ingest_label_day",
            },
        ),
        migrations.CreateModel(
            name="LabelDayState",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "project_id",
                        "day",
                        "label",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("project_id", models.IntegerField()),
                ("day", models.DateField()),
                ("label", models.TextField()),
                (
                    "attributes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        help_text="Where the values were read from.",
                        size=None,
                    ),
                ),
                ("different", models.BigIntegerField(help_text="Values that differ.")),
                (
                    "folded",
                    models.BigIntegerField(help_text="Of these, the ones summed as other values."),
                ),
                ("summed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ingest_label_day_state",
                "indexes": [models.Index(fields=["label", "day"], name="label_day_state_label")],
            },
        ),
        migrations.CreateModel(
            name="KeptLabel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=40)),
                (
                    "attributes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        help_text="Keys of a request's attributes; the first one that it has is its"
                        " value.",
                        size=None,
                    ),
                ),
                (
                    "since",
                    models.DateField(help_text="The first accounting day that is summed by it."),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.CharField(blank=True, help_text="A name, not a key.", max_length=150),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: of every project that has no label of this name itself.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="ingest.project",
                    ),
                ),
            ],
            options={
                "db_table": "ingest_kept_label",
                "ordering": ["name", "project_id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "name"), name="kept_label_once", nulls_distinct=False
                    )
                ],
            },
        ),
    ]
