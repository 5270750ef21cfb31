"""Kill -9 of the controller, of Triton and of PostgreSQL at every named step, five times each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from optimiser import leases
from optimiser.demo import triton
from optimiser.failpoints import NAMES
from tests.conftest import require

from .program import BEFORE_ANY_LOAD

ROOT = Path(__file__).resolve().parents[3]
ROUNDS = 5
VICTIMS = ("controller", "triton", "postgres")
BACK_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def kills():
    """Every kill and what came of it; the program's own servers are gone afterwards."""
    require("triton", triton.why_not())
    # A short path: PostgreSQL's sockets lie below it. Its own account passes through.
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        Path(folder).chmod(0o711)
        ours = {k: v for k, v in os.environ.items() if not k.startswith("BREAKEVEN_")}
        done = subprocess.run(
            [sys.executable, "-m", "tests.optimiser.kills.program", folder, str(ROUNDS)],
            cwd=ROOT, env=ours, capture_output=True, text=True, check=False, timeout=840,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_victim_died_at_each_step_five_times(kills):
    counted = Counter((one["victim"], one["point"]) for one in kills)
    assert counted == {(victim, point): ROUNDS for victim in VICTIMS for point in NAMES}


def test_all_end_in_the_old_config_or_the_new_one_as_recorded(kills):
    """Never half: what serves is what the rollout says, and what the target is meant to have."""
    serving = {"promoted": "new", "rolled_back": "old"}
    for one in kills:
        assert one["state"] in serving, one
        assert one["serving"] == serving[one["state"]], one
        assert one["change"] == one["state"], one
        assert (one["desired_is_live"], one["live_state"]) == (True, "in_step"), one
        assert one["lease_is_free"], one


def test_promotion_that_was_recorded_outlives_every_kill(kills):
    found = [one["state"] for one in kills if one["point"] == "rollout.promoted"]
    assert found == ["promoted"] * ROUNDS * len(VICTIMS)


def test_dead_controller_brings_the_old_config_back_unless_it_had_promoted(kills):
    applied = set(NAMES) - {*BEFORE_ANY_LOAD, "rollout.promoted"}
    found = {
        one["serving"] for one in kills if one["victim"] == "controller" and one["point"] in applied
    }
    assert found == {"old"}


def test_old_config_serves_within_thirty_seconds(kills):
    """With the lease of earnest, where a short one was waited for."""
    slowest = 0.0
    for one in kills:
        if one["serving"] == "old" and one["point"] not in BEFORE_ANY_LOAD:
            longer_s = leases.LEASE.total_seconds() - one["lease_s"]
            slowest = max(slowest, one["seconds"] + longer_s)
            assert one["seconds"] + longer_s <= BACK_WITHIN_S, one
    assert slowest > leases.LEASE.total_seconds() / 2
