"""The one guard for addresses that we fetch because somebody typed them in.

Knows which addresses are public. Refuses every other one unless BREAKEVEN_PRIVATE_ADDRESSES names
its network, refuses redirects and proxies, and connects to the very address it has checked, so
that a name cannot point elsewhere a moment later.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

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


def fetch(url: str, *, timeout_s: float, max_bytes: int) -> Answer:
    """GET an address that somebody typed in. Raises Refused; never quotes what was answered."""
    check_url(url)
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    try:
        with (
            httpx.Client(
                transport=PinnedTransport(),
                timeout=timeout,
                trust_env=False,
                follow_redirects=False,
            ) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as response,
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
    except httpx.TimeoutException:
        raise _too_slow(url) from None
    except httpx.HTTPError:
        raise Refused(f"{_host(url)} cannot be reached; check the URL and that it runs.") from None


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


class PinnedTransport(httpx.BaseTransport):
    """Resolves and checks a request's host, then connects to what was checked."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = check_url(str(request.url))
        address = resolve(url.host, url.port or DEFAULT_PORTS[url.scheme])
        # The Host header is set already; TLS must still ask for, and verify, the name.
        request.extensions = {**request.extensions, "sni_hostname": url.host}
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
            raise Refused(
                f"{host} is at {address}, which is not a public address; an administrator can"
                " allow its network with BREAKEVEN_PRIVATE_ADDRESSES."
            )
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
