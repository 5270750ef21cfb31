"""How loaded hosts, model servers and GPU memory were. What was not observed is unknown, not idle.

Reads the series of the ready-made metric sets, the same whether they were pulled from a Prometheus
server or scraped directly. Refuses money, and to call memory that was touched memory that was full.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.utils import timezone

from ingest.sources.metrics import sets

from .book import rows
from .filters import Filters
from .stamp import Stamped, newest, notes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One host of node exporter."""

    pool: str
    host: str
    cpus: float | None
    cpu_busy: float | None
    """Share of all CPU time that was not idle, 0 to 1."""
    memory_total_bytes: float | None
    memory_used: float | None
    """Mean share that no program could have got, 0 to 1."""
    load_1m: float | None
    runnable: float | None
    """Processes running or waiting for a CPU, on average."""
    blocked: float | None
    """Processes waiting for a disk, on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRow:
    """One model on one server."""

    pool: str
    model: str
    server: str
    running: float | None
    """Requests being answered at once, on average."""
    running_most: float | None
    waiting: float | None
    """Queue depth, on average."""
    waiting_most: float | None
    kv_cache_used: float | None
    """Mean share of the KV cache, 0 to 1."""
    kv_cache_most: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """What one GPU's memory was doing. The two shares are different measures."""

    pool: str
    gpu: str
    dram_active: float | None
    """Share of the memory's bandwidth that was used, 0 to 1."""
    memory_busy: float | None
    """Share of time in which memory was touched at all, 0 to 1; says little of bandwidth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads(Stamped):
    hosts: tuple[HostRow, ...]
    servers: tuple[ServingRow, ...]
    memory: tuple[MemoryRow, ...]


HOST_SERIES = (
    sets.CPU_SECONDS,
    sets.CPU_BUSY_SECONDS,
    sets.CPUS,
    sets.MEMORY_TOTAL,
    sets.MEMORY_AVAILABLE,
    sets.LOAD,
    sets.PROCESSES_RUNNABLE,
    sets.PROCESSES_BLOCKED,
)
SERVING_SERIES = (sets.RUNNING, sets.WAITING, sets.KV_CACHE_USED)
MEMORY_SERIES = (sets.DRAM_ACTIVE, sets.MEMORY_BUSY)
SHARES = (sets.KV_CACHE_USED, *MEMORY_SERIES)
"""Of several engines these have a mean; everything else adds up."""

FOUND = """
WITH quarters AS (
    SELECT k.pool_id, k.name, q.at,
        coalesce(k.labels ->> 'model_name', k.labels ->> 'model', '') AS model,
        coalesce(k.labels ->> 'instance', '') AS instance,
        coalesce(k.labels ->> 'UUID', k.labels ->> 'uuid', '') AS gpu,
        CASE WHEN k.name = ANY(%(shares)s) THEN avg(q.mean) ELSE sum(q.mean) END AS mean,
        CASE WHEN k.name = ANY(%(shares)s) THEN max(q.maximum) ELSE sum(q.maximum) END AS most,
        sum(q.increase) AS increase, max(q.samples) AS samples
    FROM ingest_series_quarter q JOIN ingest_series k ON k.id = q.series_id
    WHERE q.at >= %(start)s AND q.at < %(end)s AND k.name = ANY(%(names)s)
    GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT p.name, q.name, q.model, q.instance, q.gpu,
    sum(q.mean * q.samples) / sum(q.samples), max(q.most), sum(q.increase)
FROM quarters q JOIN ingest_pool p ON p.id = q.pool_id
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 4, 3, 5"""


@dataclass(slots=True)
class _Figure:
    mean: float
    most: float
    increase: float | None


def loads(filters: Filters) -> Loads:
    """For members of the organisation; pools are shared, so filters by project change nothing."""
    sources = notes(filters, hardware=True) if filters.bills else ()
    given = {
        "start": filters.start_at,
        "end": min(filters.end_at, timezone.now()),
        "names": [*HOST_SERIES, *SERVING_SERIES, *MEMORY_SERIES],
        "shares": list(SHARES),
    }
    grouped: dict[str, dict[tuple[str, ...], dict[str, _Figure]]] = {
        kind: defaultdict(dict) for kind in ("host", "server", "memory")
    }
    for pool, name, model, instance, gpu, *figure in rows(FOUND, given) if filters.bills else ():
        if name in HOST_SERIES:
            grouped["host"][pool, instance][name] = _Figure(*figure)
        elif name in SERVING_SERIES:
            grouped["server"][pool, model, instance][name] = _Figure(*figure)
        else:
            grouped["memory"][pool, gpu][name] = _Figure(*figure)
    return Loads(
        hosts=tuple(_host(place, told) for place, told in grouped["host"].items()),
        servers=tuple(_server(place, told) for place, told in grouped["server"].items()),
        memory=tuple(_memory(place, told) for place, told in grouped["memory"].items()),
        as_of=newest(filters, sources),
        provisional=False,
        sources=sources,
    )


def _host(place: tuple[str, ...], told: dict[str, _Figure]) -> HostRow:
    pool, host = place
    total, free = _mean(told, sets.MEMORY_TOTAL), _mean(told, sets.MEMORY_AVAILABLE)
    every, busy = (_increase(told, name) for name in (sets.CPU_SECONDS, sets.CPU_BUSY_SECONDS))
    return HostRow(
        pool=pool,
        host=host,
        cpus=_mean(told, sets.CPUS),
        cpu_busy=busy / every if busy is not None and every else None,
        memory_total_bytes=total,
        memory_used=1 - free / total if free is not None and total else None,
        load_1m=_mean(told, sets.LOAD),
        runnable=_mean(told, sets.PROCESSES_RUNNABLE),
        blocked=_mean(told, sets.PROCESSES_BLOCKED),
    )


def _server(place: tuple[str, ...], told: dict[str, _Figure]) -> ServingRow:
    pool, model, server = place
    return ServingRow(
        pool=pool,
        model=model,
        server=server,
        running=_mean(told, sets.RUNNING),
        running_most=_most(told, sets.RUNNING),
        waiting=_mean(told, sets.WAITING),
        waiting_most=_most(told, sets.WAITING),
        kv_cache_used=_mean(told, sets.KV_CACHE_USED),
        kv_cache_most=_most(told, sets.KV_CACHE_USED),
    )


def _memory(place: tuple[str, ...], told: dict[str, _Figure]) -> MemoryRow:
    pool, gpu = place
    return MemoryRow(
        pool=pool,
        gpu=gpu,
        dram_active=_mean(told, sets.DRAM_ACTIVE),
        memory_busy=_mean(told, sets.MEMORY_BUSY),
    )


def _mean(told: dict[str, _Figure], name: str) -> float | None:
    return told[name].mean if name in told else None


def _most(told: dict[str, _Figure], name: str) -> float | None:
    return told[name].most if name in told else None


def _increase(told: dict[str, _Figure], name: str) -> float | None:
    return told[name].increase if name in told else None
