"""Quarter hours of GPUs → accounting days, in the transaction that wrote the quarter hours.

Knows what can be added and of what the last counts. Refuses increments.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from .spans import accounting_days, day_start

SUMS = {
    "first_at": "min(at)",
    "covered_s": "sum(covered_s)",
    "utilization_s": "sum(utilization_pct * covered_s)",
    "utilization_known_s": "sum(covered_s) FILTER (WHERE utilization_pct IS NOT NULL)",
    "power_ws": "sum(power_w * covered_s)",
    "power_known_s": "sum(covered_s) FILTER (WHERE power_w IS NOT NULL)",
    "power_limit_w": "min(power_limit_w)",
    **{
        name: f"max({name})"
        for name in ("memory_used_bytes_max", "memory_reserved_bytes_max", "remapped_rows")
    },
    **{
        name: f"sum({name})"
        for name in (
            "energy_j", "throttled_samples", "reasons_s", "throttled_s", "power_cap_s", "thermal_s",
            "power_brake_s", "lost_s", "ecc_corrected", "ecc_uncorrected", "xid_errors",
        )
    },
    **{
        name: f"(array_agg({name} ORDER BY at DESC) FILTER (WHERE {told}))[1]"
        for name, told in (
            ("remap_pending", "remap_pending IS NOT NULL"),
            ("remap_failed", "remap_failed IS NOT NULL"),
            ("last_xid", "xid_errors > 0"),
        )
    },
}  # fmt: skip

DAYS = f"""
INSERT INTO ingest_gpu_day (pool_id, day, gpu_id, {", ".join(SUMS)})
SELECT pool_id, (at AT TIME ZONE %(zone)s)::date, gpu_id, {", ".join(SUMS.values())}
FROM ingest_gpu_quarter WHERE pool_id = %(pool)s AND at >= %(from)s AND at < %(to)s
GROUP BY 1, 2, 3"""


def write(cursor: Any, pool: int, hours: list[datetime]) -> None:
    """Every accounting day that these hours touch; they are in order."""
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    days = accounting_days(hours, zone)
    values = {
        "pool": pool,
        "first": days[0],
        "last": days[-1],
        "from": day_start(days[0], zone),
        "to": day_start(days[-1] + timedelta(days=1), zone),
        "zone": zone.key,
    }
    cursor.execute(
        "DELETE FROM ingest_gpu_day WHERE pool_id = %(pool)s AND day BETWEEN %(first)s AND"
        " %(last)s",
        values,
    )
    cursor.execute(DAYS, values)
