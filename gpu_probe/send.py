"""Pushes batches to the server and keeps each on disk until the server says it has it.

Knows one address, one bearer token and what an HTTP answer means for a batch. Refuses to take
anything but a 200 with a JSON object for an acknowledgement, to follow a redirect with the token
in hand, and to throw a batch away because of an error. Delivery is at least once: the bytes sent
again are the same bytes, so the server recognises them by (host, boot_id, sequence).
"""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path

from gpu_probe import __version__
from gpu_probe.spool import Kept, Spool
from gpu_probe.wire import Batch, encode

log = logging.getLogger("gpu_probe")

SAMPLES_PATH = "/v1/gpu-samples"
PERMANENT_STATUSES = frozenset({400, 413, 422})
TOKEN_STATUSES = frozenset({401, 403})
MAX_ANSWER_BYTES = 64 * 1024
FIRST_WAIT_S = 1.0
MAX_WAIT_S = 300.0
# A server that asks for a year of silence has a bug, and the spool would overflow meanwhile.
MAX_RETRY_AFTER_S = 3600.0
# A refused token says nothing about the batch: it stays first in line until the token is mended.
TOKEN_WAIT_S = 60.0


class TokenError(Exception):
    """There is no usable token; the message is one sentence with the fix."""


class Outcome(Enum):
    SENT = "sent"
    REJECTED = "rejected"
    EMPTY = "empty"
    MISSING = "missing"
    FAILED = "failed"
    TOKEN_REFUSED = "token refused"  # noqa: S105 - what became of it, not a token


@dataclass(frozen=True, slots=True)
class Step:
    """What one attempt came to, why, and how long to leave the server alone."""

    outcome: Outcome
    reason: str = ""
    wait_s: float = 0.0


class Sender:
    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        spool_dir: Path,
        *,
        timeout_s: float = 10.0,
        max_spool_bytes: int = 256 * 2**20,
        max_spool_age_s: float = 7 * 86_400.0,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint = endpoint(url)
        self.spool = Spool(
            spool_dir, max_bytes=max_spool_bytes, max_age_s=max_spool_age_s, clock=clock
        )
        self._token = token  # asked at each attempt, so that a rotated token needs no restart
        self._timeout_s = timeout_s
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self.delivered_count = 0
        self.is_token_refused = False
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._stopping = threading.Event()
        self._something_to_do = threading.Event()

    def keep(self, batch: Batch) -> None:
        """On disk when this returns; sent later by `run` or `drain`."""
        # mtime=0: the same batch is the same bytes.
        self.spool.put(gzip.compress(encode(batch), mtime=0))
        self._something_to_do.set()

    def drain(self) -> Step:
        """Send in order until nothing waits or the server wants to be left alone."""
        while True:
            step = self.send_next()
            if step.outcome is Outcome.EMPTY or step.wait_s > 0:
                return step

    def run(self) -> None:
        """Drain until `stop`, and once more after it, so that the last sample has its chance."""
        while True:
            last_round = self._stopping.is_set()
            self._something_to_do.clear()
            step = self.drain()
            if last_round:
                return
            if step.outcome is Outcome.EMPTY:
                self._something_to_do.wait()
            elif self._stopping.wait(step.wait_s):
                return

    def stop(self) -> None:
        self._stopping.set()
        self._something_to_do.set()

    def close(self) -> None:
        self.spool.close()

    def send_next(self) -> Step:
        """One attempt at the oldest batch."""
        kept = self.spool.oldest()
        if kept is None:
            return Step(Outcome.EMPTY)
        try:
            body = kept.path.read_bytes()
        except FileNotFoundError:
            log.error("%s was deleted by somebody else; going on without it", kept.path)
            self.spool.remove(kept)
            return Step(Outcome.MISSING, f"{kept.path} was deleted by somebody else")
        except OSError as error:
            return self._failed(f"{kept.path} cannot be read ({error.strerror})", None)
        try:
            status, answer, retry_after = self._post(body)
        except TokenError as error:
            return self._failed(str(error), None)
        # http.client's own errors (a half answer) are no OSError; everything else here is.
        except (OSError, http.client.HTTPException) as error:
            return self._failed(f"no answer from {self.endpoint} ({_cause(error)})", None)
        try:
            return self._settle(kept, status, answer, retry_after)
        except OSError as error:
            return self._failed(f"the spool cannot be written ({error})", None)

    def _settle(self, kept: Kept, status: int, answer: bytes, retry_after: str | None) -> Step:
        if status == 200 and _is_json_object(answer):
            return self._sent(kept, answer)
        if status in TOKEN_STATUSES:
            return self._token_refused(status, answer)
        if status in PERMANENT_STATUSES:
            return self._rejected(kept, status, answer)
        return self._failed(self._puzzled(status, answer), retry_after)

    def _post(self, body: bytes) -> tuple[int, bytes, str | None]:
        request = urllib.request.Request(  # noqa: S310 - endpoint() takes http and https alone
            self.endpoint,
            data=body,
            method="POST",
            headers={
                "Authorization": f"Bearer {self._token()}",
                "Content-Type": "application/json",
                "Content-Encoding": "gzip",
                "User-Agent": f"breakeven-gpu-probe/{__version__}",
            },
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return response.status, response.read(MAX_ANSWER_BYTES), None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(MAX_ANSWER_BYTES), error.headers["Retry-After"]

    def _sent(self, kept: Kept, answer: bytes) -> Step:
        self.spool.remove(kept)
        self.delivered_count += 1
        self.is_token_refused = False
        if self._failures:
            log.info("the server takes batches again; %d wait", self.spool.waiting_count)
        self._failures = 0
        return Step(Outcome.SENT, _readable(answer))

    def _rejected(self, kept: Kept, status: int, answer: bytes) -> Step:
        said = f"HTTP {status}: {_readable(answer)}"
        path = self.spool.reject(kept, said + "\n")
        self._failures = 0
        log.error(
            "the server refused a batch (%s); it is kept in %s; after the cause is mended,"
            " start with --retry-rejected to send it again",
            said,
            path,
        )
        return Step(Outcome.REJECTED, said)

    def _token_refused(self, status: int, answer: bytes) -> Step:
        self.spool.put_back()
        self._failures += 1
        self.is_token_refused = True
        said = f"HTTP {status}: {_readable(answer)}"
        log.error(
            "the server refuses the token (%s); %d batches wait on disk; put a new one in place,"
            " as Breakeven's page of the source gives it, next try in %.0f s",
            said,
            self.spool.waiting_count,
            TOKEN_WAIT_S,
        )
        return Step(Outcome.TOKEN_REFUSED, said, TOKEN_WAIT_S)

    def _failed(self, reason: str, retry_after: str | None) -> Step:
        self.spool.put_back()
        self._failures += 1
        wait_s = self._wait_s(retry_after)
        log.warning(
            "%s; %d batches wait on disk, next try in %.0f s",
            reason,
            self.spool.waiting_count,
            wait_s,
        )
        return Step(Outcome.FAILED, reason, wait_s)

    def _wait_s(self, retry_after: str | None) -> float:
        asked_s = _retry_after_s(retry_after, self._clock())
        if asked_s is not None:
            # At least what was asked; the spread keeps a fleet from coming back as one.
            return min(asked_s, MAX_RETRY_AFTER_S) * (1 + 0.1 * self._jitter())
        doubled = min(FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 30), MAX_WAIT_S)
        return doubled * (0.5 + 0.5 * self._jitter())

    def _puzzled(self, status: int, answer: bytes) -> str:
        if status == 200:
            return f"{self.endpoint} answers 200 but no JSON object; is --url Breakeven's address?"
        if 300 <= status < 400:
            return f"{self.endpoint} answers with a redirect ({status}); give --url its target"
        if status == 404:
            return f"{self.endpoint} answers 404; is --url Breakeven's address?"
        return f"{self.endpoint} answers {status}: {_readable(answer)}"


def endpoint(url: str) -> str:
    """The full address for a server's base address; ValueError with one sentence if it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no web address ({error})") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{url!r} is no web address; write it as https://breakeven.example.com")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(
            f"{parts.scheme}://{parts.hostname}… holds more than an address;"
            " leave user, ? and # out and put the token in --token-file"
        )
    path = parts.path.rstrip("/")
    if not path.endswith(SAMPLES_PATH):
        path += SAMPLES_PATH
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "", ""))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would turn a redirected POST into a GET, whose 200 is no acknowledgement."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def _retry_after_s(header: str | None, now: float) -> float | None:
    """Seconds or an HTTP date; None for a header that is missing or says neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        # An HTTP date is UTC, also where it forgets to say so.
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _is_json_object(answer: bytes) -> bool:
    try:
        return isinstance(json.loads(answer), dict)
    except (ValueError, RecursionError):
        return False


def _readable(answer: bytes) -> str:
    text = answer.decode("utf-8", "replace")[:500]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "no text"


def _cause(error: BaseException) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason) or type(error).__name__
