"""How much of a figure came after its day was closed. Knows late sums; they are in the figure.

The details of such a day are gone and its sums were sealed; what comes later is added beside them,
and a reader is told.
"""

from __future__ import annotations

from .book import parameters, rows, usage_in_scope
from .filters import Filters


def late_requests(filters: Filters) -> int:
    """Requests of the scope that are in its sums and came late."""
    found = rows(
        "SELECT coalesce(sum(c.spans), 0)::bigint FROM ingest_late_quarter c"
        " WHERE c.at >= %(start_at)s AND c.at < %(end_at)s AND c.kind = ANY(%(kinds)s)"
        f" {usage_in_scope(filters)}",
        parameters(filters),
    )
    return int(found[0][0])
