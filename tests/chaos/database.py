"""The PostgreSQL of a campaign: killed with work in its hands, and begun again until it serves."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from finops.stack.postgres import STOP_SIGNAL, plain_environment
from finops.stack.processes import start
from tests.optimiser.kills import servers

SERVES_WITHIN_S = 60.0


class Postgres(servers.Postgres):
    """What a killed one leaves may hold its memory a while; until then a new one ends at once."""

    def start(self) -> None:
        ends = time.monotonic() + SERVES_WITHIN_S
        self.cluster.prepare()
        while not self._begin(ends):
            if time.monotonic() > ends:
                raise TimeoutError(f"PostgreSQL does not serve within {SERVES_WITHIN_S:g} s")
            time.sleep(0.2)
        subprocess.run(self.cluster.introduce_command, env=plain_environment(), check=True)

    def _begin(self, ends: float) -> bool:
        self.process = start(
            self.cluster.command,
            environment=plain_environment(),
            folder=Path("/"),
            output=subprocess.DEVNULL,
            account=self.cluster.account,
            last_signal=STOP_SIGNAL,
        )
        while self.process.poll() is None and time.monotonic() < ends:
            if self.cluster.is_ready():
                return True
            time.sleep(0.05)
        return False
