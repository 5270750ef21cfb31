"""The one guard for addresses that we fetch because somebody typed them in.

Knows which addresses are public. Refuses every other one unless BREAKEVEN_PRIVATE_ADDRESSES names
its network, refuses redirects and proxies, and connects to the very address it has checked, so
that a name cannot point elsewhere a moment later.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import TracebackType
from typing import Any

import httpx
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

CONNECT_TIMEOUT_S = 5.0
DEFAULT_PORTS = {"http": 80, "https": 443}

# They carry an IPv4 address inside, which the operating system may unpack after our check.
_EMBEDDING = tuple(
    IPv6Network(network)
    for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)

Address = IPv4Address | IPv6Address


class Refused(Exception):
    """Why an address is not fetched, or what came of trying, in one sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    content: bytes


def fetch(
    url: str, *, timeout_s: float, max_bytes: int, headers: Mapping[str, str] | None = None
) -> Answer:
    """GET an address that somebody typed in. Raises Refused; never quotes what was answered."""
    check_url(url)
    with Deadline(timeout_s) as deadline:
        try:
            answer = _fetch(url, timeout_s, max_bytes, headers or {})
        except httpx.HTTPError as error:
            if deadline.has_passed or isinstance(error, httpx.TimeoutException):
                raise _too_slow(url) from None
            raise Refused(
                f"{_host(url)} cannot be reached; check the URL and that it runs."
            ) from None
    # A connection cut in a body of no said length looks whole.
    if deadline.has_passed:
        raise _too_slow(url)
    return answer


def _fetch(url: str, timeout_s: float, max_bytes: int, headers: Mapping[str, str]) -> Answer:
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    with (
        httpx.Client(
            transport=PinnedTransport(),
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
        ) as client,
        client.stream("GET", url, headers={**headers, "Accept-Encoding": "gzip"}) as response,
    ):
        if response.is_redirect:
            raise Refused(
                f"{_host(url)} redirects elsewhere, which is not followed; enter the final URL."
            )
        return Answer(
            response.status_code,
            response.headers.get("content-type", ""),
            _body(response, url, time.monotonic() + timeout_s, max_bytes),
        )


def _body(response: httpx.Response, url: str, deadline: float, max_bytes: int) -> bytes:
    parts, size = [], 0
    for part in response.iter_bytes():
        # httpx limits each wait alone: a server that drips would never be too slow for it.
        if time.monotonic() > deadline:
            raise _too_slow(url)
        size += len(part)
        if size > max_bytes:
            raise Refused(f"{_host(url)} answers with over {max_bytes:,} bytes; narrow the URL.")
        parts.append(part)
    return b"".join(parts)


def _too_slow(url: str) -> Refused:
    return Refused(f"{_host(url)} did not answer in time; check that it runs, or wait longer.")


class Deadline:
    """Cuts the connections of this thread when what it does as a whole takes too long.

    HTTP libraries limit each wait alone: a server that drips would never be too slow for them.
    """

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._held: list[socket.socket] = []

    @property
    def has_passed(self) -> bool:
        return time.monotonic() >= self._ends

    def hold(self, connected: socket.socket) -> None:
        # A second handle on the same connection: TLS takes the first one over.
        self._held.append(connected.dup())
        if self.has_passed:
            self._cut()

    def _cut(self) -> None:
        for held in self._held:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Deadline:
        _current.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        _current.deadline = None
        for held in self._held:
            held.close()


_current = threading.local()
"""The deadline that this thread works under, if any."""


def watch(connected: socket.socket) -> None:
    """Put a connection under the deadline of this thread."""
    deadline: Deadline | None = getattr(_current, "deadline", None)
    if deadline is not None:
        deadline.hold(connected)


def _on_event(name: str, info: Mapping[str, Any]) -> None:
    """What httpx tells while it works; a new connection is watched before TLS begins on it."""
    if name == "connection.connect_tcp.complete":
        watch(info["return_value"].get_extra_info("socket"))


@cache
def trusted() -> ssl.SSLContext:
    """Whose certificates are believed. Read once: the list takes longer than a request does."""
    return httpx.create_ssl_context(trust_env=False)


class PinnedTransport(httpx.BaseTransport):
    """Resolves and checks a request's host, then connects to what was checked."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport(verify=trusted(), trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = check_url(str(request.url))
        address = resolve(url.host, url.port or DEFAULT_PORTS[url.scheme])
        # The Host header is set already; TLS must still ask for, and verify, the name.
        told = {"sni_hostname": url.host, "trace": _on_event}
        request.extensions = {**request.extensions, **told}
        request.url = request.url.copy_with(host=str(address))
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def check_url(url: str) -> httpx.URL:
    """The URL, if its form is one that may be fetched."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError, UnicodeError):
        raise Refused("This is no URL; enter one such as http://triton:8002/metrics.") from None
    if parsed.scheme not in DEFAULT_PORTS:
        raise Refused("Only http:// and https:// addresses are fetched; change the URL.")
    if parsed.userinfo:
        raise Refused("A user name or password in the URL is not taken; remove it.")
    if not parsed.host:
        raise Refused("The URL names no host; enter one such as http://triton:8002/metrics.")
    return parsed


def check_entered(url: str) -> httpx.URL:
    """The same while somebody enters it: a number is judged at once, a name when it is fetched,
    for it may point elsewhere by then."""
    parsed = check_url(url)
    addresses = _said_by(parsed.host)
    if addresses and not any(may_fetch(address) for address in addresses):
        raise _not_public(parsed.host, addresses[0])
    return parsed


def _said_by(host: str) -> list[Address]:
    """What needs no look-up: an address in any of its spellings, and this machine's own name."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return [ip_address("127.0.0.1"), ip_address("::1")]
    try:
        # An IPv6 address may come with its zone, as in fe80::1%eth0, which need not be here.
        found = socket.getaddrinfo(name.partition("%")[0], None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [ip_address(str(found[0][4][0]))]


def _not_public(host: str, address: Address) -> Refused:
    said = host if host == str(address) else f"{host} is at {address}, which"
    return Refused(
        f"{said} is not a public address; an administrator can allow its network with"
        " BREAKEVEN_PRIVATE_ADDRESSES."
    )


def resolve(host: str, port: int) -> Address:
    """The address to connect to, after every address the name stands for was checked."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused(f"The name {host} is not known here; check its spelling.") from None
    # An IPv6 address may come with its zone, as in fe80::1%eth0.
    addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        if not may_fetch(address):
            raise _not_public(host, address)
    return addresses[0]


def may_fetch(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return may_fetch(address.ipv4_mapped)
    if any(
        address.version == network.version and address in network
        for network in _allowed(tuple(settings.PRIVATE_ADDRESSES))
    ):
        return True
    if isinstance(address, IPv6Address) and any(address in network for network in _EMBEDDING):
        return False
    return address.is_global and not address.is_multicast


@lru_cache(maxsize=8)
def _allowed(networks: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(network, strict=False) for network in networks)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"BREAKEVEN_PRIVATE_ADDRESSES: {error}; write networks such as 10.0.0.0/8."
        ) from None


def _host(url: str) -> str:
    return httpx.URL(url).host
