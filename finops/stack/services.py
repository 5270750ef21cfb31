"""The table of everything that runs: which process, which command, in which order.

Knows each program's command line and how to ask whether it is ready. Refuses to start anything:
that is the supervisor's. Adding a process means adding an entry here.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from finops.stack import environment, keys
from finops.stack import postgres as pg
from finops.stack.home import REPOSITORY, Home
from finops.stack.postgres import Cluster
from finops.stack.supervisor import Service
from finops.stack.valkey import STOP_WITHIN_S as VALKEY_STOPS_WITHIN_S
from finops.stack.valkey import Valkey

LOOPBACK = "127.0.0.1"
STATIC_STAMP = REPOSITORY / "staticfiles" / ".made-from"
HEALTH_TIMEOUT_S = 2.0

SAMPLE_SERVICES = ("support-chat", "code-assist", "digit-reader")
SAMPLE_BATCH = "nightly-batch"
SAMPLE_POOL = "demo-triton"
"""The GPU pool that `manage.py setup --demo` makes."""

A_REAL_GPU_IS_HERE = 5
"""Exit code of the simulated GPUs, which make room for a real one."""


@dataclass(frozen=True)
class Stack:
    """The services of one home, and what they need to know of each other."""

    home: Home
    port: int
    cluster: Cluster
    valkey: Valkey

    @classmethod
    def of(cls, home: Home, port: int) -> Stack:
        cluster = Cluster.of(home)
        keys.make(home, has_database=cluster.exists)
        return cls(home, port, cluster, Valkey.of(home))

    @property
    def is_demo(self) -> bool:
        return self.home.kind == "demo"

    @property
    def environment(self) -> dict[str, str]:
        return environment.of_application(
            self.home, self.cluster, self.valkey, sample_data=self.is_demo
        )

    @property
    def push_tokens(self) -> Path:
        """A file for each service of the sample estate, and one for its GPUs."""
        return self.home.keys / "push-tokens"

    def services(self) -> tuple[Service, ...]:
        return (*self.always(), *(self.sample_estate() if self.is_demo else ()))

    def always(self) -> tuple[Service, ...]:
        app = self.environment
        return (
            # --- what everything stands on
            Service(
                "postgres",
                self.cluster.command,
                pg.plain_environment(),
                account=self.cluster.account,
                prepare=self.cluster.prepare,
                is_ready=self.cluster.is_ready,
                stop_signal=pg.STOP_SIGNAL,
                stop_within_s=pg.STOP_WITHIN_S,
                foundation=True,
                folder=Path("/"),
            ),
            Service(
                "valkey",
                self.valkey.command,
                pg.plain_environment(),
                prepare=self.valkey.prepare,
                is_ready=self.valkey.is_ready,
                stop_within_s=VALKEY_STOPS_WITHIN_S,
                foundation=True,
            ),
            # --- steps of the start
            Service(
                "collectstatic",
                manage("collectstatic", "--noinput", "--verbosity=0"),
                app,
                once=True,
                unless=static_files_are_made,
                when_done=note_static_files,
            ),
            Service(
                "database",
                self.cluster.introduce_command,
                pg.plain_environment(),
                after=("postgres",),
                once=True,
            ),
            Service(
                "migrate",
                manage("migrate", "--noinput"),
                app,
                after=("database", "valkey"),
                once=True,
            ),
            Service(
                "setup",
                manage_checked(
                    *("setup", "--signins", str(self.home.sign_ins)),
                    *(("--demo", "--push-tokens", str(self.push_tokens)) if self.is_demo else ()),
                ),
                app,
                after=("migrate",),
                once=True,
            ),
            # --- the application
            Service(
                "web",
                python(
                    *("gunicorn", "finops.wsgi:application", f"--bind={LOOPBACK}:{self.port}"),
                    *("--config=python:finops.gunicorn_conf", "--graceful-timeout=5"),
                ),
                app,
                after=("setup", "collectstatic"),
                is_ready=lambda: answers(f"http://{LOOPBACK}:{self.port}/readyz"),
                ready_within_s=90,
            ),
            Service(
                "worker",
                # One worker has no neighbours to wait for.
                python(*celery, "worker", "--concurrency=2", "--loglevel=INFO", *alone),
                app,
                after=("web",),
                stop_within_s=15,
            ),
            Service(
                "beat",
                python(
                    *(*celery, "beat", "--loglevel=INFO", "--pidfile="),
                    f"--schedule={self.home.root / 'run' / 'beat-schedule'}",
                ),
                app,
                after=("web",),
            ),
            Service("sweeper", manage_checked("sweep"), app, after=("web",)),
            # Carries out approved changes; what it holds when it dies is rolled back by others.
            Service("control", manage_checked("control"), app, after=("web",), stop_within_s=20),
        )

    def sample_estate(self) -> tuple[Service, ...]:
        app = self.environment
        folder = self.home.root / "triton"
        return (
            Service("seed_demo", manage_checked("seed_demo"), app, after=("web",), once=True),
            Service(
                "triton",
                python("optimiser.demo.triton", "--dir", str(folder)),
                app,
                after=("seed_demo",),
                needed=False,
                is_ready=lambda: triton_answers(folder),
                stop_within_s=15,
            ),
            Service(
                "watch-triton",
                manage_checked("watch_triton", "--triton", str(folder / "triton.json")),
                app,
                after=("triton",),
                once=True,
                needed=False,
            ),
            Service(
                "load",
                python(
                    *("optimiser.demo.load", "--triton", str(folder / "triton.json")),
                    *("--otlp", f"http://{LOOPBACK}:{self.port}/v1/traces"),
                    *(f"--token-file={name}={self.push_tokens / name}" for name in SAMPLE_SERVICES),
                    *("--count-file", str(self.home.root / "load-count.json")),
                ),
                app,
                after=("triton",),
                needed=False,
            ),
            Service(
                # It stands for a batch job: change how many callers it has in its control file.
                SAMPLE_BATCH,
                python(
                    *("optimiser.demo.clients", "--triton", str(folder / "triton.json")),
                    *("--otlp", f"http://{LOOPBACK}:{self.port}/v1/traces"),
                    *("--service", SAMPLE_BATCH),
                    *("--token-file", str(self.push_tokens / SAMPLE_BATCH)),
                    *("--count-file", str(self.home.root / f"{SAMPLE_BATCH}-count.json")),
                    *("--control", str(self.home.root / f"{SAMPLE_BATCH}.json")),
                ),
                app,
                after=("triton",),
                needed=False,
            ),
            Service(
                "gpus",
                python(
                    *("optimiser.demo.gpus", "--triton", str(folder / "triton.json")),
                    *("--url", f"http://{LOOPBACK}:{self.port}"),
                    *("--token-file", str(self.push_tokens / "gpus"), "--pool", SAMPLE_POOL),
                ),
                app,
                after=("triton",),
                needed=False,
                cannot_run_here=A_REAL_GPU_IS_HERE,
            ),
        )


celery = ("celery", "-A", "finops")
alone = ("--without-gossip", "--without-mingle")


def python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(REPOSITORY / "manage.py"), *arguments)


def manage_checked(*arguments: str) -> tuple[str, ...]:
    """Without Django's checks: they load every page, and `migrate` has run them by then."""
    return (*manage(*arguments), "--skip-checks")


def answers(url: str) -> bool:
    """Whether it says 200. Direct, past any proxy the environment may name."""
    parts = urlsplit(url)
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=HEALTH_TIMEOUT_S)
    try:
        line.request("GET", parts.path)
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def triton_answers(folder: Path) -> bool:
    """Triton chooses its ports and writes them down; a file of an earlier run answers no."""
    try:
        address = json.loads((folder / "triton.json").read_text())["http"]
    except FileNotFoundError:
        return False
    return answers(f"{address}/v2/health/ready")


def static_files_are_made() -> bool:
    """Compressing them takes seconds, so it is repeated only when a file has changed."""
    return STATIC_STAMP.exists() and STATIC_STAMP.read_text() == static_fingerprint()


def note_static_files() -> None:
    STATIC_STAMP.write_text(static_fingerprint())


def static_fingerprint() -> str:
    digest = hashlib.sha256()
    for file in _static_sources():
        status = file.stat()
        digest.update(f"{file}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _static_sources() -> Iterator[Path]:
    """Our own files, and the lock file for those that come inside packages."""
    yield REPOSITORY / "requirements.txt"
    for folder in ("static", "ingest/static", "finops/static", "optimiser/static"):
        yield from sorted(file for file in (REPOSITORY / folder).rglob("*") if file.is_file())
