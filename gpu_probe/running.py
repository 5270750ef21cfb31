"""The probe at work: read at an interval, show, keep, push, until told to stop.

Knows signals, threads and what a driver that goes away means: the readings stop, are tried again,
and nothing is made up meanwhile. Refuses the command line and the environment.
"""

from __future__ import annotations

import argparse
import logging
import math
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

from gpu_probe import __version__
from gpu_probe.asking import NoNvml
from gpu_probe.exits import (
    EXIT_NOT_DELIVERED,
    EXIT_OK,
    EXIT_SENDER_DIED,
    EXIT_TOKEN_REFUSED,
)
from gpu_probe.exposition import Snapshot, SpoolFigures
from gpu_probe.host import Host
from gpu_probe.nvml import Nvml
from gpu_probe.send import Outcome, Sender
from gpu_probe.serve import MetricsServer
from gpu_probe.wire import Batch, encode

log = logging.getLogger("gpu_probe")

# After SIGTERM: with the reading under way, well inside the ten seconds that Docker waits to kill.
LAST_SENDS_S = 3.0
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class Probe:
    """Turns readings into batches; one object is one boot_id."""

    def __init__(self, nvml: Nvml, host: str, pool: str) -> None:
        self._nvml = nvml
        self._host = host
        self._pool = pool
        self._boot_id = uuid.uuid4().hex
        self._next_sequence = 0
        self._gone = ""
        self.xid_totals: Counter[str] = Counter()

    @property
    def silent_count(self) -> int:
        return self._nvml.silent_count

    def batch(self) -> Batch | None:
        """None when no GPU answers: the silence is unknown, and nothing is sent for it."""
        readings = self._nvml.readings()
        if not readings:
            log.error("no GPU answers; nothing is sent for this moment")
            return None
        self.xid_totals.update({one.uuid: one.xid_errors or 0 for one in readings})
        batch = Batch(
            host=self._host,
            pool=self._pool,
            probe_version=__version__,
            driver_version=self._nvml.driver_version,
            boot_id=self._boot_id,
            sequence=self._next_sequence,
            simulated=False,
            readings=tuple(readings),
        )
        self._next_sequence += 1
        return batch

    def batch_when_back(self) -> Batch | None:
        """As `batch`; while the driver is away None, and it is opened again when it is back.

        A NoNvml that this process cannot see pass is raised: whoever restarts it mends it.
        """
        try:
            if self._gone:
                self._nvml.reopen()
                self._gone = ""
            return self.batch()
        except NoNvml as error:
            if not error.may_pass:
                raise
            if self._gone != str(error):
                self._gone = str(error)
                log.error("%s Readings go on when the driver is back.", error)
            return None


class Display:
    """What others see of a batch beside the server: stdout and `/metrics`."""

    def __init__(self, probe: Probe, server: MetricsServer | None, prints: bool) -> None:
        self._probe = probe
        self._server = server
        self._prints = prints
        self._host = Host()

    def show(self, batch: Batch | None, sender: Sender | None = None) -> None:
        if batch is not None and self._prints:
            sys.stdout.write(encode(batch).decode("utf-8") + "\n")
            sys.stdout.flush()
        if self._server is not None:
            self._server.show(
                Snapshot(
                    batch=batch,
                    silent_gpus=self._probe.silent_count,
                    host=self._host.look(),
                    spool=None if sender is None else _spool_figures(sender),
                    version=__version__,
                    xid_totals=Counter(self._probe.xid_totals),
                )
            )


def look(probe: Probe, display: Display, options: argparse.Namespace) -> int:
    """Without a server to push to."""
    if options.once:
        batch = probe.batch()
        display.show(batch)
        return EXIT_OK if batch is not None else EXIT_NOT_DELIVERED
    _hold_stop_signals()
    for _ in _ticks(options.interval):
        display.show(probe.batch_when_back())
    return EXIT_OK


def push_once(probe: Probe, display: Display, sender: Sender) -> int:
    rejected_before = sender.spool.rejected_count
    kept = _sample(probe.batch, display, sender)
    step = sender.drain()
    if step.outcome is Outcome.TOKEN_REFUSED:
        return EXIT_TOKEN_REFUSED
    delivered = step.outcome is Outcome.EMPTY and sender.spool.rejected_count == rejected_before
    return EXIT_OK if kept and delivered else EXIT_NOT_DELIVERED


def push_until_stopped(
    probe: Probe, display: Display, sender: Sender, options: argparse.Namespace
) -> int:
    _hold_stop_signals()
    thread = threading.Thread(target=sender.run, name="sender", daemon=True)
    thread.start()
    log.info("reading every %g s, pushing to %s", options.interval, sender.endpoint)
    try:
        for _ in _ticks(options.interval):
            if not thread.is_alive():
                log.critical("the sender stopped; what is not sent stays in %s", options.spool)
                return EXIT_SENDER_DIED
            if sender.is_token_refused and not sender.delivered_count:
                # At the start somebody looks. A token that is revoked later is waited for, because
                # readings that are not taken cannot be had afterwards.
                log.critical("the token never worked; what was read stays in %s", options.spool)
                return EXIT_TOKEN_REFUSED
            _sample(probe.batch_when_back, display, sender)
    finally:
        sender.stop()
        thread.join(LAST_SENDS_S)
    log.info("stopped; %d batches wait in %s", sender.spool.waiting_count, options.spool)
    return EXIT_OK


def _sample(read: Callable[[], Batch | None], display: Display, sender: Sender) -> bool:
    batch = read()
    is_kept = batch is not None and _keep(batch, sender)
    display.show(batch, sender)
    return is_kept


def _keep(batch: Batch, sender: Sender) -> bool:
    try:
        sender.keep(batch)
    except OSError as error:
        # A full disk must not end the readings: sending makes room again.
        where = sender.spool.directory
        log.error("a sample is lost: %s cannot be written (%s)", where, error)
        return False
    return True


def _spool_figures(sender: Sender) -> SpoolFigures:
    spool = sender.spool
    return SpoolFigures(
        waiting=spool.waiting_count,
        waiting_bytes=spool.waiting_bytes,
        rejected=spool.rejected_count,
        dropped=spool.dropped_count,
    )


def _hold_stop_signals() -> None:
    """From here a stop is seen only in `_ticks`: never between a sample and its spool file.

    Called before the sender's thread starts, which inherits it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _ticks(interval_s: float) -> Iterator[None]:
    """Now, then every interval until SIGTERM or SIGINT."""
    due = time.monotonic()
    while True:
        yield
        now = time.monotonic()
        # Missed beats are skipped, not made up for: one late reading is not two.
        due += interval_s * max(1, math.ceil((now - due) / interval_s))
        if signal.sigtimedwait(STOP_SIGNALS, due - now) is not None:
            return
