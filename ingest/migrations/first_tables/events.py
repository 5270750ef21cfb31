"""Releases, config changes, incidents and logged errors."""

from django.db import migrations, models

from ingest.migrations.first_tables.parts import composite_key, is_known, own_id

TABLES = [
    migrations.CreateModel(
        name="Event",
        fields=[
            ("id", own_id()),
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
                    on_delete=models.PROTECT,
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
                    on_delete=models.SET_NULL,
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
                is_known("kind", ["config_change", "incident", "release"], name="event_kind_known"),
                is_known(
                    "origin", ["api", "command", "git", "otlp", "page"], name="event_origin_known"
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
    migrations.CreateModel(
        name="ErrorCount",
        fields=[
            ("id", own_id()),
            ("service", models.TextField()),
            ("type", models.TextField()),
            ("at", models.DateTimeField(help_text="Start of the quarter hour.")),
            ("count", models.BigIntegerField()),
            (
                "exemplar",
                models.TextField(
                    blank=True, help_text="One message, masked and cut; empty when none was kept."
                ),
            ),
            (
                "trace_id",
                models.TextField(blank=True, help_text="Of the exemplar; empty when it has none."),
            ),
            ("changed_at", models.DateTimeField()),
            ("project", models.ForeignKey(on_delete=models.PROTECT, to="ingest.project")),
            ("source", models.ForeignKey(on_delete=models.CASCADE, to="ingest.source")),
        ],
        options={
            "db_table": "ingest_error_count",
            "indexes": [
                models.Index(fields=["project", "at"], name="error_count_project"),
                models.Index(fields=["at"], name="error_count_at"),
            ],
            "constraints": [
                models.UniqueConstraint(
                    fields=("source", "at", "service", "type"), name="error_count_once"
                ),
                models.CheckConstraint(
                    condition=models.Q(("count__gt", 0)), name="error_count_positive"
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="ErrorSeen",
        fields=[
            ("pk", composite_key("source_id", "identity")),
            ("source_id", models.IntegerField()),
            ("identity", models.UUIDField()),
            ("at", models.DateTimeField(help_text="When it was logged.")),
        ],
        options={
            "db_table": "ingest_error_seen",
            "indexes": [
                models.Index(fields=["at"], name="error_seen_at"),
            ],
        },
    ),
]
