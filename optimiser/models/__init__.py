"""Everything the optimiser remembers: what it advised, who decided, what was done and proved.

Knows states and constraints. Refuses money: what a change saved is in the ledger of `finops`.
"""

from .changes import (
    APPROVAL_DECISIONS,
    CHANGE_STATES,
    Approval,
    Change,
    ChangeEditor,
    ChangeEvent,
)
from .recommendations import (
    FINDING_OUTCOMES,
    RECOMMENDATION_STATES,
    Calibration,
    Evidence,
    Recommendation,
)
from .rollouts import ARMS, ROLLOUT_STATES, VERDICT_OUTCOMES, Rollout, RolloutBlock, Verdict
from .targets import LIVE_STATES, TARGET_KINDS, Server, Target

__all__ = [
    "APPROVAL_DECISIONS",
    "ARMS",
    "CHANGE_STATES",
    "FINDING_OUTCOMES",
    "LIVE_STATES",
    "RECOMMENDATION_STATES",
    "ROLLOUT_STATES",
    "TARGET_KINDS",
    "VERDICT_OUTCOMES",
    "Approval",
    "Calibration",
    "Change",
    "ChangeEditor",
    "ChangeEvent",
    "Evidence",
    "Recommendation",
    "Rollout",
    "RolloutBlock",
    "Server",
    "Target",
    "Verdict",
]
