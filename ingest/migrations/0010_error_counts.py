"""Errors that services logged, and which pushed ones were counted already."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingest", "0009_events")]

    operations = [
        migrations.CreateModel(
            name="ErrorCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("service", models.TextField()),
                ("type", models.TextField()),
                ("at", models.DateTimeField(help_text="Start of the quarter hour.")),
                ("count", models.BigIntegerField()),
                (
                    "exemplar",
                    models.TextField(
                        blank=True,
                        help_text="One message, masked and cut; empty when none was kept.",
                    ),
                ),
                (
                    "trace_id",
                    models.TextField(
                        blank=True, help_text="Of the exemplar; empty when it has none."
                    ),
                ),
                ("changed_at", models.DateTimeField()),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="ingest.project"
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="ingest.source"
                    ),
                ),
            ],
            options={
                "db_table": "ingest_error_count",
                "indexes": [
                    models.Index(fields=["project", "at"], name="error_count_project"),
                    models.Index(fields=["at"], name="error_count_at"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["source", "at", "service", "type"], name="error_count_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(count__gt=0), name="error_count_positive"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ErrorSeen",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "source_id",
                        "identity",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("source_id", models.IntegerField()),
                ("identity", models.UUIDField()),
                ("at", models.DateTimeField(help_text="When it was logged.")),
            ],
            options={
                "db_table": "ingest_error_seen",
                "indexes": [models.Index(fields=["at"], name="error_seen_at")],
            },
        ),
    ]
