"""What one unit of use costs, how models compare, and the same traffic on another model."""

from .asked import CANDIDATES, GROUPS, NAMES, Asked, Candidate, parse, said
from .comparison import FEW, ComparedRow, Comparison, comparison
from .figures import UnitRow, UnitSeries, UnitTable, unit_costs, unit_series
from .hardware import PoolUnits
from .hardware_requests import HardwarePrice
from .units import GPU_UNITS, GROUPED, OF_LABEL, UNITS, UnitCost
from .what_if import Outcome, WhatIf, choices, what_if

__all__ = [
    "CANDIDATES",
    "FEW",
    "GPU_UNITS",
    "GROUPED",
    "GROUPS",
    "NAMES",
    "OF_LABEL",
    "UNITS",
    "Asked",
    "Candidate",
    "ComparedRow",
    "Comparison",
    "HardwarePrice",
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
