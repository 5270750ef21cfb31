"""Readings → quarter hours. A gap is not covered: it is unknown, not zero."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gpu_probe.wire import MAX_POWER_W

MOST_GAP_S = 300
"""Two readings further apart say nothing about the time between them."""

THROTTLED_MASK = 0x8 | 0x20 | 0x40 | 0x80
"""NVML clock-event reasons that hold back paid-for speed: hardware slowdown, software thermal,
hardware thermal, hardware power brake. The power cap (0x4) and idle (0x1) are normal."""

MOST_MJ_A_SECOND = int(MAX_POWER_W * 1000)
"""What no GPU exceeds, as the wire has it."""

WINDOW = """
    pool_id = %(owner)s AND day BETWEEN %(first)s::date - 1 AND %(last)s::date
    AND at >= %(first)s - make_interval(secs => %(gap)s)
    AND at < %(last)s + interval '1 hour'"""

SERIES = f"""
WITH steps AS (
    SELECT series_id, at, value,
        extract(epoch FROM at - lag(at) OVER w)::float8 AS gap_s,
        value - lag(value) OVER w AS step
    FROM ingest_metric_sample WHERE {WINDOW}
    WINDOW w AS (PARTITION BY series_id ORDER BY at)
)
INSERT INTO ingest_series_quarter
    (pool_id, at, series_id, samples, covered_s, mean, minimum, maximum, last, increase, resets)
SELECT %(owner)s, date_bin('15 minutes', s.at, 'epoch') AS quarter, series_id, count(*),
    coalesce(sum(gap_s) FILTER (WHERE gap_s <= %(gap)s), 0),
    avg(value), min(value), max(value), (array_agg(value ORDER BY s.at DESC))[1],
    -- A counter that fell was reset, and its whole value has come since.
    CASE WHEN any_value(k.kind) = 'counter' THEN
        sum(CASE WHEN step < 0 THEN value ELSE step END) FILTER (WHERE gap_s <= %(gap)s) END,
    CASE WHEN any_value(k.kind) = 'counter' THEN count(*) FILTER (WHERE step < 0) ELSE 0 END
FROM steps s JOIN ingest_series k ON k.id = s.series_id
WHERE date_trunc('hour', s.at) = ANY(%(hours)s)
GROUP BY quarter, series_id"""

GPUS = f"""
WITH steps AS (
    SELECT gpu_id, at, utilization_pct, memory_used_bytes, power_w, energy_mj, clock_event_reasons,
        extract(epoch FROM at - lag(at) OVER w)::float8 AS gap_s,
        energy_mj - lag(energy_mj) OVER w AS energy_step
    FROM ingest_gpu_sample WHERE {WINDOW}
    WINDOW w AS (PARTITION BY gpu_id ORDER BY at)
)
INSERT INTO ingest_gpu_quarter
    (pool_id, at, gpu_id, samples, covered_s, utilization_pct, memory_used_bytes_max, power_w,
     energy_j, throttled_samples)
SELECT %(owner)s, date_bin('15 minutes', at, 'epoch') AS quarter, gpu_id, count(*),
    coalesce(sum(gap_s) FILTER (WHERE gap_s <= %(gap)s), 0),
    avg(utilization_pct), max(memory_used_bytes), avg(power_w),
    -- After a reset the whole value has come since the reading before. Where that cannot be, two
    -- readers of one GPU (the probe and DCGM) lag behind each other, and their steps cancel out.
    sum(CASE WHEN energy_step < 0 AND energy_mj <= gap_s * {MOST_MJ_A_SECOND} THEN energy_mj
        ELSE energy_step END)
        FILTER (WHERE gap_s <= %(gap)s) / 1000.0,
    count(*) FILTER (WHERE clock_event_reasons & {THROTTLED_MASK} <> 0)
FROM steps
WHERE date_trunc('hour', at) = ANY(%(hours)s)
GROUP BY quarter, gpu_id"""


def recompute(cursor: Any, pool: int, hours: list[datetime]) -> None:
    values = {
        "owner": pool,
        "hours": hours,
        "first": hours[0],
        "last": hours[-1],
        "gap": MOST_GAP_S,
    }
    for table, insert in (("ingest_series_quarter", SERIES), ("ingest_gpu_quarter", GPUS)):
        cursor.execute(
            f"DELETE FROM {table} WHERE pool_id = %(owner)s"
            " AND date_trunc('hour', at) = ANY(%(hours)s)"
            " AND at >= %(first)s AND at < %(last)s + interval '1 hour'",
            values,
        )
        cursor.execute(insert, values)
