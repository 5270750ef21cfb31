"""Asks a Langfuse server for pages: its keys, its doors, its way of saying "not now".

Knows HTTP, and which paths the generations of the API have. A door is chosen by what answers, never
by a version. Refuses to sleep: whoever must wait is told until when. Never quotes an answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from ingest import outgoing
from ingest.sources.base import Delayed, FetchError

CONNECT_TIMEOUT_S = 5.0
MAX_BODY_BYTES = 64 * 1024 * 1024
WHEN_NOT_SAID = timedelta(seconds=60)
LONGEST_WAIT = timedelta(days=1)
"""A limit of the cloud is lifted within a day; a longer wait is a mistake."""

CURSOR, NUMBER = "cursor", "number"


class NotThere(Exception):
    """This server has no such path, or no such row."""


class NotUnderstood(FetchError):
    """The server refuses the request itself, such as a cursor that it no longer knows."""


@dataclass(frozen=True, slots=True)
class Door:
    """One path at which rows can be read, and how its pages are counted."""

    path: str
    pages: str
    most: int
    """Rows a page at most."""
    start: str = "fromTimestamp"
    end: str = "toTimestamp"
    fields: str = ""


OBSERVATIONS, SCORES = "observations", "scores"
BASIC = "core,basic,time,model,usage,metrics,trace_context,prompt,metadata"
DOORS = {
    OBSERVATIONS: (
        Door("v2/observations", CURSOR, 1000, "fromStartTime", "toStartTime", BASIC),
        Door("observations", NUMBER, 100, "fromStartTime", "toStartTime"),
    ),
    SCORES: (
        Door("v3/scores", CURSOR, 100, fields="subject"),
        Door("v2/scores", NUMBER, 100),
        Door("scores", NUMBER, 100),
    ),
}
"""The newest generation first."""


class Server:
    """One Langfuse project on one server, as its keys open it."""

    def __init__(
        self, config: Mapping[str, Any], before_request: Callable[[], None] = lambda: None
    ) -> None:
        self._base = base_of(config["url"])
        self._before_request = before_request
        self._timeout_s = float(config["timeout_s"])
        self._client = httpx.Client(
            transport=outgoing.PinnedTransport(),
            timeout=httpx.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S),
            auth=(config["public_key"], config["secret_key"]),
            headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The JSON object at a path. Raises NotThere, Delayed and FetchError."""
        self._before_request()
        asked = {name: value for name, value in params.items() if value not in (None, "")}
        url = f"{self._base}/api/public/{path}"
        try:
            with self._client.stream("GET", url, params=asked) as response:
                _judge(response)
                return _object(self._body(response))
        except outgoing.Refused as refused:
            raise FetchError(str(refused)) from None
        except httpx.TimeoutException:
            raise _too_slow() from None
        except httpx.HTTPError:
            raise FetchError(
                "Langfuse cannot be reached, or the answer broke off; check the URL and that it"
                " runs. The next pull goes on from the same place."
            ) from None

    def _body(self, response: httpx.Response) -> bytes:
        deadline, parts, size = time.monotonic() + self._timeout_s, [], 0
        for part in response.iter_bytes():
            # httpx limits each wait alone: a server that drips would never be too slow for it.
            if time.monotonic() > deadline:
                raise _too_slow()
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise FetchError(
                    f"Langfuse answers with over {MAX_BODY_BYTES // 1024**2} MiB a page; set a"
                    " smaller page size."
                )
            parts.append(part)
        return b"".join(parts)


def base_of(url: str) -> str:
    """The server alone, whether somebody pasted it with the API's path or without."""
    return url.strip().rstrip("/").removesuffix("/api/public").rstrip("/")


def open_door(server: Server, what: str) -> tuple[Door, dict[str, Any]]:
    """Which door of a kind answers, and its newest row. Raises FetchError."""
    for door in doors(what, None):
        try:
            return door, server.get(door.path, limit=1)
        except NotThere:
            continue
    raise no_door()


def doors(what: str, known: str | None) -> list[Door]:
    """Every door of a kind, the one that answered last time first."""
    return sorted(DOORS[what], key=lambda door: door.path != known)


def no_door() -> FetchError:
    return FetchError(
        "The address answers, but has none of Langfuse's paths; enter the server alone, as in"
        " https://cloud.langfuse.com."
    )


def check(config: Mapping[str, Any]) -> str:
    """What the server and its keys give, in a sentence. Raises FetchError."""
    with closing(Server(config)) as server:
        observations, answer = open_door(server, OBSERVATIONS)
        scores, _ = open_door(server, SCORES)
    return (
        f"Observations come by {observations.path} and scores by {scores.path};"
        f" {_newest(answer.get('data'))}."
    )


def _newest(rows: Any) -> str:
    row = rows[0] if isinstance(rows, list) and rows else {}
    began = row.get("startTime") if isinstance(row, dict) else None
    if not began:
        return "there are no observations yet"
    return f"the newest observation began at {str(began)[:16].replace('T', ' ')} UTC"


# ---- answers -----------------------------------------------------------------------------------


def _judge(response: httpx.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 404:
        raise NotThere
    if status == 429 or (status == 503 and "retry-after" in response.headers):
        now = datetime.now(UTC)
        until = now + _wait(response.headers.get("retry-after", ""), now)
        raise Delayed(until, "Langfuse asked to slow down; it goes on by itself.", is_asked=True)
    if status in (401, 403):
        raise FetchError(
            "Langfuse refuses the keys; check the public key, the secret key, and that both are of"
            " this server."
        )
    if response.is_redirect:
        raise FetchError(
            "Langfuse redirects elsewhere, which is not followed; enter the final URL."
        )
    if status in (400, 422):
        raise NotUnderstood(
            f"Langfuse answered {status} to the request for a page; check that the URL is its"
            " server, and say which version it has when you report this."
        )
    raise FetchError(
        f"Langfuse answered {status}; look at its own log. The next pull goes on from the same"
        " place."
    )


def _wait(said: str, now: datetime) -> timedelta:
    """Retry-After, which is seconds or a date."""
    said = said.strip()
    try:
        wait = timedelta(seconds=float(said))
    except (ValueError, OverflowError):
        try:
            wait = parsedate_to_datetime(said) - now
        except (ValueError, TypeError):
            return WHEN_NOT_SAID
    return min(max(wait, timedelta()), LONGEST_WAIT)


def _object(body: bytes) -> dict[str, Any]:
    try:
        # Decimals: a cost of 0.1 is no binary float.
        found = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FetchError(
            "The address answers with something that is not Langfuse's JSON, or that was cut off;"
            " check that the URL is its server. The next pull goes on from the same place."
        )
    return found


def _too_slow() -> FetchError:
    return FetchError(
        "Langfuse did not answer in time; wait longer (timeout_s) or ask for less (page_size)."
        " The next pull goes on from the same place."
    )
