"""Spans and scores.

A span is (project, trace id, span id), whatever brought it. Its `day` is the day it started as
first seen and never moves: `SpanKey` remembers it, so a later version finds its partition.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from .fields import finite_float


class SpanKey(models.Model):
    """Identity → partition. Its primary key decides which of two racing deliveries is first."""

    pk = models.CompositePrimaryKey("project_id", "key")
    project_id = models.IntegerField()
    key = models.UUIDField()
    day = models.DateField()

    class Meta:
        db_table = "ingest_span_key"


class Span(models.Model):
    """The table itself is made by migration 0002, partitioned by `day`."""

    pk = models.CompositePrimaryKey("project_id", "day", "key")
    project_id = models.IntegerField()
    day = models.DateField()
    key = models.UUIDField()
    source_id = models.IntegerField(help_text="The first source that brought it.")
    version = models.BigIntegerField()
    trace_id = models.TextField()
    span_id = models.TextField()
    parent_span_id = models.TextField()
    external_id = models.TextField()
    kind = models.TextField()
    name = models.TextField()
    service = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    request_model = models.TextField()
    tier = models.TextField()
    status = models.TextField()
    error_type = models.TextField()
    user_id = models.TextField()
    session_id = models.TextField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    latency_ms = models.FloatField(null=True)
    ttft_ms = models.FloatField(null=True)
    input_band = models.IntegerField()
    input_tokens = models.BigIntegerField(null=True)
    cache_read_tokens = models.BigIntegerField(null=True)
    cache_write_5m_tokens = models.BigIntegerField(null=True)
    cache_write_1h_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    reasoning_tokens = models.BigIntegerField(null=True)
    audio_input_tokens = models.BigIntegerField(null=True)
    audio_output_tokens = models.BigIntegerField(null=True)
    image_input_tokens = models.BigIntegerField(null=True)
    usage_convention = models.TextField()
    raw_usage = models.JSONField(null=True, help_text="The vendor's own usage object.")
    source_cost_usd = models.DecimalField(null=True, max_digits=38, decimal_places=20)
    prompt_hash = models.BinaryField(null=True)
    prefix_hashes = ArrayField(models.BinaryField(), null=True)
    parameters_hash = models.BinaryField(null=True)
    prompt_signature = models.BinaryField(null=True)
    input_chars = models.IntegerField(null=True)
    output_chars = models.IntegerField(null=True)
    removable_tokens = models.BigIntegerField(null=True, help_text="Input that says nothing.")
    attributes = models.JSONField(null=True)
    received_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "ingest_span"


class SpanText(models.Model):
    """Prompts and answers, of projects that keep text; made by migration 0002, by `day`."""

    pk = models.CompositePrimaryKey("project_id", "day", "key")
    project_id = models.IntegerField()
    day = models.DateField()
    key = models.UUIDField()
    version = models.BigIntegerField()
    texts = models.JSONField(help_text="Text by the name it came under.")
    received_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "ingest_span_text"


class SpanSighting(models.Model):
    """The same span brought by a further source. The first sighting is on the span itself."""

    pk = models.CompositePrimaryKey("project_id", "key", "source_id")
    project_id = models.IntegerField()
    key = models.UUIDField()
    source_id = models.IntegerField()
    external_id = models.TextField()
    version = models.BigIntegerField()
    day = models.DateField()
    seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "ingest_span_sighting"


class UsageParent(models.Model):
    """Spans with a child that reports usage itself: the leaf counts, so these do not."""

    pk = models.CompositePrimaryKey("project_id", "key")
    project_id = models.IntegerField()
    key = models.UUIDField()
    day = models.DateField()

    class Meta:
        db_table = "ingest_usage_parent"


class Score(models.Model):
    """An evaluation of a span or of a whole trace."""

    pk = models.CompositePrimaryKey("project_id", "source_id", "external_id")
    project_id = models.IntegerField()
    source_id = models.IntegerField()
    external_id = models.TextField()
    version = models.BigIntegerField(default=0)
    trace_id = models.TextField()
    span_id = models.TextField(blank=True)
    name = models.TextField()
    at = models.DateTimeField()
    number = models.FloatField(null=True)
    label = models.TextField(null=True)  # noqa: DJ001  unknown is not the empty label
    truth = models.BooleanField(null=True)

    class Meta:
        constraints = [
            *finite_float("score", "number"),
            models.CheckConstraint(
                condition=models.Q(number__isnull=False, label__isnull=True, truth__isnull=True)
                | models.Q(number__isnull=True, label__isnull=False, truth__isnull=True)
                | models.Q(number__isnull=True, label__isnull=True, truth__isnull=False),
                name="score_one_value",
            ),
        ]
        indexes = [
            models.Index(fields=["project_id", "trace_id"], name="score_trace"),
            # An objective of quality reads one name's of four weeks, every few minutes.
            models.Index(fields=["project_id", "name", "at"], name="score_at"),
        ]
