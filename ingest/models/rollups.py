"""Facts summed per quarter hour, hour and day, always recomputable from facts.

Latency is kept as a mergeable sketch (DDSketch's logarithmic buckets, see `ingest.sketch`), so a
percentile over any range is right to its relative accuracy. The dimensions are a closed list.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from ingest.records import TOKEN_FIELDS

from .fields import BitSet, finite_float

DIMENSIONS = ("service", "kind", "provider", "model", "tier", "input_band")


class DirtyHour(models.Model):
    """Append-only marks: this hour's facts changed. Duplicates are free, contention is nil.

    `owner_kind` is `project` for spans, `pool` for samples, and `concurrency` for what a project's
    requests did at once, which is counted less often.
    """

    owner_kind = models.TextField()
    owner_id = models.IntegerField()
    hour = models.DateTimeField()
    marked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "ingest_dirty_hour"


class RestingDay(models.Model):
    """A day that was costly to sum a moment ago: until when all workers leave its marks alone."""

    pk = models.CompositePrimaryKey("owner_kind", "owner_id", "day")
    owner_kind = models.TextField()
    owner_id = models.IntegerField()
    day = models.DateField()
    until = models.DateTimeField()

    class Meta:
        db_table = "ingest_resting_day"


class RolledHour(models.Model):
    """How often an hour was rolled up. Whoever prices it compares this with what they priced."""

    pk = models.CompositePrimaryKey("owner_kind", "owner_id", "hour")
    owner_kind = models.TextField()
    owner_id = models.IntegerField()
    hour = models.DateTimeField()
    revision = models.BigIntegerField()
    rolled_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["rolled_at"], name="rolled_hour_at")]


class SealedDay(models.Model):
    """A day whose raw facts were dropped: its rollups are all there is, and stay as they are."""

    pk = models.CompositePrimaryKey("table", "day")
    table = models.TextField()
    day = models.DateField()
    sealed_at = models.DateTimeField(auto_now_add=True)
    keeps_keys = models.BooleanField(
        db_default=False,
        help_text="Whether it is remembered which spans were counted; see SealedKeys.",
    )


class SpanSums(models.Model):
    """What is summed. Token columns are sums of known counts; `usage_unknown` counts the rest."""

    project_id = models.IntegerField()
    service = models.TextField()
    kind = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    tier = models.TextField()
    input_band = models.IntegerField()
    spans = models.BigIntegerField()
    errors = models.BigIntegerField()
    usage_unknown = models.BigIntegerField()
    input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    audio_input_tokens = models.BigIntegerField(default=0)
    audio_output_tokens = models.BigIntegerField(default=0)
    image_input_tokens = models.BigIntegerField(default=0)
    source_cost_usd = models.DecimalField(null=True, max_digits=38, decimal_places=20)
    source_cost_spans = models.BigIntegerField(default=0)
    latency_count = models.BigIntegerField(default=0)
    latency_ms_sum = models.FloatField(default=0)
    latency_keys = ArrayField(models.SmallIntegerField())
    latency_counts = ArrayField(models.IntegerField())
    ttft_count = models.BigIntegerField(default=0)
    ttft_ms_sum = models.FloatField(default=0)
    ttft_keys = ArrayField(models.SmallIntegerField())
    ttft_counts = ArrayField(models.IntegerField())
    # None of what was summed before these were: nothing is known of it, and 0 was measured.
    tpot_count = models.BigIntegerField(db_default=0)
    tpot_ms_sum = models.FloatField(db_default=0)
    tpot_keys = ArrayField(models.SmallIntegerField(), db_default=[])
    tpot_counts = ArrayField(models.IntegerField(), db_default=[])
    endings_known = models.BigIntegerField(
        db_default=0, help_text="Spans that say whether their caller waited for the end."
    )
    abandoned = models.BigIntegerField(
        db_default=0, help_text="Of these, the ones whose caller did not."
    )

    class Meta:
        abstract = True

    SUMMED = (
        "spans",
        "errors",
        "usage_unknown",
        *TOKEN_FIELDS,
        "source_cost_usd",
        "source_cost_spans",
        "latency_count",
        "latency_ms_sum",
        "ttft_count",
        "ttft_ms_sum",
        "tpot_count",
        "tpot_ms_sum",
        "endings_known",
        "abandoned",
    )


class SpanQuarter(SpanSums):
    """The base grain: 15 minutes, so that half-hour and 45-minute time zones are exact."""

    pk = models.CompositePrimaryKey("project_id", "at", *DIMENSIONS)
    at = models.DateTimeField()

    class Meta:
        db_table = "ingest_span_quarter"
        indexes = [models.Index(fields=["at"], name="span_quarter_at")]


class SpanHour(SpanSums):
    pk = models.CompositePrimaryKey("project_id", "at", *DIMENSIONS)
    at = models.DateTimeField()

    class Meta:
        db_table = "ingest_span_hour"
        indexes = [models.Index(fields=["at"], name="span_hour_at")]


class SpanDay(SpanSums):
    """A day of the installation's accounting time zone."""

    pk = models.CompositePrimaryKey("project_id", "day", *DIMENSIONS)
    day = models.DateField()

    class Meta:
        db_table = "ingest_span_day"
        indexes = [models.Index(fields=["day"], name="span_day_day")]


class SpanWeek(SpanSums):
    """Seven accounting days from a Monday, for answers about months: see `ingest.rollup.spans`."""

    pk = models.CompositePrimaryKey("project_id", "day", *DIMENSIONS)
    day = models.DateField(help_text="The Monday.")

    class Meta:
        db_table = "ingest_span_week"
        indexes = [models.Index(fields=["day"], name="span_week_day")]


class RequestDay(SpanSums):
    """All requests that models answered in a project's day; its dimensions are empty."""

    pk = models.CompositePrimaryKey("project_id", "day")
    day = models.DateField()

    class Meta:
        db_table = "ingest_request_day"
        indexes = [models.Index(fields=["day"], name="request_day_day")]


class ConversationDay(models.Model):
    """Sessions of an accounting day as sets: summed with its users, see `rollup.conversations`.

    Numbers are given anew for each project and day, so only sets of one project's day and page may
    be united. The page -1 stands for requests that name no session.
    """

    pk = models.CompositePrimaryKey("project_id", "day", "provider", "model", "service", "page")
    project_id = models.IntegerField()
    day = models.DateField()
    provider = models.TextField()
    model = models.TextField()
    service = models.TextField()
    page = models.IntegerField()
    sessions = BitSet(null=True)
    requests = models.BigIntegerField()

    class Meta:
        db_table = "ingest_conversation_day"
        indexes = [models.Index(fields=["day"], name="conversation_day_day")]


class SeriesQuarter(models.Model):
    """One series over 15 minutes.

    `increase` is the counter's growth with resets taken out, NULL for a gauge. Covered seconds say
    how much of the quarter was really observed: a gap is unknown, not zero.
    """

    pk = models.CompositePrimaryKey("pool_id", "at", "series_id")
    pool_id = models.IntegerField()
    at = models.DateTimeField()
    series_id = models.BigIntegerField()
    samples = models.IntegerField()
    covered_s = models.FloatField()
    mean = models.FloatField()
    minimum = models.FloatField()
    maximum = models.FloatField()
    last = models.FloatField()
    increase = models.FloatField(null=True)
    resets = models.IntegerField(default=0)

    class Meta:
        db_table = "ingest_series_quarter"
        constraints = finite_float("series_quarter", "mean", "increase")


class GpuSums(models.Model):
    """What one GPU did in some time; a figure is NULL when the GPU never reported it.

    `throttled_s` is the time in which something held back speed that is paid for, of the
    `reasons_s` in which the GPU told what holds its clocks; the power cap is told apart, because
    it is normal under load. Errors are those new in the time; remapped rows are all there are.
    """

    pool_id = models.IntegerField()
    gpu_id = models.BigIntegerField()
    covered_s = models.FloatField()
    memory_used_bytes_max = models.BigIntegerField(null=True)
    energy_j = models.FloatField(null=True)
    memory_reserved_bytes_max = models.BigIntegerField(null=True)
    power_limit_w = models.FloatField(null=True)
    reasons_s = models.FloatField(null=True)
    throttled_s = models.FloatField(null=True)
    power_cap_s = models.FloatField(null=True)
    thermal_s = models.FloatField(null=True)
    power_brake_s = models.FloatField(null=True)
    lost_s = models.FloatField(null=True)
    ecc_corrected = models.BigIntegerField(null=True)
    ecc_uncorrected = models.BigIntegerField(null=True)
    remapped_rows = models.BigIntegerField(null=True)
    remap_pending = models.BooleanField(null=True)
    remap_failed = models.BooleanField(null=True)
    xid_errors = models.BigIntegerField(null=True)
    last_xid = models.IntegerField(null=True)

    class Meta:
        abstract = True


class GpuQuarter(GpuSums):
    """One GPU over 15 minutes."""

    pk = models.CompositePrimaryKey("pool_id", "at", "gpu_id")
    at = models.DateTimeField()
    samples = models.IntegerField()
    utilization_pct = models.FloatField(null=True)
    power_w = models.FloatField(null=True)
    throttled_samples = models.IntegerField(default=0)

    class Meta:
        db_table = "ingest_gpu_quarter"


class GpuDay(GpuSums):
    """The `GpuQuarter` rows of an accounting day, added up; of a state, the last one told.

    Means are kept as what they are made of: `utilization_s` is percent × seconds, over the
    `utilization_known_s` in which it was told; power likewise.
    """

    pk = models.CompositePrimaryKey("pool_id", "day", "gpu_id")
    day = models.DateField()
    first_at = models.DateTimeField()
    utilization_s = models.FloatField(null=True)
    utilization_known_s = models.FloatField(null=True)
    power_ws = models.FloatField(null=True)
    power_known_s = models.FloatField(null=True)
    throttled_samples = models.BigIntegerField(default=0)

    class Meta:
        db_table = "ingest_gpu_day"
        indexes = [models.Index(fields=["day"], name="gpu_day_day")]
