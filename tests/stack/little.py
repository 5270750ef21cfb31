"""A little stack to be killed in tests: `python -m tests.stack.little HOME`.

The real PostgreSQL, Valkey, supervisor and guardian, and one service that leaves a grandchild in a
session of its own, which is the hardest thing to clean up after.
"""

import sys
from pathlib import Path

from finops.stack import guardian, keys
from finops.stack.home import Home
from finops.stack.postgres import STOP_SIGNAL, Cluster, plain_environment
from finops.stack.supervisor import Service, Supervisor
from finops.stack.valkey import Valkey

PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("parent is up", flush=True)
time.sleep(600)
"""


def services(cluster: Cluster, valkey: Valkey) -> tuple[Service, ...]:
    plain = plain_environment()
    return (
        Service(
            "postgres",
            cluster.command,
            plain,
            account=cluster.account,
            prepare=cluster.prepare,
            is_ready=cluster.is_ready,
            stop_signal=STOP_SIGNAL,
            foundation=True,
            folder=Path("/"),
        ),
        Service(
            "valkey",
            valkey.command,
            plain,
            prepare=valkey.prepare,
            is_ready=valkey.is_ready,
            foundation=True,
        ),
        Service("database", cluster.introduce_command, plain, after=("postgres",), once=True),
        Service("parent", (sys.executable, "-c", PARENT), plain, after=("database", "valkey")),
    )


def main() -> int:
    home = Home(Path(sys.argv[1]))
    home.create()
    keys.make(home, has_database=False)
    guard = guardian.start(home, home.lock_for_life(20))
    cluster, valkey = Cluster.of(home), Valkey.of(home)
    supervisor = Supervisor(
        home, services(cluster, valkey), 0, usable_with="parent", first_pause_s=0.1
    )
    code = supervisor.run()
    guard.stdin.close()
    guard.wait()
    return code


if __name__ == "__main__":
    sys.exit(main())
