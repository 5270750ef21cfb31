"""Bills beside priced usage, and each span's own cost beside ours. Knows facts; changes none."""

from .bills import (
    DEFAULT_MONTHS,
    MAX_MONTHS,
    NO_BILL,
    PROVISIONAL,
    RECONCILED,
    STATES,
    Day,
    Reconciliation,
    Reconciliations,
    recent_months,
    reconciliation,
)
from .source_costs import SourceCostRow, SourceCosts, source_costs

__all__ = [
    "DEFAULT_MONTHS",
    "MAX_MONTHS",
    "NO_BILL",
    "PROVISIONAL",
    "RECONCILED",
    "STATES",
    "Day",
    "Reconciliation",
    "Reconciliations",
    "SourceCostRow",
    "SourceCosts",
    "recent_months",
    "reconciliation",
    "source_costs",
]
