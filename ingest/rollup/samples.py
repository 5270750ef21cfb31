"""Readings → quarter hours, and of GPUs days. A gap is not covered: it is unknown, not zero."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gpu_probe.wire import MAX_POWER_W

from . import gpu_days

MOST_GAP_S = 300
"""Two readings further apart say nothing about the time between them."""

THROTTLED_MASK = 0x8 | 0x20 | 0x40 | 0x80
"""NVML clock-event reasons that hold back paid-for speed: hardware slowdown, software thermal,
hardware thermal, hardware power brake. The power cap (0x4) and idle (0x1) are normal."""

THERMAL_MASK = 0x20 | 0x40
POWER_CAP_MASK = 0x4
POWER_BRAKE_MASK = 0x80

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


def _held_s(mask: int) -> str:
    """Seconds in which one of these reasons held the clock; unknown where no reason was told."""
    return (
        f"CASE WHEN count(clock_event_reasons) > 0 THEN coalesce(sum(gap_s) FILTER ("
        f"WHERE gap_s <= %(gap)s AND clock_event_reasons & {mask} <> 0), 0) END"
    )


def _new_errors(counter: str) -> str:
    """What a counter grew by. One that fell began anew, and its whole value has come since."""
    return (
        f"CASE WHEN count({counter}) > 0 THEN coalesce(sum("
        f"CASE WHEN {counter}_step < 0 THEN {counter} ELSE {counter}_step END), 0) END"
    )


def _error_step(counter: str) -> str:
    # Two readers of one GPU, of which one does not know this: the last that knew is compared with.
    return (
        f"{counter} - lag({counter}) OVER (PARTITION BY gpu_id, {counter} IS NULL ORDER BY at)"
        f" AS {counter}_step"
    )


GPUS = f"""
WITH steps AS (
    SELECT *,
        extract(epoch FROM at - lag(at) OVER w)::float8 AS gap_s,
        energy_mj - lag(energy_mj) OVER w AS energy_step,
        {_error_step("ecc_corrected")},
        {_error_step("ecc_uncorrected")}
    FROM ingest_gpu_sample WHERE {WINDOW}
    WINDOW w AS (PARTITION BY gpu_id ORDER BY at)
)
INSERT INTO ingest_gpu_quarter
    (pool_id, at, gpu_id, samples, covered_s, utilization_pct, memory_used_bytes_max, power_w,
     energy_j, throttled_samples, memory_reserved_bytes_max, power_limit_w, reasons_s, throttled_s,
     power_cap_s, thermal_s, power_brake_s, lost_s, ecc_corrected, ecc_uncorrected, remapped_rows,
     remap_pending, remap_failed, xid_errors, last_xid)
SELECT %(owner)s, date_bin('15 minutes', at, 'epoch') AS quarter, gpu_id, count(*),
    -- A lost GPU is there and tells nothing.
    coalesce(sum(gap_s) FILTER (WHERE gap_s <= %(gap)s AND NOT is_lost), 0),
    avg(utilization_pct), max(memory_used_bytes), avg(power_w),
    -- After a reset the whole value has come since the reading before. Where that cannot be, two
    -- readers of one GPU (the probe and DCGM) lag behind each other, and their steps cancel out.
    sum(CASE WHEN energy_step < 0 AND energy_mj <= gap_s * {MOST_MJ_A_SECOND} THEN energy_mj
        ELSE energy_step END)
        FILTER (WHERE gap_s <= %(gap)s) / 1000.0,
    count(*) FILTER (WHERE clock_event_reasons & {THROTTLED_MASK} <> 0),
    max(memory_reserved_bytes), min(power_limit_w),
    sum(gap_s) FILTER (WHERE gap_s <= %(gap)s AND clock_event_reasons IS NOT NULL),
    {_held_s(THROTTLED_MASK)}, {_held_s(POWER_CAP_MASK)},
    {_held_s(THERMAL_MASK)}, {_held_s(POWER_BRAKE_MASK)},
    coalesce(sum(gap_s) FILTER (WHERE gap_s <= %(gap)s AND is_lost), 0),
    {_new_errors("ecc_corrected")}, {_new_errors("ecc_uncorrected")},
    max(coalesce(remapped_corrected + remapped_uncorrected,
        remapped_corrected, remapped_uncorrected)),
    bool_or(remap_pending), bool_or(remap_failed),
    sum(xid_errors), (array_agg(last_xid ORDER BY at DESC) FILTER (WHERE xid_errors > 0))[1]
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
    gpu_days.write(cursor, pool, hours)
