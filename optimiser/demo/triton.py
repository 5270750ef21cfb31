"""A real Triton Inference Server on this machine, from the nvidia-pytriton wheel.

`python -m optimiser.demo.triton --dir DIR` prepares a model repository in DIR and then *becomes*
tritonserver, so a supervisor's process id is Triton's own. `start(DIR)` does the same from a test
or a bench and stops it again.

Knows the wheel's layout, Triton's options and this machine. Refuses to listen anywhere but on
loopback (this Triton is for tests and demonstrations), to write into the installed packages, and
to load a model for anybody without the admin key. The key lies in a file of mode 0600, but Triton
takes it as an option only, so every local user can read it in the process list.

Exit codes: 3 this machine cannot run Triton, 4 a port that was asked for is taken.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import py_compile
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from optimiser.demo import digits
from optimiser.demo.endpoints import ADMIN_HEADER, LOOPBACK, Endpoints
from optimiser.demo.files import write_atomically, write_if_different

CANNOT_RUN = 3
PORT_TAKEN = 4

SHADOW = "_shadow"
"""A model's second name, under which its calibration runs: its code and config, never its callers.
Loaded for the calibration alone."""

CODE = {
    "matrix": "matrix_model.py",
    "fixedcost": "fixed_cost_model.py",
    "hosted": "fixed_cost_model.py",
    **dict.fromkeys((*digits.MODELS, digits.WRONG), "digits_model.py"),
    digits.PUBLIC: "gate_model.py",
    f"matrix{SHADOW}": "matrix_model.py",
    f"fixedcost{SHADOW}": "fixed_cost_model.py",
}
"""Every model of the demo and the code it runs; its configuration is `<name>.pbtxt` beside it."""

AT_ONCE = ("matrix", "fixedcost", "hosted")
"""Served from the first second. The digits models join when they are trained."""

CACHE_BYTES = 16 * 1024 * 1024
"""Room for thousands of the demo's small answers; a model uses it only when its config says so."""

PORT_WAIT_S = 30.0
"""After a kill -9 the old model processes hold the ports until they notice, some seconds later."""

READY_WAIT_S = 60.0
STOP_WAIT_S = 20.0
EXIT_TIMEOUT_S = 3

PR_SET_PDEATHSIG = 1

# Loading a model is running code; the others write files or map memory. All need the key.
RESTRICTED = "model-repository,shared-memory,trace,logging"


def why_not() -> str | None:
    """The one sentence that says why this machine cannot run Triton, or None."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        return (
            "The demo's Triton is built for Linux on x86-64 and this is "
            f"{platform.system()} on {platform.machine()}."
        )
    name, version = platform.libc_ver()
    if name != "glibc" or _numbers(version) < (2, 35):
        return (
            "The demo's Triton needs glibc 2.35 or newer (Debian 12, Ubuntu 22.04) and this is "
            f"{f'{name} {version}' if name else 'another C library'}."
        )
    return _missing_parts()


def _missing_parts() -> str | None:
    wheel = _wheel()
    if wheel is None:
        return "The nvidia-pytriton wheel is not installed: pip install -r requirements/triton.txt."
    for part in (wheel.server, wheel.backend, wheel.cache, wheel.libraries):
        if not part.exists():
            return f"The nvidia-pytriton wheel has no {part.name}: install version 0.7.0 of it."
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not wheel.stub.exists():
        return f"The nvidia-pytriton wheel has no part for Python {python}: use 3.11, 3.12 or 3.13."
    if _libpython() is None:
        return (
            f"Triton's python models need the shared library of Python {python}: "
            f"install libpython{python} or use a Python built with --enable-shared."
        )
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@dataclass(frozen=True)
class _Wheel:
    """Where the parts lie inside the installed wheel."""

    root: Path

    @property
    def server(self) -> Path:
        return self.root / "tritonserver/bin/tritonserver"

    @property
    def backend(self) -> Path:
        return self.root / "tritonserver/backends/python"

    @property
    def cache(self) -> Path:
        return self.root / "tritonserver/caches"

    @property
    def stub(self) -> Path:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        stubs = self.root / "tritonserver/python_backend_stubs"
        return stubs / python / "triton_python_backend_stub"

    @property
    def libraries(self) -> Path:
        return self.root.parent / "nvidia_pytriton.libs"


def _wheel() -> _Wheel | None:
    # Looked up, not imported: importing pytriton takes a second and starts threads.
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        return None
    return _Wheel(Path(next(iter(spec.submodule_search_locations))))


def _installed_wheel() -> _Wheel:
    wheel = _wheel()
    assert wheel is not None, "only for machines where why_not() is None"
    return wheel


def _libpython() -> Path | None:
    """The folder with this Python's shared library; Triton's stub is linked against it."""
    library = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    folders = [
        Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"),
        Path(sys.base_prefix) / "lib",
        Path("/usr/lib") / multiarch,
    ]
    return next((folder for folder in folders if (folder / library).exists()), None)


def prepare(directory: Path) -> None:
    """Lay out models and backend under `directory`. Doing it twice changes nothing."""
    here = Path(__file__).parent / "models"
    for name, code in CODE.items():
        folder = directory / "models" / name
        for file, source in (("model.py", code), ("tensors.py", "tensors.py")):
            write_if_different(folder / "1" / file, (here / source).read_bytes())
            # Compiled now: a __pycache__ written later makes Triton think the model has changed.
            py_compile.compile(str(folder / "1" / file), doraise=True)
        write_if_different(folder / "config.pbtxt", _config_of(here, name))
    wheel = _installed_wheel()
    # A copy of our own: the stub must lie beside the backend, and the wheel is not ours to change.
    backend = directory / "backends/python"
    for part in (*wheel.backend.iterdir(), wheel.stub):
        if part.is_file():
            write_if_different(backend / part.name, part.read_bytes(), 0o755)
    key = directory / "admin-key"
    if not key.exists():
        write_atomically(key, secrets.token_hex(32).encode(), 0o600)


def _config_of(folder: Path, name: str) -> bytes:
    """A shadow's is its model's, but for the name: kept apart they would come to differ."""
    original = name.removesuffix(SHADOW)
    text = (folder / f"{original}.pbtxt").read_text()
    return text.replace(f'name: "{original}"', f'name: "{name}"', 1).encode()


def command(directory: Path, endpoints: Endpoints, models: Sequence[str]) -> list[str]:
    wheel = _installed_wheel()
    key = endpoints.admin_key
    return [
        str(wheel.server),
        f"--model-repository={directory / 'models'}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in models),
        # The files say everything; Triton shall not fill in what an approved config left out.
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        f"--backend-directory={directory / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={_shared_memory_prefix(directory)}",
        f"--cache-directory={wheel.cache}",
        f"--cache-config=local,size={CACHE_BYTES}",
        f"--http-address={LOOPBACK}",
        f"--http-port={endpoints.port('http')}",
        f"--http-restricted-api={RESTRICTED}:{ADMIN_HEADER}={key}",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={endpoints.port('grpc')}",
        f"--grpc-restricted-protocol={RESTRICTED}:{ADMIN_HEADER}={key}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={endpoints.port('metrics')}",
        "--metrics-config=summary_latencies=true",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
    ]


def environment() -> dict[str, str]:
    """What tritonserver and its model processes need to find Python and their libraries."""
    inherited = os.environ
    libraries = [
        str(_installed_wheel().libraries),
        str(_libpython()),
        inherited.get("LD_LIBRARY_PATH", ""),
    ]
    return {
        **inherited,
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
        # The stub finds its Python, and so its packages, as the first python3 on the path.
        "PATH": f"{Path(sys.executable).parent}:{inherited.get('PATH', os.defpath)}",
        # One thread per model: two busy cores carry the whole demo.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _shared_memory_prefix(directory: Path) -> str:
    return f"breakeven-{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}-"


def _clear_up_after_a_kill(directory: Path) -> None:
    """End what a killed Triton left behind, its own alone: model processes and shared memory.

    A model process that was answering at that moment waits for its dead parent for ever.
    """
    stub = str(directory / "backends/python/triton_python_backend_stub")
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.cmdline()[:1] == [stub] and not _belongs_to_a_triton(process):
                process.kill()
    for region in Path("/dev/shm").glob(f"{_shared_memory_prefix(directory)}*"):  # noqa: S108
        region.unlink(missing_ok=True)


def _belongs_to_a_triton(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and parent.cmdline()[:1] == [str(_installed_wheel().server)]


class PortTaken(Exception):
    """A port that was asked for stayed occupied."""


def choose_ports(directory: Path, asked: dict[str, int], wait_s: float) -> dict[str, int]:
    """Asked-for ports or nothing; else last time's ports, so that scrapers find us again."""
    last = Endpoints.read_if_there(directory / "triton.json")
    ports = {name: port or (last.port(name) if last else 0) for name, port in asked.items()}
    taken = _wait_until_free({name: port for name, port in ports.items() if port}, wait_s)
    for name, port in taken.items():
        if asked[name]:
            raise PortTaken(
                f"Port {port} for Triton's {name} is still taken after {wait_s:.0f} s: "
                f"stop what listens on it (ss -ltnp) or choose another with --{name}-port."
            )
        print(f"triton: port {port} of last time is taken, {name} gets a new one", flush=True)
        ports[name] = 0
    fresh = iter(_free_ports(sum(1 for port in ports.values() if not port)))
    return {name: port or next(fresh) for name, port in ports.items()}


def _wait_until_free(ports: dict[str, int], wait_s: float) -> dict[str, int]:
    """The ports that are still taken when the time is up."""
    deadline = time.monotonic() + wait_s
    taken = {name: port for name, port in ports.items() if not _is_free(port)}
    if taken:
        print(f"triton: waiting for ports {sorted(taken.values())} of an earlier run", flush=True)
    while taken and time.monotonic() < deadline:
        time.sleep(0.25)
        taken = {name: port for name, port in taken.items() if not _is_free(port)}
    return taken


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Triton binds: a connection that is only timing out is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def become_triton(directory: Path, asked_ports: dict[str, int], with_digits: bool) -> None:
    """Prepare everything and replace this process by tritonserver. Does not return."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    _clear_up_after_a_kill(directory)
    prepare(directory)
    ports = choose_ports(directory, asked_ports, PORT_WAIT_S)
    endpoints = Endpoints.on_loopback(os.getpid(), ports, directory / "admin-key")
    if with_digits and (reason := digits.why_not()):
        print(f"triton: goes on without the digits models. {reason}", flush=True)
        with_digits = False
    trained = with_digits and digits.is_trained(directory)
    if with_digits and not trained:
        _train_meanwhile(directory)
    endpoints.write(directory / "triton.json")
    argv = command(directory, endpoints, (*AT_ONCE, *(digits.SERVED if trained else ())))
    os.execve(argv[0], argv, environment())  # noqa: S606  no shell is wanted


def _train_meanwhile(directory: Path) -> None:
    """Train beside Triton and load the result when it is up: readiness waits for nobody.

    The child survives our becoming tritonserver, as its child, and dies with it.
    """
    with (directory / "digits.log").open("ab") as log:
        subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "optimiser.demo.digits", "--dir", str(directory), "--load"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Server:
    """A Triton that was started here: a context manager for tests and benches."""

    directory: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints.read(self.directory / "triton.json")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until_ready(self, *models: str, wait_s: float = READY_WAIT_S) -> None:
        """Return when the server, or each of `models`, answers; raise with Triton's own words."""
        deadline = time.monotonic() + wait_s
        while not self._is_ready(models):
            if self.process.poll() is not None:
                raise RuntimeError(f"Triton ended with {self.process.returncode}:\n{self._said()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"Triton was not ready after {wait_s:.0f} s:\n{self._said()}")
            time.sleep(0.05)

    def _is_ready(self, models: Sequence[str]) -> bool:
        endpoints = Endpoints.read_if_there(self.directory / "triton.json")
        # Until our process has written it, the file may still be of an earlier run.
        if endpoints is None or endpoints.pid != self.process.pid:
            return False
        return all(endpoints.is_ready(model) for model in (models or [""]))

    def _said(self) -> str:
        logs = [log for log in (self.log, self.directory / "digits.log") if log.exists()]
        return "\n".join(log.read_text(errors="replace")[-4000:] for log in logs)

    def stop(self) -> None:
        """Ask it to end, wait for it and for its ports; a server already gone is no error."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._wait_for_the_end()

    def kill(self) -> None:
        """kill -9, as a crash would: nothing is said goodbye to."""
        self.process.kill()
        self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        self.process.wait(STOP_WAIT_S)
        endpoints = Endpoints.read_if_there(self.directory / "triton.json")
        if endpoints is not None and endpoints.pid == self.process.pid:
            taken = _wait_until_free(endpoints.ports, PORT_WAIT_S)
            if taken:
                raise TimeoutError(f"Triton has ended but its ports {taken} are still taken.")
            _clear_up_after_a_kill(self.directory)


def start(directory: Path, *, with_digits: bool = True, wait_s: float = READY_WAIT_S) -> Server:
    """Start Triton in `directory` on free ports and wait until it answers. Use with `with`.

    It ends with the thread that called this, so call from one that lasts, as the main one does.
    """
    reason = why_not()
    if reason:
        raise RuntimeError(reason)
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "triton.log"
    argv = [sys.executable, "-m", "optimiser.demo.triton", "--dir", str(directory)]
    argv += ["--die-with-parent", *([] if with_digits else ["--no-digits"])]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  our own module
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[2],
        )
    server = Server(directory, process, log)
    try:
        server.wait_until_ready(wait_s=wait_s)
    except BaseException:
        server.stop()
        raise
    return server


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m optimiser.demo.triton", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="models, key and triton.json")
    for name in ("http", "grpc", "metrics"):
        parser.add_argument(
            f"--{name}-port", type=int, default=0, help="0: last time's port, or a free one"
        )
    parser.add_argument("--no-digits", action="store_true", help="leave the classifiers out")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the parent does")
    options = parser.parse_args(arguments)
    reason = why_not()
    if reason:
        print(reason, file=sys.stderr)
        return CANNOT_RUN
    if options.die_with_parent:
        _die_with_parent()
    ports = {name: getattr(options, f"{name}_port") for name in ("http", "grpc", "metrics")}
    try:
        become_triton(options.dir, ports, with_digits=not options.no_digits)
    except PortTaken as error:
        print(error, file=sys.stderr)
    return PORT_TAKEN


if __name__ == "__main__":
    sys.exit(main())
