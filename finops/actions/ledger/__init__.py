"""The savings ledger's one door for writing: what was promised, what came of it, what it took.

Every entry has its audit record in the same transaction. A better figure is a new entry that
supersedes the old one; no time of a change is booked twice.
"""

from finops.queries.measured import Scope

from .changes import (
    LEAST_MINUTES,
    Baseline,
    Expected,
    adjust,
    baseline,
    book_day,
    book_estimate,
    book_realised,
)
from .entries import Booked, NotBooked
from .programme import BadCost, book_programme_cost

__all__ = [
    "LEAST_MINUTES",
    "BadCost",
    "Baseline",
    "Booked",
    "Expected",
    "NotBooked",
    "Scope",
    "adjust",
    "baseline",
    "book_day",
    "book_estimate",
    "book_programme_cost",
    "book_realised",
]
