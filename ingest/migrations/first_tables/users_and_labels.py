"""What users and labels used in a day, and whose conversations were how many."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from ingest.migrations.first_tables.parts import composite_key, own_id
from ingest.models.fields import BitSet

TABLES = [
    migrations.CreateModel(
        name="ConversationDay",
        fields=[
            ("pk", composite_key("project_id", "day", "provider", "model", "service", "page")),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            ("provider", models.TextField()),
            ("model", models.TextField()),
            ("service", models.TextField()),
            ("page", models.IntegerField()),
            ("sessions", BitSet(null=True)),
            ("requests", models.BigIntegerField()),
        ],
        options={
            "db_table": "ingest_conversation_day",
            "indexes": [
                models.Index(fields=["day"], name="conversation_day_day"),
            ],
        },
    ),
    migrations.CreateModel(
        name="UserDay",
        fields=[
            (
                "pk",
                composite_key(
                    "project_id",
                    "day",
                    "user_id",
                    "service",
                    "kind",
                    "provider",
                    "model",
                    "tier",
                    "input_band",
                ),
            ),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            ("user_id", models.TextField()),
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
        ],
        options={
            "db_table": "ingest_user_day",
        },
    ),
    migrations.CreateModel(
        name="UserDayState",
        fields=[
            ("pk", composite_key("project_id", "day")),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            ("changed", models.BigIntegerField()),
            ("summed", models.BigIntegerField()),
            (
                "not_before",
                models.DateTimeField(
                    help_text="When it may be summed again; empty: at once.", null=True
                ),
            ),
        ],
        options={
            "db_table": "ingest_user_day_state",
            "indexes": [
                models.Index(
                    condition=models.Q(("changed", models.F("summed")), _negated=True),
                    fields=["not_before"],
                    name="user_day_due",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="KeptLabel",
        fields=[
            ("id", own_id()),
            ("name", models.CharField(max_length=40)),
            (
                "attributes",
                ArrayField(
                    base_field=models.CharField(max_length=200),
                    help_text="Keys of a request's attributes; the first one that it has is its"
                    " value.",
                    size=None,
                ),
            ),
            ("since", models.DateField(help_text="The first accounting day that is summed by it.")),
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
                    on_delete=models.CASCADE,
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
                ),
            ],
        },
    ),
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
                composite_key(
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
            ("pk", composite_key("project_id", "day", "label")),
            ("project_id", models.IntegerField()),
            ("day", models.DateField()),
            ("label", models.TextField()),
            (
                "attributes",
                ArrayField(
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
            "indexes": [
                models.Index(fields=["label", "day"], name="label_day_state_label"),
            ],
        },
    ),
]
