"""Posts to an address that somebody typed in, through the guard of `ingest.outgoing`.

Knows time limits, Retry-After and what a status means. Refuses redirects and private addresses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from finops.channels.base import LATER, OFF, REFUSED, TIMEOUT_S, SendError
from ingest import outgoing

EXCERPT_BYTES = 300
LONGEST_WAIT_S = 7 * 24 * 3600.0
"""What somebody asks for beyond this is taken for a mistake of theirs."""

NEVER = {
    301: "it has moved",
    308: "it has moved",
    401: "it does not accept us",
    403: "it does not accept us",
    404: "there is nothing at this address",
    410: "it was removed",
}
"""Statuses after which nothing will be taken until somebody changes the channel."""

AGAIN = (408, 425, 429)
"""Beside 5xx: a later attempt may go well."""


@dataclass(frozen=True)
class Answer:
    status_code: int
    retry_after_s: float | None
    text: str
    """Its beginning."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    hidden: tuple[str, ...],
    *,
    keep_bytes: int = EXCERPT_BYTES,
) -> Answer:
    """Whatever was answered. Raises SendError where nothing was.

    `hidden` is cut out of what is kept of the answer: a receiver may send back what it was sent.
    """
    try:
        outgoing.check_url(url)
        with outgoing.Deadline(TIMEOUT_S) as deadline:
            try:
                return _post(url, body, headers, hidden, keep_bytes)
            except httpx.HTTPError as error:
                host = httpx.URL(url).host
                if deadline.has_passed or isinstance(error, httpx.TimeoutException):
                    raise SendError(
                        f"{host} did not answer within {TIMEOUT_S:.0f} seconds."
                    ) from None
                raise SendError(f"{host} cannot be reached or broke off.") from None
    except outgoing.Refused as refused:
        raise SendError(str(refused)) from refused


def _post(
    url: str, body: bytes, headers: Mapping[str, str], hidden: tuple[str, ...], keep_bytes: int
) -> Answer:
    timeout = httpx.Timeout(TIMEOUT_S, connect=min(outgoing.CONNECT_TIMEOUT_S, TIMEOUT_S))
    with (
        httpx.Client(
            transport=outgoing.PinnedTransport(),
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
        ) as client,
        client.stream(
            "POST", url, content=body, headers={**headers, "Accept-Encoding": "identity"}
        ) as response,
    ):
        wait_s = retry_after_s(response.headers.get("retry-after", ""), datetime.now(UTC))
        return Answer(response.status_code, wait_s, _beginning(response, hidden, keep_bytes))


def _beginning(response: httpx.Response, hidden: tuple[str, ...], most: int) -> str:
    kept = b""
    try:
        for part in response.iter_raw():
            kept += part
            if len(kept) >= most:
                break
    except httpx.HTTPError:
        # The status is what counts, and it is here: a body that never ends changes nothing.
        kept += b" ..."
    text = kept[:most].decode("utf-8", "replace").replace("\0", "")
    for secret in hidden:
        text = text.replace(secret, "(secret)")
    return text.strip()


def retry_after_s(header: str, now: datetime) -> float | None:
    """Seconds from now, whether told as seconds or as an HTTP date; None where it says neither."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text)
    else:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return None
        # "-0000" is UTC of an unknown place.
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        wait_s = (when - now).total_seconds()
    return wait_s if math.isfinite(wait_s) and 0 <= wait_s <= LONGEST_WAIT_S else None


def judged(answer: Answer, who: str) -> SendError:
    """What a status other than 2xx means."""
    status, retry_s = answer.status_code, answer.retry_after_s
    if status in NEVER:
        problem, meaning = f"{who} answered {status}: {NEVER[status]}.", OFF
    elif status in AGAIN or status >= 500 or 300 <= status < 400:
        problem, meaning = f"{who} answered {status}.", LATER
    else:
        problem, meaning = f"{who} answered {status} and does not take this message.", REFUSED
    return SendError(
        problem, meaning, status_code=status, retry_after_s=retry_s, excerpt=answer.text
    )
