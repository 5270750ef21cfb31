"""`python -m finops.stack WORD …`: what `./run` calls once the packages are installed.

Knows the words and their options. Refuses to show a traceback: what can go wrong is one sentence,
what nobody foresaw goes to a file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence

from finops.stack import commands, throwaway
from finops.stack.home import KINDS, REPOSITORY, Home
from finops.stack.problem import StackError
from finops.stack.services import Stack


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="./run", description="Breakeven on this machine.")
    word = main.add_subparsers(dest="word", required=True, metavar="WORD")
    for name, help_text in (
        ("up", "start Breakeven for real use"),
        ("demo", "start Breakeven with a sample estate"),
    ):
        start = word.add_parser(name, help=help_text)
        start.add_argument("--port", type=_port, help="where the web server listens on 127.0.0.1")
        start.add_argument("--foreground", action="store_true", help="stay here, show the logs")
    for name, help_text in (("down", "stop what was started"), ("status", "show what runs")):
        one = word.add_parser(name, help=help_text)
        one.add_argument("kind", nargs="?", choices=(*KINDS, "all"), default="all")
    reset = word.add_parser("reset", help="stop and delete everything, after asking")
    reset.add_argument("kind", nargs="?", choices=KINDS)
    reset.add_argument("--yes", action="store_true", help="do not ask")
    supervise = word.add_parser("supervise")
    supervise.add_argument("kind", choices=KINDS)
    supervise.add_argument("--port", type=_port, required=True)
    return main


def main(arguments: Sequence[str]) -> int:
    # These hand everything on, options included, to a program with a help of its own.
    handed_on = {
        "test": throwaway.test,
        "bench": _bench,
        "chaos": throwaway.chaos,
        "manage": manage,
    }
    if arguments and arguments[0] in handed_on:
        return handed_on[arguments[0]](arguments[1:])
    options = parser().parse_args(arguments)
    if options.word in ("up", "demo"):
        kind = "demo" if options.word == "demo" else "live"
        return commands.start(kind, options.port, foreground=options.foreground)
    if options.word == "supervise":
        return commands.supervise(options.kind, options.port)
    if options.word == "reset":
        return _reset(options.kind, options.yes)
    kinds = KINDS if options.kind == "all" else (options.kind,)
    return commands.down(kinds) if options.word == "down" else commands.status(kinds)


def manage(arguments: Sequence[str]) -> int:
    """manage.py in the environment of the stack that runs: --demo or --live where both do."""
    named = [kind for kind in KINDS if arguments[:1] == [f"--{kind}"]]
    homes = [Home.of(kind) for kind in (named or KINDS)]
    found = [(home, stack) for home in homes if (stack := commands.running(home))]
    if not found:
        raise StackError(
            "No stack is running for manage.py to work on: start it with ./run up or ./run demo."
        )
    if len(found) > 1:
        raise StackError("Two stacks are running: say ./run manage --live … or --demo ….")
    home, state = found[0]
    command = [sys.executable, "manage.py", *arguments[len(named) :]]
    environment = Stack.of(home, state.port).environment
    with contextlib.suppress(KeyboardInterrupt):
        return subprocess.run(command, env=environment, cwd=REPOSITORY, check=False).returncode
    return 130


def _bench(arguments: Sequence[str]) -> int:
    if arguments and not arguments[0].startswith("-"):
        return throwaway.bench(arguments[0], arguments[1:])
    print("./run bench NAME [options of the bench]")
    for name, sentence in throwaway.benches().items():
        print(f"  {name:<16} {sentence}")
    return 0 if arguments else 2


def _reset(kind: str | None, yes: bool) -> int:
    if yes and kind is None:
        raise StackError("Say which one: ./run reset demo --yes, or ./run reset live --yes.")
    return commands.reset((kind,) if kind else KINDS, yes=yes)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: use a number from 1 to 65535")
    return int(text)


def _explain(problem: StackError) -> None:
    for line in getattr(problem, "log", ()):
        print(f"  | {line}", file=sys.stderr)
    print(problem, file=sys.stderr)


def _unforeseen() -> None:
    descriptor, name = tempfile.mkstemp(prefix="breakeven-", suffix=".log")
    with os.fdopen(descriptor, "w") as file:
        file.write(traceback.format_exc())
    what = traceback.format_exception_only(*sys.exc_info()[:2])[-1].strip()
    print(f"./run met something unforeseen ({what}); the trace is in {name}.", file=sys.stderr)


def run() -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a "–" gets a "?"
    try:
        return main(sys.argv[1:])
    except StackError as problem:
        _explain(problem)
    except KeyboardInterrupt:
        print("\nInterrupted; ./run status shows what runs.", file=sys.stderr)
        return 130
    except Exception:
        _unforeseen()
    return 1


if __name__ == "__main__":
    sys.exit(run())
