"""`python -m gpu_probe`: read the GPUs at an interval, keep each batch on disk, push it.

Knows the command line, the environment's defaults and the exit codes. Refuses to run without a
driver: no telemetry is said in one sentence (exit code 3), never sent as zeros.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gpu_probe import __version__
from gpu_probe.nvml import NoNvml, Nvml
from gpu_probe.send import Outcome, Sender, TokenError, endpoint
from gpu_probe.spool import SpoolError
from gpu_probe.wire import Batch, WireError, encode

log = logging.getLogger("gpu_probe")

EXIT_OK = 0
EXIT_NOT_DELIVERED = 1  # --once: the batch is kept on disk, the server does not have it
EXIT_USAGE = 2
EXIT_NO_NVML = 3
EXIT_NO_SPOOL = 4
EXIT_SENDER_DIED = 5

# After SIGTERM: with the reading under way, well inside the ten seconds that Docker waits to kill.
LAST_SENDS_S = 3.0
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}

_EPILOG = """\
environment (an option given here wins):
  BREAKEVEN_PROBE_URL          --url
  BREAKEVEN_PROBE_TOKEN        the token itself (there is no --token: others could read it in ps)
  BREAKEVEN_PROBE_TOKEN_FILE   --token-file
  BREAKEVEN_PROBE_POOL         --pool
  BREAKEVEN_PROBE_HOST         --host
  BREAKEVEN_PROBE_SPOOL        --spool
  HTTPS_PROXY, SSL_CERT_FILE   are honoured as usual

exit codes:
  0 stopped as asked · 1 --once: not delivered, kept in the spool · 2 wrong command line
  3 no NVIDIA driver, library or GPU · 4 the spool directory cannot be used · 5 internal error

examples:
  python -m gpu_probe --once --print
  python -m gpu_probe --url https://breakeven.example.com --token-file /etc/breakeven/token \\
      --pool h100-eu --spool /var/lib/breakeven-gpu-probe
"""


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    if not options.url and not options.print:
        parser.error("say where to push with --url, or use --print to only look")
    try:
        if options.url:
            _check_delivery(options)
    except (ValueError, TokenError) as error:
        parser.error(str(error))
    try:
        with Nvml() as nvml:
            probe = Probe(nvml, options.host, options.pool)
            return _push(probe, options) if options.url else _look(probe, options)
    except WireError as error:
        # The readings are checked one by one, so this is the host, the pool or the driver's name.
        parser.error(str(error))
    except NoNvml as error:
        return _give_up(error, EXIT_NO_NVML)
    except SpoolError as error:
        return _give_up(error, EXIT_NO_SPOOL)
    except BrokenPipeError:
        # Whoever read --print has left; Python's own flush at exit must not fail on it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


class Probe:
    """Turns readings into batches; one object is one boot_id."""

    def __init__(self, nvml: Nvml, host: str, pool: str) -> None:
        self._nvml = nvml
        self._host = host
        self._pool = pool
        self._boot_id = uuid.uuid4().hex
        self._next_sequence = 0

    def batch(self) -> Batch | None:
        """None when no GPU answers: the silence is unknown, and nothing is sent for it."""
        readings = self._nvml.readings()
        if not readings:
            return None
        batch = Batch(
            host=self._host,
            pool=self._pool,
            probe_version=__version__,
            driver_version=self._nvml.driver_version,
            boot_id=self._boot_id,
            sequence=self._next_sequence,
            simulated=False,
            readings=tuple(readings),
        )
        self._next_sequence += 1
        return batch


def read_token(token_file: Path | None) -> str:
    if token_file is None:
        token, where = os.environ.get("BREAKEVEN_PROBE_TOKEN", ""), "BREAKEVEN_PROBE_TOKEN"
        if not token:
            raise TokenError("There is no token; give --token-file or set BREAKEVEN_PROBE_TOKEN.")
    else:
        where = str(token_file)
        try:
            token = token_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TokenError(f"The token file {where} cannot be read ({error}).") from error
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenError(f"{where} holds no token; it must be one line without spaces.")
    return token


def _check_delivery(options: argparse.Namespace) -> None:
    """Fail at the start, where a person looks, and not ten seconds later in a log."""
    parts = urlsplit(endpoint(options.url))
    read_token(options.token_file)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        log.warning("%s is not encrypted: the token can be read on the way; use https", options.url)


def _look(probe: Probe, options: argparse.Namespace) -> int:
    if options.once:
        return EXIT_OK if _show(probe) else EXIT_NOT_DELIVERED
    _hold_stop_signals()
    for _ in _ticks(options.interval):
        _show(probe)
    return EXIT_OK


def _show(probe: Probe) -> bool:
    batch = probe.batch()
    if batch is None:
        log.error("no GPU answers")
        return False
    _print(batch)
    return True


def _push(probe: Probe, options: argparse.Namespace) -> int:
    options.spool = options.spool or _default_spool()
    sender = Sender(
        options.url,
        lambda: read_token(options.token_file),
        options.spool,
        timeout_s=options.timeout,
        max_spool_bytes=int(options.spool_max_mib * 2**20),
        max_spool_age_s=options.spool_max_days * 86_400.0,
    )
    try:
        if options.retry_rejected:
            log.info("%d refused batches will be sent again", sender.spool.retry_rejected())
        if options.once:
            return _push_once(probe, sender, options)
        return _push_until_stopped(probe, sender, options)
    finally:
        sender.close()


def _push_until_stopped(probe: Probe, sender: Sender, options: argparse.Namespace) -> int:
    _hold_stop_signals()
    thread = threading.Thread(target=sender.run, name="sender", daemon=True)
    thread.start()
    log.info("reading every %g s, pushing to %s", options.interval, sender.endpoint)
    try:
        for _ in _ticks(options.interval):
            if not thread.is_alive():
                log.critical("the sender stopped; what is not sent stays in %s", options.spool)
                return EXIT_SENDER_DIED
            _sample(probe, sender, options)
    finally:
        sender.stop()
        thread.join(LAST_SENDS_S)
    log.info("stopped; %d batches wait in %s", sender.spool.waiting_count, options.spool)
    return EXIT_OK


def _push_once(probe: Probe, sender: Sender, options: argparse.Namespace) -> int:
    rejected_before = sender.spool.rejected_count
    kept = _sample(probe, sender, options)
    step = sender.drain()
    delivered = step.outcome is Outcome.EMPTY and sender.spool.rejected_count == rejected_before
    return EXIT_OK if kept and delivered else EXIT_NOT_DELIVERED


def _sample(probe: Probe, sender: Sender, options: argparse.Namespace) -> bool:
    batch = probe.batch()
    if batch is None:
        log.error("no GPU answers; nothing is sent for this moment")
        return False
    if options.print:
        _print(batch)
    try:
        sender.keep(batch)
    except OSError as error:
        # A full disk must not end the readings: sending makes room again.
        log.error("a sample is lost: %s cannot be written (%s)", options.spool, error)
        return False
    return True


def _hold_stop_signals() -> None:
    """From here a stop is seen only in `_ticks`: never between a sample and its spool file.

    Called before the sender's thread starts, which inherits it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _ticks(interval_s: float) -> Iterator[None]:
    """Now, then every interval until SIGTERM or SIGINT."""
    due = time.monotonic()
    while True:
        yield
        now = time.monotonic()
        # Missed beats are skipped, not made up for: one late reading is not two.
        due += interval_s * max(1, math.ceil((now - due) / interval_s))
        if signal.sigtimedwait(STOP_SIGNALS, due - now) is not None:
            return


def _print(batch: Batch) -> None:
    sys.stdout.write(encode(batch).decode("utf-8") + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    told = os.environ.get
    parser = argparse.ArgumentParser(
        prog="python -m gpu_probe",
        description="Reads this host's NVIDIA GPUs and pushes what they say to Breakeven."
        " While the server is away, samples are kept on disk and sent later, in order.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--url", default=told("BREAKEVEN_PROBE_URL"), help="Breakeven's address, https://…"
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        default=told("BREAKEVEN_PROBE_TOKEN_FILE") or None,
        help="file holding the push token; read at each send, so it may be rotated",
    )
    parser.add_argument(
        "--pool",
        metavar="NAME",
        default=told("BREAKEVEN_PROBE_POOL", "default"),
        help="the GPU pool this host belongs to, as priced in Breakeven (default: %(default)s)",
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        default=told("BREAKEVEN_PROBE_HOST") or socket.gethostname(),
        help="name of this host; give it in containers, whose own names change (%(default)s)",
    )
    parser.add_argument(
        "--interval",
        type=_number_from(0.2, 3600),
        metavar="S",
        default=10.0,
        help="seconds between readings (default: 10)",
    )
    parser.add_argument(
        "--spool",
        type=Path,
        metavar="DIR",
        default=told("BREAKEVEN_PROBE_SPOOL") or None,
        help="where samples wait for the server"
        " (default: ~/.local/state/breakeven-gpu-probe, or under $XDG_STATE_HOME)",
    )
    parser.add_argument(
        "--spool-max-mib",
        type=_number_from(1, 1_000_000),
        metavar="MIB",
        default=256.0,
        help="the oldest samples go past this size (default: 256)",
    )
    parser.add_argument(
        "--spool-max-days",
        type=_number_from(0.01, 365),
        metavar="DAYS",
        default=7.0,
        help="or past this age (default: 7)",
    )
    parser.add_argument(
        "--timeout",
        type=_number_from(0.1, 300),
        metavar="S",
        default=10.0,
        help="seconds to wait for the server (default: 10)",
    )
    parser.add_argument(
        "--retry-rejected",
        action="store_true",
        help="first send again what the server refused earlier (kept in DIR/rejected)",
    )
    parser.add_argument("--once", action="store_true", help="read once, push once, and end")
    parser.add_argument(
        "--print", action="store_true", help="write each batch to stdout, one JSON a line"
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _number_from(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is no number from {least:g} to {most:g}")
        return value

    return number


def _default_spool() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(state) if state else Path.home() / ".local/state") / "breakeven-gpu-probe"
    except RuntimeError as error:  # a user id without an account, as some clusters give out
        raise SpoolError("This user has no home directory; give --spool a directory.") from error


def _give_up(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
