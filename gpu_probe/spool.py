"""Keeps batches on disk until the server has them.

Knows one directory: a file per batch, numbered in the order taken, and `rejected/` for those the
server refused, each beside its answer. Refuses to grow without bound: past its bytes or age the
oldest go first, counted and said. It never opens a batch and never touches the network.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("gpu_probe")

_FILE_NAME = re.compile(r"(\d{15})\.json\.gz")


class SpoolError(Exception):
    """The directory cannot be used; the message is one sentence with the fix."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One batch on disk."""

    number: int
    path: Path
    size_bytes: int
    kept_at: float

    @property
    def answer_path(self) -> Path:
        return self.path.with_suffix("").with_suffix(".answer.txt")


class _Shelf:
    """The batches of one directory, oldest first, and their bytes: a backlog can be long."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.batches: deque[Kept] = deque()
        self.size_bytes = 0
        for kept in _load(directory):
            self.add(kept)

    def add(self, kept: Kept) -> None:
        self.batches.append(kept)
        self.size_bytes += kept.size_bytes

    def take_out(self, kept: Kept) -> None:
        self.batches.remove(kept)
        self.size_bytes -= kept.size_bytes


class Spool:
    """Safe for one process with several threads; a lock file keeps a second process out."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        max_age_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self.max_bytes = max_bytes  # for waiting and rejected batches each
        self.max_age_s = max_age_s
        self.dropped_count = 0
        self._clock = clock
        self._guard = threading.Lock()
        self._in_flight: Kept | None = None
        try:
            (directory / "rejected").mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_file = _lock(directory / "lock")
            # Left by a probe killed before its rename: never counted as taken.
            for half_written in directory.glob("*.tmp"):
                half_written.unlink()
            self._waiting = _Shelf(directory)
            self._rejected = _Shelf(directory / "rejected")
        except OSError as error:
            raise SpoolError(
                f"The spool directory {directory} cannot be used ({error.strerror});"
                " give --spool a directory this user may write."
            ) from error
        known = [*self._waiting.batches, *self._rejected.batches]
        self._last_number = max((kept.number for kept in known), default=0)

    def close(self) -> None:
        os.close(self._lock_file)

    @property
    def waiting_count(self) -> int:
        return len(self._waiting.batches)

    @property
    def waiting_bytes(self) -> int:
        return self._waiting.size_bytes

    @property
    def rejected_count(self) -> int:
        return len(self._rejected.batches)

    def put(self, body: bytes) -> None:
        """Durable when this returns: a power cut after it loses nothing."""
        with self._guard:
            number = self._last_number + 1
            path = self._waiting.directory / f"{number:015d}.json.gz"
            _write_durably(path, body)
            self._last_number = number
            self._waiting.add(Kept(number, path, len(body), self._clock()))
            self._drop_oldest()

    def oldest(self) -> Kept | None:
        """The next to send. It cannot be dropped until `remove`, `reject` or `put_back`."""
        with self._guard:
            self._drop_oldest()
            self._in_flight = self._waiting.batches[0] if self._waiting.batches else None
            return self._in_flight

    def put_back(self) -> None:
        with self._guard:
            self._in_flight = None

    def remove(self, kept: Kept) -> None:
        """The server has it."""
        with self._guard:
            kept.path.unlink(missing_ok=True)
            self._waiting.take_out(kept)
            self._in_flight = None

    def reject(self, kept: Kept, answer: str) -> Path:
        """The server will never take it: set aside beside the answer, for a person to look at."""
        with self._guard:
            aside = Kept(
                kept.number,
                self._rejected.directory / kept.path.name,
                kept.size_bytes,
                kept.kept_at,
            )
            aside.answer_path.write_text(answer, encoding="utf-8")
            kept.path.replace(aside.path)
            self._waiting.take_out(kept)
            self._in_flight = None
            self._rejected.add(aside)
            self._drop_oldest()
            return aside.path

    def retry_rejected(self) -> int:
        """Everything set aside waits again, in its old place. Says how many."""
        with self._guard:
            moved = self._rejected.batches
            for kept in moved:
                kept.path.replace(self._waiting.directory / kept.path.name)
                kept.answer_path.unlink(missing_ok=True)
            self._rejected = _Shelf(self._rejected.directory)
            self._waiting = _Shelf(self._waiting.directory)
            return len(moved)

    def _drop_oldest(self) -> None:
        for what, shelf in (("waiting", self._waiting), ("rejected", self._rejected)):
            dropped = self._over_bound(shelf)
            for kept in dropped:
                kept.path.unlink(missing_ok=True)
                kept.answer_path.unlink(missing_ok=True)
                shelf.take_out(kept)
            if dropped:
                self.dropped_count += len(dropped)
                log.error(
                    "the spool is full: dropped the %d oldest %s batches unsent (%d since start;"
                    " it holds %d MiB or %.1f days)",
                    len(dropped),
                    what,
                    self.dropped_count,
                    self.max_bytes // 2**20,
                    self.max_age_s / 86_400,
                )

    def _over_bound(self, shelf: _Shelf) -> list[Kept]:
        too_many_bytes = shelf.size_bytes - self.max_bytes
        too_old = self._clock() - self.max_age_s
        dropped = []
        for kept in shelf.batches:
            if kept == self._in_flight:
                continue
            if too_many_bytes <= 0 and kept.kept_at >= too_old:
                break
            dropped.append(kept)
            too_many_bytes -= kept.size_bytes
        return dropped


def _lock(path: Path) -> int:
    lock_file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock_file)
        raise SpoolError(
            f"Another probe uses the spool directory {path.parent};"
            " stop it or give this one its own --spool."
        ) from error
    return lock_file


def _load(directory: Path) -> list[Kept]:
    kept = []
    for path in directory.iterdir():
        name = _FILE_NAME.fullmatch(path.name)
        if name:
            stat = path.stat()
            kept.append(Kept(int(name[1]), path, stat.st_size, stat.st_mtime))
    return sorted(kept, key=lambda one: one.number)


def _write_durably(path: Path, body: bytes) -> None:
    half_written = path.with_suffix(".tmp")
    with half_written.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    half_written.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
