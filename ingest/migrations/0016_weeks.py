"""Requests by the week, and whole projects by the day, made of the days that are there.

Sessions as sets come with the next sum of a day's users; until then requests are counted singly.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from ingest.models.fields import BitSet

DIMENSIONS = ("service", "kind", "provider", "model", "tier", "input_band")
TOKENS = (
    "input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "output_tokens", "reasoning_tokens", "audio_input_tokens", "audio_output_tokens",
    "image_input_tokens",
)  # fmt: skip
SKETCHES = ("latency", "ttft", "tpot")
SUMMED = (
    "spans", "errors", "usage_unknown", *TOKENS, "source_cost_usd", "source_cost_spans",
    *(f"{name}_{part}" for name in SKETCHES for part in ("count", "ms_sum")),
    "endings_known", "abandoned",
)  # fmt: skip
ARRAYS = tuple(f"{name}_{part}" for name in SKETCHES for part in ("keys", "counts"))
KEYS = ", ".join(("project_id", "day", *DIMENSIONS))


def merged(target, day, dimensions, where):
    """SQL that makes the rows of one table from all days."""
    sketches = ", ".join(
        f"""{name} AS (
    SELECT {KEYS}, array_agg(k ORDER BY k) AS {name}_keys, array_agg(n ORDER BY k) AS {name}_counts
    FROM (SELECT {KEYS}, k, sum(n)::int AS n
        FROM facts, unnest({name}_keys, {name}_counts) AS b (k, n) GROUP BY {KEYS}, k
    ) AS buckets GROUP BY {KEYS})"""
        for name in SKETCHES
    )
    own = ", ".join(f"f.{name}" for name in ("project_id", "day", *DIMENSIONS))
    joined = " ".join(f"LEFT JOIN {name} USING ({KEYS})" for name in SKETCHES)
    return f"""
WITH facts AS MATERIALIZED (
    SELECT project_id, {day} AS day, {dimensions}, {", ".join((*SUMMED, *ARRAYS))}
    FROM ingest_span_day WHERE {where}
), {sketches}
INSERT INTO {target} ({KEYS}, {", ".join((*SUMMED, *ARRAYS))})
SELECT {own}, {", ".join(f"sum(f.{name})" for name in SUMMED)},
    {", ".join(f"coalesce(any_value({name.split('_')[0]}.{name}), '{{}}')" for name in ARRAYS)}
FROM facts f {joined} GROUP BY {own}"""


WEEKS = merged("ingest_span_week", "date_trunc('week', day)::date", ", ".join(DIMENSIONS), "true")
REQUESTS = merged(
    "ingest_request_day",
    "day",
    "'' AS service, '' AS kind, '' AS provider, '' AS model, '' AS tier, 0 AS input_band",
    "kind IN ('llm', 'embedding', 'rerank', 'inference')",
)


def columns():
    counted = ("latency", "ttft")
    return [
        ("project_id", models.IntegerField()),
        *((name, models.TextField()) for name in DIMENSIONS[:-1]),
        ("input_band", models.IntegerField()),
        *((name, models.BigIntegerField()) for name in ("spans", "errors", "usage_unknown")),
        *((name, models.BigIntegerField(default=0)) for name in TOKENS),
        ("source_cost_usd", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
        ("source_cost_spans", models.BigIntegerField(default=0)),
        *((f"{name}_count", models.BigIntegerField(default=0)) for name in counted),
        *((f"{name}_ms_sum", models.FloatField(default=0)) for name in counted),
        *((f"{name}_keys", ArrayField(models.SmallIntegerField())) for name in counted),
        *((f"{name}_counts", ArrayField(models.IntegerField())) for name in counted),
        ("tpot_count", models.BigIntegerField(db_default=0)),
        ("tpot_ms_sum", models.FloatField(db_default=0)),
        ("tpot_keys", ArrayField(models.SmallIntegerField(), db_default=[])),
        ("tpot_counts", ArrayField(models.IntegerField(), db_default=[])),
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


def key(*names):
    return models.CompositePrimaryKey(
        *names, blank=True, editable=False, primary_key=True, serialize=False
    )


class Migration(migrations.Migration):
    dependencies = [("ingest", "0015_labels")]

    operations = [
        migrations.CreateModel(
            name="SpanWeek",
            fields=[
                *columns(),
                ("pk", key("project_id", "day", *DIMENSIONS)),
                ("day", models.DateField(help_text="The Monday.")),
            ],
            options={
                "db_table": "ingest_span_week",
                "indexes": [models.Index(fields=["day"], name="span_week_day")],
            },
        ),
        migrations.CreateModel(
            name="RequestDay",
            fields=[
                *columns(),
                ("pk", key("project_id", "day")),
                ("day", models.DateField()),
            ],
            options={
                "db_table": "ingest_request_day",
                "indexes": [models.Index(fields=["day"], name="request_day_day")],
            },
        ),
        migrations.CreateModel(
            name="ConversationDay",
            fields=[
                ("pk", key("project_id", "day", "provider", "model", "service", "page")),
                ("project_id", models.IntegerField()),
                ("day", models.DateField()),
                *((name, models.TextField()) for name in ("provider", "model", "service")),
                ("page", models.IntegerField()),
                ("sessions", BitSet(null=True)),
                ("requests", models.BigIntegerField()),
            ],
            options={
                "db_table": "ingest_conversation_day",
                "indexes": [models.Index(fields=["day"], name="conversation_day_day")],
            },
        ),
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.RunSQL(WEEKS, migrations.RunSQL.noop),
        migrations.RunSQL(REQUESTS, migrations.RunSQL.noop),
    ]
