"""The places at which tests kill: named, harmless by default, and not for production."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.failpoints import NoSuchFailpoint
from optimiser import failpoints

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **{f"BREAKEVEN_{name}": value for name, value in settings.items()}}
    whole = f"import django; django.setup(); from optimiser.failpoints import hit; {code}"
    return subprocess.run(
        [sys.executable, "-c", whole], cwd=ROOT, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_process_kills_itself_at_the_named_point_alone():
    code = "hit('rollout.read'); print('passed', flush=True); hit('rollout.applied')"
    done = run(code, FAILPOINT="rollout.applied", DEBUG="1")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "passed\n")


def test_failpoint_is_refused_outside_of_tests():
    done = run("print('started')", FAILPOINT="rollout.applied", DEBUG="0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "Breakeven cannot start: BREAKEVEN_FAILPOINT kills processes on purpose"
    )


def test_without_one_nothing_happens():
    for name in failpoints.NAMES:
        failpoints.hit(name)


def test_point_without_a_name_is_a_mistake():
    with pytest.raises(NoSuchFailpoint):
        failpoints.hit("rollout.nowhere")


def test_every_point_is_passed_somewhere():
    source = "".join(file.read_text() for file in (ROOT / "optimiser" / "rollout").glob("*.py"))
    assert [name for name in failpoints.NAMES if f'hit("{name}")' not in source] == []
