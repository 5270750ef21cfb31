"""Sums of requests."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from ingest.migrations.first_tables.parts import amount, composite_key


def usage():
    """What is summed of requests everywhere."""
    return [
        ("project_id", models.IntegerField()),
        ("service", models.TextField()),
        ("kind", models.TextField()),
        ("provider", models.TextField()),
        ("model", models.TextField()),
        ("tier", models.TextField()),
        ("input_band", models.IntegerField()),
        ("spans", models.BigIntegerField()),
        ("errors", models.BigIntegerField()),
        ("usage_unknown", models.BigIntegerField()),
        ("input_tokens", models.BigIntegerField(default=0)),
        ("cache_read_tokens", models.BigIntegerField(default=0)),
        ("cache_write_5m_tokens", models.BigIntegerField(default=0)),
        ("cache_write_1h_tokens", models.BigIntegerField(default=0)),
        ("output_tokens", models.BigIntegerField(default=0)),
        ("reasoning_tokens", models.BigIntegerField(default=0)),
        ("audio_input_tokens", models.BigIntegerField(default=0)),
        ("audio_output_tokens", models.BigIntegerField(default=0)),
        ("image_input_tokens", models.BigIntegerField(default=0)),
        ("source_cost_usd", amount(null=True)),
        ("source_cost_spans", models.BigIntegerField(default=0)),
    ]


def latency():
    """Its distribution, and that of the time to the first token."""
    return [
        ("latency_count", models.BigIntegerField(default=0)),
        ("latency_ms_sum", models.FloatField(default=0)),
        ("latency_keys", ArrayField(base_field=models.SmallIntegerField(), size=None)),
        ("latency_counts", ArrayField(base_field=models.IntegerField(), size=None)),
        ("ttft_count", models.BigIntegerField(default=0)),
        ("ttft_ms_sum", models.FloatField(default=0)),
        ("ttft_keys", ArrayField(base_field=models.SmallIntegerField(), size=None)),
        ("ttft_counts", ArrayField(base_field=models.IntegerField(), size=None)),
    ]


def pace_and_endings():
    """All of it is 0 in sums made before it was measured, and that means unknown."""
    return [
        ("tpot_count", models.BigIntegerField(db_default=0)),
        ("tpot_ms_sum", models.FloatField(db_default=0)),
        ("tpot_keys", ArrayField(base_field=models.SmallIntegerField(), db_default=[], size=None)),
        ("tpot_counts", ArrayField(base_field=models.IntegerField(), db_default=[], size=None)),
        (
            "endings_known",
            models.BigIntegerField(
                db_default=0, help_text="Spans that say whether their caller waited for the end."
            ),
        ),
        (
            "abandoned",
            models.BigIntegerField(
                db_default=0, help_text="Of these, the ones whose caller did not."
            ),
        ),
    ]


TABLES = [
    migrations.CreateModel(
        name="SpanQuarter",
        fields=[
            *usage(),
            *latency(),
            (
                "pk",
                composite_key(
                    "project_id", "at", "service", "kind", "provider", "model", "tier", "input_band"
                ),
            ),
            ("at", models.DateTimeField()),
            *pace_and_endings(),
        ],
        options={
            "db_table": "ingest_span_quarter",
            "indexes": [
                models.Index(fields=["at"], name="span_quarter_at"),
            ],
        },
    ),
    migrations.CreateModel(
        name="LateQuarter",
        fields=[
            *usage(),
            *latency(),
            (
                "pk",
                composite_key(
                    "project_id", "at", "service", "kind", "provider", "model", "tier", "input_band"
                ),
            ),
            ("at", models.DateTimeField()),
            *pace_and_endings(),
        ],
        options={
            "db_table": "ingest_late_quarter",
            "indexes": [
                models.Index(fields=["at"], name="late_quarter_at"),
            ],
        },
    ),
    migrations.CreateModel(
        name="SpanHour",
        fields=[
            *usage(),
            *latency(),
            (
                "pk",
                composite_key(
                    "project_id", "at", "service", "kind", "provider", "model", "tier", "input_band"
                ),
            ),
            ("at", models.DateTimeField()),
            *pace_and_endings(),
        ],
        options={
            "db_table": "ingest_span_hour",
            "indexes": [
                models.Index(fields=["at"], name="span_hour_at"),
            ],
        },
    ),
    migrations.CreateModel(
        name="SpanDay",
        fields=[
            *usage(),
            *latency(),
            (
                "pk",
                composite_key(
                    "project_id",
                    "day",
                    "service",
                    "kind",
                    "provider",
                    "model",
                    "tier",
                    "input_band",
                ),
            ),
            ("day", models.DateField()),
            *pace_and_endings(),
        ],
        options={
            "db_table": "ingest_span_day",
            "indexes": [
                models.Index(fields=["day"], name="span_day_day"),
            ],
        },
    ),
    migrations.CreateModel(
        name="SpanWeek",
        fields=[
            *usage(),
            ("latency_count", models.BigIntegerField(default=0)),
            ("ttft_count", models.BigIntegerField(default=0)),
            ("latency_ms_sum", models.FloatField(default=0)),
            ("ttft_ms_sum", models.FloatField(default=0)),
            ("latency_keys", ArrayField(base_field=models.SmallIntegerField(), size=None)),
            ("ttft_keys", ArrayField(base_field=models.SmallIntegerField(), size=None)),
            ("latency_counts", ArrayField(base_field=models.IntegerField(), size=None)),
            ("ttft_counts", ArrayField(base_field=models.IntegerField(), size=None)),
            *pace_and_endings(),
            (
                "pk",
                composite_key(
                    "project_id",
                    "day",
                    "service",
                    "kind",
                    "provider",
                    "model",
                    "tier",
                    "input_band",
                ),
            ),
            ("day", models.DateField(help_text="The Monday.")),
        ],
        options={
            "db_table": "ingest_span_week",
            "indexes": [
                models.Index(fields=["day"], name="span_week_day"),
            ],
        },
    ),
    migrations.CreateModel(
        name="RequestDay",
        fields=[
            *usage(),
            ("latency_count", models.BigIntegerField(default=0)),
            ("ttft_count", models.BigIntegerField(default=0)),
            ("latency_ms_sum", models.FloatField(default=0)),
            ("ttft_ms_sum", models.FloatField(default=0)),
            ("latency_keys", ArrayField(base_field=models.SmallIntegerField(), size=None)),
            ("ttft_keys", ArrayField(base_field=models.SmallIntegerField(), size=None)),
            ("latency_counts", ArrayField(base_field=models.IntegerField(), size=None)),
            ("ttft_counts", ArrayField(base_field=models.IntegerField(), size=None)),
            *pace_and_endings(),
            ("pk", composite_key("project_id", "day")),
            ("day", models.DateField()),
        ],
        options={
            "db_table": "ingest_request_day",
            "indexes": [
                models.Index(fields=["day"], name="request_day_day"),
            ],
        },
    ),
    migrations.CreateModel(
        name="ConcurrencyQuarter",
        fields=[
            ("pk", composite_key("project_id", "whole", "at", "service", "provider", "model")),
            ("project_id", models.IntegerField()),
            ("whole", models.BooleanField(help_text="Of the whole project; its names are empty.")),
            ("at", models.DateTimeField()),
            ("service", models.TextField()),
            ("provider", models.TextField()),
            ("model", models.TextField()),
            ("requests", models.IntegerField(help_text="That started in it.")),
            ("timed", models.IntegerField(help_text="Of these, the ones whose end is known.")),
            (
                "user_requests",
                models.IntegerField(help_text="Of these, the ones that name a user."),
            ),
            (
                "session_requests",
                models.IntegerField(help_text="Of these, the ones that name a session."),
            ),
            (
                "busy_ms",
                models.FloatField(help_text="Time under way inside the quarter, of all requests."),
            ),
            ("peak", models.IntegerField(help_text="The most that were under way at one moment.")),
            (
                "users",
                ArrayField(
                    base_field=models.IntegerField(),
                    help_text="Different users in each of its three windows of 5 minutes; NULL:"
                    " none named.",
                    null=True,
                    size=None,
                ),
            ),
            (
                "sessions",
                ArrayField(
                    base_field=models.IntegerField(),
                    help_text="Different sessions in each of its three windows of 5 minutes.",
                    null=True,
                    size=None,
                ),
            ),
        ],
        options={
            "db_table": "ingest_concurrency_quarter",
            "indexes": [
                models.Index(
                    condition=models.Q(("whole", True)),
                    fields=["at"],
                    include=(
                        "project_id",
                        "requests",
                        "timed",
                        "user_requests",
                        "session_requests",
                        "busy_ms",
                        "peak",
                        "users",
                        "sessions",
                    ),
                    name="concurrency_of_projects",
                ),
                models.Index(
                    condition=models.Q(("whole", False)), fields=["at"], name="concurrency_of_parts"
                ),
            ],
        },
    ),
]
