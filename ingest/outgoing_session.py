"""The guard of `outgoing` for client libraries that are built on `requests`.

Knows how to make such a library connect only where `outgoing` allows it, whatever it mounts or sets
itself. Refuses redirects, proxies, endless answers and endless waits. Never quotes an answer.
"""

from __future__ import annotations

import socket
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.connection import create_connection

from ingest import outgoing
from ingest.outgoing import CONNECT_TIMEOUT_S, Deadline, Refused

PART_BYTES = 64 * 1024


class TooLarge(Refused):
    """The answer is larger than may be; a narrower question would have a smaller one."""


class GuardedSession(requests.Session):
    """A `requests` session for addresses that somebody typed in. Raises Refused."""

    def __init__(self, *, timeout_s: float, max_bytes: int) -> None:
        super().__init__()
        # No proxies, no .netrc and no certificates from our own environment.
        self.trust_env = False
        self.timeout_s, self.max_bytes = timeout_s, max_bytes
        self.requests_sent = 0
        self.answered: requests.Response | None = None
        """The last answer: a library may hide its status and headers."""
        # Each request looks its host up and checks it anew.
        self.headers["Connection"] = "close"
        self._guarded = _GuardedAdapter()

    def get_adapter(self, url: str | bytes) -> BaseAdapter:
        """Ours, even where a library has mounted one of its own."""
        return self._guarded

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        url = request.url or ""
        host = outgoing.check_url(url).host
        kwargs |= {
            "timeout": (min(CONNECT_TIMEOUT_S, self.timeout_s), self.timeout_s),
            "allow_redirects": False,
            "stream": True,
            "verify": True,
            "cert": None,
            "proxies": {},
        }
        self.requests_sent += 1
        self.answered = None
        with Deadline(self.timeout_s) as deadline:
            try:
                response = super().send(request, **kwargs)
                if response.is_redirect:
                    response.close()
                    raise Refused(
                        f"{host} redirects elsewhere, which is not followed; enter the final URL."
                    )
                _read(response, self.max_bytes, host)
                if deadline.has_passed:
                    # A connection cut within headers, or in a body of no said length, looks whole.
                    raise requests.Timeout
            # What a cut connection raises depends on where in the answer it was cut.
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                if deadline.has_passed or isinstance(error, requests.Timeout):
                    raise Refused(
                        f"{host} did not answer in time; check that it runs, or wait longer."
                    ) from None
                raise Refused(
                    f"{host} cannot be reached or broke off; check the URL and that it runs."
                ) from None
        self.answered = response
        return response


def _read(response: requests.Response, max_bytes: int, host: str) -> None:
    parts, size = [], 0
    for part in response.iter_content(PART_BYTES):
        size += len(part)
        if size > max_bytes:
            response.close()
            raise TooLarge(f"{host} answers with over {max_bytes:,} bytes; ask it for less.")
        parts.append(part)
    # As `requests` itself keeps a body that it has read; a library then finds it there.
    response._content = b"".join(parts)
    response._content_consumed = True


def _connect(connection: HTTPConnection) -> socket.socket:
    address = outgoing.resolve(connection.host.strip("[]"), connection.port)
    connected = create_connection(
        (str(address), connection.port),
        connection.timeout,
        socket_options=connection.socket_options,
    )
    outgoing.watch(connected)
    return connected


class _GuardedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _GuardedTlsConnection(HTTPSConnection):
    """TLS asks for, and verifies, the name that was typed in."""

    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _GuardedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


class _GuardedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTlsPool}
