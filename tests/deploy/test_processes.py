"""How our processes begin and end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[2]


def test_command_that_used_the_database_ends_at_once_and_without_complaint():
    """From Python 3.13 on, an open connection pool would hold its end up by 20 s."""
    ask = "from django.db import connection; connection.ensure_connection(); print('asked')"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity=0", "--command", ask],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("asked\n", "")


@pytest.fixture
def own_signals():
    """The sweeper takes these over; the test run wants them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_sweeper_shows_that_it_is_alive(tmp_path, transactional_db, own_signals):
    heartbeat = tmp_path / "heartbeat"
    call_command("sweep", "--once", f"--heartbeat={heartbeat}")
    assert heartbeat.exists()
