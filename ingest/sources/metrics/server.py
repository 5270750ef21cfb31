"""Asks a Prometheus server, by its HTTP API, for readings and for what it has.

Knows the API through `prometheus_api_client` and turns whatever goes wrong there into one sentence.
Refuses to connect past the guard for typed-in addresses, to wait without end, and to quote answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests import RequestException

from ingest.outgoing import Refused
from ingest.outgoing_session import GuardedSession, TooLarge
from ingest.sources.base import Delayed, FetchError

MAX_BODY_BYTES = 16 * 1024 * 1024
DEFAULT_PAUSE_S = 60
MAX_PAUSE_S = 3600
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NOT_PROMETHEUS = (
    "The answer is not Prometheus' JSON; give the address of its web page, as in"
    " http://prometheus:9090."
)

_VERSION = re.compile(r"[0-9A-Za-z.+~_-]{1,40}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One series of an answer with its readings in order of time."""

    name: str
    labels: Mapping[str, str]
    points: tuple[tuple[datetime, float], ...]
    is_native_histogram: bool = False


class Server:
    """One Prometheus, for the time of one pull."""

    def __init__(self, url: str, headers: Mapping[str, str], *, timeout_s: float) -> None:
        self.session = GuardedSession(timeout_s=timeout_s, max_bytes=MAX_BODY_BYTES)
        self.url = url.rstrip("/")
        self._headers = dict(headers)
        self._client = PrometheusConnect(
            self.url, headers=self._headers, session=self.session, timeout=timeout_s
        )

    def readings(self, selector: str, after: datetime, until: datetime) -> list[Run]:
        """As scraped, with the times of the scrapes: a gap stays a gap."""
        seconds = round((until - after).total_seconds())
        return self._ask(
            "these series",
            lambda: _runs(
                self._client.custom_query(
                    f"{selector}[{seconds}s]", params={"time": f"{until.timestamp():.3f}"}
                )
            ),
            may_be_split=True,
        )

    def steps(
        self, query: str, start: datetime, end: datetime, step_s: int, *, name: str
    ) -> list[Run]:
        """A person's PromQL, evaluated at each step from `start` to `end`."""
        return self._ask(
            f"the query {name}",
            lambda: _runs(self._client.custom_query_range(query, start, end, f"{step_s}s")),
            may_be_split=end > start,
        )

    def counts(self, selector: str, at: datetime) -> dict[str, int]:
        """How many series each name has."""
        return self._ask(
            "a count of series",
            lambda: {
                found["metric"]["__name__"]: int(found["value"][1])
                for found in self._client.custom_query(
                    f"count by (__name__) ({selector})",
                    params={"time": f"{at.timestamp():.3f}"},
                )
            },
        )

    def names(self, selector: str, start: datetime, end: datetime) -> set[str]:
        """Which names occur in this time."""
        times = {"start": f"{start.timestamp():.3f}", "end": f"{end.timestamp():.3f}"}
        return self._ask(
            "its names",
            lambda: set(
                self._client.get_label_values("__name__", params={"match[]": selector, **times})
            ),
        )

    def version(self) -> str:
        """Empty where a server compatible with Prometheus does not say."""

        def ask() -> str:
            answer = self.session.get(f"{self.url}/api/v1/status/buildinfo", headers=self._headers)
            if answer.status_code == 404:
                return ""
            if answer.status_code != 200:
                raise PrometheusApiClientException(answer.status_code)
            said = str(answer.json()["data"].get("version", ""))
            return said if _VERSION.fullmatch(said) else ""

        return self._ask("its version", ask)

    def close(self) -> None:
        self._client.close()

    def _ask(self, what: str, ask: Callable[[], T], *, may_be_split: bool = False) -> T:
        """Raises FetchError, and TooLarge only where a shorter time can be asked for instead."""
        try:
            return ask()
        except TooLarge as large:
            if may_be_split:
                raise
            raise FetchError(str(large)) from None
        except Refused as refused:
            raise FetchError(str(refused)) from None
        except PrometheusApiClientException:
            raise self._failure(what) from None
        except RequestException as error:
            if isinstance(error, ValueError) and self.session.answered is not None:
                raise FetchError(NOT_PROMETHEUS) from None
            raise FetchError("The request cannot be made; check the URL and the token.") from None
        # Answers of another shape: no object, no data, no pairs, no numbers, too deep.
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError,
                RecursionError):  # fmt: skip
            raise FetchError(NOT_PROMETHEUS) from None

    def _failure(self, what: str) -> FetchError:
        answered = self.session.answered
        status = answered.status_code if answered is not None else 0
        if status in (429, 503):
            asked = answered.headers.get("Retry-After", "") if answered is not None else ""
            pause = int(asked) if re.fullmatch(r"\d{1,6}", asked) else DEFAULT_PAUSE_S
            until = datetime.now(UTC) + timedelta(seconds=min(pause, MAX_PAUSE_S))
            return Delayed(until, f"Prometheus answered {status}.", is_asked=True)
        if status in (401, 403):
            return FetchError(
                f"Prometheus answered {status}; check the user name and password, or the token."
            )
        if status in (400, 422):
            return FetchError(
                f"Prometheus refuses {what} ({status}); check its PromQL on Prometheus' own page."
            )
        return FetchError(f"Prometheus answered {status}; check the URL and its log.")


def selector(names: Iterable[str], match: Mapping[str, str]) -> str:
    """The series of these names with these labels. Every text is quoted: none can become PromQL."""
    wanted = "|".join(re.escape(name) for name in sorted(names))
    labels = "".join(f",{name}={_quoted(text)}" for name, text in sorted(match.items()))
    return f"{{__name__=~{_quoted(wanted)}{labels}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _runs(result: Any) -> list[Run]:
    if not isinstance(result, list):
        raise TypeError("a result is a list")
    return [_run(one) for one in result]


def _run(one: Any) -> Run:
    labels = dict(one["metric"])
    if not all(isinstance(part, str) for label in labels.items() for part in label):
        raise TypeError("labels are texts")
    points = tuple((_moment(at), float(value)) for at, value in one.get("values", ()))
    return Run(
        name=labels.pop("__name__", ""),
        labels=labels,
        points=points,
        is_native_histogram="histograms" in one,
    )


def _moment(seconds: float) -> datetime:
    """Prometheus' times are whole milliseconds; as a float they are not quite."""
    return EPOCH + timedelta(milliseconds=round(float(seconds) * 1000))
