"""A demo of our own, started as a newcomer starts it, and how a test asks it things."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from optimiser.demo.endpoints import NO_TLS

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = ("load", "nightly-batch")


def wait_until(
    condition: Callable[[], Any], within_s: float, what: str, *, every_s: float = 0.5
) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"after {within_s:.0f} s still not: {what}"
        time.sleep(every_s)
    return found


@dataclass
class Demo:
    """A demo of our own: another home and port than anybody's."""

    home: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        return self.home / "demo"

    @property
    def environment(self) -> dict[str, str]:
        ours = {k: v for k, v in os.environ.items() if not k.startswith("BREAKEVEN_")}
        return {**ours, "BREAKEVEN_HOME": str(self.home)}

    def run(self, *arguments: str, timeout_s: float = 240) -> str:
        done = subprocess.run(
            ["./run", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.folder / "state.json").read_text())

    def process(self, name: str) -> dict[str, Any]:
        return next(one for one in self.state["processes"] if one["name"] == name)

    def pid(self, name: str) -> int:
        return self.process(name)["process"]["pid"]

    def is_running(self, name: str) -> bool:
        return self.process(name)["state"] == "running"

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=3, verify=NO_TLS).status_code == 200
        except httpx.HTTPError:
            return False

    def kill_and_wait_for_return(self, name: str) -> None:
        before = self.pid(name)
        os.kill(before, signal.SIGKILL)
        wait_until(
            lambda: self.is_running(name) and self.pid(name) != before and self.is_ready(),
            60,
            f"{name} is back",
        )

    @property
    def people(self) -> list[dict[str, str]]:
        return json.loads((self.folder / "signins.json").read_text())

    def sign_in(self, username: str) -> httpx.Client:
        person = next(one for one in self.people if one["username"] == username)
        client = httpx.Client(base_url=self.url, follow_redirects=True, timeout=20, verify=NO_TLS)
        form = client.get("/sign-in")
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', form.text)
        assert token
        answer = client.post(
            "/sign-in",
            data={**person, "csrfmiddlewaretoken": token.group(1), "next": "/"},
            headers={"Referer": f"{self.url}/sign-in"},
        )
        assert answer.url.path == "/", answer.text[:500]
        return client

    def triton_answers(self, model: str) -> int:
        """How many requests Triton says it has answered, from its own statistics."""
        address = json.loads((self.folder / "triton/triton.json").read_text())["http"]
        answer = httpx.get(f"{address}/v2/models/{model}/stats", timeout=5, verify=NO_TLS)
        if answer.status_code != 200:
            return 0  # not loaded yet: the classifier is being trained
        counts = [
            one["inference_stats"]["success"]["count"] for one in answer.json()["model_stats"]
        ]
        return sum(map(int, counts))

    def live_totals(self) -> dict[str, dict[str, int]]:
        """Per service and model what the database holds of the live load, history left out."""
        code = (
            "import json; from django.db.models import *; from ingest.models import Span\n"
            "rows = Span.objects.exclude(trace_id__startswith='5a0000').exclude(service='')"
            ".values('service', 'request_model').annotate(spans=Count('key'),"
            " errors=Count('key', filter=Q(status='error')), a=Sum('input_tokens'),"
            " b=Sum('cache_read_tokens'), c=Sum('output_tokens'))\n"
            "print('TOTALS' + json.dumps({r['service'] + '/' + r['request_model']: "
            "{'spans': r['spans'],"
            " 'errors': r['errors'], 'input_tokens': (r['a'] or 0) + (r['b'] or 0),"
            " 'cache_read_tokens': r['b'] or 0, 'output_tokens': r['c'] or 0} for r in rows}))"
        )
        said = self.run("manage", "--demo", "shell", "-v0", "-c", code)
        return json.loads(said.split("TOTALS")[1].splitlines()[0])

    def counted(self) -> dict[str, list[dict[str, Any]]]:
        """What both generators say they made, part by part."""
        files = [self.folder / f"{name}-count.json" for name in GENERATORS]
        told = [json.loads(file.read_text()) for file in files]
        parts = ("counted", "pending", "refused")
        return {part: [row for one in told for row in one[part]] for part in parts}


@contextmanager
def running(home: Path) -> Iterator[Demo]:
    """A demo with its history and under load, stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    estate = Demo(home, port)
    with _stopped_at_the_end(estate):
        estate.run("demo", "--port", str(port))
        wait_until(
            lambda: (
                all(map(estate.is_running, GENERATORS))
                and estate.process("seed_demo")["state"] == "done"
            ),
            120,
            "history is there and the load runs",
        )
        yield estate


@contextmanager
def _stopped_at_the_end(estate: Demo) -> Iterator[None]:
    """By a process of its own, which waits for our end of a pipe to close: a test run that is
    interrupted kills its workers before they could clean up."""
    keeper = subprocess.Popen(
        ["sh", "-c", "read -r _; exec ./run down demo"],
        cwd=ROOT,
        env=estate.environment,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert keeper.stdin
        keeper.stdin.close()
        assert keeper.wait(120) == 0
