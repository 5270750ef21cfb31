"""What answers look like: one serializer per result. Knows names and types; computes nothing.

Money is a decimal string beside a currency. Unknown is null, never 0. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    DictField,
    FloatField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.models.people import ACCESS_SCOPES
from finops.money import plain
from finops.queries.sources import STATES
from ingest.models.sources import REJECT_STATES


@extend_schema_field({"type": "string", "format": "decimal", "examples": ["12.345"]})
class Money(serializers.Field):
    """Every digit, no exponent."""

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


@extend_schema_field(
    {"type": ["string", "null"], "format": "decimal", "examples": ["12.345", None]}
)
class MaybeMoney(Money):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)


class Instant(serializers.DateTimeField):
    """RFC 3339 in UTC, whatever zone it was computed in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default_timezone=UTC, **options)


class PointField(serializers.Field):
    """A day as YYYY-MM-DD, or an hour as an instant."""

    def to_representation(self, value: Any) -> str:
        if hasattr(value, "hour"):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return value.isoformat()


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class Points(ListField):
    child = PointField()


class ErrorShape(Serializer):
    field = CharField()
    message = CharField()


class ProblemShape(Serializer):
    """RFC 9457."""

    type = CharField()
    title = CharField()
    status = IntegerField()
    detail = CharField()
    instance = CharField()
    request_id = CharField()
    errors = ErrorShape(many=True, required=False)


class SourceNoteShape(Serializer):
    id = IntegerField()
    name = CharField()
    kind = CharField()
    last_fact_at = Instant(allow_null=True)
    is_sample = BooleanField()


class StampedShape(Serializer):
    as_of = Instant(allow_null=True, help_text="Time of the newest fact in it.")
    provisional = BooleanField(help_text="True while a part is not covered by a complete bill.")
    sources = SourceNoteShape(many=True)


class AmountShape(Serializer):
    """A total in some currency; null is unknown."""

    currency = CharField()
    cost = MaybeMoney()


@extend_schema_field(AmountShape(many=True))
class PerCurrency(serializers.Field):
    """(currency, cost) pairs as objects; they are never added."""

    def to_representation(self, value: Any) -> list[dict[str, str | None]]:
        return [
            {"currency": currency, "cost": None if cost is None else plain(cost)}
            for currency, cost in value
        ]


class AmountsShape(Serializer):
    cost = Money()
    reconciled = Money(help_text="The part from complete bills; the rest is provisional.")
    usage_cost = Money(help_text="All priced usage of the scope, covered by a bill or not.")
    requests = IntegerField(allow_null=True, help_text="null where only bills speak.")
    tokens = IntegerField(allow_null=True)
    unpriced_spans = IntegerField(allow_null=True, help_text="Usage without a price: in no amount.")
    unpriced_tokens = IntegerField(allow_null=True)
    unknown_spans = IntegerField(allow_null=True, help_text="Did not say what they used.")
    unknown_bill_lines = IntegerField()
    unpriced_gpu_hours = FloatField()
    per_million_tokens = MaybeMoney()
    per_thousand_requests = MaybeMoney()


LATE = "Of them, requests that came after their day was closed; they have no details."


class SpendShape(StampedShape, AmountsShape):
    currency = CharField()
    others = PerCurrency()
    late_requests = IntegerField(help_text=LATE)


class SpendRowShape(AmountsShape):
    keys = ListField(child=CharField(), help_text="One per `group_by`; filter by it to drill.")
    labels = ListField(child=CharField())
    share = FloatField(allow_null=True)
    previous = MaybeMoney()
    provisional = BooleanField()


class SpendTableShape(StampedShape):
    group_by = ListField(child=CharField())
    currency = CharField()
    data = SpendRowShape(many=True, source="rows")
    total = SpendRowShape()
    others = PerCurrency()


class LineShape(Serializer):
    keys = ListField(child=CharField())
    label = CharField()
    values = ListField(child=MaybeMoney(), help_text="null where nothing is known.")


class SeriesShape(StampedShape):
    step = CharField()
    currency = CharField()
    points = Points()
    lines = LineShape(many=True)
    reconciled = ListField(child=MaybeMoney())


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
    models = ServedModelShape(many=True)
    gpus = GpuShape(many=True)


class PoolTableShape(StampedShape):
    data = PoolShape(many=True, source="pools")


class GpuLineShape(Serializer):
    label = CharField()
    values = ListField(child=FloatField(allow_null=True), help_text="null is a gap.")


class UtilizationShape(StampedShape):
    step = CharField()
    points = Points()
    lines = GpuLineShape(many=True)


class CountsShape(Serializer):
    """rows_in = inserted + updated + unchanged + stale + rejected."""

    rows_in = IntegerField()
    inserted = IntegerField()
    updated = IntegerField()
    unchanged = IntegerField()
    stale = IntegerField()
    rejected = IntegerField()


class BudgetShape(Serializer):
    """The requests that a source allows itself in a window of time, by UTC."""

    window_s = IntegerField()
    spent = IntegerField()
    most = IntegerField()


class SourceShape(Serializer):
    id = IntegerField(source="source.pk")
    name = CharField(source="source.name")
    kind = CharField(source="source.kind")
    project = CharField(source="source.project.slug", allow_null=True, default=None)
    pool = CharField(source="source.pool.name", allow_null=True, default=None)
    enabled = BooleanField(source="source.enabled")
    is_sample = BooleanField(source="source.is_sample")
    interval_s = IntegerField(source="source.interval_s", allow_null=True)
    last_success_at = Instant(source="source.last_success_at", allow_null=True)
    last_fact_at = Instant(source="source.last_fact_at", allow_null=True)
    state = ChoiceField(choices=STATES)
    state_note = CharField()
    lag_s = FloatField(allow_null=True)
    delayed_until = Instant(source="source.delayed_until", allow_null=True)
    completeness = FloatField(
        allow_null=True, help_text="Share of the pulls due in the last 24 hours that came."
    )
    budgets = BudgetShape(many=True)
    last_24h = CountsShape()
    quarantined = IntegerField(help_text="Rejected rows kept now, of the last 7 days.")
    late = IntegerField(help_text="Spans taken for days whose details were gone already.")


class SourceListShape(Serializer):
    data = SourceShape(many=True)
    next = CharField(allow_null=True)


class PeriodShape(Serializer):
    billing_account_id = CharField()
    billing_month = DateField()
    line_count = IntegerField()
    last_charge_at = Instant()
    known_from = Instant()
    known_to = Instant(allow_null=True, help_text="null while it is believed.")
    superseded_by = IntegerField(allow_null=True)
    superseded = IntegerField(allow_null=True)
    costs = PerCurrency()


class DeliveryShape(Serializer):
    id = IntegerField()
    source_id = IntegerField()
    name = CharField()
    sha256 = CharField()
    received_at = Instant()
    complete = BooleanField()
    note = CharField(help_text="Why it is not complete.")
    warnings = ListField(child=CharField(), help_text="What is doubtful about its figures.")
    counts = CountsShape()
    periods = PeriodShape(many=True)


class DeliveryPageShape(Serializer):
    data = DeliveryShape(many=True, source="rows")
    next = CharField(allow_null=True)


class PullShape(Serializer):
    window_from = Instant()
    window_to = Instant()
    state = CharField()
    started_at = Instant()
    finished_at = Instant(allow_null=True)
    error = CharField()
    counts = CountsShape()


class PullPageShape(Serializer):
    data = PullShape(many=True, source="rows")
    next = CharField(allow_null=True)


class RejectShape(Serializer):
    """Why a row was not taken; the row itself is never shown."""

    id = IntegerField()
    received_at = Instant()
    reason = CharField()
    field = CharField()
    detail = CharField()
    external_id = CharField()
    line = IntegerField(allow_null=True)
    delivery_id = IntegerField(allow_null=True)
    state = ChoiceField(choices=REJECT_STATES, help_text="`taken`: tried again, and a fact now.")
    can_be_tried = BooleanField(help_text="Whether enough was kept of it to try it again.")
    tries = IntegerField(help_text="How often it was tried again.")
    tried_at = Instant(allow_null=True)


class RejectPageShape(Serializer):
    data = RejectShape(many=True, source="rows")
    next = CharField(allow_null=True)


class ProjectShape(Serializer):
    slug = CharField()
    name = CharField()
    team = CharField(source="team.name", allow_null=True, default=None)
    environment = CharField()
    keeps_text = BooleanField()


class ProjectListShape(Serializer):
    data = ProjectShape(many=True)
    next = CharField(allow_null=True)


class MembershipShape(Serializer):
    role = CharField(source="role.name")
    team = CharField(source="team.name", allow_null=True, default=None)
    project = CharField(source="project.slug", allow_null=True, default=None)


class MeShape(Serializer):
    username = CharField()
    memberships = MembershipShape(many=True)
    permissions = ListField(child=CharField(), help_text="Over the whole organisation.")
    accounting_time_zone = CharField()
    currency = CharField()


class BookShape(Serializer):
    version = IntegerField()
    source = CharField()
    note = CharField()
    created_at = Instant()


class BookListShape(Serializer):
    data = BookShape(many=True)
    next = CharField(allow_null=True)


class PriceShape(Serializer):
    """Per million tokens, or per thousand requests for the unit `request`."""

    provider = CharField()
    model = CharField()
    unit = CharField()
    tier = CharField()
    input_over = IntegerField()
    valid_from = Instant(allow_null=True)
    time_from = serializers.TimeField(allow_null=True)
    time_to = serializers.TimeField(allow_null=True)
    amount = Money()
    currency = CharField()
    is_own = BooleanField()


class PricePageShape(Serializer):
    book = BookShape(allow_null=True)
    data = PriceShape(many=True, source="rows")
    next = CharField(allow_null=True)


class ForecastPointShape(Serializer):
    day = DateField()
    mean = CharField()
    low80 = CharField()
    high80 = CharField()
    low95 = CharField()
    high95 = CharField()


class ForecastShape(Serializer):
    scope = CharField(help_text="`all`, or `project:` and its slug.")
    currency = CharField()
    as_of = DateField(help_text="The last day it had seen.")
    method = CharField()
    method_version = IntegerField()
    points = ForecastPointShape(many=True)
    backtest = DictField(help_text="Error and coverage on days held back.")
    reason = CharField(help_text="Why there is none.")
    made_at = Instant()


class ForecastListShape(Serializer):
    data = ForecastShape(many=True)
    next = CharField(allow_null=True)


class NearEventShape(Serializer):
    """An event near a day that was not expected; nobody says that it is the cause."""

    id = IntegerField(source="event.pk")
    kind = CharField(source="event.kind")
    title = CharField(source="event.title")
    happened_at = Instant(source="event.happened_at")
    said = CharField(help_text="As in: 2 h after release search 1.4.2.")


class AnomalyShape(Serializer):
    scope = CharField()
    currency = CharField()
    day = DateField()
    actual = Money()
    expected = Money()
    low = Money()
    high = Money()
    score = FloatField()
    events = NearEventShape(many=True, help_text="Nearest first, at most three.")


class AnomalyListShape(Serializer):
    data = AnomalyShape(many=True)
    next = CharField(allow_null=True)


class TokenShape(Serializer):
    id = CharField(source="pk")
    name = CharField()
    scope = CharField()
    state = CharField(help_text="active, expired or revoked")
    created_at = Instant()
    expires_at = Instant(allow_null=True)
    last_used_at = Instant(allow_null=True)
    revoked_at = Instant(allow_null=True)


class TokenListShape(Serializer):
    data = TokenShape(many=True)
    next = CharField(allow_null=True)


class NewTokenShape(TokenShape):
    token = CharField(help_text="Shown this once.")


class TokenRequest(Serializer):
    name = CharField(max_length=100)
    scope = ChoiceField(choices=ACCESS_SCOPES, default="read")
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class PushTokenShape(TokenShape):
    source = CharField(source="source.name")


class PushTokenListShape(Serializer):
    data = PushTokenShape(many=True)
    next = CharField(allow_null=True)


class NewPushTokenShape(PushTokenShape):
    token = CharField(help_text="Shown this once.")


class PushTokenRequest(Serializer):
    name = CharField(max_length=100)


class AuditShape(Serializer):
    id = IntegerField()
    at = Instant()
    actor = CharField(source="actor_name")
    via = CharField()
    action = CharField()
    object_type = CharField()
    object_id = CharField()
    detail = DictField()
    request_id = CharField()
    hash = serializers.SerializerMethodField()

    def get_hash(self, entry: Any) -> str:
        return bytes(entry.hash).hex()


class AuditPageShape(Serializer):
    data = AuditShape(many=True, source="rows")
    next = CharField(allow_null=True)
