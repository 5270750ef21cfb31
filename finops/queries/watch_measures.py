"""What watch rules look at: one value for each window that ends with a complete quarter hour.

Knows the last three hours of rollups, by project, and of GPUs by pool. Unknown is None: too few
requests, no telemetry, no price. Refuses to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from finops.costing.watching import LOOKED_AT
from finops.models import WatchRule
from finops.queries import book
from finops.queries.slos.figures import QUARTER_LONG, quarter_of
from ingest import sketch

CACHE_SEEN_WITHIN = timedelta(days=7)
"""Who cached nothing for so long uses no cache: there is no hit rate that could be low."""
UNITS = {
    "cache_hit": "%",
    "latency_mean": "ms",
    "latency_p95": "ms",
    "ttft_p95": "ms",
    "cost_per_request": "money",
    "error_rate": "%",
    "gpu_utilization": "%",
}
SKETCHED = {"latency_p95": "latency", "ttft_p95": "ttft"}


@dataclass(slots=True)
class Sums:
    """Of one project, or pool, and stretch of time."""

    spans: int = 0
    errors: int = 0
    input_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0
    latency_ms: float = 0.0
    latency_count: int = 0
    cost: float = 0.0
    priced: int = 0
    missing: int = 0
    busy_pct_s: float = 0.0
    covered_s: float = 0.0
    keys: list[tuple[Sequence[int], Sequence[int]]] = field(default_factory=list)

    def add(self, other: Sums) -> None:
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.keys.extend(other.keys)


NUMBERS = tuple(name for name in Sums.__dataclass_fields__ if name != "keys")
Quarters = Mapping[int, Mapping[datetime, Sums]]
"""Project or pool → quarter hour → sums."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one rule says of one project or pool, the newest window first."""

    kind: str
    """`project` or `pool`."""
    pk: int
    values: tuple[float | None, ...]

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.pk}"


def subjects(rule: WatchRule, now: datetime) -> list[Subject]:
    """Every project, or pool, of which anything was measured in the last three hours."""
    width = rule.window_minutes // 15
    newest = quarter_of(now) - QUARTER_LONG
    oldest = newest - (LOOKED_AT + width - 2) * QUARTER_LONG
    given: dict[str, Any] = {
        "since": oldest,
        "until": newest + QUARTER_LONG,
        "kinds": list(book.REQUEST_KINDS),
        "models": list(rule.only_models),
        "project": rule.project_id,
        "currency": rule.currency,
        "seen": oldest - CACHE_SEEN_WITHIN,
    }
    found = _quarters(rule, given)
    ends = [newest - at * QUARTER_LONG for at in range(LOOKED_AT)]
    kind = "pool" if rule.metric == "gpu_utilization" else "project"
    return [
        Subject(kind, pk, tuple(_value(rule, found[pk], end, width) for end in ends))
        for pk in sorted(found)
    ]


def _value(
    rule: WatchRule, quarters: Mapping[datetime, Sums], end: datetime, width: int
) -> float | None:
    whole = Sums()
    for back in range(width):
        one = quarters.get(end - back * QUARTER_LONG)
        if one is not None:
            whole.add(one)
    is_of_requests = rule.metric != "gpu_utilization"
    if is_of_requests and max(whole.spans, whole.priced + whole.missing) < rule.least_requests:
        return None
    return VALUES[rule.metric](whole)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _cache_hit(sums: Sums) -> float | None:
    return _share(100 * sums.cache_read, sums.input_tokens + sums.cache_read + sums.cache_write)


def _p95(sums: Sums) -> float | None:
    keys, counts = sketch.merge(sums.keys)
    return sketch.quantile(keys, counts, 0.95)


def _cost(sums: Sums) -> float | None:
    """Where something has no price it is not known what a request costs."""
    return None if sums.missing else _share(sums.cost, sums.priced)


VALUES: Mapping[str, Callable[[Sums], float | None]] = {
    "cache_hit": _cache_hit,
    "latency_mean": lambda sums: _share(sums.latency_ms, sums.latency_count),
    "latency_p95": _p95,
    "ttft_p95": _p95,
    "cost_per_request": _cost,
    "error_rate": lambda sums: _share(100 * sums.errors, sums.spans),
    "gpu_utilization": lambda sums: _share(sums.busy_pct_s, sums.covered_s),
}

OF_REQUESTS = """{alias}.at >= %(since)s AND {alias}.at < %(until)s
    AND {alias}.kind = ANY(%(kinds)s)
    AND (%(project)s::int IS NULL OR {alias}.project_id = %(project)s)
    AND (%(models)s::text[] = '{{}}' OR {alias}.model = ANY(%(models)s::text[]))"""

REQUESTS = f"""
SELECT r.project_id, r.at, sum(r.spans), sum(r.errors), sum(r.input_tokens),
    sum(r.cache_read_tokens), sum(r.cache_write_5m_tokens + r.cache_write_1h_tokens),
    sum(r.latency_ms_sum), sum(r.latency_count)
FROM ingest_span_quarter r WHERE {OF_REQUESTS.format(alias="r")} GROUP BY 1, 2"""

CACHING = """
SELECT DISTINCT r.project_id FROM ingest_span_day r
WHERE r.day >= %(seen)s::date AND r.cache_read_tokens > 0"""

COSTS = f"""
SELECT c.project_id, c.at,
    coalesce(sum(c.cost) FILTER (WHERE c.currency = %(currency)s), 0)::float8,
    coalesce(sum(c.priced_spans) FILTER (WHERE c.currency = %(currency)s), 0),
    sum(c.unpriced_spans + c.unknown_spans)
FROM finops_costquarter c WHERE {OF_REQUESTS.format(alias="c")} GROUP BY 1, 2"""

GPUS = """
SELECT q.pool_id, q.at, sum(q.utilization_pct * q.covered_s),
    sum(q.covered_s) FILTER (WHERE q.utilization_pct IS NOT NULL)
FROM ingest_gpu_quarter q WHERE q.at >= %(since)s AND q.at < %(until)s GROUP BY 1, 2"""


def _sketches(name: str) -> str:
    scope = OF_REQUESTS.format(alias="r")
    return f"""
SELECT p, at, array_agg(k), array_agg(n) FROM (
    SELECT p, at, k, sum(n)::int8 AS n FROM (
        SELECT r.project_id, r.at, unnest(r.{name}_keys), unnest(r.{name}_counts)
        FROM ingest_span_quarter r WHERE {scope} AND r.{name}_count > 0
    ) AS buckets (p, at, k, n) GROUP BY 1, 2, 3
) AS merged GROUP BY 1, 2"""


def _quarters(rule: WatchRule, given: dict[str, Any]) -> Quarters:
    if rule.metric == "gpu_utilization":
        names: tuple[str, ...] = ("busy_pct_s", "covered_s")
        return _read(GPUS, names, given)
    if rule.metric == "cost_per_request":
        return _read(COSTS, ("cost", "priced", "missing"), given)
    names = (
        "spans", "errors", "input_tokens", "cache_read", "cache_write", "latency_ms",
        "latency_count",
    )  # fmt: skip
    found = _read(REQUESTS, names, given)
    if rule.metric in SKETCHED:
        for pk, at, keys, counts in book.rows(_sketches(SKETCHED[rule.metric]), given):
            found[pk][at].keys.append((keys, counts))
    if rule.metric == "cache_hit":
        caching = {pk for (pk,) in book.rows(CACHING, given)}
        return {pk: quarters for pk, quarters in found.items() if pk in caching}
    return found


def _read(sql: str, names: Sequence[str], given: dict[str, Any]) -> dict[int, dict[datetime, Sums]]:
    found: dict[int, dict[datetime, Sums]] = {}
    for pk, at, *numbers in book.rows(sql, given):
        told = {name: float(number or 0) for name, number in zip(names, numbers, strict=True)}
        found.setdefault(pk, {})[at] = Sums(**told)  # type: ignore[arg-type]
    return found
