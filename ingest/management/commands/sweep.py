"""The sweeper: repairs what brokers lose, straight from the rows, until it is stopped."""

import signal
import threading
from pathlib import Path

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils import timezone

from ingest import jobs, pull


class Command(BaseCommand):
    help = "Re-enqueue jobs that wait too long or whose worker died, every few seconds."

    def add_arguments(self, parser):
        parser.add_argument("--interval", type=float, default=5.0, help="Seconds between rounds.")
        parser.add_argument("--heartbeat", type=Path, help="A file to touch after each round.")
        parser.add_argument("--once", action="store_true", help="One round, then stop.")

    def handle(self, *, interval: float, heartbeat: Path | None, once: bool, **options):
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        while not stop.is_set():
            close_old_connections()
            try:
                self.sweep_once(once)
            except (OperationalError, InterfaceError) as away:
                self.stderr.write(f"The database does not answer, next round again: {away}")
            if heartbeat:
                heartbeat.touch()
            if once or stop.wait(interval):
                return

    def sweep_once(self, tell: bool) -> None:
        # Scheduling here too means that pulls go on when beat is down: a job is made once.
        pull.schedule(timezone.now())
        swept = jobs.sweep()
        if swept or tell:
            self.stdout.write(f"{swept} jobs nudged again.")
