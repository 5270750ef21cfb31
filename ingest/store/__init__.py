"""The only writer of facts.

Each function is one transaction: rows, quarantine, dirty hours, counts and cursor are kept
together or not at all, so a delivery may be repeated at will. Knows tables; refuses prices.
"""

from . import errors, events, parts
from .bills import BillResult, bill
from .counting import Counts
from .samples import gpus, metrics
from .scores import scores
from .spans import spans

__all__ = [
    "BillResult",
    "Counts",
    "bill",
    "errors",
    "events",
    "gpus",
    "metrics",
    "parts",
    "scores",
    "spans",
]
