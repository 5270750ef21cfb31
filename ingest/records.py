"""The typed records that every source must produce, and what makes one impossible.

Plain values: no database, no network, no clock, no prices. A source turns what it received into
these; `store` writes them. Unknown is None, never 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

TOKEN_CLASSES = (
    "input",  # uncached text
    "cache_read",
    "cache_write_5m",  # the provider's default time to live
    "cache_write_1h",
    "output",  # visible output, reasoning not included
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
)
"""One normal form for every vendor: the classes are disjoint, so they may be added."""

TOKEN_FIELDS = tuple(f"{name}_tokens" for name in TOKEN_CLASSES)

INPUT_BANDS = (0, 32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
"""Prompt sizes above which some provider charges another rate for the whole request.

A rollup keeps the band, so that long-context prices stay exact on sums. The list is every
threshold that occurs in genai-prices 0.2.3.
"""

KINDS = (
    "llm",
    "embedding",
    "rerank",
    "inference",  # a model server's answer that is not made of tokens
    "tool",
    "retriever",
    "agent",
    "chain",
    "guardrail",
    "evaluator",
    "span",
)

MAX_TOKENS = 1_000_000_000
"""More tokens than this in one request is nonsense, not usage."""

MAX_FUTURE = timedelta(minutes=5)
"""A clock may run ahead by this much; later than that is quarantined."""

MAX_LATENCY_MS = 1e12
"""Thirty years; NaN and infinity fail the comparison as well."""

EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be taken: why, which field, and how to mend it."""

    reason: str
    """Short machine-readable code, such as `negative_tokens`."""
    field: str
    detail: str
    external_id: str = ""
    line: int | None = None
    payload: bytes = b""
    """The row as received, already free of prompt text."""
    form: str = ""
    """Which of `ingest.again`'s readers takes the payload; empty: it cannot be tried again."""


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One observed operation. Times are aware UTC, durations milliseconds."""

    trace_id: str
    span_id: str
    started_at: datetime
    ended_at: datetime | None = None
    parent_span_id: str = ""
    external_id: str = ""
    version: int = 0
    """The source's own update time in microseconds; a lower one never overwrites a higher."""
    kind: str = "span"
    name: str = ""
    service: str = ""
    provider: str = ""
    model: str = ""
    request_model: str = ""
    tier: str = "standard"
    status: str = "ok"
    error_type: str = ""
    user_id: str = ""
    session_id: str = ""
    ttft_ms: float | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    usage_convention: str = ""
    """`inclusive` or `exclusive`: whether the source's input count held the cached tokens."""
    raw_usage: Mapping[str, Any] | None = None
    """The vendor's own usage object, see `sources.usage.raw`."""
    source_cost_usd: Decimal | None = None
    """What the source itself says it cost; kept beside our own figure, never used as it."""
    prompt_hash: bytes | None = None
    prefix_hashes: tuple[bytes, ...] | None = None
    parameters_hash: bytes | None = None
    """Of temperature, tools and what else shapes the answer beside the prompt."""
    prompt_signature: bytes | None = None
    """Alike for prompts that are nearly alike, see `ingest.signature`."""
    input_chars: int | None = None
    output_chars: int | None = None
    removable_chars: int | None = None
    """Characters of the prompt that say nothing, see `ingest.removable`."""
    attributes: Mapping[str, Any] | None = None
    texts: Mapping[str, str] | None = None
    """Prompt and answer by the name they came under; only of a project that keeps text."""

    @property
    def latency_ms(self) -> float | None:
        if self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() * 1000

    @property
    def input_band(self) -> int:
        """The highest of `INPUT_BANDS` that the whole prompt exceeds."""
        return input_band(
            self._text_input_tokens
            + (self.audio_input_tokens or 0)
            + (self.image_input_tokens or 0)
        )

    @property
    def removable_tokens(self) -> int | None:
        """`removable_chars` at this call's own characters per token.

        More tokens than characters came from elsewhere than the text seen: then it is unknown.
        """
        chars, tokens = self.input_chars, self._text_input_tokens
        if self.removable_chars is None or self.input_tokens is None or not chars or tokens > chars:
            return None
        return self.removable_chars * tokens // chars

    @property
    def _text_input_tokens(self) -> int:
        return (
            (self.input_tokens or 0)
            + (self.cache_read_tokens or 0)
            + (self.cache_write_5m_tokens or 0)
            + (self.cache_write_1h_tokens or 0)
        )

    @property
    def has_usage(self) -> bool:
        return self.input_tokens is not None or self.output_tokens is not None

    def problem(self, now: datetime) -> Reject | None:
        """Why this span cannot be true, or None."""
        if not self.trace_id or not self.span_id:
            return self._reject("missing_id", "span_id", "A span needs a trace id and a span id.")
        started = self.started_at
        if started > now + MAX_FUTURE:
            detail = f"Starts at {started.isoformat()}, over five minutes ahead. Check its clock."
            return self._reject("in_the_future", "started_at", detail)
        if started < EARLIEST:
            detail = f"Starts at {started.isoformat()}, before the year 2000. Send real times."
            return self._reject("too_old", "started_at", detail)
        if self.ended_at is not None and self.ended_at < started:
            return self._reject("ends_before_start", "ended_at", "Ends before it starts.")
        if self.ended_at is not None and self.ended_at > now + MAX_FUTURE:
            detail = f"Ends at {self.ended_at.isoformat()}, which is yet to come. Check its clock."
            return self._reject("in_the_future", "ended_at", detail)
        if self.kind not in KINDS:
            return self._reject("unknown_kind", "kind", f"Use one of {', '.join(KINDS)}.")
        for name in TOKEN_FIELDS:
            count = getattr(self, name)
            if count is not None and not 0 <= count <= MAX_TOKENS:
                detail = f"{count} tokens; send a count from 0 to {MAX_TOKENS}, or leave it out."
                return self._reject("impossible_tokens", name, detail)
        if self.ttft_ms is not None and not 0 <= self.ttft_ms < MAX_LATENCY_MS:
            return self._reject("impossible_ttft", "ttft_ms", "Time to first token must be ≥ 0.")
        cost = self.source_cost_usd
        if cost is not None and not (cost.is_finite() and 0 <= cost < 1_000_000_000):
            return self._reject("impossible_cost", "source_cost_usd", "Send a finite cost ≥ 0.")
        return None

    def _reject(self, reason: str, name: str, detail: str) -> Reject:
        return Reject(reason, name, detail, external_id=f"{self.trace_id}/{self.span_id}")


def input_band(tokens: int) -> int:
    if tokens <= INPUT_BANDS[1]:
        return 0
    return max(band for band in INPUT_BANDS if tokens > band)


def span_key(project_id: int, trace_id: str, span_id: str) -> UUID:
    """A span's identity in 16 bytes, the same whatever source brought it."""
    text = f"{project_id}\x1f{trace_id}\x1f{span_id}".encode()
    return UUID(bytes=hashlib.blake2b(text, digest_size=16).digest())


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """An evaluation of a span or a whole trace: exactly one of the three values is set."""

    external_id: str
    trace_id: str
    name: str
    at: datetime
    span_id: str = ""
    number: float | None = None
    label: str | None = None
    truth: bool | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """Names one Prometheus series. `labels` is sorted, so equal series are equal keys."""

    name: str
    kind: str  # counter, gauge, summary, histogram, untyped
    unit: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """One reading of one series. A gap is the absence of a record."""

    series: SeriesKey
    at: datetime
    value: float


class BillRecord(NamedTuple):
    """One FOCUS row. Costs are exact decimals in `billing_currency`; None is unknown.

    A tuple, for a bill has millions of rows and a frozen record takes eight times as long to make.
    """

    line: int
    billing_account_id: str
    billing_period_start: datetime
    billing_period_end: datetime
    charge_period_start: datetime
    charge_period_end: datetime
    billing_currency: str
    billed_cost: Decimal | None
    effective_cost: Decimal | None
    list_cost: Decimal | None
    contracted_cost: Decimal | None
    charge_category: str
    provider_name: str
    service_name: str
    billing_account_name: str = ""
    charge_class: str = ""
    charge_description: str = ""
    charge_frequency: str = ""
    commitment_discount_id: str = ""
    commitment_discount_status: str = ""
    consumed_quantity: Decimal | None = None
    consumed_unit: str = ""
    pricing_category: str = ""
    pricing_quantity: Decimal | None = None
    pricing_unit: str = ""
    publisher_name: str = ""
    invoice_issuer_name: str = ""
    invoice_id: str = ""
    region_id: str = ""
    resource_id: str = ""
    resource_name: str = ""
    resource_type: str = ""
    service_category: str = ""
    sku_id: str = ""
    sku_price_id: str = ""
    sub_account_id: str = ""
    sub_account_name: str = ""
    tags: Mapping[str, str] = MappingProxyType({})
    extra: Mapping[str, str] = MappingProxyType({})
    """Columns we have no room for, as text, so that nothing of the file is lost."""
    repairs: tuple[str, ...] = ()
    """What was mended on the way in, such as `charge_frequency: case`."""
    content_hash: bytes = b""

    @property
    def billing_month(self) -> date:
        return _month_of(self.billing_period_start)


@lru_cache(maxsize=1_000)
def _month_of(at: datetime) -> date:
    return at.date().replace(day=1)
