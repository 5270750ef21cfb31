"""Requests as they came, and what has to be summed or is closed."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from ingest.migrations.first_tables.parts import amount, composite_key, float_is_finite, own_id

TABLES = [
    migrations.CreateModel(
        name="Span",
        fields=[
            ("pk", composite_key("project_id", "day", "key")),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            ("key", models.UUIDField()),
            ("source_id", models.IntegerField(help_text="The first source that brought it.")),
            ("version", models.BigIntegerField()),
            ("trace_id", models.TextField()),
            ("span_id", models.TextField()),
            ("parent_span_id", models.TextField()),
            ("external_id", models.TextField()),
            ("kind", models.TextField()),
            ("name", models.TextField()),
            ("service", models.TextField()),
            ("provider", models.TextField()),
            ("model", models.TextField()),
            ("request_model", models.TextField()),
            ("tier", models.TextField()),
            ("status", models.TextField()),
            ("error_type", models.TextField()),
            ("user_id", models.TextField()),
            ("session_id", models.TextField()),
            ("started_at", models.DateTimeField()),
            ("ended_at", models.DateTimeField(null=True)),
            ("latency_ms", models.FloatField(null=True)),
            ("ttft_ms", models.FloatField(null=True)),
            ("input_band", models.IntegerField()),
            ("input_tokens", models.BigIntegerField(null=True)),
            ("cache_read_tokens", models.BigIntegerField(null=True)),
            ("cache_write_5m_tokens", models.BigIntegerField(null=True)),
            ("cache_write_1h_tokens", models.BigIntegerField(null=True)),
            ("output_tokens", models.BigIntegerField(null=True)),
            ("reasoning_tokens", models.BigIntegerField(null=True)),
            ("audio_input_tokens", models.BigIntegerField(null=True)),
            ("audio_output_tokens", models.BigIntegerField(null=True)),
            ("image_input_tokens", models.BigIntegerField(null=True)),
            ("usage_convention", models.TextField()),
            ("source_cost_usd", amount(null=True)),
            ("prompt_hash", models.BinaryField(null=True)),
            ("prefix_hashes", ArrayField(base_field=models.BinaryField(), null=True, size=None)),
            ("input_chars", models.IntegerField(null=True)),
            ("output_chars", models.IntegerField(null=True)),
            ("attributes", models.JSONField(null=True)),
            ("received_at", models.DateTimeField()),
        ],
        options={
            "db_table": "ingest_span",
            "managed": False,
        },
    ),
    migrations.CreateModel(
        name="SpanText",
        fields=[
            ("pk", composite_key("project_id", "day", "key")),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            ("key", models.UUIDField()),
            ("version", models.BigIntegerField()),
            ("texts", models.JSONField(help_text="Text by the name it came under.")),
            ("received_at", models.DateTimeField()),
        ],
        options={
            "db_table": "ingest_span_text",
            "managed": False,
        },
    ),
    migrations.CreateModel(
        name="SpanKey",
        fields=[
            ("pk", composite_key("project_id", "key")),
            ("project_id", models.IntegerField()),
            ("key", models.UUIDField()),
            ("day", models.DateField()),
        ],
        options={
            "db_table": "ingest_span_key",
        },
    ),
    migrations.CreateModel(
        name="SpanSighting",
        fields=[
            ("pk", composite_key("project_id", "key", "source_id")),
            ("project_id", models.IntegerField()),
            ("key", models.UUIDField()),
            ("source_id", models.IntegerField()),
            ("external_id", models.TextField()),
            ("version", models.BigIntegerField()),
            ("day", models.DateField()),
            ("seen_at", models.DateTimeField(auto_now_add=True)),
        ],
        options={
            "db_table": "ingest_span_sighting",
        },
    ),
    migrations.CreateModel(
        name="UsageParent",
        fields=[
            ("pk", composite_key("project_id", "key")),
            ("project_id", models.IntegerField()),
            ("key", models.UUIDField()),
            ("day", models.DateField()),
        ],
        options={
            "db_table": "ingest_usage_parent",
        },
    ),
    migrations.CreateModel(
        name="ToldPart",
        fields=[
            ("pk", composite_key("project_id", "kind", "external_id")),
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
    migrations.CreateModel(
        name="Score",
        fields=[
            ("pk", composite_key("project_id", "source_id", "external_id")),
            ("project_id", models.IntegerField()),
            ("source_id", models.IntegerField()),
            ("external_id", models.TextField()),
            ("version", models.BigIntegerField(default=0)),
            ("trace_id", models.TextField()),
            ("span_id", models.TextField(blank=True)),
            ("name", models.TextField()),
            ("at", models.DateTimeField()),
            ("number", models.FloatField(null=True)),
            ("label", models.TextField(null=True)),
            ("truth", models.BooleanField(null=True)),
        ],
        options={
            "indexes": [
                models.Index(fields=["project_id", "trace_id"], name="score_trace"),
                models.Index(fields=["project_id", "name", "at"], name="score_at"),
            ],
            "constraints": [
                float_is_finite("number", name="score_number_finite"),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(
                            ("label__isnull", True),
                            ("number__isnull", False),
                            ("truth__isnull", True),
                        ),
                        models.Q(
                            ("label__isnull", False),
                            ("number__isnull", True),
                            ("truth__isnull", True),
                        ),
                        models.Q(
                            ("label__isnull", True),
                            ("number__isnull", True),
                            ("truth__isnull", False),
                        ),
                        _connector="OR",
                    ),
                    name="score_one_value",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="DirtyHour",
        fields=[
            ("id", own_id()),
            ("owner_kind", models.TextField()),
            ("owner_id", models.IntegerField()),
            ("hour", models.DateTimeField()),
            ("marked_at", models.DateTimeField(auto_now_add=True)),
        ],
        options={
            "db_table": "ingest_dirty_hour",
        },
    ),
    migrations.CreateModel(
        name="RolledHour",
        fields=[
            ("pk", composite_key("owner_kind", "owner_id", "hour")),
            ("owner_kind", models.TextField()),
            ("owner_id", models.IntegerField()),
            ("hour", models.DateTimeField()),
            ("revision", models.BigIntegerField()),
            ("rolled_at", models.DateTimeField()),
        ],
        options={
            "indexes": [
                models.Index(fields=["rolled_at"], name="rolled_hour_at"),
            ],
        },
    ),
    migrations.CreateModel(
        name="SealedDay",
        fields=[
            ("pk", composite_key("table", "day")),
            ("table", models.TextField()),
            ("day", models.DateField()),
            ("sealed_at", models.DateTimeField(auto_now_add=True)),
            (
                "keeps_keys",
                models.BooleanField(
                    db_default=False,
                    help_text="Whether it is remembered which spans were counted; see SealedKeys.",
                ),
            ),
        ],
    ),
    migrations.CreateModel(
        name="SealedKeys",
        fields=[
            ("pk", composite_key("project_id", "day")),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            (
                "without_usage",
                ArrayField(base_field=models.BigIntegerField(), default=list, size=None),
            ),
            (
                "with_usage",
                ArrayField(base_field=models.BigIntegerField(), default=list, size=None),
            ),
            (
                "parents",
                ArrayField(
                    base_field=models.BigIntegerField(),
                    default=list,
                    help_text="Spans with a child that reports usage, so that theirs is counted"
                    " already.",
                    size=None,
                ),
            ),
        ],
        options={
            "db_table": "ingest_sealed_keys",
        },
    ),
    migrations.CreateModel(
        name="LateSpan",
        fields=[
            ("id", own_id()),
            ("project_id", models.IntegerField()),
            ("key", models.UUIDField()),
            ("source_id", models.IntegerField()),
            ("version", models.BigIntegerField()),
            ("trace_id", models.TextField()),
            ("span_id", models.TextField()),
            ("parent_key", models.UUIDField(null=True)),
            ("started_at", models.DateTimeField()),
            ("service", models.TextField()),
            ("kind", models.TextField()),
            ("provider", models.TextField()),
            ("model", models.TextField()),
            ("tier", models.TextField()),
            ("input_band", models.IntegerField()),
            ("status", models.TextField()),
            ("latency_ms", models.FloatField(null=True)),
            ("ttft_ms", models.FloatField(null=True)),
            ("input_tokens", models.BigIntegerField(null=True)),
            ("cache_read_tokens", models.BigIntegerField(null=True)),
            ("cache_write_5m_tokens", models.BigIntegerField(null=True)),
            ("cache_write_1h_tokens", models.BigIntegerField(null=True)),
            ("output_tokens", models.BigIntegerField(null=True)),
            ("reasoning_tokens", models.BigIntegerField(null=True)),
            ("audio_input_tokens", models.BigIntegerField(null=True)),
            ("audio_output_tokens", models.BigIntegerField(null=True)),
            ("image_input_tokens", models.BigIntegerField(null=True)),
            ("source_cost_usd", amount(null=True)),
            (
                "usage_counted",
                models.BooleanField(
                    help_text="The sums hold its usage already, at the span above or below it."
                ),
            ),
            ("arrived_at", models.DateTimeField()),
        ],
        options={
            "db_table": "ingest_late_span",
            "indexes": [
                models.Index(fields=["project_id", "key", "-id"], name="late_span_newest"),
                models.Index(fields=["project_id", "started_at"], name="late_span_started"),
                models.Index(fields=["project_id", "parent_key"], name="late_span_parent"),
                models.Index(fields=["source_id"], name="late_span_source"),
            ],
        },
    ),
]
