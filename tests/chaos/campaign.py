"""Kills -9 at every named place of the way in, and counts what is wrong afterwards.

`./run chaos [--kills N] [--only VICTIM] [--out FILE] [--seed N]`: on servers of its own.
After each kill all sums must be those of the senders to the cent, nothing lost, nothing twice, no
cursor ahead of its rows. Exits 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from tests.bench.common import report
from tests.chaos.victims import VICTIMS

KILLS = 500
NAMES_OF_VICTIMS = tuple(VICTIMS)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=KILLS, help=f"how many ({KILLS})")
    parser.add_argument("--out", type=Path, help="write the JSON object here as well")
    parser.add_argument("--seed", type=int, default=1, help="of the dice that shuffle deliveries")
    parser.add_argument("--only", choices=NAMES_OF_VICTIMS, help="kill nobody else")
    options = parser.parse_args()
    began_at = time.monotonic()
    with estate(options.seed) as found:
        kills = list(campaign(found, options.kills, options.only))
    result = told(kills, time.monotonic() - began_at)
    report(
        f"Chaos: {len(kills)} kills", ["victim", "place", "kills", "wrong", "heal s", "most s"],
        table(kills), result, options.out,
    )  # fmt: skip
    return int(result["wrong"] > 0 or len(kills) < options.kills)


@contextlib.contextmanager
def estate(seed: int) -> Iterator[Any]:
    """Everything that can be killed, running, in a folder that is gone afterwards."""
    from tests.chaos.database import Postgres

    # A short path: PostgreSQL's sockets lie below it. Its own account passes through.
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = Postgres(folder)
        stack.callback(postgres.stop)
        postgres.start()
        os.environ.update(postgres.environment)
        os.environ |= {
            "BREAKEVEN_DATABASE_POOL": "6",
            "BREAKEVEN_LOG_LEVEL": "ERROR",
            "BREAKEVEN_PRIVATE_ADDRESSES": "127.0.0.1/32",
        }
        # Hundreds of processes are started, and none should compile the same files again.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        yield stack.enter_context(_running(folder, postgres, seed))


@contextlib.contextmanager
def _running(folder: Path, postgres: Any, seed: int) -> Iterator[Any]:
    from tests.chaos.processes import Lives, prepare
    from tests.chaos.victims import Estate
    from tests.chaos.web import Web

    prepare()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0, interactive=False)
    with ExitStack() as stack:
        lives = Lives(folder)
        stack.callback(lives.stop)
        web = Web(_free_port())
        stack.callback(web.stop)
        stack.callback(connection.close_pool)
        web.wait()
        yield Estate(folder, random.Random(seed), lives, web, postgres, stack)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def campaign(found: Any, kills: int, only: str | None = None) -> Iterator[Any]:
    """Each victim's share, one after the other; what is rounded away is the first one's."""
    shares = {name: int(kills * share) for name, (_, share) in VICTIMS.items()}
    if only:
        shares = dict.fromkeys((only, *VICTIMS), 0)
    shares[next(iter(shares))] += kills - sum(shares.values())
    for name, (victims, _) in VICTIMS.items():
        began_at = time.monotonic()
        for number, kill in enumerate(islice(victims(found), shares[name]), start=1):
            if kill.distance.is_wrong:
                print(f"wrong: {kill}", file=sys.stderr)
            if number == shares[name]:
                took_s = time.monotonic() - began_at
                print(f"{name}: {number} kills in {took_s:.0f} s", file=sys.stderr, flush=True)
            yield kill


def table(kills: list[Any]) -> list[list[Any]]:
    rows: dict[tuple[str, str], list[Any]] = {}
    for kill in kills:
        rows.setdefault((kill.victim, kill.place), []).append(kill)
    return [
        [
            victim,
            place,
            len(own),
            sum(kill.distance.is_wrong for kill in own),
            f"{statistics.median(kill.seconds for kill in own):.2f}",
            f"{max(kill.seconds for kill in own):.2f}",
        ]
        for (victim, place), own in rows.items()
    ]


def told(kills: list[Any], seconds: float) -> dict[str, Any]:
    heals = sorted(kill.seconds for kill in kills) or [0.0]
    sums = {
        name: sum(vars(kill.distance)[name] for kill in kills)
        for name in ("lost", "doubled", "wrong_sums", "cursor_ahead", "half_taken")
    }
    return {
        "kills": len(kills),
        "wrong": sum(kill.distance.is_wrong for kill in kills),
        **sums,
        "places": len({(kill.victim, kill.place) for kill in kills}),
        "heal_s_median": round(statistics.median(heals), 2),
        "heal_s_most": round(heals[-1], 2),
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
