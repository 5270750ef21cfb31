"""What came after its day was closed, and what must be remembered to count nothing twice.

A day is closed when its raw facts are dropped. Its sums stay as they are; a span that comes later
is an adjustment beside them: added, never edited, and visible as such.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from .rollups import DIMENSIONS, SpanSums


class SealedKeys(models.Model):
    """Whose spans the sums of a closed day hold: 8 bytes of each identity.

    The identities themselves go with their partition. Without these heads, a delivery sent again
    after its day was closed would be counted again. Two spans share a head by chance once in 2^64.
    """

    pk = models.CompositePrimaryKey("project_id", "day")
    project_id = models.IntegerField()
    day = models.DateField()
    without_usage = ArrayField(models.BigIntegerField(), default=list)
    with_usage = ArrayField(models.BigIntegerField(), default=list)
    parents = ArrayField(
        models.BigIntegerField(),
        default=list,
        help_text="Spans with a child that reports usage, so that theirs is counted already.",
    )

    class Meta:
        db_table = "ingest_sealed_keys"


class LateSpan(models.Model):
    """One version of a span that came after its day was closed. Of each key the newest counts.

    A trigger refuses UPDATE and DELETE. There is no user, no prompt and no attribute here: these
    rows outlive the retention of facts.
    """

    project_id = models.IntegerField()
    key = models.UUIDField()
    source_id = models.IntegerField()
    version = models.BigIntegerField()
    trace_id = models.TextField()
    span_id = models.TextField()
    parent_key = models.UUIDField(null=True)
    started_at = models.DateTimeField()
    service = models.TextField()
    kind = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    tier = models.TextField()
    input_band = models.IntegerField()
    status = models.TextField()
    latency_ms = models.FloatField(null=True)
    ttft_ms = models.FloatField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    cache_read_tokens = models.BigIntegerField(null=True)
    cache_write_5m_tokens = models.BigIntegerField(null=True)
    cache_write_1h_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    reasoning_tokens = models.BigIntegerField(null=True)
    audio_input_tokens = models.BigIntegerField(null=True)
    audio_output_tokens = models.BigIntegerField(null=True)
    image_input_tokens = models.BigIntegerField(null=True)
    source_cost_usd = models.DecimalField(null=True, max_digits=38, decimal_places=20)
    usage_counted = models.BooleanField(
        help_text="The sums hold its usage already, at the span above or below it."
    )
    arrived_at = models.DateTimeField()

    class Meta:
        db_table = "ingest_late_span"
        indexes = [
            models.Index(fields=["project_id", "key", "-id"], name="late_span_newest"),
            models.Index(fields=["project_id", "started_at"], name="late_span_started"),
            models.Index(fields=["project_id", "parent_key"], name="late_span_parent"),
            models.Index(fields=["source_id"], name="late_span_source"),
        ]

    def __str__(self) -> str:
        return f"{self.trace_id}/{self.span_id}"


class LateQuarter(SpanSums):
    """Late spans per quarter hour, recomputed from `LateSpan`; added to the sums of `SpanQuarter`.

    Kept apart from them, so that what was summed from facts now gone is never touched.
    """

    pk = models.CompositePrimaryKey("project_id", "at", *DIMENSIONS)
    at = models.DateTimeField()

    class Meta:
        db_table = "ingest_late_quarter"
        indexes = [models.Index(fields=["at"], name="late_quarter_at")]
