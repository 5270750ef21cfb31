"""What would happen to recorded traffic if a Triton model formed its batches otherwise.

Pure: plain values in, plain values out, the same for the same seed. Knows Triton's batcher, loads
and calibrations. Refuses the database, the network, money and advice.
"""

from .batcher import BatcherConfig, Unsupported
from .bootstrap import Capacity, Effect, Interval, compare
from .curve import ServiceCurve, Timing
from .load import Closed, Load, Open, Traffic, recognise
from .replay import Replay, replay

SIMULATOR_VERSION = "1"
"""Raised whenever the same inputs and seed may give another answer."""

__all__ = [
    "SIMULATOR_VERSION",
    "BatcherConfig",
    "Capacity",
    "Closed",
    "Effect",
    "Interval",
    "Load",
    "Open",
    "Replay",
    "ServiceCurve",
    "Timing",
    "Traffic",
    "Unsupported",
    "compare",
    "recognise",
    "replay",
]
