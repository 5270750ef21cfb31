"""Where the demo's Triton listens: the one file the other processes find it by.

Knows triton.json and Triton's health addresses; refuses to start, stop or configure anything.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from optimiser.demo.files import write_json

LOOPBACK = "127.0.0.1"
ADMIN_HEADER = "admin-key"
"""The HTTP header Triton wants for its model-control API; over gRPC the metadata key is
`triton-grpc-protocol-admin-key`."""

HEALTH_TIMEOUT_S = 2.0

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""On loopback nobody's certificate is looked at; to read whose are believed takes longer than an
answer."""

# `trust_env=False` below: a proxy in the environment is not meant for loopback.


@dataclass(frozen=True)
class Endpoints:
    """One running Triton. A restart may move it, so read the file again after a failure."""

    pid: int
    http: str
    grpc: str
    metrics: str
    admin_key_file: str

    @classmethod
    def on_loopback(cls, pid: int, ports: dict[str, int], admin_key_file: Path) -> Endpoints:
        return cls(
            pid=pid,
            http=f"http://{LOOPBACK}:{ports['http']}",
            grpc=f"{LOOPBACK}:{ports['grpc']}",
            metrics=f"http://{LOOPBACK}:{ports['metrics']}/metrics",
            admin_key_file=str(admin_key_file),
        )

    @classmethod
    def read(cls, path: Path) -> Endpoints:
        return cls(**json.loads(path.read_text()))

    @classmethod
    def read_if_there(cls, path: Path) -> Endpoints | None:
        return cls.read(path) if path.exists() else None

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @property
    def admin_key(self) -> str:
        return Path(self.admin_key_file).read_text().strip()

    @property
    def ports(self) -> dict[str, int]:
        return {name: self.port(name) for name in ("http", "grpc", "metrics")}

    def port(self, name: str) -> int:
        address = getattr(self, name)
        return urlsplit(address if "//" in address else f"//{address}").port or 0

    def is_ready(self, model: str = "") -> bool:
        """Whether the server, or one model of it, takes requests. No answer is a no."""
        path = f"/v2/models/{model}/ready" if model else "/v2/health/ready"
        try:
            answer = httpx.get(
                self.http + path, timeout=HEALTH_TIMEOUT_S, trust_env=False, verify=NO_TLS
            )
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def load(self, model: str, timeout_s: float = 120.0) -> None:
        """Load a model from the repository as its files describe it."""
        httpx.post(
            f"{self.http}/v2/repository/models/{model}/load",
            json={},
            headers={ADMIN_HEADER: self.admin_key},
            timeout=timeout_s,
            trust_env=False,
            verify=NO_TLS,
        ).raise_for_status()
