"""Workers, beats and loaders to be killed, each a process of its own."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests import forking
from tests.forking import Forker

LEASE = timedelta(seconds=1)
"""Waiting for the real five minutes would take a campaign days."""
LIVES_S = 60.0
LOOKS_EVERY_S = 0.02


@dataclass(frozen=True)
class Order:
    """A life: what to do, and where it ends or stops."""

    role: str
    place: str = ""
    """A failpoint, `name` or `name:3`."""
    holds: bool = False
    """Stop there until told to go on, instead of dying there."""
    skew_s: float = 0.0
    """How far its clock is ahead of everybody's."""
    about: dict[str, Any] = field(default_factory=dict)


def prepare() -> None:
    """Django, with a lease that runs out soon and nobody to nudge: workers look for themselves."""
    import django

    django.setup()
    from ingest import (  # noqa: F401
        backfill,
        fetching,
        files,
        jobs,
        pull,
        rollup,
    )

    # That connections break is the point.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    jobs.LEASE = LEASE
    jobs.nudge = lambda task, *args: None


# ---- lives -------------------------------------------------------------------------------------


def work(about: dict[str, Any]) -> None:
    """A worker: takes whatever waits or was left by a dead one, until nothing is open."""
    from django.db.models import Q
    from django.db.models.functions import Now

    from ingest import pull
    from ingest.models import Job

    mine = Job.objects.filter(key=about["key"], state__in=["waiting", "running"])
    free = Q(state="waiting", scheduled_for__lte=Now()) | Q(lease_expires_at__lt=Now())
    ends = time.monotonic() + LIVES_S
    while mine.exists() and time.monotonic() < ends:
        for job_id in list(mine.filter(free).values_list("pk", flat=True)):
            pull.run_job(job_id)
        time.sleep(LOOKS_EVERY_S)


def sum_up(about: dict[str, Any]) -> None:
    from ingest import rollup

    while rollup.roll_up(200):
        pass


def beat(about: dict[str, Any]) -> None:
    from django.utils import timezone

    from ingest import pull

    for _ in range(3):
        pull.schedule(timezone.now())
        time.sleep(LOOKS_EVERY_S)


def load(about: dict[str, Any]) -> None:
    from ingest import files
    from ingest.models import Source

    source = Source.objects.get(pk=about["source"])
    files.take(source, Path(about["path"]), name=about["name"])


ROLES = {"work": work, "sum_up": sum_up, "beat": beat, "load": load}


def live(order: Order, mark: Path) -> None:
    from django.conf import settings
    from django.utils import timezone

    from ingest import failpoints

    if order.skew_s:
        real, ahead = timezone.now, timedelta(seconds=order.skew_s)
        timezone.now = lambda: real() + ahead
    if order.holds:
        failpoints.hit = Holding(order.place, mark)
    else:
        settings.FAILPOINT = order.place
    ROLES[order.role](order.about)


class Holding:
    """Says that it has come to its place, and waits there."""

    def __init__(self, place: str, mark: Path) -> None:
        self.name, _, time_there = place.partition(":")
        self.left = int(time_there or 1)
        self.mark = mark

    def __call__(self, name: str) -> None:
        if name != self.name:
            return
        self.left -= 1
        if self.left:
            return
        self.mark.with_suffix(".held").touch()
        ends = time.monotonic() + LIVES_S
        while not self.mark.with_suffix(".go").exists() and time.monotonic() < ends:
            time.sleep(LOOKS_EVERY_S)


# ---- the other end -----------------------------------------------------------------------------


class Lives:
    """Begins lives, which may stop at their place until they are told to go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.forker = Forker("tests.chaos.processes", folder)

    def begin(self, order: Order) -> int:
        return self.forker.begin(**vars(order))

    def wait(self, life: int) -> int:
        """The signal by which it ended; 0 where it came to its own end."""
        return self.forker.wait(life, 2 * LIVES_S)

    def wait_until_held(self, life: int) -> None:
        mark = self.folder / f"{life}.held"
        ends = time.monotonic() + LIVES_S
        while not mark.exists():
            if time.monotonic() > ends or life in self.forker.ended:
                raise TimeoutError(f"process {life} has not come to its place")
            time.sleep(LOOKS_EVERY_S)

    def let_go(self, life: int) -> None:
        (self.folder / f"{life}.go").touch()

    def stop(self) -> None:
        self.forker.stop()


def main() -> None:
    prepare()
    folder = Path(sys.argv[1])

    def one(life: int, **told: Any) -> None:
        try:
            live(Order(**told), folder / str(life))
        except Exception:
            # A database that dies under it is what some of them are for.
            with (folder / "errors.log").open("a") as log:
                traceback.print_exc(file=log)

    forking.serve(one)


if __name__ == "__main__":
    main()
