"""How the requests went. Knows rollups and spans; adds up no money."""

from ..spend import NoSuchSeries
from .spans import SpanPage, SpanRow, errors, recent, slowest, span_detail
from .summary import (
    GROUPS,
    LatencySeries,
    Percentiles,
    RequestRow,
    RequestTable,
    latency_series,
    request_summary,
)

__all__ = [
    "GROUPS",
    "LatencySeries",
    "NoSuchSeries",
    "Percentiles",
    "RequestRow",
    "RequestTable",
    "SpanPage",
    "SpanRow",
    "errors",
    "latency_series",
    "recent",
    "request_summary",
    "slowest",
    "span_detail",
]
