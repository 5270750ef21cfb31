"""Controllers to be killed, each a process of its own."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

from tests import forking

LIVES_S = 110.0


def control(life: int, rollout: int, failpoint: str, on_files: bool, lease_s: float) -> None:
    """One controller's life."""
    from django.conf import settings

    from optimiser import leases
    from optimiser import rollout as steps
    from optimiser.models import Rollout
    from tests.optimiser.kills import program

    if on_files:
        program.on_files(Path(sys.argv[1]))
    settings.FAILPOINT = failpoint
    leases.LEASE = timedelta(seconds=lease_s)
    ends = time.monotonic() + LIVES_S
    while time.monotonic() < ends:
        if not steps.advance(rollout):
            if Rollout.objects.get(pk=rollout).finished_at is not None:
                return
            time.sleep(0.05)


def main() -> None:
    from tests.optimiser.kills import program

    program.prepare()
    # Imported once, not by each of what is forked.
    from tests.optimiser.kills import file_target  # noqa: F401

    forking.serve(control)


if __name__ == "__main__":
    main()
