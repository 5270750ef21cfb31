"""Starts processes in order, keeps them running and stops them again.

    waiting ─▶ starting ─▶ running ─▶ restarting ─▶ starting …
                   │                       (1, 2, 4 … 30 s)
                   └─▶ done (a step that is run once) · skipped · failed

Knows services as `Service` describes them, and nothing about any one of them. One thread, because
the kernel ties "die with your parent" to the thread that forked.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from finops.stack import state as words
from finops.stack.home import REPOSITORY, Home
from finops.stack.logs import Journal
from finops.stack.problem import CannotStart, StackError
from finops.stack.processes import (
    MARK,
    Account,
    Identity,
    family,
    has_ended,
    kill_group,
    mark,
    marked,
    start,
)
from finops.stack.state import ProcessState, StackState

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 60.0
"""A process that ran this long has earned a fresh start with the shortest pause."""

TRIES_AT_START = 3
"""A service others wait for may end this often before the start is given up."""

AT_REST = ("running", "done", "skipped", "stopped")
LOOK_EVERY_S = 0.1
STATE_FILE_EVERY_S = 0.1
BURY_EVERY_S = 1.0
"""Should SIGCHLD have been missed; normally it says when."""


@dataclass(frozen=True)
class Service:
    """One process of the stack, or with `once` one step of its start."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    after: tuple[str, ...] = ()
    """Names of what must be up, or done, before this starts."""
    once: bool = False
    needed: bool = True
    """The start fails without it. The others may fail, and are tried again for ever."""
    cannot_run_here: int = 3
    """Exit code by which one that is not needed says so, with its reason as the last line."""
    is_ready: Callable[[], bool] | None = None
    ready_within_s: float = 60.0
    prepare: Callable[[], None] | None = None
    """Called before every start of the process."""
    unless: Callable[[], bool] | None = None
    """Says of a step that it need not be done this time."""
    when_done: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 10.0
    foundation: bool = False
    """Stopped when everything else has ended."""
    account: Account | None = None
    folder: Path = REPOSITORY


@dataclass
class Watched:
    """A service and what has become of it."""

    service: Service
    pause_s: float
    """Before its next restart."""
    state: str = "waiting"
    since: float = field(default_factory=time.time)
    reason: str = ""
    process: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    started_at: float = 0.0
    was_ready: bool = False
    restarts: int = 0
    failures: int = 0
    start_again_at: float = 0.0
    looked_at: float = 0.0
    kill_at: float | None = None

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def holds_others_up(self) -> bool:
        """Whether what comes after must still wait."""
        given_up_on = not self.service.needed and self.failures > 0
        return not (self.was_ready or given_up_on or self.state in ("done", "skipped"))


class Supervisor:
    def __init__(
        self,
        home: Home,
        services: Sequence[Service],
        port: int,
        echo: Callable[[bytes], None] | None = None,
        *,
        usable_with: str = "web",
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """`usable_with` names the service whose readiness makes the stack usable."""
        self.home = home
        self.usable_with = usable_with
        self.first_pause_s = first_pause_s
        self.journal = Journal(home.logs, echo)
        self.watched = {one.name: Watched(one, first_pause_s) for one in services}
        own = Identity.of(os.getpid())
        assert own is not None, "this process is alive"
        self.stack = StackState(own, port)
        self._changed = True
        self._written_at = 0.0
        self._stop_asked = False
        self._child_ended = False
        self._buried_at = 0.0
        self._selector = selectors.DefaultSelector()

    def run(self, on_phase: Callable[[StackState], None] | None = None) -> int:
        """Start everything, keep it running until told to stop. Returns an exit code."""
        phase = ""
        with self._signals_wake_us():
            try:
                while not self._stop_asked:
                    self._look_after_everything()
                    if on_phase and self.stack.phase != phase:
                        phase = self.stack.phase
                        on_phase(self.stack)
                    self._wait()
                return self._stop(words.STOPPED)
            except StackError as problem:
                self.stack.problem = str(problem)
                self.stack.log = list(getattr(problem, "log", ()))
                self.journal.say(str(problem))
                self._stop(words.FAILED)
                return 1
            finally:
                # An unforeseen error must not leave processes behind either.
                self._kill_all()
                self.journal.close()

    # One round

    def _look_after_everything(self) -> None:
        now = time.monotonic()
        if self._child_ended or now - self._buried_at > BURY_EVERY_S:
            self._child_ended, self._buried_at = False, now
            for one in self.watched.values():
                self._bury_if_ended(one)
        for one in self.watched.values():
            self._advance(one)
        self._judge_phase()
        self._write_state()

    def _advance(self, one: Watched) -> None:
        now = time.monotonic()
        if one.state == "waiting":
            if not any(self.watched[name].holds_others_up for name in one.service.after):
                self._first_start(one)
        elif one.state == "restarting" and now >= one.start_again_at:
            self._start(one)
        elif one.state == "starting":
            self._see_whether_ready(one)
        elif one.state == "running" and now - one.started_at > HEALTHY_AFTER_S:
            one.pause_s, one.failures = self.first_pause_s, 0

    def _first_start(self, one: Watched) -> None:
        if one.service.unless and one.service.unless():
            self._move(one, "done")
        else:
            self._start(one)

    def _start(self, one: Watched) -> None:
        self._move(one, "running" if one.service.once else "starting")
        self._write_state(now=True)
        try:
            if one.service.prepare:
                one.service.prepare()
            self._launch(one)
        except (StackError, OSError) as problem:
            sentence = f"{one.name} cannot be started: {problem}"
            if one.service.needed and not one.was_ready:
                raise CannotStart(sentence) from problem
            self.journal.say(sentence)
            self._start_later(one)

    def _launch(self, one: Watched) -> None:
        service = one.service
        self.journal.begin(service.name)
        reader, writer = os.pipe()
        try:
            one.process = start(
                service.command,
                environment={**service.environment, MARK: mark(self.home.root, service.name)},
                folder=service.folder,
                output=writer,
                account=service.account,
                last_signal=service.stop_signal,
            )
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        self._selector.register(reader, selectors.EVENT_READ, one)
        one.identity = Identity.of(one.process.pid)
        one.started_at = time.monotonic()
        one.kill_at = None
        self._changed = True

    def _see_whether_ready(self, one: Watched) -> None:
        now = time.monotonic()
        if now - one.looked_at < LOOK_EVERY_S:
            return
        one.looked_at = now
        if one.service.is_ready is None or one.service.is_ready():
            one.was_ready = True
            self._move(one, "running")
        elif now - one.started_at > one.service.ready_within_s:
            if one.service.needed and not one.was_ready:
                raise CannotStart(
                    f"{one.name} was not ready after {one.service.ready_within_s:.0f} s; "
                    f"its log is {self.home.logs / one.name}.log.",
                    self.journal.last_lines(one.name),
                )
            self.journal.say(f"{one.name} does not become ready and is started again.")
            self._kill(one)

    # Ends

    def _bury_if_ended(self, one: Watched) -> None:
        process = one.process
        if process is None or not has_ended(process.pid):
            return
        # Unburied, its id is still reserved: the group we kill here can be nobody else's.
        kill_group(process.pid)
        code = process.wait()
        self._read_rest(one)
        one.process = one.identity = None
        self._changed = True
        if one.state == "stopping":
            self._move(one, "stopped")
        elif one.service.once:
            self._step_ended(one, code)
        else:
            self._service_ended(one, code)

    def _step_ended(self, one: Watched, code: int) -> None:
        if code == 0:
            if one.service.when_done:
                one.service.when_done()
            self._move(one, "done")
            return
        self._move(one, "failed")
        raise CannotStart(
            f"The step `{one.name}` failed ({_ending(code)}) and Breakeven was stopped; "
            f"its whole log is {self.home.logs / one.name}.log.",
            self.journal.last_lines(one.name),
        )

    def _service_ended(self, one: Watched, code: int) -> None:
        if code == one.service.cannot_run_here and not one.service.needed:
            said = self.journal.last_lines(one.name)
            one.reason = said[-1] if said else "this machine cannot run it"
            self._move(one, "skipped")
            return
        one.failures += 1
        if one.service.needed and not one.was_ready and one.failures >= TRIES_AT_START:
            raise CannotStart(
                f"{one.name} ended {one.failures} times before it was ready ({_ending(code)}); "
                f"its log is {self.home.logs / one.name}.log.",
                self.journal.last_lines(one.name),
            )
        # What left its session, or the children of a killed one, would hold ports and files.
        for left in marked(self.home.root, one.name):
            left.signal(signal.SIGKILL)
        self.journal.say(f"{one.name} {_ending(code)}.")
        self._start_later(one)

    def _start_later(self, one: Watched) -> None:
        self.journal.say(f"{one.name} starts again in {one.pause_s:.0f} s.")
        one.restarts += 1
        one.start_again_at = time.monotonic() + one.pause_s
        one.pause_s = min(one.pause_s * 2, LONGEST_PAUSE_S)
        self._move(one, "restarting")

    # Stopping

    def _stop(self, last_phase: str) -> int:
        self.stack.phase = words.STOPPING
        self.journal.say("Stopping.")
        for foundation in (False, True):
            self._stop_these(
                [one for one in self.watched.values() if one.service.foundation == foundation]
            )
        self._kill_all()
        self.stack.phase = last_phase
        self.journal.say("Stopped.")
        self._write_state(now=True)
        return 0

    def _stop_these(self, these: list[Watched]) -> None:
        alive = [one for one in these if one.process]
        for one in alive:
            self._move(one, "stopping")
            one.kill_at = time.monotonic() + one.service.stop_within_s
            if one.identity:
                one.identity.signal(one.service.stop_signal)
        while any(one.process for one in alive):
            for one in alive:
                self._bury_if_ended(one)
                if one.process and one.kill_at and time.monotonic() > one.kill_at:
                    self.journal.say(f"{one.name} did not stop in time and is killed.")
                    self._kill(one)
                    one.kill_at = None
            self._write_state()
            self._wait()
        for one in these:
            if one.state in ("waiting", "restarting", "starting"):
                self._move(one, "stopped")

    def _kill(self, one: Watched) -> None:
        for relative in family(one.identity) if one.identity else ():
            relative.signal(signal.SIGKILL)

    def _kill_all(self) -> None:
        for one in self.watched.values():
            self._kill(one)
        for left in marked(self.home.root):
            left.signal(signal.SIGKILL)

    # Telling

    def _judge_phase(self) -> None:
        if self.stack.phase == words.STARTING and not self._holds_up(self.usable_with):
            self.stack.phase = words.USABLE
            self._changed = True
        if self.stack.phase == words.USABLE and self._is_settled():
            self.stack.phase = words.READY
            self._changed = True

    def _holds_up(self, name: str) -> bool:
        return name in self.watched and self.watched[name].holds_others_up

    def _is_settled(self) -> bool:
        """Nothing is on its way any more; what is not needed may still be failing."""
        return not any(one.holds_others_up for one in self.watched.values())

    def _move(self, one: Watched, state: str) -> None:
        one.state, one.since = state, time.time()
        self._changed = True
        if state in ("starting", "done", "skipped"):
            self.journal.say(f"{one.name}: {state}" + (f" ({one.reason})" if one.reason else ""))

    def _write_state(self, *, now: bool = False) -> None:
        if not now and (
            not self._changed or time.monotonic() - self._written_at < STATE_FILE_EVERY_S
        ):
            return
        self.stack.processes = [
            ProcessState(one.name, one.state, one.since, one.restarts, one.reason, one.identity)
            for one in self.watched.values()
        ]
        try:
            self.stack.write(self.home.state_file)
        except OSError as error:
            # A full disk must not stop the stack; the file is written again at the next look.
            self.journal.say(f"{self.home.state_file} cannot be written: {error.strerror}.")
        else:
            self._changed = False
        self._written_at = time.monotonic()

    # Waiting

    def _wait(self) -> None:
        on_its_way = any(one.state not in AT_REST for one in self.watched.values())
        for key, _ in self._selector.select(LOOK_EVERY_S if on_its_way else BURY_EVERY_S):
            if isinstance(key.data, Watched):
                self._read(key.fd, key.data)
            else:
                os.read(key.fd, 4096)  # signals; their handlers have run

    def _read(self, descriptor: int, one: Watched) -> None:
        try:
            output = os.read(descriptor, 64 * 1024)
        except BlockingIOError:
            return
        if output:
            self.journal.take(one.name, output)
        else:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _read_rest(self, one: Watched) -> None:
        """Its last words, but not those of a grandchild that still holds the pipe."""
        for key in list(self._selector.get_map().values()):
            if key.data is one:
                with contextlib.suppress(BlockingIOError):
                    while output := os.read(key.fd, 64 * 1024):
                        self.journal.take(one.name, output)
                self._selector.unregister(key.fd)
                os.close(key.fd)
        self.journal.flush(one.name)

    @contextlib.contextmanager
    def _signals_wake_us(self) -> Iterator[None]:
        """A signal ends the waiting at once, whenever it comes."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stop_asked = True

        def look(_number: int, _frame: FrameType | None) -> None:
            self._child_ended = True

        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, stop),
                (signal.SIGINT, stop),
                (signal.SIGHUP, stop),
                (signal.SIGCHLD, look),
            )
        }
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            ours.close()
            theirs.close()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
