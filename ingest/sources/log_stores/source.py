"""What every source has that pulls counts of errors from a log store: windows and settings.

Knows which stretches of time to ask for when: whole quarter hours, the newest of them again and
again while it lasts. Refuses to know how a store is asked; each store's own file does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from ingest import outgoing
from ingest.error_records import QUARTER, UNKNOWN, ErrorWindow, quarter_of, type_name
from ingest.sources.base import BadConfig, FetchError, Page, Setting, Terms, TracePullSource

from .server import LogServer, Unexpected

WINDOW = timedelta(hours=6)
MAX_NAME_CHARS = 200
EXEMPLARS = ("masked", "skip")
"""Whether one message of each type is asked for: `masked` keeps it masked, `skip` asks for none."""

LIMITS = {
    "overlap_minutes": (15, 24 * 60),
    "history_hours": (1, 30 * 24),
    "requests_per_minute": (1, 10_000),
    "requests_per_day": (1, 10_000_000),
    "timeout_s": (1, 60),
}

COMMON_SETTINGS = (
    Setting(
        "exemplars",
        "Examples",
        "masked: keep one message of each type, masked and cut; skip: ask for none.",
        "masked",
    ),
    Setting("overlap_minutes", "Overlap (min)", "What each pull reads again, for late lines.", 30),
    Setting("history_hours", "History (h)", "How far back the first pull goes.", 24),
    Setting("requests_per_minute", "Requests a minute", "All pulls together.", 60),
    Setting("requests_per_day", "Requests a day", "By UTC; all pulls together.", 20_000),
    Setting("timeout_s", "Timeout (s)", "How long one answer may take.", 20),
)


class LogStoreSource(TracePullSource):
    """Its rows are counts of a quarter hour, and its pages whole windows of them."""

    owner = "project"
    brings_errors = True
    usual_interval_s = 300
    least_interval_s = 60
    most_interval_s = 3_600

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        checked["url"] = checked_url(checked["url"])
        if checked["exemplars"] not in EXEMPLARS:
            raise BadConfig("exemplars", "must be masked or skip.")
        for name, (least, most) in LIMITS.items():
            number = checked[name]
            if isinstance(number, bool) or not isinstance(number, int):
                raise BadConfig(name, f"must be a whole number from {least:,} to {most:,}.")
            if not least <= number <= most:
                raise BadConfig(name, f"must be from {least:,} to {most:,}.")
        return checked

    store: ClassVar[str]
    """Its name in sentences."""

    def connect(
        self, checked: Mapping[str, Any], before_request: Callable[[], None] = lambda: None
    ) -> LogServer:
        """The server that these settings name."""
        raise NotImplementedError

    def read(
        self, server: LogServer, checked: Mapping[str, Any], start: datetime, end: datetime
    ) -> ErrorWindow:
        """What was counted in these whole quarter hours. Raises FetchError and Unexpected."""
        raise NotImplementedError

    def check(self, config: Mapping[str, Any]) -> str:
        """What the last hour has, without an example of it."""
        checked = {**self._sound(config), "exemplars": "skip"}
        now = datetime.now(UTC)
        with closing(self.connect(checked)) as server:
            window = self._window(server, checked, quarter_of(now) - 4 * QUARTER, next_quarter(now))
        errors = sum(tally.count for tally in window.tallies)
        if not errors:
            return f"{self.store} answers: no errors in the last hour by this query."
        types = {(tally.service, tally.type) for tally in window.tallies}
        services = sorted({tally.service for tally in window.tallies})
        named = ", ".join(services[:3]) + (" and others" if len(services) > 3 else "")
        said = f"{self.store} answers: {_many(errors, 'error')} of {_many(len(types), 'type')}"
        hint = (
            f" Some name no service or no type and are counted as {UNKNOWN}; see its field names."
            if any(UNKNOWN in pair for pair in types)
            else ""
        )
        return f"{said} in the last hour, from {named}.{hint}"

    def fetch_traces(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime, terms: Terms
    ) -> Iterator[Page]:
        checked = self._sound(config)
        end = next_quarter(now)
        if "to" in cursor:
            overlap = timedelta(minutes=checked["overlap_minutes"])
            begin = min(datetime.fromisoformat(cursor["to"]), now) - overlap
        else:
            begin = now - timedelta(hours=checked["history_hours"])
        with closing(self.connect(checked, terms.before_request)) as server:
            for window in self._windows(server, checked, quarter_of(begin), end):
                # The quarter hour that still runs is read again, so the place is never past now.
                reached = min(window.end, quarter_of(now))
                yield Page([], cursor={"to": reached.isoformat()}, errors=[window])

    def fetch_range(
        self,
        config: Mapping[str, Any],
        cursor: Mapping[str, Any],
        start: datetime,
        end: datetime,
        terms: Terms,
    ) -> Iterator[Page]:
        checked = self._sound(config)
        begin = datetime.fromisoformat(cursor["to"]) if "to" in cursor else quarter_of(start)
        last = quarter_of(end - timedelta(microseconds=1)) + QUARTER
        with closing(self.connect(checked, terms.before_request)) as server:
            for window in self._windows(server, checked, begin, last):
                reached = {"to": window.end.isoformat()}
                yield Page([], cursor=reached, reached=min(window.end, end), errors=[window])

    def _windows(
        self, server: LogServer, checked: Mapping[str, Any], start: datetime, end: datetime
    ) -> Iterator[ErrorWindow]:
        while start < end:
            until = min(start + WINDOW, end)
            yield self._window(server, checked, start, until)
            start = until

    def _window(
        self, server: LogServer, checked: Mapping[str, Any], start: datetime, end: datetime
    ) -> ErrorWindow:
        try:
            return self.read(server, checked, start, end)
        # An answer of another shape: no list, no pairs, no numbers, a time of no year.
        except (Unexpected, ValueError, KeyError, TypeError, AttributeError, IndexError,
                OverflowError, OSError):  # fmt: skip
            raise server.misfit() from None

    def _sound(self, config: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self.check_config(config)
        except BadConfig as bad:
            raise FetchError(str(bad)) from None


def next_quarter(now: datetime) -> datetime:
    """The end of the quarter hour that runs."""
    return quarter_of(now) + QUARTER


def service_of(said: Any) -> str:
    """A service's name as an answer tells it."""
    return said.strip()[:MAX_NAME_CHARS] or UNKNOWN if isinstance(said, str) else UNKNOWN


def type_of(said: Any) -> str:
    """A type's name; a code may come as a number."""
    is_told = isinstance(said, str | int) and not isinstance(said, bool)
    return type_name(str(said)) if is_told else UNKNOWN


def checked_url(said: Any) -> str:
    try:
        parsed = outgoing.check_url(said)
    except outgoing.Refused as refused:
        raise BadConfig("url", str(refused)) from None
    if parsed.query or parsed.fragment:
        raise BadConfig("url", "Give the server alone, without a question mark or a #.")
    url: str = said.strip().rstrip("/")
    return url


def checked_names(setting: str, said: Any, fits: Callable[[str], Any], example: str) -> list[str]:
    names = said if isinstance(said, list) else None
    if names is None or not all(isinstance(name, str) and fits(name) for name in names):
        raise BadConfig(setting, f"must be a list of names, as in {example}.")
    return names


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
