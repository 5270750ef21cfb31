"""Asks a log store over HTTP and turns whatever goes wrong into one sentence.

Knows statuses, waits and sizes. Refuses to connect past the guard for typed-in addresses, to wait
without end, and to quote answers: they hold log lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.outgoing import Refused
from ingest.outgoing_session import GuardedSession, TooLarge
from ingest.sources import plain_json
from ingest.sources.base import BadBody, Delayed, FetchError

MAX_BODY_BYTES = 16 * 1024 * 1024
DEFAULT_PAUSE_S = 60
MAX_PAUSE_S = 3600


class Unexpected(Exception):
    """An answer of another shape than the API documents; it is said in the store's name."""


class LogServer:
    """One log store, for the time of one pull."""

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        before_request: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._before_request = before_request
        self._session = GuardedSession(timeout_s=timeout_s, max_bytes=MAX_BODY_BYTES)
        self._session.headers.update({**headers, "Accept": "application/json"})

    def close(self) -> None:
        self._session.close()

    def ask(
        self,
        path: str,
        *,
        params: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        refused: Mapping[int, str],
    ) -> Mapping[str, Any]:
        """The JSON object that answers; a POST when there is a body. Raises Delayed, FetchError.

        `refused` says in a sentence what this question's refusal by a status means.
        """
        self._before_request()
        method = "GET" if body is None else "POST"
        try:
            answer = self._session.request(method, f"{self.url}{path}", params=params, json=body)
        except TooLarge as large:
            raise FetchError(f"{large} Narrow the query, or keep fewer types apart.") from None
        except Refused as why:
            raise FetchError(str(why)) from None
        except ValueError:
            # `requests` refuses an address that it cannot put into a request at all.
            raise FetchError("The request cannot be made; check the URL and the keys.") from None
        self._judge(answer.status_code, answer.headers.get("Retry-After", ""), refused)
        try:
            plain = plain_json.read(answer.content)
        except BadBody:
            raise self.misfit() from None
        if not isinstance(plain, Mapping):
            raise self.misfit()
        return plain

    def misfit(self) -> FetchError:
        return FetchError(
            f"The answer is not {self.name}'s JSON, or it was cut off; check that the URL is its"
            " API. The next pull goes on from the same place."
        )

    def in_part(self) -> FetchError:
        """Half a count would look like fewer errors."""
        return FetchError(
            f"{self.name} could answer only in part, so nothing of it was taken; look at its"
            " health, or narrow the query. The next pull asks again."
        )

    def _judge(self, status: int, retry_after: str, refused: Mapping[int, str]) -> None:
        if status == 200:
            return
        if status in (429, 503):
            pause = int(retry_after) if re.fullmatch(r"\d{1,6}", retry_after) else DEFAULT_PAUSE_S
            until = datetime.now(UTC) + timedelta(seconds=min(pause, MAX_PAUSE_S))
            raise Delayed(until, f"{self.name} answered {status}.", is_asked=True)
        if status in refused:
            raise FetchError(refused[status])
        if status in (401, 403):
            raise FetchError(f"{self.name} answered {status}; check the user or the key.")
        if status == 404:
            raise FetchError(
                f"{self.name}'s API is not at this address (404); give the server's own address."
            )
        raise FetchError(
            f"{self.name} answered {status}; look at its own log. The next pull goes on from the"
            " same place."
        )
