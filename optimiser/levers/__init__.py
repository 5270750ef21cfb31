"""What can be changed to spend less, one file per kind of change.

Pure. Knows which question each lever answers; refuses to apply anything and to talk of money.
"""

from .base import Finding, Lever
from .batching import Batching
from .variant import Variant

REGISTRY: dict[str, Lever] = {lever.key: lever for lever in (Batching(), Variant())}

__all__ = ["REGISTRY", "Batching", "Finding", "Lever", "Variant"]
