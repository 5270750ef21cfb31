"""What sources say of errors: one error a service logged, or many of a kind already counted.

Plain values: no database, no network, no clock. Neither holds a log line: an exemplar is one
message, masked and cut (`ingest.masking`), so that a person sees what an error type looks like.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest import masking
from ingest.records import EARLIEST, MAX_FUTURE, Reject

UNKNOWN = "unknown"
"""The service or the type of an error that names none."""
OTHER = "other"
"""Where the rarest go when there are too many to keep apart."""

MOST_SPACES = 4
"""A type has a few words, a sentence has more."""
QUARTER = timedelta(minutes=15)
MOST_COUNTED = 10**12
"""More errors than this in a quarter of an hour is nonsense, not a count."""

_TYPE = re.compile(r"[A-Za-z0-9_.$:/<>#-]{1,200}")
"""Names of classes and codes; anything else under a type's name is somebody's sentence."""

REMEMBERED_FOR = timedelta(hours=48)
"""An error older than this is refused when pushed: whether it was counted is forgotten by then."""


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """One error that was logged, as somebody pushed it."""

    service: str
    type: str
    """`exception.type`, or `error.type`, or the shape of its message."""
    at: datetime
    """Aware UTC; the store counts it into its quarter hour."""
    exemplar: str
    """Its message, masked and cut; empty when it has none that may be kept."""
    trace_id: str
    """In hex; empty when it has none."""
    identity: bytes
    """16 bytes, the same whenever the same log record is sent again."""

    def problem(self, now: datetime) -> Reject | None:
        """Why this error cannot be counted, or None."""
        said = f"Logged at {self.at.isoformat()}"
        if self.at > now + MAX_FUTURE:
            detail = f"{said}, over five minutes ahead. Check its clock."
            return self._reject("in_the_future", detail)
        if self.at < EARLIEST:
            return self._reject("too_old", f"{said}, before the year 2000. Send real times.")
        if self.at < now - REMEMBERED_FOR:
            hours = REMEMBERED_FOR // timedelta(hours=1)
            detail = f"{said}; errors are taken up to {hours} hours late, so none counts twice."
            return self._reject("too_late", detail)
        return None

    def _reject(self, reason: str, detail: str) -> Reject:
        return Reject(reason, "time_unix_nano", detail, external_id=self.identity.hex())


@dataclass(frozen=True, slots=True)
class ErrorTally:
    """How many errors of a type a service logged in a quarter hour, as a log store counted them."""

    service: str
    type: str
    at: datetime
    """Start of a quarter hour, aware UTC."""
    count: int
    exemplar: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class ErrorWindow:
    """Everything a log store counted from `start` to before `end`, both on quarter hours."""

    start: datetime
    end: datetime
    tallies: Sequence[ErrorTally] = ()


def quarter_of(at: datetime) -> datetime:
    """The start of its quarter hour."""
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def type_name(said: str) -> str:
    """What is told as an error's type, when it is a name; else the shape of a few words."""
    said = said.strip()
    if _TYPE.fullmatch(said):
        return said
    return (masking.shape(said) if said.count(" ") <= MOST_SPACES else "") or UNKNOWN
