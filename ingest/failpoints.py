"""Named places of a pull at which a test may end this process.

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

NAMES = ("pull.before_rows", "pull.after_rows", "pull.before_commit", "pull.after_commit")
"""In the order in which each page passes them."""

_passed: Counter[str] = Counter()


class NoSuchFailpoint(ValueError):
    """A name that no step has."""


def hit(name: str) -> None:
    """This process is at the named place."""
    if name not in NAMES:
        raise NoSuchFailpoint(name)
    wanted, _, time = settings.FAILPOINT.partition(":")
    if name == wanted:
        _passed[name] += 1
        if _passed[name] == int(time or 1):
            os.kill(os.getpid(), signal.SIGKILL)
