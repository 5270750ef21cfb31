"""Kill -9 on everything, one after the other, with the real servers underneath."""

import os
import signal
import subprocess
import sys

import psycopg
import pytest
import redis

from finops.stack.home import Home
from finops.stack.postgres import Cluster
from finops.stack.processes import marked
from finops.stack.valkey import Valkey
from tests.stack.conftest import Little, until


def database(home):
    return psycopg.connect(Cluster.of(home).url, autocommit=True)


def cache(home):
    return redis.Redis.from_url(Valkey.of(home).cache_url)


def is_back(little, name, old_pid):
    line = little.line(name)
    return line.state == "running" and line.process and line.process.pid != old_pid


@pytest.mark.parametrize("name", ["parent", "valkey", "postgres"])
def test_killed_process_comes_back(little, name):
    before = little.pid(name)
    os.kill(before, signal.SIGKILL)
    until(lambda: is_back(little, name, before))
    assert little.line(name).restarts == 1
    assert [one.state for one in little.state.processes] == [
        "running",
        "running",
        "done",
        "running",
    ]


def test_killed_process_leaves_no_grandchild(little):
    before = little.pid("parent")
    family = marked(little.home.root, "parent")
    os.kill(before, signal.SIGKILL)
    until(lambda: is_back(little, "parent", before))
    assert len(family) == 2
    assert [one for one in family if one.is_alive()] == []


def test_database_survives_kill_of_postmaster(little):
    with database(little.home) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('acknowledged')")
        before = little.pid("postgres")
        os.kill(before, signal.SIGKILL)
    until(lambda: is_back(little, "postgres", before))
    with database(little.home) as connection:
        assert connection.execute("SELECT word FROM kept").fetchone() == ("acknowledged",)
        connection.execute("DROP TABLE kept")


def test_valkey_survives_kill(little):
    cache(little.home).set("kept", "acknowledged")
    before = little.pid("valkey")
    os.kill(before, signal.SIGKILL)
    until(lambda: is_back(little, "valkey", before))
    assert cache(little.home).get("kept") == b"acknowledged"


def test_application_role_is_no_superuser_and_owns_its_database(little):
    with database(little.home) as connection:
        row = connection.execute(
            "SELECT current_user, rolsuper, rolcreatedb, pg_get_userbyid(datdba)"
            " FROM pg_roles, pg_database"
            " WHERE rolname = current_user AND datname = current_database()"
        ).fetchone()
    assert row == ("breakeven", False, False, "breakeven")


def test_nothing_listens_on_the_network(little):
    import psutil

    pids = {one.pid for one in little.everything()}
    listening = [line for line in psutil.net_connections("inet") if line.pid in pids]
    assert listening == []


def test_killed_supervisor_leaves_nothing_and_next_start_finds_the_data(folder):
    little = Little(folder / "live")
    with database(little.home) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
    everything = little.everything()
    assert len({one.pid for one in everything}) >= 4
    little.process.kill()
    little.process.wait()
    until(lambda: not any(one.is_alive() for one in everything), 12)
    again = Little(folder / "live")
    try:
        with database(again.home) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
            connection.execute("DROP TABLE kept")
    finally:
        assert again.stop() == 0


def test_stop_ends_everything_of_its_own_and_nothing_else(folder):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    little = Little(folder / "live")
    everything = little.everything()
    assert little.stop() == 0
    assert [one for one in everything if one.is_alive()] == []
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_each_process_has_a_log_and_all_share_one(little):
    until(lambda: (little.home.logs / "parent.log").read_text().endswith("parent is up\n"))
    together = (little.home.logs / "breakeven.log").read_text()
    assert " parent       | parent is up\n" in together


def test_home_is_private(little):
    folders = [little.home.keys, little.home.logs, Cluster.of(little.home).sockets]
    assert [oct(one.stat().st_mode & 0o777) for one in folders] == ["0o700"] * 3
    assert {oct(file.stat().st_mode & 0o777) for file in little.home.keys.iterdir()} == {"0o600"}


def test_second_supervisor_is_refused_while_one_runs(little):
    from finops.stack.problem import StackError

    with pytest.raises(StackError, match="has not finished"):
        Home(little.home.root).lock_for_life(0.2)
