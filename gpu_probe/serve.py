"""Serves `/metrics` to Prometheus, on loopback unless told otherwise.

Knows one address and the newest snapshot. Refuses everything but GET, and to ask the GPUs for a
scrape: whoever scrapes gets the newest reading, so a scraper cannot load the driver.
"""

from __future__ import annotations

import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gpu_probe.exposition import CONTENT_TYPE, Snapshot, render

log = logging.getLogger("gpu_probe")

SCRAPER_TIMEOUT_S = 5.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class AddressError(Exception):
    """The address cannot be served from; the message is one sentence with the fix."""


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT or [IPv6]:PORT; ValueError with one sentence if it is neither."""
    host, colon, port = text.rpartition(":")
    is_bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not colon or not host or is_bare_ipv6 or not (port.isascii() and port.isdigit()):
        raise ValueError(f"{text!r} is no address; write it as 127.0.0.1:9835, or 'off'")
    if int(port) > 65_535:
        raise ValueError(f"{port} is no port; take one from 1 to 65535")
    return host.strip("[]"), int(port)


class MetricsServer:
    """Listening when this returns; port 0 takes a free one."""

    def __init__(self, host: str, port: int) -> None:
        self._snapshot: Snapshot | None = None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._http = _server_class(family)((host, port), self._handler())
        except OSError as error:
            raise AddressError(
                f"/metrics cannot be served on {host}:{port} ({error.strerror or error});"
                " give --metrics-address another address, or 'off'."
            ) from error
        self.port = int(self._http.server_address[1])
        if host not in LOOPBACK:
            log.warning("/metrics is open to whoever reaches %s:%d; it has no password", host, port)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.1,), name="metrics", daemon=True
        )
        self._thread.start()

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot  # one reference: a scrape sees the old one or the new one

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, str, str]:
        """Status, content type, text."""
        if path.partition("?")[0] != "/metrics":
            return 404, "text/plain; charset=utf-8", "Only /metrics is here.\n"
        snapshot = self._snapshot
        if snapshot is None:
            return 503, "text/plain; charset=utf-8", "Nothing was read yet.\n"
        return 200, CONTENT_TYPE, render(snapshot)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = SCRAPER_TIMEOUT_S

            def do_GET(self) -> None:
                status, kind, text = server.answer(self.path)
                body = text.encode("utf-8")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                log.debug(format, *args)

        return Handler


def _server_class(family: socket.AddressFamily) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = family
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            log.debug("a scrape by %s broke off", client_address, exc_info=True)

    return Server
