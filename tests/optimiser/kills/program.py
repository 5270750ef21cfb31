"""Kills and what comes of them: `python -m tests.optimiser.kills.program FOLDER ROUNDS`.

A program of its own, because the database it works on dies now and then. Prints one JSON line for
each kill: victim, failpoint, how the rollout ended, which config serves and after how long.

Requests are not part of it: what callers saw is made up, clearly better or clearly worse, so that
a rollout comes to the step at which something is to be killed. The real Triton is there where it is
the victim, and once where the controller is; else a file stands in for it, which outlives whoever
is killed just as well, and loads at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from tests.forking import Forker

POINTS_OF_A_ROLLBACK = ("rollout.before_restore", "rollout.restored_unrecorded", "rollout.restored")
BEFORE_ANY_LOAD = (
    "rollout.claimed", "rollout.read", "rollout.snapshot_kept", "rollout.before_apply",
)  # fmt: skip
SHORT_LEASE_S = 4.0
"""Where a file stands in for Triton, whose loads take longer than this on a busy machine. Waiting
for the real lease each time would take minutes."""

WORSE = "worse"
ENDS_WITHIN_S = 120.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.6

AT_ONCE = 3
"""Controllers on their way to their kill: more would only wait for each other's loads."""


def prepare() -> None:
    """Django, with made-up measurements."""
    import django

    django.setup()
    import numpy as np

    # All of it now: what is forked from here would else import it again, each for itself.
    from optimiser import observe, rollout  # noqa: F401
    from optimiser.verify import Block

    def seen(one, _measured):
        dice = np.random.default_rng(one.pk)
        slower = 3.0 if WORSE in one.change.title else 0.6
        found = []
        for pair in range(8):
            for arm, latency, gpu_s in (("control", 100, 2.0), ("treated", 100 * slower, 0.5)):
                latencies = latency * dice.lognormal(0, 0.05, 400)
                found.append((Block(arm, latencies, gpu_seconds=gpu_s, pair=pair), {"pair": pair}))
        return found

    observe.blocks = seen


class Estate:
    """A target for each failpoint, and a rollout that will come to it."""

    def __init__(self, url: str, admin_key: str) -> None:
        from finops import access
        from ingest.encryption import encrypt
        from optimiser import reconcile
        from optimiser.failpoints import NAMES
        from optimiser.models import Server, Target
        from tests.factories.finops import person
        from tests.factories.ingest import PoolFactory, ProjectFactory

        access.ensure_roles()
        self.dev, self.ben = person("dev", "engineer"), person("ben", "approver")
        server = Server.objects.create(
            name="killed", url=url, admin_key=encrypt(admin_key.encode()), timeout_s=8
        )
        project, pool = ProjectFactory(), PoolFactory()
        self.targets = {
            point: Target.objects.create(
                server=server, project=project, pool=pool, model=model_of(point),
                request_model=model_of(point),
            )
            for point in NAMES
        }  # fmt: skip
        for target in self.targets.values():
            reconcile.reconcile(target.pk)
            target.refresh_from_db()

    def begin(self, point: str) -> int:
        from optimiser import approvals
        from optimiser.policy import Policy
        from tests.optimiser import made

        target = self.targets[point]
        target.refresh_from_db()
        old = target.desired_config
        new = {**old, "dynamic_batching": {"max_queue_delay_microseconds": "100"}}
        title = f"{point} {WORSE if point in POINTS_OF_A_ROLLBACK else 'better'}"
        advice = made.RecommendationFactory(
            target=target, current_config=old, candidate_config=new, title=title
        )
        policy = Policy(blocks=4, block_s=0.1, washout_s=0, looks=1, settle_s=0.1, deadline_s=100)
        change = made.proposed(self.dev, advice, policy=policy)
        made.approved(change, self.ben)
        rollout = approvals.begin(change.pk)
        assert rollout is not None
        return rollout.pk

    def stop(self, rollout_id: int) -> None:
        from optimiser import rollout
        from optimiser.models import Rollout

        row = Rollout.objects.get(pk=rollout_id)
        rollout.roll_back_now(row.change_id, self.ben, "command")

    def move_to_files(self, folder: Path) -> None:
        for target in self.targets.values():
            target.refresh_from_db()
            (folder / f"{target.model}.json").write_text(json.dumps(target.desired_config))
        on_files(folder)

    def put_back(self, rollout_id: int) -> None:
        """The next round begins with the old config again."""
        from optimiser.models import Rollout

        if Rollout.objects.get(pk=rollout_id).state == "promoted":
            self.stop(rollout_id)
            finish(rollout_id)


def model_of(point: str) -> str:
    return point.replace(".", "_")


def finish(rollout_id: int) -> float:
    """What a controller's rounds do until the rollout has ended; how long that took."""
    from django.db import InterfaceError, OperationalError, connection

    from optimiser import rollout
    from optimiser.models import Rollout

    began = time.monotonic()
    pause_s = SHORTEST_PAUSE_S
    while time.monotonic() < began + ENDS_WITHIN_S:
        try:
            if rollout.advance(rollout_id):
                pause_s = SHORTEST_PAUSE_S
                continue
            if Rollout.objects.filter(pk=rollout_id, finished_at__isnull=False).exists():
                return time.monotonic() - began
        except (OperationalError, InterfaceError):
            connection.close()
        time.sleep(pause_s)
        # A dead controller's lease takes seconds, and who asks all the time keeps the others from
        # their processor.
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    raise TimeoutError(f"after {ENDS_WITHIN_S:g} s: {story_of(rollout_id)}")


def story_of(rollout_id: int) -> str:
    from optimiser.models import Rollout

    row = Rollout.objects.get(pk=rollout_id)
    return f"{row.state} {row.reason} {row.error}"


def outcome(point: str, rollout_id: int, took_s: float) -> dict:
    """Which config serves, read back from the server after the reconciler's next look."""
    from optimiser import adapters, reconcile
    from optimiser.models import Rollout

    row = Rollout.objects.select_related("change", "target__server").get(pk=rollout_id)
    reconcile.reconcile(row.target_id)
    target = type(row.target).objects.select_related("server").get(pk=row.target_id)
    adapter = adapters.of(target, most_s=8)
    live = adapter.canonical(adapter.read())
    configs = {"old": row.change.live_config, "new": row.change.desired_config}
    serving = [name for name, one in configs.items() if adapter.canonical(one) == live]
    return {
        "point": point,
        "state": row.state,
        "change": row.change.state,
        "serving": serving[0] if serving else "neither",
        "desired_is_live": adapter.canonical(target.desired_config) == live,
        "live_state": target.live_state,
        "lease_is_free": row.lease_expires_at is None,
        "seconds": round(took_s, 2),
    }


# The victims


def kill_controllers(
    estate: Estate, forker: Forker, pool: ThreadPoolExecutor, rounds: int, *, on_files: bool
) -> list[dict]:
    """One after the other for each point, the points beside each other."""
    from optimiser import leases

    lease_s = leases.LEASE.total_seconds()
    few = threading.Semaphore(AT_ONCE)

    def one(point: str) -> dict:
        with few:
            rollout_id = estate.begin(point)
            life = forker.begin(
                rollout=rollout_id, failpoint=point, on_files=on_files, lease_s=lease_s
            )
            ended_by = forker.wait(life, ENDS_WITHIN_S)
        assert ended_by == signal.SIGKILL, f"{point} was not reached: {story_of(rollout_id)}"
        took_s = finish(rollout_id)
        found = outcome(point, rollout_id, took_s)
        estate.put_back(rollout_id)
        return found

    def all_rounds(point: str) -> list[dict]:
        return [one(point) for _ in range(rounds)]

    return [one for found in pool.map(closing(all_rounds), estate.targets) for one in found]


class Holding:
    """Each rollout stops at its point until all have come to theirs."""

    def __init__(self, points: dict[int, str]) -> None:
        self.points, self.here = points, threading.local()
        self.arrived = {rollout_id: threading.Event() for rollout_id in points}
        self.go = threading.Event()

    def __call__(self, name: str) -> None:
        mine = getattr(self.here, "rollout", None)
        if mine is not None and self.points[mine] == name and not self.arrived[mine].is_set():
            self.arrived[mine].set()
            assert self.go.wait(ENDS_WITHIN_S)

    def install(self) -> None:
        from optimiser.rollout import beginning, ending, looking, measuring, steps

        for module in (beginning, ending, looking, measuring, steps):
            module.hit = self


def kill_at_all_points(
    estate: Estate, pool: ThreadPoolExecutor, kill, start, *, stops: bool = False
) -> list[dict]:
    """One kill, with a rollout at each of the points. With `stops` those that have not applied
    anything yet are then told to end, which saves the time of carrying them out."""
    from django.db import connection

    rollouts = {estate.begin(point): point for point in estate.targets}
    holding = Holding(rollouts)
    holding.install()

    def one(rollout_id: int) -> tuple[int, float]:
        holding.here.rollout = rollout_id
        finish(rollout_id)
        return rollout_id, time.monotonic()

    running = [pool.submit(closing(one), rollout_id) for rollout_id in rollouts]
    for rollout_id, point in rollouts.items():
        arrived = holding.arrived[rollout_id].wait(ENDS_WITHIN_S)
        assert arrived, f"{point} was not reached: {story_of(rollout_id)}"
    if stops:
        for rollout_id, point in rollouts.items():
            if point in BEFORE_ANY_LOAD:
                estate.stop(rollout_id)
    connection.close()  # it may be about to die
    kill()
    killed_at = time.monotonic()
    holding.go.set()
    start()
    found = []
    for done in running:
        rollout_id, ended_at = done.result()
        found.append(outcome(rollouts[rollout_id], rollout_id, ended_at - killed_at))
    for rollout_id in rollouts:
        estate.put_back(rollout_id)
    return found


def closing(job: Callable) -> Callable:
    def done(*arguments):
        from django.db import connection

        try:
            return job(*arguments)
        finally:
            connection.close()

    return done


def main() -> None:
    from optimiser.failpoints import NAMES  # settings are read when it is used
    from tests.optimiser.kills.servers import both

    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    with both(folder, [model_of(point) for point in NAMES]) as (postgres, server):
        os.environ.update(postgres.environment)
        os.environ |= {"BREAKEVEN_DATABASE_POOL": "24", "BREAKEVEN_LOG_LEVEL": "ERROR"}
        run(folder, postgres, server, rounds)


def run(folder: Path, postgres, server, rounds: int) -> None:
    forker = Forker("tests.optimiser.kills.controllers", folder)
    prepare()
    from django.core.management import call_command

    from optimiser import leases

    call_command("migrate", verbosity=0)
    estate = Estate(server.endpoints.http, server.endpoints.admin_key)
    with ThreadPoolExecutor(len(estate.targets)) as pool:
        tell("controller", kill_controllers(estate, forker, pool, 1, on_files=False))
        for number in range(rounds):
            tell(
                "triton",
                kill_at_all_points(estate, pool, server.kill, server.start, stops=number > 0),
            )
        estate.move_to_files(folder)
        earnest, leases.LEASE = leases.LEASE, timedelta(seconds=SHORT_LEASE_S)
        tell("controller", kill_controllers(estate, forker, pool, rounds - 1, on_files=True))
        leases.LEASE = earnest
        for number in range(rounds):
            tell(
                "postgres",
                kill_at_all_points(estate, pool, postgres.kill, postgres.start, stops=number > 0),
            )
    forker.stop()


def on_files(folder: Path) -> None:
    """From now on a target's server is a file in this folder."""
    from optimiser import adapters
    from tests.optimiser.kills.file_target import FileTarget

    adapters.of = lambda target, *, most_s, model="": FileTarget(folder, model or target.model)


def tell(victim: str, found: list[dict]) -> None:
    from optimiser import leases

    lease_s = leases.LEASE.total_seconds()
    for one in found:
        print(json.dumps({"victim": victim, "lease_s": lease_s, **one}), flush=True)


if __name__ == "__main__":
    main()
