"""What a span's own words come to: tokens by class, cost, time to first token."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from ingest.sources import langfuse_usage
from ingest.sources.usage import Usage, disjoint, raw

from .attributes import Found, Seen
from .bad import BadSpan

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
USAGE = "langfuse.observation.usage_details"
COST = "langfuse.observation.cost_details"
FIRST_WORD_AT = "langfuse.observation.completion_start_time"


def time(nanoseconds: int) -> datetime:
    # Whole numbers all the way: a float of today's epoch cannot hold a microsecond exactly.
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return EPOCH + timedelta(0, seconds, rest // 1000)


def usage(found: Found, seen: Seen) -> Usage:
    if found.langfuse_usage is not None:
        return _langfuse_usage(found.langfuse_usage, seen)
    return disjoint(
        found.input,
        found.output,
        total=found.total,
        cache_read=found.cache_read,
        cache_write_5m=found.cache_write_5m,
        reasoning=found.reasoning,
        audio_input=found.audio_input,
        audio_output=found.audio_output,
    )


def _langfuse_usage(text: str, seen: Seen) -> Usage:
    """Langfuse's SDKs send their details as JSON in a string; its own names are disjoint."""
    try:
        counted, other = langfuse_usage.tokens({"usageDetails": _json_object(USAGE, text)})
    except langfuse_usage.Unreadable as bad:
        raise BadSpan("bad_tokens", USAGE, bad.detail) from None
    seen.labels |= {f"langfuse.usage.{name[:100]}": count for name, count in other.items()}
    return counted


def raw_usage(found: Found, seen: Seen) -> dict[str, Any] | None:
    """What the sender counted, by the sender's own names."""
    if found.langfuse_usage is not None:
        return raw(_json_object(USAGE, found.langfuse_usage))
    return seen.counts or None


def cost(found: Found) -> Decimal | None:
    told: Any = found.cost_usd
    if found.langfuse_cost is not None:
        details = [
            (name, amount)
            for name, said in _json_object(COST, found.langfuse_cost, Decimal).items()
            if (amount := _decimal(said)) is not None
        ]
        if details:
            return dict(details).get("total", sum((amount for _, amount in details), Decimal()))
    return _decimal(told)


def _decimal(said: Any) -> Decimal | None:
    if said is None or isinstance(said, bool | list | dict):
        return None
    try:
        # repr: the shortest decimal that means this float, as its sender wrote it.
        return Decimal(repr(said) if isinstance(said, float) else str(said))
    except InvalidOperation:
        return None


def _json_object(name: str, text: str, number: Callable[[str], Any] = float) -> dict[str, Any]:
    try:
        plain = json.loads(text, parse_float=number)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        raise BadSpan("bad_json", name, "Must be a JSON object in a string.")
    return plain


def ttft_ms(found: Found, first_token_ns: int, started_ns: int) -> float | None:
    if found.ttft_s is not None:
        return found.ttft_s * 1000
    if found.langfuse_first_token_at is not None:
        return _langfuse_ttft_ms(found.langfuse_first_token_at, started_ns)
    return (first_token_ns - started_ns) / 1e6 if first_token_ns else None


def _langfuse_ttft_ms(text: str, started_ns: int) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip('"'))
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        detail = "Must be a time such as 2026-05-01T12:00:00.000Z."
        raise BadSpan("bad_time", FIRST_WORD_AT, detail) from None
    waited = (moment - time(started_ns)) / timedelta(milliseconds=1)
    # A first token before the start is a clock's mistake, and says nothing.
    return waited if waited >= 0 else None
