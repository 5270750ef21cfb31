"""Work done piece by piece, of which one failure stops no other.

Knows nothing of the work. Refuses to swallow: what fails is logged by name at once, and all of it
is raised together at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

log = structlog.get_logger(__name__)


def in_turn(work: Iterable[tuple[str, Callable[[], int]]], failed: str) -> int:
    """How much was done of all the named pieces; `failed` is a sentence for what was not."""
    done, failures = 0, []
    for name, act in work:
        try:
            done += act()
        except Exception as problem:
            log.exception("failed_in_turn", work=name)
            failures.append(problem)
    if failures:
        raise ExceptionGroup(failed, failures)
    return done
