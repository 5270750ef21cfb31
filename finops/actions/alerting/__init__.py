"""The one pipeline of alerts: producers raise and resolve, people act, time reminds.

Every act is in one transaction with its history and with what channels are to be told. Refuses to
find out by itself what is wrong; producers do, here and in other rooms.
"""

from .due import attend
from .findings import Finding, default_severity, rule_of, rules, silence_over
from .handling import (
    HANDLE,
    Refused,
    acknowledge,
    acknowledge_all,
    may_handle,
    resolve_by_hand,
    snooze,
)
from .lifecycle import raise_, resolve, resolve_all_but
from .planning import (
    MANAGE,
    Plan,
    RuleChange,
    change_rule,
    end_silence,
    may_manage,
    silence,
)

__all__ = [
    "HANDLE",
    "MANAGE",
    "Finding",
    "Plan",
    "Refused",
    "RuleChange",
    "acknowledge",
    "acknowledge_all",
    "attend",
    "change_rule",
    "default_severity",
    "end_silence",
    "may_handle",
    "may_manage",
    "raise_",
    "resolve",
    "resolve_all_but",
    "resolve_by_hand",
    "rule_of",
    "rules",
    "silence",
    "silence_over",
    "snooze",
]
