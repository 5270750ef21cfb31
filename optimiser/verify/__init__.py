"""From blocks of measurements to a verdict: PASS, FAIL or INCONCLUSIVE, with the reason.

Pure. Knows the experiment's statistics. Refuses the database, the clock and unseeded dice: the same
blocks and policy give the same verdict for ever, and `JUDGE_VERSION` says by whose rules.
"""

from .judge import JUDGE_VERSION, judge
from .measures import randomised_order, summarise
from .promise import promised_sample
from .values import (
    CONTROL,
    FAIL,
    INCONCLUSIVE,
    PASS,
    SPLIT,
    SWITCHBACK,
    TREATED,
    BadInput,
    Block,
    Judgement,
    MetricVerdict,
    Policy,
    Promise,
    Summary,
)

__all__ = [
    "CONTROL",
    "FAIL",
    "INCONCLUSIVE",
    "JUDGE_VERSION",
    "PASS",
    "SPLIT",
    "SWITCHBACK",
    "TREATED",
    "BadInput",
    "Block",
    "Judgement",
    "MetricVerdict",
    "Policy",
    "Promise",
    "Summary",
    "judge",
    "promised_sample",
    "randomised_order",
    "summarise",
]
