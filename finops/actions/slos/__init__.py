"""Objectives as people propose and decide on them, and their evaluation.

Every act has its audit record. Refuses a change without a second person.
"""

from .deciding import approve, ask, expire_overdue, reject
from .evaluating import evaluate, evaluate_all
from .proposing import (
    EXPIRES_AFTER,
    edit,
    propose,
    propose_change,
    propose_retirement,
    withdraw,
)
from .soundness import Conflict, NotAllowed, Refused

__all__ = [
    "EXPIRES_AFTER",
    "Conflict",
    "NotAllowed",
    "Refused",
    "approve",
    "ask",
    "edit",
    "evaluate",
    "evaluate_all",
    "expire_overdue",
    "propose",
    "propose_change",
    "propose_retirement",
    "reject",
    "withdraw",
]
