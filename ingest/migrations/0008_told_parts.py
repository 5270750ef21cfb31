"""Traces and observations that SDKs tell bit by bit."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingest", "0007_source_secrets")]

    operations = [
        migrations.CreateModel(
            name="ToldPart",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "project_id",
                        "kind",
                        "external_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("project_id", models.IntegerField()),
                ("kind", models.TextField(help_text="`trace` or `observation`.")),
                ("external_id", models.TextField()),
                ("trace_id", models.TextField(help_text="Empty while it is not known.")),
                ("source_id", models.IntegerField(help_text="The source that spoke of it last.")),
                ("fields", models.JSONField(default=dict)),
                (
                    "is_span",
                    models.BooleanField(
                        default=False, help_text="Enough was said to make a span of it."
                    ),
                ),
                ("touched_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ingest_told_part",
                "indexes": [
                    models.Index(fields=["project_id", "trace_id"], name="told_part_trace"),
                    models.Index(fields=["touched_at"], name="told_part_touched"),
                ],
            },
        ),
    ]
