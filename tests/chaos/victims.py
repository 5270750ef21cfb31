"""Who is killed where, and how far from the truth the database is afterwards."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.chaos.oracle import Distance, distance, rows_behind
from tests.chaos.processes import Lives, Order
from tests.chaos.senders import LINES, MONTHS, Billed, Pulled, Pushed
from tests.chaos.web import Web

ROUNDS_OF_A_SOURCE = 12
"""Then a new one: old rows would only make each look longer."""
SKEWS_S = (0.0, 240.0, -120.0, 0.0)
TIMES = (1, 2, 3)


@dataclass(frozen=True)
class Kill:
    victim: str
    place: str
    seconds: float
    """From the death to the truth."""
    distance: Distance


@dataclass
class Estate:
    """What a campaign works on."""

    folder: Path
    dice: random.Random
    lives: Lives
    web: Web
    postgres: Any
    stack: ExitStack
    rounds: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def source_of(self, victim: str, make: Callable[[], Any]) -> Any:
        """The victim's source, a new one every so often."""
        used, found = self.rounds.get(victim, (0, None))
        if found is None or used >= ROUNDS_OF_A_SOURCE:
            if isinstance(found, Pulled):
                found.retires()
            used, found = 0, make()
        self.rounds[victim] = (used + 1, found)
        return found

    def pulled(self, victim: str, interval_s: int | None = None) -> Pulled:
        return self.source_of(victim, lambda: Pulled(self.stack, self.dice, interval_s))

    def pushed(self, victim: str) -> Pushed:
        return self.source_of(victim, lambda: Pushed(self.web.url, self.dice))

    def works(self, pulled: Pulled, **how: Any) -> int:
        about = {"key": str(pulled.source.pk)}
        return self.lives.begin(Order("work", about=about, **how))

    def dies(self, life: int, place: str) -> float:
        ended_by = self.lives.wait(life)
        if ended_by != signal.SIGKILL:
            raise RuntimeError(f"{place} was not reached")
        return time.monotonic()

    def ends(self, life: int) -> None:
        if self.lives.wait(life):
            raise RuntimeError("a process died that nobody killed")


def summed() -> None:
    from ingest import rollup

    while rollup.roll_up(200):
        pass


def cents(one: Pulled | Pushed) -> Distance:
    return distance(one.source.project_id, one.sent)


# ---- the victims -------------------------------------------------------------------------------


def pull_workers(estate: Estate) -> Iterator[Kill]:
    from ingest.failpoints import PULL, STORE

    places = [f"{name}:{time_there}" for time_there in TIMES for name in (*PULL, *STORE)]
    for place, skew_s in zip(cycle(places), cycle(SKEWS_S), strict=False):
        if skew_s < 0:
            # It sees half of the rows, which fill no third page.
            place = place.replace(":3", ":2")
        pulled = estate.pulled("pull worker")
        pulled.adds()
        pulled.asks()
        pulled.source.refresh_from_db(fields=["cursor"])
        before = pulled.source.cursor
        died_at = estate.dies(estate.works(pulled, place=place, skew_s=skew_s), place)
        ahead = rows_behind(pulled.source, pulled.stub, before)
        estate.ends(estate.works(pulled, skew_s=-skew_s if skew_s > 0 else 0.0))
        if skew_s:
            # What a clock that is behind has not asked for comes with the next pull.
            pulled.asks()
            estate.ends(estate.works(pulled))
        summed()
        found = cents(pulled)
        found.cursor_ahead += ahead
        yield Kill("pull worker", place.split(":")[0], time.monotonic() - died_at, found)


def web_processes(estate: Estate) -> Iterator[Kill]:
    from ingest.failpoints import PUSH, STORE

    for place in cycle((*PUSH, *STORE)):
        pushed = estate.pushed("push web process")
        fresh, dropped = pushed.writes(), pushed.dropped
        began_at = time.monotonic()
        pushed.delivers(fresh, place)
        if pushed.dropped == dropped:
            raise RuntimeError(f"{place} was not reached")
        summed()
        yield Kill("push web process", place, time.monotonic() - began_at, cents(pushed))


def rollups(estate: Estate) -> Iterator[Kill]:
    from ingest.failpoints import ROLLUP

    for place in cycle(ROLLUP):
        pushed = estate.pushed("rollup")
        pushed.delivers(pushed.writes())
        died_at = estate.dies(estate.lives.begin(Order("sum_up", place)), place)
        if estate.dice.random() < 0.5:
            # Facts that come between the death and the next sum are summed too.
            pushed.delivers(pushed.writes(1))
        estate.ends(estate.lives.begin(Order("sum_up")))
        yield Kill("rollup", place, time.monotonic() - died_at, cents(pushed))


def beats(estate: Estate) -> Iterator[Kill]:
    from django.db.models import Count

    from ingest import pull
    from ingest.failpoints import SCHEDULE
    from ingest.models import Job

    for place in cycle(SCHEDULE):
        pulled = estate.pulled("beat of three", interval_s=1)
        pulled.adds(3)
        own = Job.objects.filter(key=str(pulled.source.pk))
        before = own.count()
        skews = (0.0, *estate.dice.sample((-2.0, -1.0, 1.0, 2.0), 2))
        orders = [
            Order("beat", place if number == 0 else "", skew_s=skew_s)
            for number, skew_s in enumerate(skews)
        ]
        lives = [estate.lives.begin(order) for order in orders]
        if estate.lives.wait(lives[0]) != signal.SIGKILL:
            # The others were first in each of its rounds: then it has nothing to make.
            [estate.lives.wait(life) for life in lives[1:]]
            _pulls(estate, pulled, own, before, pull)
            continue
        died_at = time.monotonic()
        for life in lives[1:]:
            estate.ends(life)
        _pulls(estate, pulled, own, before, pull)
        summed()
        found = cents(pulled)
        twice = own.values("scheduled_for").annotate(n=Count("pk")).filter(n__gt=1)
        found.doubled += twice.count()
        yield Kill("beat of three", place, time.monotonic() - died_at, found)


def _pulls(estate: Estate, pulled: Pulled, own: Any, before: int, pull: Any) -> None:
    """What the beats that live made, or make next, is worked off."""
    from django.utils import timezone

    estate.ends(estate.works(pulled))
    ends = time.monotonic() + 5
    while own.count() == before and time.monotonic() < ends:
        pull.schedule(timezone.now())
        time.sleep(0.05)
    estate.ends(estate.works(pulled))


def bill_loads(estate: Estate) -> Iterator[Kill]:
    from ingest import files
    from ingest.failpoints import BILL

    places = (*BILL, "bill.period:2")
    for place in cycle(places):
        billed = estate.source_of("bill load", lambda: Billed(estate.folder, estate.dice))
        before = billed.believed()
        path, total = billed.writes()
        after = (total, len(MONTHS) * LINES)
        about = {"source": billed.source.pk, "path": str(path), "name": path.name}
        died_at = estate.dies(estate.lives.begin(Order("load", place, about=about)), place)
        found = Distance(half_taken=billed.believed() not in (before, after))
        files.take(billed.source, path, name=path.name)
        # An earlier file handed in again is no restatement.
        old = estate.dice.choice(billed.files)[0]
        files.take(billed.source, old, name=old.name)
        found += _bill_distance(billed.believed(), after)
        yield Kill("bill load", place.split(":")[0], time.monotonic() - died_at, found)


def _bill_distance(is_now: tuple[Decimal, int], wanted: tuple[Decimal, int]) -> Distance:
    lines = is_now[1] - wanted[1]
    return Distance(
        lost=max(0, -lines), doubled=max(0, lines), wrong_sums=int(is_now[0] != wanted[0])
    )


def databases(estate: Estate) -> Iterator[Kill]:
    """PostgreSQL dies while a worker stands at a place, an application pushes and sums are due."""
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    from ingest.failpoints import PULL, ROLLUP, STORE

    places = [*(f"{name}:2" for name in (*PULL, *STORE)), *ROLLUP]
    for place in cycle(places):
        pulled, pushed = estate.pulled("PostgreSQL"), estate.pushed("PostgreSQL, pushed")
        pulled.adds()
        pulled.asks()
        pushed.delivers(pushed.writes(1))
        is_rollup = place in ROLLUP
        life = (
            estate.lives.begin(Order("sum_up", place, holds=True))
            if is_rollup
            else estate.works(pulled, place=place, holds=True)
        )
        estate.lives.wait_until_held(life)
        pulled.source.refresh_from_db(fields=["cursor"])
        connection.close()
        connection.close_pool()
        with ThreadPoolExecutor(1) as pool:
            fresh = pushed.writes(4)
            sending = pool.submit(pushed.delivers, fresh)
            time.sleep(estate.dice.uniform(0, 0.15))
            estate.postgres.kill()
            died_at = time.monotonic()
            estate.lives.let_go(life)
            estate.postgres.start()
            sending.result()
        estate.lives.wait(life)
        estate.ends(estate.works(pulled))
        pulled.asks()
        estate.ends(estate.works(pulled))
        summed()
        found = cents(pulled)
        found += cents(pushed)
        yield Kill("PostgreSQL", place.split(":")[0], time.monotonic() - died_at, found)


VICTIMS: dict[str, tuple[Callable[[Estate], Iterator[Kill]], float]] = {
    "pull worker": (pull_workers, 0.36),
    "push web process": (web_processes, 0.34),
    "rollup": (rollups, 0.12),
    "beat of three": (beats, 0.06),
    "bill load": (bill_loads, 0.06),
    "PostgreSQL": (databases, 0.06),
}
"""Who dies, and their share of the kills."""
