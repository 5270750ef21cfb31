"""Releases, config changes and incidents."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingest", "0008_told_parts"),
    ]

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=20)),
                ("title", models.CharField(max_length=200)),
                ("version", models.CharField(blank=True, max_length=100)),
                (
                    "service",
                    models.CharField(
                        blank=True, help_text="As spans name it; empty: not one.", max_length=200
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: it is about the whole estate.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ingest.project",
                    ),
                ),
                ("environment", models.CharField(blank=True, max_length=60)),
                ("happened_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("link", models.CharField(blank=True, max_length=500)),
                ("origin", models.CharField(max_length=10)),
                ("external_id", models.CharField(max_length=200)),
                (
                    "stamps",
                    models.JSONField(
                        default=dict,
                        help_text="By field, when its sender said it last, in microseconds.",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="ingest.source",
                    ),
                ),
                (
                    "created_by",
                    models.CharField(blank=True, help_text="A name, not a key.", max_length=150),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-happened_at", "-id"],
                "indexes": [
                    models.Index(fields=["-happened_at", "-id"], name="event_newest"),
                    models.Index(
                        condition=models.Q(("ended_at", None), _negated=True),
                        fields=["ended_at"],
                        name="event_ended",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["config_change", "incident", "release"])),
                        name="event_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("origin__in", ["api", "command", "git", "otlp", "page"])
                        ),
                        name="event_origin_known",
                    ),
                    models.UniqueConstraint(
                        fields=("project", "external_id"), name="event_once", nulls_distinct=False
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ended_at", None),
                            ("ended_at__gte", models.F("happened_at")),
                            _connector="OR",
                        ),
                        name="event_ends_after_it_began",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("link", ""),
                            ("link__startswith", "http://"),
                            ("link__startswith", "https://"),
                            _connector="OR",
                        ),
                        name="event_link_is_of_the_web",
                    ),
                ],
            },
        ),
    ]
