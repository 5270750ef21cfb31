"""What pools were paid, used and observed by the day, as SQL that others sum.

Knows days as they were summed, and reads the running one from its quarter hours: how long the last
of them has been changes by the minute. Refuses to interpret.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from finops.actions.hardware_sums import HARDWARE, QUARTER_S, hardware_of

from .filters import Filters, midnight, today

# Of a finished quarter everything was paid; of the running one, what was observed so far.
ELAPSED = f"""CASE WHEN at + interval '{QUARTER_S} s' <= %(now)s THEN {QUARTER_S}
    ELSE covered_s END"""

HARDWARE_DAYS = f"""(
    SELECT pool_id, day, currency, {", ".join(HARDWARE)} FROM finops_hardwareday
    WHERE day >= %(first_day)s AND day < %(running_day)s
    UNION ALL
    {hardware_of("at >= %(running_at)s AND at < %(end_at)s", ELAPSED)}
)"""
"""By pool, day and currency; what it names is in `values`."""


def values(filters: Filters) -> dict[str, Any]:
    now = timezone.now()
    running = max(filters.start, min(today(), filters.end))
    return {
        "zone": filters.zone,
        "first_day": filters.start,
        "last_day": filters.end - timedelta(days=1),
        "running_day": running,
        "running_at": midnight(running, filters.zone),
        "end_at": filters.end_at,
        # Nothing is missing of a time that has not come.
        "now": min(now, filters.end_at),
    }
