"""Delivers what OpenTelemetry's own exporter wrote, however long the receiver is away.

The stock exporter gives up after seconds. Here it believes every batch delivered, because its
session is a `Spool`: the finished request lies on disk before it hears 200. A `Courier` sends the
same bytes, oldest first, until the receiver has acknowledged them, and the `Ledger` keeps the
exact count in one file.

Knows HTTP, OTLP's answers and files. Refuses to drop or to rewrite a batch, and to count a span
before it is durable: counted = acknowledged + pending + refused, at every moment and after any
kill. What a kill can cost is a second sending of one batch, with the same span ids.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from optimiser.demo import tally
from optimiser.demo.files import write_atomically, write_json

HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}

# The batch itself is at fault: sending it again can only fail again.
PERMANENT = frozenset({400, 413, 415, 422})

SEND_TIMEOUT_S = 10.0
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 15.0
LONGEST_RETRY_AFTER_S = 300.0
JITTER = 0.2


@dataclass
class Delivery:
    """How the sending of one service's batches goes."""

    acknowledged_batches: int = 0
    last_acknowledged: int = 0
    """Batches are sent in order, so this number says of each whether it has arrived."""
    retries: int = 0
    rejected_spans: int = 0
    """Spans of acknowledged batches that the receiver said it could not take."""
    last_problem: str = ""


@dataclass
class Ledger:
    """The one count file of the generator. Only what has been acknowledged is kept by addition;
    pending and refused are the files on disk, counted again at every start."""

    file: Path
    acknowledged: tally.Tally = field(default_factory=dict)
    pending: tally.Tally = field(default_factory=dict)
    refused: tally.Tally = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, file: Path) -> Ledger:
        ledger = cls(file)
        if file.exists():
            kept = json.loads(file.read_text())
            ledger.acknowledged = tally.from_rows(kept["acknowledged"])
            ledger.deliveries = {
                service: Delivery(**values) for service, values in kept["delivery"].items()
            }
        return ledger

    def delivery(self, service: str) -> Delivery:
        return self.deliveries.setdefault(service, Delivery())

    def queued(self, counts: tally.Tally) -> None:
        with self.lock:
            tally.add(self.pending, counts)
            self.write()

    def settle(
        self, service: str, sequence: int, counts: tally.Tally, rejected_spans: int, problem: str
    ) -> None:
        with self.lock:
            self._no_longer_pending(counts)
            tally.add(self.acknowledged, counts)
            delivery = self.delivery(service)
            delivery.acknowledged_batches += 1
            delivery.last_acknowledged = sequence
            delivery.rejected_spans += rejected_spans
            delivery.last_problem = problem
            self.write()

    def refuse(self, service: str, counts: tally.Tally, problem: str) -> None:
        with self.lock:
            self._no_longer_pending(counts)
            tally.add(self.refused, counts)
            self.delivery(service).last_problem = problem
            self.write()

    def failed_once(self, service: str, problem: str) -> None:
        with self.lock:
            self.delivery(service).retries += 1
            self.delivery(service).last_problem = problem
            self.write()

    def _no_longer_pending(self, counts: tally.Tally) -> None:
        for key, numbers in counts.items():
            self.pending[key].subtract(numbers)

    def counted(self) -> tally.Tally:
        whole: tally.Tally = {}
        for part in (self.acknowledged, self.pending, self.refused):
            tally.add(whole, part)
        return whole

    def summary(self) -> dict[str, dict[str, int]]:
        with self.lock:
            parts = self._parts()
            return {name: dict(tally.total(part)) for name, part in parts.items()}

    def _parts(self) -> dict[str, tally.Tally]:
        return {
            "counted": self.counted(),
            "acknowledged": self.acknowledged,
            "pending": self.pending,
            "refused": self.refused,
        }

    def write(self) -> None:
        with self.lock:
            rows = {name: tally.as_rows(part) for name, part in self._parts().items()}
            delivery = {name: vars(one) for name, one in self.deliveries.items()}
            write_json(self.file, {"at": time.time(), **rows, "delivery": delivery})


class Spool(requests.Session):
    """Where OpenTelemetry's exporter 'sends' to: the finished request, safe on disk."""

    def __init__(self, service: str, folder: Path, ledger: Ledger) -> None:
        super().__init__()
        self.service, self.folder, self.ledger = service, folder, ledger
        self.refused = folder / "refused"
        self.refused.mkdir(parents=True, exist_ok=True)
        self.arrived = threading.Event()
        self.sequence = ledger.delivery(service).last_acknowledged
        self._take_stock()

    def _take_stock(self) -> None:
        """After a kill: what is on disk decides, except batches known to have arrived."""
        for file in self.waiting():
            if self.number(file) <= self.ledger.delivery(self.service).last_acknowledged:
                file.unlink()
            else:
                tally.add(self.ledger.pending, tally.of_batch(file.read_bytes()))
        refused = self._batches(self.refused)
        for file in refused:
            tally.add(self.ledger.refused, tally.of_batch(file.read_bytes()))
        self.sequence = max([self.sequence, *map(self.number, [*self.waiting(), *refused])])
        self.ledger.write()

    @staticmethod
    def number(file: Path) -> int:
        return int(file.name.partition(".")[0])

    @staticmethod
    def _batches(folder: Path) -> list[Path]:
        # Sorting by name is sorting by number: the names have a fixed width.
        return sorted(folder.glob("[0-9]*.otlp.gz"))

    def waiting(self) -> list[Path]:
        return self._batches(self.folder)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """Called by the exporter with a request ready to be sent."""
        headers = {name.lower(): value for name, value in (options["headers"] or {}).items()}
        for name, value in HEADERS.items():
            assert headers.get(name.lower()) == value, f"the exporter changed its {name}"
        self.keep(options["data"])
        answer = requests.Response()
        answer.status_code, answer.reason, answer.raw = 200, "OK, on disk", io.BytesIO()
        return answer

    def keep(self, body: bytes) -> None:
        counts = tally.of_batch(body)
        # One exporter, hence one thread, per spool: the number needs no lock.
        self.sequence += 1
        # One step for the courier: it may find and deliver the file before we have counted it, and
        # then waits here until it may settle.
        with self.ledger.lock:
            write_atomically(self.folder / f"{self.sequence:012d}.otlp.gz", body)
            self.ledger.queued(counts)
        self.arrived.set()


class Courier(threading.Thread):
    """Sends one spool's batches in order, each until it is acknowledged."""

    def __init__(
        self,
        spool: Spool,
        url: str,
        token: Callable[[], str],
        say: Callable[[str], None] = lambda text: print(text, flush=True),
    ) -> None:
        super().__init__(name=f"courier-{spool.service}", daemon=True)
        self.spool, self.url, self.token, self.say = spool, url, token, say
        self.ending = threading.Event()
        self.failures = 0
        self.session = requests.Session()
        # A proxy in the environment is not meant for a receiver on this machine.
        self.session.trust_env = False

    def run(self) -> None:
        while not self.ending.is_set():
            self.spool.arrived.clear()
            try:
                all_sent = self._send_all(self.ending.is_set)
            except OSError as error:
                # A full disk, say: the batch is still there and its turn comes again.
                self.say(f"load: {self.spool.service}: delivery waits. {error}")
                all_sent = not self.ending.wait(LONGEST_BACKOFF_S)
            if all_sent:
                self.spool.arrived.wait(1.0)

    def finish(self, within_s: float) -> None:
        """Stop retrying; one last pass over what is left, which otherwise stays on disk."""
        self.ending.set()
        self.spool.arrived.set()
        self.join(SEND_TIMEOUT_S + 1)
        deadline = time.monotonic() + within_s
        if not self.is_alive():
            self._send_all(lambda: time.monotonic() > deadline)

    def _send_all(self, enough: Callable[[], bool]) -> bool:
        for file in self.spool.waiting():
            if enough():
                return False
            wait_s = self._send(file)
            if wait_s is not None:
                self.ending.wait(wait_s)
                return False
        return True

    def _send(self, file: Path) -> float | None:
        """Deliver one batch; the seconds to wait before the next try when that failed."""
        body = file.read_bytes()
        try:
            headers = {**HEADERS, "Authorization": f"Bearer {self.token()}"}
            answer = self.session.post(self.url, data=body, headers=headers, timeout=SEND_TIMEOUT_S)
        except (requests.RequestException, OSError) as error:
            return self._try_again(f"{type(error).__name__}: {error}", None)
        if answer.status_code in PERMANENT:
            self._give_up(file, body, f"HTTP {answer.status_code}: {answer.text[:300]}")
        elif answer.status_code != 200:
            problem = f"HTTP {answer.status_code}: {answer.text[:300]}"
            return self._try_again(problem, retry_after_s(answer.headers.get("Retry-After")))
        else:
            self._settle(file, body, answer.content)
        self.failures = 0
        return None

    def _settle(self, file: Path, body: bytes, answer: bytes) -> None:
        rejected, problem = 0, ""
        try:
            partial = ExportTraceServiceResponse.FromString(answer).partial_success
            rejected, problem = partial.rejected_spans, partial.error_message
        except DecodeError:
            problem = "The receiver said 200 but its answer is not OTLP."
        if problem:
            self.say(f"load: {self.spool.service}: {problem}")
        counts = tally.of_batch(body)
        self.spool.ledger.settle(
            self.spool.service, self.spool.number(file), counts, rejected, problem
        )
        # Only now: were it gone before it is written down, it would be counted nowhere.
        file.unlink()

    def _give_up(self, file: Path, body: bytes, problem: str) -> None:
        self.say(f"load: {self.spool.service}: {file.name} was refused and set aside. {problem}")
        file.replace(self.spool.refused / file.name)
        self.spool.ledger.refuse(self.spool.service, tally.of_batch(body), problem)

    def _try_again(self, problem: str, told_s: float | None) -> float:
        if self.failures == 0:
            self.say(f"load: {self.spool.service}: delivery waits. {problem}")
        self.spool.ledger.failed_once(self.spool.service, problem)
        backoff_s = min(FIRST_BACKOFF_S * 2.0**self.failures, LONGEST_BACKOFF_S)
        self.failures = min(self.failures + 1, 10)
        if told_s is not None:
            return min(told_s, LONGEST_RETRY_AFTER_S)
        # Not a secret: couriers shall merely not all come back in one instant.
        return backoff_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


def retry_after_s(header: str | None) -> float | None:
    """Seconds to wait, from either form of Retry-After; None when it says nothing usable."""
    if header is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(int(header)))
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    return None


def grand_total(counts: list[dict[str, Any]]) -> Counter[str]:
    """Sums one part of a count file ("counted", "acknowledged", …) over services and models."""
    return tally.total(tally.from_rows(counts))
