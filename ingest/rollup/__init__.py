"""Sums of facts, recomputed from facts by dirty hour: nothing is ever incremented.

Knows hours, days and sketches. Refuses prices: whoever prices an hour compares `RolledHour`.
"""

from .run import roll_up

__all__ = ["roll_up"]
