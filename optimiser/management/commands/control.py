"""The controller: carries out what is approved and keeps watch, until it is stopped."""

import signal
import threading
from pathlib import Path

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, close_old_connections

from optimiser.control import Controller


class Command(BaseCommand):
    help = "Carry out approved changes, compare targets with their desired config, ask the levers."

    def add_arguments(self, parser):
        parser.add_argument("--interval", type=float, default=0.5, help="Seconds between rounds.")
        parser.add_argument("--heartbeat", type=Path, help="A file to touch after each round.")
        parser.add_argument("--once", action="store_true", help="One round, then stop.")

    def handle(self, *, interval: float, heartbeat: Path | None, once: bool, **options):
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        controller = Controller()
        while not stop.is_set():
            close_old_connections()
            try:
                controller.round()
            except (OperationalError, InterfaceError) as away:
                self.stderr.write(f"The database does not answer, next round again: {away}")
            if heartbeat:
                heartbeat.touch()
            if once or stop.wait(interval):
                break
        controller.stop()
