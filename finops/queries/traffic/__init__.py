"""How the requests went. Knows rollups and spans; adds up no money."""

from ..spend import NoSuchSeries
from .concurrency import AtOnce, Concurrency, concurrency
from .spans import SpanPage, SpanRow, errors, recent, slowest, span_detail
from .summary import (
    GROUPS,
    LatencySeries,
    Percentiles,
    RequestRow,
    RequestTable,
    latency_series,
    request_summary,
    speed_by,
)

__all__ = [
    "GROUPS",
    "AtOnce",
    "Concurrency",
    "LatencySeries",
    "NoSuchSeries",
    "Percentiles",
    "RequestRow",
    "RequestTable",
    "SpanPage",
    "SpanRow",
    "concurrency",
    "errors",
    "latency_series",
    "recent",
    "request_summary",
    "slowest",
    "span_detail",
    "speed_by",
]
