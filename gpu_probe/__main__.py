"""`python -m gpu_probe`: read the GPUs at an interval, keep each batch on disk, push it.

Knows the command line, the environment's defaults and what ends with which exit code. Refuses to
run without a driver: no telemetry is said in one sentence, never sent as zeros.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

from gpu_probe import __version__
from gpu_probe.asking import NoNvml
from gpu_probe.exits import EXIT_NO_GPU, EXIT_NO_NVML, EXIT_NO_SPOOL, EXIT_OK
from gpu_probe.nvml import MOST_PROCESSES, Nvml
from gpu_probe.running import Display, Probe, look, push_once, push_until_stopped
from gpu_probe.send import Sender, TokenError, endpoint
from gpu_probe.serve import AddressError, MetricsServer, parse_address
from gpu_probe.spool import SpoolError
from gpu_probe.wire import MAX_PROCESSES, WireError

log = logging.getLogger("gpu_probe")

METRICS_ADDRESS = "127.0.0.1:9835"

_EPILOG = """\
environment (an option given here wins):
  BREAKEVEN_PROBE_URL          --url
  BREAKEVEN_PROBE_TOKEN        the token itself (there is no --token: others could read it in ps)
  BREAKEVEN_PROBE_TOKEN_FILE   --token-file
  BREAKEVEN_PROBE_POOL         --pool
  BREAKEVEN_PROBE_HOST         --host
  BREAKEVEN_PROBE_SPOOL        --spool
  BREAKEVEN_PROBE_METRICS_ADDRESS  --metrics-address
  HTTPS_PROXY, SSL_CERT_FILE   are honoured as usual

exit codes:
  0 stopped as asked
  1 --once: not delivered, kept in the spool
  2 wrong command line, or an address or token file that cannot be used
  3 no NVIDIA driver or library (or no nvidia-ml-py)
  4 the spool directory cannot be used
  5 internal error
  6 the driver works and sees no GPU
  7 the server refuses the token; nothing is lost, it waits in the spool

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
    if not options.url and not options.print and options.metrics_address is None:
        parser.error(
            "say where to push with --url, use --metrics-address to only serve Prometheus,"
            " or --print to only look"
        )
    try:
        if options.url:
            _check_delivery(options)
    except (ValueError, TokenError) as error:
        parser.error(str(error))
    try:
        return _run(options)
    except (WireError, AddressError) as error:
        # The readings are checked one by one, so this is the host, the pool or the driver's name.
        parser.error(str(error))
    except NoNvml as error:
        return _give_up(error, EXIT_NO_GPU if error.has_driver else EXIT_NO_NVML)
    except SpoolError as error:
        return _give_up(error, EXIT_NO_SPOOL)
    except BrokenPipeError:
        # Whoever read --print has left; Python's own flush at exit must not fail on it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def _run(options: argparse.Namespace) -> int:
    with Nvml(most_processes=options.processes, process_names=options.process_names) as nvml:
        probe = Probe(nvml, options.host, options.pool)
        server = _metrics_server(options)
        with closing(server) if server else nullcontext():
            display = Display(probe, server, options.print)
            return _push(probe, display, options) if options.url else look(probe, display, options)


def _push(probe: Probe, display: Display, options: argparse.Namespace) -> int:
    options.spool = options.spool or _default_spool()
    sender = Sender(
        options.url,
        lambda: read_token(options.token_file),
        options.spool,
        timeout_s=options.timeout,
        max_spool_bytes=int(options.spool_max_mib * 2**20),
        max_spool_age_s=options.spool_max_days * 86_400.0,
    )
    with closing(sender):
        if options.retry_rejected:
            log.info("%d refused batches will be sent again", sender.spool.retry_rejected())
        if options.once:
            return push_once(probe, display, sender)
        return push_until_stopped(probe, display, sender, options)


def _metrics_server(options: argparse.Namespace) -> MetricsServer | None:
    """None for --once and where it is off. An address nobody chose must not stop the readings."""
    if options.once or options.metrics_address == "off":
        return None
    if options.metrics_address is not None:
        return MetricsServer(*options.metrics_address)
    if not options.url:
        return None
    try:
        return MetricsServer(*parse_address(METRICS_ADDRESS))
    except AddressError as error:
        log.warning("%s Readings go on without it.", error)
        return None


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
    parser.add_argument(
        "--metrics-address",
        type=_address,
        metavar="HOST:PORT",
        default=told("BREAKEVEN_PROBE_METRICS_ADDRESS") or None,
        help="where Prometheus may read /metrics, or 'off'"
        f" (default: {METRICS_ADDRESS}, beside --url)",
    )
    parser.add_argument(
        "--processes",
        type=_whole_to(MAX_PROCESSES),
        metavar="N",
        default=MOST_PROCESSES,
        help="how many processes of each GPU are told, those with most memory; all are counted"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--process-names",
        action="store_true",
        help="also send the programs' names (never their arguments); without it only ids",
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


def _whole_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) > most:
            raise argparse.ArgumentTypeError(f"{text} is no whole number from 0 to {most}")
        return int(text)

    return number


def _address(text: str) -> tuple[str, int] | str:
    if text == "off":
        return text
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
