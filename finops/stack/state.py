"""What a stack says about itself: one small file, replaced whole at every change.

Knows its words. Refuses to be believed alone: whether a process named in it lives is asked of the
system, because a killed supervisor cannot correct its last words.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from finops.stack.processes import Identity

STARTING, USABLE, READY, STOPPING, STOPPED, FAILED = (
    "starting",
    "usable",  # the web server answers; sample data may still be on its way
    "ready",
    "stopping",
    "stopped",
    "failed",
)


@dataclass
class ProcessState:
    """One line of `./run status`."""

    name: str
    state: str
    since: float
    """Seconds since 1970."""
    restarts: int = 0
    reason: str = ""
    process: Identity | None = None


@dataclass
class StackState:
    supervisor: Identity
    port: int
    phase: str = STARTING
    problem: str = ""
    log: list[str] = field(default_factory=list)
    processes: list[ProcessState] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def is_running(self) -> bool:
        return self.phase not in (STOPPED, FAILED) and self.supervisor.is_alive()

    def write(self, file: Path) -> None:
        descriptor, fresh = tempfile.mkstemp(prefix=file.name, dir=file.parent)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(asdict(self), stream, indent=1)
        Path(fresh).replace(file)

    @classmethod
    def read(cls, file: Path) -> StackState | None:
        """The last words in `file`, or None where no stack has spoken yet."""
        try:
            words = json.loads(file.read_text())
        except FileNotFoundError:
            return None
        words["supervisor"] = Identity(**words["supervisor"])
        words["processes"] = [_process(line) for line in words["processes"]]
        return cls(**words)


def _process(line: dict[str, object]) -> ProcessState:
    known = line.pop("process")
    process = Identity(**known) if isinstance(known, dict) else None
    return ProcessState(**line, process=process)  # type: ignore[arg-type]
