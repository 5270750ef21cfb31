"""The real doors under the real server, and a header that kills whoever reads it.

`X-Failpoint: store.rows` sets the failpoint of the process that answers. Only a campaign serves it.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

from tests.bench.common import ROOT
from tests.chaos.processes import prepare

READY_WITHIN_S = 60.0


def _made() -> Callable[..., Iterable[bytes]]:
    prepare()
    from django.conf import settings

    from finops.wsgi import application as doors

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if place := environ.get("HTTP_X_FAILPOINT"):
            settings.FAILPOINT = place
        return doors(environ, start_response)

    return application


class Web:
    """gunicorn with one process that answers, replaced at once when it dies."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "tests.chaos.web:application"),
                *("--config=python:finops.gunicorn_conf", f"--bind=127.0.0.1:{port}"),
                *("--workers=1", "--threads=4", "--log-level=critical"),
            ],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        ends = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/livez", timeout=1).close()
                return
            except OSError:
                if time.monotonic() > ends or self.process.poll() is not None:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)


def __getattr__(name: str) -> Any:
    """Made when gunicorn asks for it, not when a test imports this module."""
    if name == "application":
        return _made()
    raise AttributeError(name)
