"""`./run demo` as a newcomer starts it: live figures are read, and no kill loses anything."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.e2e.demo import GENERATORS, Demo, wait_until
from tests.e2e.signing_in import sign_in

TOLD = ("spans", "errors", "input_tokens", "cache_read_tokens", "output_tokens")

pytestmark = [pytest.mark.e2e, pytest.mark.triton]


def shown_requests(client: httpx.Client) -> int:
    page = client.get("/requests?f.project=digit-reader&range=today").text
    found = re.search(r"([\d,]+) requests, of which", page)
    return int(found.group(1).replace(",", "")) if found else 0


def test_page_shows_what_tritons_own_statistics_say(demo):
    with closing(demo.sign_in("asha")) as asha:
        wait_until(lambda: demo.triton_answers("digits_fp32") > 20, 60, "digits are being read")
        least = demo.triton_answers("digits_fp32")
        wait_until(lambda: shown_requests(asha) >= least, 60, "the page has caught up", every_s=2)
        shown = shown_requests(asha)
    assert least <= shown <= demo.triton_answers("digits_fp32")


def test_every_role_signs_in_by_browser_and_reads_its_own(demo, browser):
    names = {person["role"]: person for person in demo.people}
    assert set(names) == {"viewer", "analyst", "engineer", "approver", "admin"}
    for role, person in names.items():
        context = browser.new_context()
        page = context.new_page()
        sign_in(page, demo.url, person["username"], person["password"])
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


def test_nothing_is_lost_when_each_process_is_killed_in_turn(demo):
    for name in ("worker", "web", "valkey", "postgres", "triton"):
        demo.kill_and_wait_for_return(name)
    wait_until(lambda: demo.triton_answers("fixedcost") > 10, 60, "Triton answers again")
    wait_until(lambda: is_delivering(demo), 90, "what waited for delivery is delivered")
    supervisor = demo.state["supervisor"]["pid"]
    pids = [demo.pid(name) for name in GENERATORS]
    # Held, so that a generator, once it has delivered everything and ended, stays ended.
    os.kill(supervisor, signal.SIGSTOP)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: all(map(has_ended, pids)), 60, "both have delivered and ended")
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
        if sum(row["spans"] for row in demo.counted()["pending"]) > 150:
            return False
        time.sleep(1)
    return True


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"  # its parent is held and cannot look
