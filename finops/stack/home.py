"""Where one stack keeps everything: `.data/live` for real books, `.data/demo` for the sample.

Knows folders and locks. Refuses to know what is written into them. The two homes share nothing,
so sample data cannot reach real books.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finops.stack.problem import StackError

REPOSITORY = Path(__file__).resolve().parents[2]

KINDS = ("live", "demo")

LONGEST_SOCKET_PATH = 100
"""Bytes; Linux allows 107 and macOS 103 for a Unix socket."""


@dataclass(frozen=True)
class Home:
    root: Path

    @classmethod
    def of(cls, kind: str) -> Home:
        base = os.environ.get("BREAKEVEN_HOME")
        # Relative means relative to the repository: that is where ./run works.
        return cls((REPOSITORY / (base or ".data")).resolve() / kind)

    @property
    def kind(self) -> str:
        return self.root.name

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def sign_ins(self) -> Path:
        return self.root / "signins.json"

    def create(self) -> None:
        # Root's database runs under another account, which must be able to pass through.
        passable = 0o711 if os.geteuid() == 0 else 0o700
        try:
            make_folder(self.root, passable)
            for private in (self.logs, self.keys, self.root / "run"):
                private.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"The data directory {self.root} cannot be made ({error.strerror}): "
                "set BREAKEVEN_HOME to a folder you may write to."
            ) from error

    def socket_folder(self, wanted: Path) -> Path:
        """`wanted`, or a short private folder when a socket's path there would be too long."""
        if len(os.fsencode(wanted / ".s.PGSQL.5432.lock")) <= LONGEST_SOCKET_PATH:
            return wanted
        note = self.root / "run" / f"{wanted.name}-sockets-at"
        if note.exists() and _is_private(Path(note.read_text())):
            return Path(note.read_text())
        short = Path(tempfile.mkdtemp(prefix="breakeven-"))
        note.write_text(str(short))
        return short

    def remove_short_socket_folders(self) -> None:
        for note in (self.root / "run").glob("*-sockets-at"):
            shutil.rmtree(note.read_text(), ignore_errors=True)

    @contextlib.contextmanager
    def only_one_start(self) -> Iterator[None]:
        """Two `./run up` at the same moment: the second waits and finds the first one's stack."""
        with (self.root / "start.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def lock_for_life(self, wait_s: float) -> int:
        """The lock a supervisor and its guardian hold while anything of theirs still runs."""
        descriptor = os.open(self.root / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise StackError(
                        f"Another start or stop in {self.root} has not finished: "
                        "try ./run status, then ./run down."
                    ) from None
                time.sleep(0.1)
            else:
                return descriptor


def make_folder(folder: Path, mode: int) -> None:
    """With the missing ones above it, all of this mode whatever the umask; others stay as is."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        one.chmod(mode)


def _is_private(folder: Path) -> bool:
    """Temporary folders get cleaned away, and then anybody may make one of the same name."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    status = folder.stat()
    return not status.st_mode & 0o077 and os.geteuid() in (0, status.st_uid)
