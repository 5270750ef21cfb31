"""What one unit of use costs, how models compare, and the same traffic on another model."""

from .asked import CANDIDATES, GROUPS, NAMES, Asked, Candidate, parse, said
from .comparison import FEW, ComparedRow, Comparison, comparison
from .figures import UnitRow, UnitSeries, UnitTable, unit_costs, unit_series
from .hardware import PoolUnits
from .units import GPU_UNITS, GROUPED, UNITS, UnitCost
from .what_if import Outcome, WhatIf, choices, what_if

__all__ = [
    "CANDIDATES",
    "FEW",
    "GPU_UNITS",
    "GROUPED",
    "GROUPS",
    "NAMES",
    "UNITS",
    "Asked",
    "Candidate",
    "ComparedRow",
    "Comparison",
    "Outcome",
    "PoolUnits",
    "UnitCost",
    "UnitRow",
    "UnitSeries",
    "UnitTable",
    "WhatIf",
    "choices",
    "comparison",
    "parse",
    "said",
    "unit_costs",
    "unit_series",
    "what_if",
]
