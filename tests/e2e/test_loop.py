"""The loop on the live Triton, by browser: advised, approved, tried out, then promoted or undone.

Two targets of the demo are worked on at the same time, since one experiment does not touch the
other: the batched model, whose blocks alternate in time, and the router, which splits its traffic.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from optimiser.demo.endpoints import Endpoints
from tests.e2e.demo import ROOT, Demo, wait_until
from tests.e2e.signing_in import sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.triton]

SWITCHBACK = {
    "blocks": 8, "block_s": 4, "washout_s": 1, "settle_s": 4, "looks": 1, "book_least_minutes": 1,
}  # fmt: skip
SPLIT = {
    "blocks": 32, "block_s": 3, "settle_s": 4, "looks": 2, "weight": 50, "quality_margin": 3,
    "latency_margin": 100, "book_least_minutes": 1,
}  # fmt: skip
READERS, READERS_PAUSE_MS = 4, 40
CALLERS, ALONE = 8, 1
CALLERS_PAUSE_MS = 30
"""Short enough for a queue, and long enough to spare the other tests half of what follows."""
WAITING_US = 75_000
"""Requests wait so long for company, which comes among eight callers, and never to one alone."""
ALONE_S = 6
"""Of a block: thirty requests are judged, and one caller that waits has sent sixty by then."""


@dataclass
class Person:
    """Somebody signed in, in a tab of their own."""

    demo: Demo
    page: Any

    def open(self, path: str) -> str:
        """What the page says."""
        self.page.goto(f"{self.demo.url}{path}")
        return self.said

    @property
    def said(self) -> str:
        return self.page.locator("main").inner_text()

    def press(self, name: str) -> str:
        """What the next page says."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name, exact=True).click()
        return self.said

    def advice(self, lever: str, model: str) -> tuple[str, str] | None:
        """The open recommendation: its address and its row's text."""
        self.open("/recommendations")
        row = self.page.locator("tbody tr").filter(has_text=lever).filter(has_text=f"{model} on")
        if not row.count():
            return None
        return row.get_by_role("link").first.get_attribute("href"), row.inner_text()

    def propose(self, advice: str, terms: dict[str, Any]) -> str:
        """The address of the change."""
        self.open(advice)
        self.page.get_by_text("How it is tried out and judged").last.click()
        for name, value in terms.items():
            self.page.locator(f"[name={name}]").fill(str(value))
        self.press("Propose this change")
        found = re.search(r"/changes/\d+$", self.page.url)
        assert found, self.said
        return found[0]

    def edit(self, change: str, edited: Callable[[dict[str, Any]], None]) -> None:
        """Another config than was advised."""
        self.open(f"{change}/edit")
        box = self.page.locator("[name=desired_config]")
        config = json.loads(box.input_value())
        edited(config)
        box.fill(json.dumps(config))
        said = self.press("Save the edit")
        assert self.page.url.split("?")[0].endswith(change), said

    def approve(self, change: str) -> None:
        self.open(change)
        assert "approved plan" in self.press("Approve")
        self.leave()

    def leave(self) -> None:
        """A page that follows a rollout costs Triton time, and reads itself anew when the rollout
        has ended: in the middle of whatever is opened next."""
        self.page.goto("about:blank")

    def watch(self, change: str) -> str:
        """What its page says now, without following the rollout."""
        return self.open(f"{change}?live=0")

    def state(self, change: str) -> str:
        self.watch(change)
        return self.page.locator("section .badge").first.inner_text()

    def read(self, change: str, field: str) -> Any:
        """What the API tells of it; a page that is drawn again and again would cost Triton time."""
        answer = self.page.request.get(f"{self.demo.url}/api/v1{change}")
        assert answer.ok, answer.status
        return answer.json()[field]

    def wait_for_end(self, change: str, within_s: float = 150) -> str:
        """The state in which the change came to rest, as its page says."""
        wait_until(lambda: self.read(change, "closed_at"), within_s, "it ended", every_s=2)
        return self.state(change)


@pytest.fixture(scope="module")
def people(demo, browser) -> Iterator[dict[str, Person]]:
    signed_in = {}
    for person in demo.people:
        if person["username"] not in ("asha", "dev", "ben", "ada"):
            continue
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        # Beside a Triton that is kept busy.
        page.set_default_timeout(60_000)
        sign_in(page, demo.url, person["username"], person["password"])
        signed_in[person["username"]] = Person(demo, page)
    yield signed_in
    for person in signed_in.values():
        person.page.context.close()


def call_with(demo: Demo, clients: int, pause_ms: int) -> None:
    """So many callers of the batched model."""
    control = demo.folder / "nightly-batch.json"
    control.write_text(json.dumps({"clients": clients, "think_ms": pause_ms}))


def read_with(demo: Demo, clients: int) -> Path:
    """So many readers of digits in the crew; the file that tells it."""
    control = demo.home / "crew.json"
    control.write_text(json.dumps({"clients": clients, "think_ms": READERS_PAUSE_MS}))
    return control


@pytest.fixture(scope="module")
def crew(demo) -> Iterator[Callable[[], dict[str, int]]]:
    """More readers of digits, so that a split is judged on enough requests; their count."""
    count_file = demo.home / "crew-count.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "optimiser.demo.clients", "--service", "digit-crew"),
            *("--model", "digits", "--control", read_with(demo, READERS)),
            *("--triton", demo.folder / "triton/triton.json", "--otlp", f"{demo.url}/v1/traces"),
            *("--token-file", demo.folder / "keys/push-tokens/digit-reader"),
            *("--count-file", count_file),
        ],
        cwd=ROOT,
    )

    def counted() -> dict[str, int]:
        rows = json.loads(count_file.read_text())["counted"] if count_file.exists() else []
        return {name: sum(row[name] for row in rows) for name in ("spans", "errors")}

    try:
        wait_until(lambda: counted()["spans"] > 50, 60, "digits are read")
        yield counted
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def config_of(demo: Demo, model: str) -> dict[str, Any]:
    address = Endpoints.read(demo.folder / "triton/triton.json").http
    return httpx.get(f"{address}/v2/models/{model}/config", timeout=5).json()


def served_by(demo: Demo) -> str:
    return config_of(demo, "digits")["parameters"]["base"]["string_value"]


def advised(dev: Person, lever: str, model: str, words: str, within_s: float = 90) -> str:
    """The address of the recommendation that says `words`."""

    said = ""

    def found() -> str:
        nonlocal said
        advice = dev.advice(lever, model)
        said = advice[1] if advice else ""
        return advice[0] if advice and words in said else ""

    try:
        # The page takes from Triton what it takes to make.
        return wait_until(found, within_s, f"{lever} of {model} says {words}", every_s=4)
    except AssertionError as error:
        error.add_note(said or "It says nothing.")
        raise


def calibrate(dev: Person, advice: str) -> None:
    dev.open(advice)
    dev.press("Run the calibration")


def recommended(dev: Person, calibrated: str = "") -> str:
    """What comes after the calibrated advice.

    Where the replay does not give what is recorded, because the machine was quicker while it was
    calibrated than it is now, advice asks for another calibration.
    """
    for _ in range(4):
        advice, said = said_after(dev, calibrated)
        if "Recommended" in said:
            return advice
        calibrate(dev, advice)
        calibrated = advice
    raise AssertionError(said)


def said_after(dev: Person, calibrated: str, within_s: float = 360) -> tuple[str, str]:
    def found() -> tuple[str, str] | None:
        advice = dev.advice("Dynamic batching", "fixedcost")
        if not advice or advice[0] == calibrated:
            return None
        return advice if re.search("Recommended|calibrate again", advice[1]) else None

    return wait_until(found, within_s, "batching is advised or calibrated again", every_s=4)


@pytest.fixture(scope="module")
def story(demo, people, crew) -> dict[str, str]:
    """Both changes are proposed and approved; the addresses of what came of it."""
    dev, ben = people["dev"], people["ben"]
    call_with(demo, CALLERS, CALLERS_PAUSE_MS)
    advice = advised(dev, "Dynamic batching", "fixedcost", "Needs an experiment")
    calibrate(dev, advice)
    # First: what is recorded beside a canary of another model is slower than the calibration.
    batching_advice = recommended(dev, advice)
    variant = advised(dev, "Model variant", "digits", "Whether digits_int8")
    int8 = dev.propose(variant, SPLIT)
    ben.approve(int8)
    batching = dev.propose(batching_advice, SWITCHBACK)
    dev.edit(batching, waiting_for_company)
    return {"advice": batching_advice, "batching": batching, "int8": int8}


def test_recommendation_shows_its_effect_and_evidence(people, story):
    said = people["asha"].open(story["advice"])

    assert re.search(r"GPU time per request [\d.]+% less \([\d.]+% to [\d.]+%\)", said)
    assert "HASH OF THE INPUTS" in said.upper()
    assert people["asha"].page.locator(".js-plotly-plot").count() >= 2


def test_nobody_approves_their_own_change_by_page_api_or_admin(demo, people, story):
    dev, change = people["dev"], story["batching"]
    dev.open(change)
    assert dev.page.get_by_role("button", name="Approve").is_disabled()

    plan_hash = dev.read(change, "plan_hash")
    answer = dev.page.evaluate(
        """async ([at, hash]) => {
            const token = document.cookie.match(/csrftoken=([^;]+)/)?.[1]
                ?? document.querySelector('[name=csrfmiddlewaretoken]').value;
            const sent = {method: 'POST', body: JSON.stringify({plan_hash: hash}),
                headers: {'Content-Type': 'application/json', 'X-CSRFToken': token}};
            const answer = await fetch(at, sent);
            return [answer.status, await answer.text()];
        }""",
        [f"/api/v1{change}/approve", plan_hash],
    )
    assert answer[0] == 403
    assert "own change" in answer[1]

    ada = people["ada"]
    assert ada.page.goto(f"{demo.url}/admin/optimiser/approval/add/").status in (403, 404)


def test_batching_is_approved_switched_back_and_forth_and_promoted(demo, people, story):
    ben, change = people["ben"], story["batching"]
    before = config_of(demo, "fixedcost")
    assert "dynamic_batching" not in before
    ben.approve(change)

    assert ben.wait_for_end(change) == "Promoted", ben.said
    assert config_of(demo, "fixedcost")["dynamic_batching"]
    metrics = ben.page.get_by_role("row").filter(has_text="GPU time per request").all_inner_texts()
    assert any("PASS" in row for row in metrics), metrics


def test_int8_variant_passes_a_split_canary_with_equal_answers(demo, people, story):
    ben, change = people["ben"], story["int8"]

    assert ben.wait_for_end(change, 300) == "Promoted", ben.said
    assert served_by(demo) == "digits_int8"
    rows = ben.page.get_by_role("row").filter(has_text="Quality").all_inner_texts()
    assert any("PASS" in row for row in rows), rows


def roll_back(dev: Person, change: str) -> None:
    dev.open(change)
    dev.page.locator("summary", has_text="Roll back now").click()
    pressed = time.monotonic()
    dev.press("Yes, roll back")
    dev.leave()
    wait_until(lambda: dev.state(change) == "Rolled back", 30, "it is rolled back", every_s=1)
    assert time.monotonic() - pressed < 30
    assert "Drifted" not in dev.open("/targets")


def test_roll_back_now_brings_the_old_variant_back(demo, people, story):
    roll_back(people["dev"], story["int8"])
    assert served_by(demo) == "digits_fp32"


@pytest.fixture(scope="module")
def wrong(demo, people, story, crew) -> tuple[str, int]:
    """A variant that answers wrongly, on trial; how many requests had failed before."""
    dev, before = people["dev"], crew()
    change = dev.propose(advised(dev, "Model variant", "digits", "Whether digits_int8"), SPLIT)
    dev.edit(change, answering_wrongly)
    Endpoints.read(demo.folder / "triton/triton.json").load("digits_wrong")
    people["ben"].approve(change)
    return change, before["errors"]


def answering_wrongly(config: dict[str, Any]) -> None:
    config["parameters"]["base"]["string_value"] = "digits_wrong"


# While the trial of the wrong variant goes on, the batched model has its turns.


@pytest.mark.usefixtures("wrong")
def test_saving_is_booked_after_its_measured_minutes(people, story):
    ben, change = people["ben"], story["batching"]
    wait_until(lambda: "Realised" in ben.open(change), 300, "the saving is booked", every_s=5)
    booked = people["asha"].open("/savings")
    assert "Dynamic batching" in booked
    assert re.search(r"[\d.]+ GPU-", booked)


def test_variant_with_wrong_answers_fails_and_is_rolled_back(demo, people, crew, wrong):
    ben, (change, errors_before) = people["ben"], wrong

    assert ben.wait_for_end(change) == "Rolled back"
    rows = ben.page.get_by_role("row").filter(has_text="Quality").all_inner_texts()
    assert any("FAIL" in row for row in rows), ben.said
    assert served_by(demo) == "digits_fp32"
    assert crew()["errors"] == errors_before, "no user request failed"


def test_roll_back_now_brings_the_old_batching_back(demo, people, story):
    roll_back(people["dev"], story["batching"])
    assert "dynamic_batching" not in config_of(demo, "fixedcost")


@pytest.fixture
def alone(demo, people, story) -> Iterator[str]:
    """Batching once more, approved among eight callers, of whom all but one go home."""
    dev, ben = people["dev"], people["ben"]
    advice = recommended(dev)
    change = dev.propose(advice, {**SWITCHBACK, "block_s": ALONE_S})
    dev.edit(change, waiting_for_company)
    ben.approve(change)
    call_with(demo, ALONE, 0)
    read_with(demo, 0)
    others = demo.pid("load")
    os.kill(others, signal.SIGSTOP)
    yield change
    os.kill(others, signal.SIGCONT)
    read_with(demo, READERS)


def waiting_for_company(config: dict[str, Any]) -> None:
    """One and the same each time, whatever was advised of the traffic of the moment."""
    config["max_batch_size"] = CALLERS // 2
    config["dynamic_batching"]["preferred_batch_size"] = [CALLERS // 2]
    config["dynamic_batching"]["max_queue_delay_microseconds"] = WAITING_US


def test_the_same_change_fails_when_the_callers_go_home(demo, people, story, alone):
    ben, passed = people["ben"], story["batching"]
    assert ben.read(alone, "desired_config") == ben.read(passed, "desired_config")

    assert ben.wait_for_end(alone) == "Rolled back"
    rows = ben.page.get_by_role("row").filter(has_text="P95").all_inner_texts()
    assert any("FAIL" in row for row in rows), ben.said
    assert "dynamic_batching" not in config_of(demo, "fixedcost")


def test_canary_arm_that_vanishes_is_rolled_back_without_a_failed_request(demo, people, crew):
    dev, ben = people["dev"], people["ben"]
    before = crew()
    change = dev.propose(advised(dev, "Model variant", "digits", "Whether digits_int8"), SPLIT)
    ben.approve(change)
    wait_until(lambda: "Measuring" in ben.watch(change), 30, "the canary gets traffic", every_s=1)
    endpoints = Endpoints.read(demo.folder / "triton/triton.json")
    httpx.post(
        f"{endpoints.http}/v2/repository/models/digits_int8/unload",
        json={},
        headers={"admin-key": endpoints.admin_key},
        timeout=20,
    ).raise_for_status()
    try:
        assert ben.wait_for_end(change) == "Rolled back"
    finally:
        endpoints.load("digits_int8")
    assert served_by(demo) == "digits_fp32"
    after = crew()
    assert after["spans"] > before["spans"]
    assert after["errors"] == before["errors"], "no user request failed"
