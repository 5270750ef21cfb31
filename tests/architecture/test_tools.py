"""The linter, the formatter and the type checker say nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PURE = (
    "gpu_probe",
    "ingest/records.py",
    "ingest/sketch.py",
    "finops/money.py",
    "finops/costing",
    "finops/series",
    "finops/stack",
)


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy", *PURE)],
    ids=["ruff check", "ruff format", "mypy"],
)
def test_tool_has_nothing_to_say(command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
