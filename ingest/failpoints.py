"""Named places of the way in at which a test may end this process.

Knows their names. Refuses to do anything unless BREAKEVEN_FAILPOINT says so, which settings accept
only together with BREAKEVEN_DEBUG.

`BREAKEVEN_FAILPOINT=pull.after_rows` ends the process there as kill -9 would, and
`pull.after_rows:3` when it comes there for the third time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

from django.conf import settings

PULL = ("pull.before_rows", "pull.after_rows", "pull.before_commit", "pull.after_commit")
"""In the order in which each page passes them."""
PUSH = ("push.read", "push.decoded", "push.before_answer")
STORE = ("store.begun", "store.rows", "store.before_commit", "store.after_commit")
"""Of every delivery, pulled or pushed: these are inside of those of a pull and of a push."""
BILL = ("bill.staged", "bill.period", "bill.before_commit", "bill.after_commit")
ROLLUP = ("rollup.marks_taken", "rollup.summed", "rollup.before_commit", "rollup.after_commit")
SCHEDULE = ("schedule.due", "schedule.before_commit", "schedule.after_commit")
NAMES = (*PULL, *PUSH, *STORE, *BILL, *ROLLUP, *SCHEDULE)

_passed: Counter[str] = Counter()


class NoSuchFailpoint(ValueError):
    """A name that no step has."""


def hit(name: str) -> None:
    """This process is at the named place of the way in."""
    passed(name, NAMES)


def passed(name: str, names: tuple[str, ...]) -> None:
    """This process is at one of these places; here it ends if it is told to."""
    if name not in names:
        raise NoSuchFailpoint(name)
    wanted, _, time = settings.FAILPOINT.partition(":")
    if name == wanted:
        _passed[name] += 1
        if _passed[name] == int(time or 1):
            os.kill(os.getpid(), signal.SIGKILL)
