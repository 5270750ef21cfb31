"""Makes `.venv` and installs the locked packages into it: what `./run` does before anything else.

Runs under the Python that `./run` found, before any package is there, so it imports the standard
library alone. Knows the lock files and what was installed from them last time. Refuses a package
whose hash is not in a lock file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

REPOSITORY = Path(__file__).resolve().parents[2]
VENV = REPOSITORY / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed-by-run.json"
UNFINISHED = VENV / "installing-by-run"
INSTALL_LOG = VENV / "install.log"
OWN_UV = VENV / "uv"

SETS = ("requirements.txt", "requirements/demo.txt", "requirements/dev.txt")
"""Each holds all packages of the one before it, at the same versions."""

UV = "requirements/uv.txt"

TRITON = "requirements/triton.txt"
TRITON_PACKAGE = "nvidia-pytriton==0.7.0"

NEEDS = {"up": 0, "manage": 0, "demo": 1, "test": 2, "bench": 2, "chaos": 2}
"""Word → the place in SETS of what it needs."""

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)


class CannotPrepare(Exception):
    """What is missing and what to do, in one sentence, after what an installer said of it."""


@dataclass(frozen=True)
class Installed:
    """What the stamp says is in `.venv`."""

    locks: dict[str, str]
    """Lock file → its hash when it was installed."""
    packages: list[str]

    @classmethod
    def read(cls) -> Installed:
        try:
            words = json.loads(STAMP.read_text())
            return cls(words["locks"], words["packages"])
        except (FileNotFoundError, ValueError, KeyError):
            return cls({}, [])  # nothing we would vouch for

    def has(self, locks: Sequence[str]) -> bool:
        return all(self.locks.get(lock) == fingerprint(lock) for lock in locks)

    def is_whole(self) -> bool:
        """Somebody may have deleted or changed packages since."""
        return bool(self.packages) and set(self.packages) <= set(package_folders())


def prepare(word: str) -> None:
    """Have everything `word` needs in `.venv`; the second time this costs a few milliseconds."""
    with only_one():
        locks = list(SETS[: NEEDS[word] + 1])
        no_triton = why_no_triton() if NEEDS[word] else "not asked for"
        if not no_triton:
            locks.append(TRITON)
        if has_working_python() and not UNFINISHED.exists():
            installed = Installed.read()
            if installed.is_whole() and installed.has(locks):
                return
        elif VENV.exists():
            print("The .venv here is broken or half made and is made anew.", flush=True)
            remove_venv()
        if NEEDS[word] and no_triton:
            print(f"Triton is left out: {no_triton}.")
        install(SETS[NEEDS[word]], with_triton=not no_triton, satisfied=locks)


def install(lock: str, *, with_triton: bool, satisfied: Sequence[str]) -> None:
    print(f"Installing {lock} into .venv; the first time takes about a minute …", flush=True)
    installer = find_installer()
    if not PYTHON.exists():
        installer.make_venv()
    # Whoever is killed between here and the stamp leaves a .venv that is not believed.
    UNFINISHED.touch()
    INSTALL_LOG.unlink(missing_ok=True)
    installer.install("--require-hashes", "-r", lock)
    if with_triton:
        # Alone: it asks for an old numpy that it does not need.
        installer.install("--no-deps", "--require-hashes", "-r", TRITON)
    before = Installed.read()
    locks = {old: was for old, was in before.locks.items() if was == fingerprint(old)}
    locks |= {name: fingerprint(name) for name in satisfied}
    STAMP.write_text(json.dumps({"locks": locks, "packages": package_folders()}, indent=1))
    UNFINISHED.unlink()


# Installers


class Installer(Protocol):
    def make_venv(self) -> None: ...

    def install(self, *arguments: str) -> None:
        """Into `.venv`. Raises CannotPrepare."""


class Uv:
    """Fast; used when it is there and works."""

    def __init__(self, program: str) -> None:
        self.program = program
        # The system's certificates, as pip takes: a company's own authority is known there.
        for name in ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS"):  # its name today and before
            os.environ.setdefault(name, "1")

    def make_venv(self) -> None:
        call(self.program, "venv", "--quiet", "--python", base_python(), str(VENV))

    def install(self, *arguments: str) -> None:
        # As pip does by itself: a dozen processes start at once, and each would compile it all.
        where = ("--python", str(PYTHON), "--compile-bytecode")
        call(self.program, "pip", "install", "--quiet", *where, *arguments)


class Pip:
    """The pip of the Python that was found, working on `.venv` from outside.

    Needs neither ensurepip in there nor the right to install into the system's Python.
    """

    def make_venv(self) -> None:
        call(base_python(), "-m", "venv", "--without-pip", str(VENV))

    def install(self, *arguments: str) -> None:
        call(base_python(), "-m", "pip", "--python", str(PYTHON), "install", "--quiet", *arguments)

    def settings(self) -> str:
        return said(base_python(), "-m", "pip", "config", "list")


class PipInside:
    """Python without pip but with ensurepip: pip comes into `.venv` first."""

    def make_venv(self) -> None:
        call(base_python(), "-m", "venv", str(VENV))

    def install(self, *arguments: str) -> None:
        call(str(PYTHON), "-m", "pip", "install", "--quiet", *arguments)

    def settings(self) -> str:
        return said(str(PYTHON), "-m", "pip", "config", "list")


class UvByPip:
    """pip brings uv, which does the rest in a fifth of the time.

    pip does it all where it was told to go another way than straight to PyPI, of which uv knows
    nothing, and where uv fails.
    """

    def __init__(self, pip: Pip | PipInside) -> None:
        self.pip, self.works = pip, True

    def make_venv(self) -> None:
        self.pip.make_venv()

    def install(self, *arguments: str) -> None:
        if self.works and not re.search(r"\.(index-url|no-index|proxy)=", self.pip.settings()):
            try:
                return self._install_by_uv(*arguments)
            except CannotPrepare:
                self.works = False
                print("uv cannot do it here, so pip does, in a few minutes …", flush=True)
        return self.pip.install(*arguments)

    def _install_by_uv(self, *arguments: str) -> None:
        program = str(OWN_UV / "bin" / "uv")
        if not works(program, "--version"):
            how = ("--no-deps", "--require-hashes", "--only-binary=:all:")
            self.pip.install(*how, "--target", str(OWN_UV), "-r", UV)
        Uv(program).install(*arguments)


def find_installer() -> Installer:
    uv = shutil.which("uv")
    # A version manager may put a name on the path that leads nowhere.
    if uv and works(uv, "--version"):
        return Uv(uv)
    if works(base_python(), "-m", "pip", "--python", base_python(), "--version"):
        return UvByPip(Pip())
    if works(base_python(), "-c", "import ensurepip, venv"):
        return UvByPip(PipInside())
    raise CannotPrepare(
        f"{base_python()} has neither pip nor ensurepip, so nothing can be installed: install one "
        "(on Debian and Ubuntu: apt install python3-pip), or uv."
    )


def call(*command: str) -> None:
    log = INSTALL_LOG if VENV.exists() else Path(os.devnull)
    with log.open("ab") as output:
        done = subprocess.run(
            command, stdout=output, stderr=output, cwd=REPOSITORY, close_fds=False, check=False
        )
    if done.returncode == 0:
        return
    last = INSTALL_LOG.read_text(errors="replace").splitlines()[-8:] if INSTALL_LOG.exists() else ()
    raise CannotPrepare(
        "".join(f"  | {line}\n" for line in last)
        + f"Installing failed ({' '.join(command[:3])} …): check the network and free disk space, "
        f"then try again; all it said is in {INSTALL_LOG}."
    )


def works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


# The virtual environment


def base_python() -> str:
    """Never the one inside `.venv`: that may be about to be deleted."""
    return str(getattr(sys, "_base_executable", sys.executable))


def has_working_python() -> bool:
    """It starts, is of a version we know, and is that of an environment and not the system's."""
    fits = (
        f"import sys; sys.exit(not {OLDEST_PYTHON} <= sys.version_info[:2] <= {NEWEST_PYTHON}"
        " or sys.prefix == sys.base_prefix)"
    )
    return PYTHON.exists() and works(str(PYTHON), "-c", fits)


def package_folders() -> list[str]:
    return sorted(folder.name for folder in VENV.glob("lib/python*/site-packages/*.dist-info"))


def remove_venv() -> None:
    shutil.rmtree(VENV)


def fingerprint(lock: str) -> str:
    return hashlib.sha256((REPOSITORY / lock).read_bytes()).hexdigest()


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """A second ./run waits, and then finds everything done."""
    with (REPOSITORY / ".venv.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another ./run is installing; waiting for it …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        # Inherited by the installer: should we be killed, the next ./run waits for its end too.
        os.set_inheritable(file.fileno(), True)
        yield


# Triton


def why_no_triton() -> str:
    """Why its package would be of no use on this machine; empty where it fits."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        return f"it needs Linux on x86-64, this is {platform.system()} on {platform.machine()}"
    library, version = platform.libc_ver()
    if library != "glibc" or numbers(version) < (2, 35):
        return f"it needs glibc 2.35, this is {library or 'another C library'} {version}".rstrip()
    if not shared_python().exists():
        return f"it needs a shared {shared_python().name}, and this Python has none"
    return ""


def shared_python() -> Path:
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    folders = [
        Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"),
        Path(sys.base_prefix) / "lib",
        Path("/usr/lib") / (sysconfig.get_config_var("MULTIARCH") or ""),
    ]
    found = (folder / name for folder in folders if (folder / name).exists())
    return next(found, folders[0] / name)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


# Locks


def lock(options: Sequence[str]) -> None:
    """Write all lock files anew. One resolution of everything first, so that the pins agree."""
    uv = shutil.which("uv")
    if not uv or not works(uv, "--version"):
        raise CannotPrepare("./run lock needs uv: pip install uv.")
    base, demo, dev = SETS
    compile_lock(uv, dev, "pyproject.toml", "--extra=demo", "--extra=dev", *options)
    compile_lock(uv, demo, "pyproject.toml", "--extra=demo", f"--constraints={dev}")
    compile_lock(uv, base, "pyproject.toml", f"--constraints={dev}")
    compile_lock(uv, UV, "-", "--no-deps", f"--constraints={dev}", given="uv")
    compile_lock(uv, TRITON, "-", "--no-deps", given=TRITON_PACKAGE)


def compile_lock(uv: str, output: str, *arguments: str, given: str | None = None) -> None:
    print(f"Locking {output} …", flush=True)
    done = subprocess.run(
        [
            *(uv, "pip", "compile", "--quiet", "--universal", "--python-version=3.11"),
            *("--generate-hashes", "--no-emit-index-url", "--no-annotate"),
            *(f"--output-file={output}", *arguments),
        ],
        env={**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "./run lock"},
        cwd=REPOSITORY,
        input=given,
        stdout=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotPrepare(f"{output} could not be locked; uv says above why.")


def main(arguments: Sequence[str]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without a "…" gets a "?"
    try:
        if arguments[0] == "lock":
            lock(arguments[1:])
        else:
            prepare(arguments[0])
    except CannotPrepare as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or VENV} cannot be used: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next ./run begins again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
