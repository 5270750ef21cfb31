"""Carries out an approved change: plan → blocks → verdict → promote or restore.

`advance` takes one step per call under a lease; `roll_back_now` brings the old config back. Knows
states and when a step is due. Refuses to apply what was not approved, and to promote anything but a
PASS.
"""

from .asked import roll_back_now
from .steps import advance, due, left_alone, take_over

__all__ = ["advance", "due", "left_alone", "roll_back_now", "take_over"]
