"""Named places at which a test may end this process, or hold it until the test has done something.

Knows their names. Refuses to do anything unless BREAKEVEN_FAILPOINT says so, which settings accept
only together with BREAKEVEN_DEBUG.

`BREAKEVEN_FAILPOINT=rollout.applied` ends the process there as kill -9 would.
"""

from __future__ import annotations

from ingest.failpoints import passed

NAMES = (
    "rollout.claimed",
    "rollout.read",
    "rollout.snapshot_kept",
    "rollout.before_apply",
    "rollout.applied",
    "rollout.block_begun",
    "rollout.block_ended",
    "rollout.judged",
    "rollout.before_promote",
    "rollout.promoted_unrecorded",
    "rollout.promoted",
    "rollout.before_restore",
    "rollout.restored_unrecorded",
    "rollout.restored",
)
"""In the order in which a rollout passes them."""


def hit(name: str) -> None:
    """This process is at the named place of a rollout."""
    passed(name, NAMES)
