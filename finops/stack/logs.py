"""Logs that a person can read and that cannot fill the disk.

Each process has a file of its own, and `breakeven.log` has the lines of all, in order, with the
name in front. Knows lines and sizes; refuses to know what the lines say.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 10 * 1024 * 1024
KEPT = 2
"""Older files per log: `web.log.1` is the younger."""

EXPLAINING_LINES = 12
"""So many last lines are shown when a process has failed."""

LONGEST_LINE = 64 * 1024
"""A line without end is cut here, so that one broken process cannot fill our memory."""


class Log:
    """One growing file that starts anew when it is full."""

    def __init__(self, file: Path, most_bytes: int = MOST_BYTES) -> None:
        self.file = file
        self.most_bytes = most_bytes
        self._lost = 0
        self._stream = self._open()

    def write(self, line: bytes) -> None:
        """A full disk costs lines, and says so afterwards; it must not cost the stack."""
        try:
            if self._lost:
                self._append(
                    f"({self._lost} lines before this one could not be written)\n".encode()
                )
                self._lost = 0
            self._append(line)
        except OSError:
            self._lost += 1

    def _append(self, line: bytes) -> None:
        if self._stream.tell() + len(line) > self.most_bytes:
            self._stream.close()
            self._shift()
            self._stream = self._open()
        self._stream.write(line)

    def close(self) -> None:
        self._stream.close()

    def _open(self) -> BinaryIO:
        return self.file.open("ab", buffering=0)

    def _shift(self) -> None:
        for age in range(KEPT, 0, -1):
            younger = self._aged(age - 1)
            if younger.exists():
                younger.replace(self._aged(age))

    def _aged(self, age: int) -> Path:
        return self.file.with_name(f"{self.file.name}.{age}") if age else self.file


class Journal:
    """All logs of one stack."""

    def __init__(self, folder: Path, echo: Callable[[bytes], None] | None = None) -> None:
        self.folder = folder
        self._echo = echo
        self._together = Log(folder / "breakeven.log")
        self._logs: dict[str, Log] = {}
        self._halves: dict[str, bytes] = {}
        self._recent: dict[str, deque[str]] = {}

    def begin(self, name: str) -> None:
        """A process starts: what an earlier one said explains nothing about this one."""
        self._recent[name] = deque(maxlen=EXPLAINING_LINES)

    def take(self, name: str, output: bytes) -> None:
        """Output as it comes out of a pipe: any piece of any line."""
        *lines, half = (self._halves.pop(name, b"") + output).split(b"\n")
        for line in lines:
            self.line(name, line)
        if len(half) >= LONGEST_LINE:
            self.line(name, half)
        elif half:
            self._halves[name] = half

    def flush(self, name: str) -> None:
        """The process has ended: an unfinished line is its last one."""
        half = self._halves.pop(name, b"")
        if half:
            self.line(name, half)

    def line(self, name: str, line: bytes) -> None:
        log = self._logs.get(name)
        if log is None:
            log = self._logs[name] = Log(self.folder / f"{name}.log")
        log.write(line + b"\n")
        if line.strip() and name in self._recent:
            self._recent[name].append(line.decode(errors="replace"))
        together = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {name:<13}| ".encode() + line + b"\n"
        self._together.write(together)
        if self._echo:
            self._echo(together)

    def say(self, sentence: str) -> None:
        """The supervisor's own words."""
        self.line("supervisor", sentence.encode())

    def last_lines(self, name: str) -> tuple[str, ...]:
        """Of the process that runs under this name now, or did last."""
        return tuple(self._recent.get(name, ()))

    def close(self) -> None:
        for log in (self._together, *self._logs.values()):
            log.close()


def last_lines(file: Path, count: int) -> tuple[str, ...]:
    if not file.exists():
        return ()
    with file.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 64 * 1024))
        text = stream.read().decode(errors="replace")
    return tuple(line for line in text.splitlines() if line.strip())[-count:]
