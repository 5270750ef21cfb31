"""`./run demo` as a newcomer starts it: live figures are read, and no kill loses anything."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from optimiser.demo import triton
from tests.conftest import require

ROOT = Path(__file__).resolve().parents[2]
TOLD = ("spans", "errors", "input_tokens", "cache_read_tokens", "output_tokens")

pytestmark = [pytest.mark.e2e, pytest.mark.triton]


def wait_until(condition: Callable[[], Any], within_s: float, what: str) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"after {within_s:.0f} s still not: {what}"
        time.sleep(0.5)
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

    def run(self, *arguments: str, timeout_s: float = 240) -> str:
        ours = {k: v for k, v in os.environ.items() if not k.startswith("BREAKEVEN_")}
        done = subprocess.run(
            ["./run", *arguments],
            cwd=ROOT,
            env={**ours, "BREAKEVEN_HOME": str(self.home)},
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
            return httpx.get(f"{self.url}/readyz", timeout=3).status_code == 200
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
        client = httpx.Client(base_url=self.url, follow_redirects=True, timeout=20)
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
        answer = httpx.get(f"{address}/v2/models/{model}/stats", timeout=5)
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
            ".values('service', 'model').annotate(spans=Count('key'),"
            " errors=Count('key', filter=Q(status='error')), a=Sum('input_tokens'),"
            " b=Sum('cache_read_tokens'), c=Sum('output_tokens'))\n"
            "print('TOTALS' + json.dumps({r['service'] + '/' + r['model']: {'spans': r['spans'],"
            " 'errors': r['errors'], 'input_tokens': (r['a'] or 0) + (r['b'] or 0),"
            " 'cache_read_tokens': r['b'] or 0, 'output_tokens': r['c'] or 0} for r in rows}))"
        )
        said = self.run("manage", "--demo", "shell", "-v0", "-c", code)
        return json.loads(said.split("TOTALS")[1].splitlines()[0])

    def counted(self) -> dict[str, Any]:
        return json.loads((self.folder / "load-count.json").read_text())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    require("triton", triton.why_not())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    estate = Demo(tmp_path_factory.mktemp("demo"), port)
    estate.run("demo", "--port", str(port))
    try:
        wait_until(
            lambda: estate.is_running("load") and estate.process("seed_demo")["state"] == "done",
            120,
            "history is there and the load runs",
        )
        yield estate
    finally:
        estate.run("down", "demo")


def shown_requests(client: httpx.Client) -> int:
    page = client.get("/requests?f.project=digit-reader&range=today").text
    found = re.search(r"([\d,]+) requests, of which", page)
    return int(found.group(1).replace(",", "")) if found else 0


def test_page_shows_what_tritons_own_statistics_say(demo):
    asha = demo.sign_in("asha")
    wait_until(lambda: demo.triton_answers("digits_fp32") > 20, 60, "digits are being read")
    least = demo.triton_answers("digits_fp32")
    wait_until(lambda: shown_requests(asha) >= least, 60, "the page has caught up")
    shown = shown_requests(asha)
    assert least <= shown <= demo.triton_answers("digits_fp32")


def test_tritons_metrics_are_pulled_again_and_again(demo):
    """Every 15 s, whichever of beat and sweeper made the job."""
    watched = demo.process("watch-triton")["since"]
    wait_until(lambda: time.time() - watched > 50, 60, "three pulls were due")
    token = (demo.folder / "keys/metrics-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    said = httpx.get(f"{demo.url}/metrics", headers=headers, timeout=10).text
    lag = re.search(r'source_lag_seconds\{[^}]*source="Demo Triton"\} (\S+)', said)
    assert lag, said
    assert float(lag.group(1)) < 25


def test_every_role_signs_in_by_browser_and_reads_its_own(demo, browser):
    names = {person["role"]: person for person in demo.people}
    assert set(names) == {"viewer", "analyst", "engineer", "approver", "admin"}
    for role, person in names.items():
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{demo.url}/sign-in")
        page.get_by_label("User name").fill(person["username"])
        page.get_by_label("Password").fill(person["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{demo.url}/")
        text = page.locator("main").inner_text()
        assert re.search(r"\$[\d,]+\.\d\d", text), f"{role} sees no figure"
        page.goto(f"{demo.url}/requests?range=60d")
        seen = page.locator("main").inner_text()
        assert ("claude-sonnet-4-5" in seen) == (role != "viewer"), role
        assert "gpt-4o-mini" in seen
        assert page.goto(f"{demo.url}/settings/audit").status == (
            200 if role in ("approver", "admin") else 403
        )
        context.close()


def test_nothing_is_lost_when_each_process_is_killed_in_turn(demo):
    for name in ("worker", "web", "valkey", "postgres", "triton"):
        demo.kill_and_wait_for_return(name)
    wait_until(lambda: demo.triton_answers("fixedcost") > 10, 60, "Triton answers again")
    wait_until(lambda: is_delivering(demo), 90, "what waited for delivery is delivered")
    supervisor = demo.state["supervisor"]["pid"]
    load = demo.pid("load")
    # Held, so that the generator, once it has delivered everything and ended, stays ended.
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(load, signal.SIGTERM)
        wait_until(lambda: has_ended(load), 60, "the generator has delivered and ended")
        told = demo.counted()
        stored = demo.live_totals()
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert [row for row in (*told["pending"], *told["refused"]) if row["spans"]] == []
    wanted = {
        f"{row['service']}/{row['model']}": {name: row[name] for name in TOLD}
        for row in told["counted"]
    }
    assert stored == wanted
    assert sum(row["errors"] for row in told["counted"]) < sum(
        row["spans"] for row in told["counted"]
    )


def is_delivering(demo: Demo) -> bool:
    """About a second of traffic waits, seen for longer than a sender that backs off could hide."""
    for _ in range(5):
        if sum(row["spans"] for row in demo.counted()["pending"]) > 15:
            return False
        time.sleep(1)
    return True


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"  # its parent is held and cannot look
