"""Sums of facts, recomputed from facts by dirty hour: nothing is ever incremented.

Knows hours, days, sketches and what was at once. Refuses prices: whoever prices an hour compares
`RolledHour`.
"""

from .run import roll_up
from .users import sum_users

__all__ = ["roll_up", "sum_users"]
