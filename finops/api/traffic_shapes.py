"""What answers about requests, models and GPUs look like.

Knows names and types; computes nothing.
"""

from __future__ import annotations

from rest_framework.serializers import (
    BooleanField,
    CharField,
    DateField,
    DictField,
    FloatField,
    IntegerField,
    ListField,
    Serializer,
)

from .shapes import (
    CONVERSION,
    LATE,
    ConversionShape,
    Instant,
    MaybeMoney,
    Points,
    StampedShape,
)


class PercentilesShape(Serializer):
    count = IntegerField()
    p50_ms = FloatField(allow_null=True)
    p95_ms = FloatField(allow_null=True)
    p99_ms = FloatField(allow_null=True)


class RequestRowShape(Serializer):
    keys = ListField(child=CharField())
    labels = ListField(child=CharField())
    requests = IntegerField()
    errors = IntegerField()
    error_rate = FloatField(allow_null=True)
    usage_unknown = IntegerField()
    tokens = DictField(child=IntegerField())
    latency = PercentilesShape()
    ttft = PercentilesShape()
    tpot = PercentilesShape(help_text="Time per output token after the first.")
    endings_known = IntegerField(
        help_text="Requests that say whether their caller waited for the end."
    )
    abandoned = IntegerField(help_text="Of these, the ones whose caller did not.")
    abandonment_rate = FloatField(
        allow_null=True, help_text="abandoned / endings_known; null where no ending is known."
    )


class RequestTableShape(StampedShape):
    group_by = ListField(child=CharField())
    data = RequestRowShape(many=True, source="rows")
    total = RequestRowShape()
    late_requests = IntegerField(help_text=LATE)


class LatencySeriesShape(StampedShape):
    step = CharField()
    points = Points()
    requests = ListField(child=IntegerField())
    errors = ListField(child=IntegerField())
    latency = PercentilesShape(many=True)
    ttft = PercentilesShape(many=True)
    tpot = PercentilesShape(many=True)
    endings_known = ListField(child=IntegerField())
    abandoned = ListField(child=IntegerField())


class AtOnceShape(Serializer):
    """What was at once; null is unknown. See docs/measures.md."""

    in_flight_mean = FloatField(allow_null=True, help_text="Requests under way, on average.")
    in_flight_peak = IntegerField(allow_null=True, help_text="The most at one moment.")
    users_mean = FloatField(
        allow_null=True, help_text="Different users with a request in 5 minutes, on average."
    )
    users_peak = IntegerField(allow_null=True)
    sessions_mean = FloatField(allow_null=True)
    sessions_peak = IntegerField(allow_null=True)


class ConcurrencyShape(StampedShape):
    step = CharField()
    points = Points()
    data = AtOnceShape(many=True, source="steps", help_text="One for each point.")
    total = AtOnceShape()
    requests = IntegerField()
    timed = IntegerField(help_text="Of these, the ones whose end is known.")
    naming_user = IntegerField(help_text="Of these, the ones that name a user.")
    naming_session = IntegerField(help_text="Of these, the ones that name a session.")
    peak_at_most = BooleanField(
        help_text="True: peaks of several projects, or services and models, were added; it was at "
        "most so many."
    )
    users_at_most = BooleanField(help_text="The same of users and sessions.")


class ServerModelShape(Serializer):
    pool = CharField()
    model = CharField(help_text="Empty: all of the pool.")
    hardware = CharField()
    ended = FloatField(allow_null=True, help_text="Requests, by the server's own count.")
    abandoned = FloatField(allow_null=True)
    abandonment_rate = FloatField(allow_null=True)
    tpot_ms = FloatField(allow_null=True, help_text="Mean time per output token after the first.")
    tpot_from = CharField(help_text="server, requests, or empty when unknown.")
    parameter_bytes = IntegerField(allow_null=True)
    kv_cache_bytes = FloatField(allow_null=True, help_text="In use, on average.")
    peak_bytes_per_s = FloatField(allow_null=True)
    bandwidth_used = FloatField(
        allow_null=True, help_text="Model bandwidth utilisation, 0 to 1; null when unknown."
    )
    bandwidth_from = CharField(help_text="measured, computed, or empty when unknown.")
    note = CharField(help_text="What the share is, or why it is unknown and what to do.")


class ModelServersShape(StampedShape):
    data = ServerModelShape(many=True, source="models")


class SpanShape(Serializer):
    """One request. Prompt and answer text are never part of it."""

    project = CharField()
    key = CharField()
    day = DateField()
    trace_id = CharField()
    span_id = CharField()
    name = CharField()
    kind = CharField()
    service = CharField()
    provider = CharField()
    model = CharField()
    tier = CharField()
    status = CharField()
    error_type = CharField()
    started_at = Instant()
    latency_ms = FloatField(allow_null=True)
    ttft_ms = FloatField(allow_null=True)
    tpot_ms = FloatField(
        allow_null=True, help_text="Time per output token after the first: null when unknown."
    )
    tokens = DictField(child=IntegerField(allow_null=True))
    usage_convention = CharField(
        help_text="inclusive or exclusive: whether the sender's input held its cached tokens."
    )
    removable_tokens = IntegerField(
        allow_null=True, help_text="Input that says nothing, such as a block sent twice."
    )
    cost = MaybeMoney()
    currency = CharField()
    cost_note = CharField(help_text="Why there is no cost.")
    list_cost = MaybeMoney(help_text="At list prices; null also where no list has a price.")


class SpanPageShape(StampedShape):
    data = SpanShape(many=True, source="rows")
    next = CharField(allow_null=True)


class GpuHealthShape(Serializer):
    """null is "was not told", never none. Seconds and errors are those of the window."""

    reasons_s = FloatField(
        allow_null=True, help_text="Seconds in which the GPU told what holds its clocks."
    )
    throttled_s = FloatField(
        allow_null=True, help_text="Held back: heat, power brake, hardware; not the power cap."
    )
    throttled_share = FloatField(allow_null=True)
    thermal_s = FloatField(allow_null=True)
    power_brake_s = FloatField(allow_null=True)
    power_cap_s = FloatField(allow_null=True, help_text="At its power limit; normal under load.")
    lost_s = FloatField(allow_null=True)
    ecc_corrected = IntegerField(allow_null=True)
    ecc_uncorrected = IntegerField(allow_null=True)
    remapped_rows = IntegerField(allow_null=True, help_text="Over the GPU's life.")
    remap_pending = BooleanField(allow_null=True)
    remap_failed = BooleanField(allow_null=True)
    xid_errors = IntegerField(allow_null=True)
    last_xid = IntegerField(allow_null=True)


class GpuProcessShape(Serializer):
    pid = IntegerField()
    name = CharField(help_text="Empty unless the probe runs with --process-names.")
    mig_uuid = CharField(help_text="The MIG instance it runs on, or empty.")
    memory_used_bytes = IntegerField(allow_null=True)


class MigInstanceShape(Serializer):
    uuid = CharField()
    profile = CharField()
    gpu_instance_id = IntegerField(allow_null=True)
    compute_instance_id = IntegerField(allow_null=True)
    memory_used_bytes = IntegerField(allow_null=True)
    memory_total_bytes = IntegerField(allow_null=True)
    memory_reserved_bytes = IntegerField(allow_null=True)


class GpuUseShape(Serializer):
    """Who uses the GPU now, whatever the window."""

    told_at = Instant(allow_null=True)
    is_lost = BooleanField()
    is_mig = BooleanField(allow_null=True)
    process_count = IntegerField(allow_null=True)
    processes = GpuProcessShape(many=True, help_text="Those with most memory.")
    mig_instances = MigInstanceShape(many=True)


class GpuShape(Serializer):
    id = IntegerField()
    host = CharField()
    index = IntegerField()
    name = CharField()
    simulated = BooleanField()
    last_seen_at = Instant()
    utilization_pct = FloatField(allow_null=True)
    memory_used_bytes_max = IntegerField(allow_null=True)
    memory_total_bytes = IntegerField(allow_null=True)
    memory_reserved_bytes = IntegerField(allow_null=True, help_text="Kept by the driver.")
    power_w = FloatField(allow_null=True)
    power_limit_w = FloatField(allow_null=True)
    energy_j = FloatField(allow_null=True)
    energy_kwh = FloatField(allow_null=True)
    throttled_samples = IntegerField()
    coverage = FloatField(help_text="Observed share of the window so far, 0 to 1.")
    health = GpuHealthShape()
    use = GpuUseShape()


class ServedModelShape(Serializer):
    model = CharField()
    requests = FloatField(allow_null=True)
    busy_s = FloatField(allow_null=True)
    used = MaybeMoney()
    allocated = MaybeMoney()
    used_per_thousand_requests = MaybeMoney(source="used_per_thousand")


class PoolShape(Serializer):
    id = IntegerField()
    name = CharField()
    provider = CharField()
    hardware = CharField()
    gpu_count = IntegerField(allow_null=True)
    simulated = BooleanField()
    currency = CharField()
    allocated = MaybeMoney(help_text="What was paid.")
    used = MaybeMoney()
    idle = MaybeMoney(help_text="Paid, observed, not busy.")
    unobserved = MaybeMoney(help_text="Paid while nothing was observed.")
    held_back = MaybeMoney(help_text="Paid and observed while something held the clocks back.")
    held_back_share = FloatField(allow_null=True)
    utilization = FloatField(allow_null=True)
    coverage = FloatField()
    unpriced_hours = FloatField()
    per_thousand_requests = MaybeMoney(
        source="per_thousand", help_text="Everything paid: what to compare with an API."
    )
    used_per_thousand_requests = MaybeMoney(
        source="used_per_thousand", help_text="The busy share of it."
    )
    models = ServedModelShape(many=True)
    gpus = GpuShape(many=True)


class PoolTableShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    data = PoolShape(many=True, source="pools")


class GpuLineShape(Serializer):
    label = CharField()
    values = ListField(child=FloatField(allow_null=True), help_text="null is a gap.")


class UtilizationShape(StampedShape):
    step = CharField()
    points = Points()
    lines = GpuLineShape(many=True)
