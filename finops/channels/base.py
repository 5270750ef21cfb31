"""What every kind of channel shares: what goes out, what may come of it, how it is described.

Knows the three ways in which sending fails. Refuses the database: plain values in, an outcome out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

TIMEOUT_S = 10.0
"""For all of one sending; much shorter than the lease it is done under."""

LATER, REFUSED, OFF = "later", "refused", "off"
"""Try again; this message will never be taken; nothing will ever be taken of this channel."""

SEVERITY_WORDS = {"info": "Info", "warning": "Warning", "critical": "Critical"}
EVENT_WORDS = {
    "opened": "Opened",
    "reminder": "Still open",
    "escalated": "Escalated",
    "acknowledged": "Acknowledged",
    "snoozed": "Snoozed",
    "flapping": "Flapping",
    "resolved": "Resolved",
    "test": "Test message",
}


@dataclass(frozen=True)
class Outgoing:
    """One message as it goes out; the same at each attempt but for `attempt`."""

    public_id: str
    alert_id: str
    event: str
    severity: str
    title: str
    text: str
    project: str
    figures: Mapping[str, str]
    at: datetime
    link: str
    """Absolute; empty where nobody said what this installation's address is."""
    attempt: int
    thread: str = ""
    """The receiver's name of the alert's first message there; empty: this is the first."""
    is_news: bool = True
    """False: the first message shows something later already."""

    @property
    def headline(self) -> str:
        """Severity is news while it lasts; that something is over is news by itself."""
        if self.event in ("opened", "escalated", "reminder"):
            severity = SEVERITY_WORDS[self.severity]
            return (
                f"{severity}: {self.title}"
                if self.event == "opened"
                else (f"{EVENT_WORDS[self.event]} ({severity.lower()}): {self.title}")
            )
        return f"{EVENT_WORDS[self.event]}: {self.title}"


@dataclass(frozen=True)
class Taken:
    """The receiver has it. `warning` says what of it did not arrive."""

    status_code: int | None
    excerpt: str = ""
    warning: str = ""
    thread: str = ""
    """The receiver's name of the alert's first message, where it keeps one thread per alert."""


class SendError(Exception):
    """Why a message did not arrive, in one sentence, and what that means: see LATER."""

    def __init__(
        self,
        problem: str,
        meaning: str = LATER,
        *,
        status_code: int | None = None,
        retry_after_s: float | None = None,
        excerpt: str = "",
        word: str = "",
    ) -> None:
        """`word` is the receiver's own for it, where it has one."""
        super().__init__(problem)
        self.problem, self.meaning = problem, meaning
        self.status_code, self.retry_after_s = status_code, retry_after_s
        self.excerpt, self.word = excerpt, word


class BadConfig(ValueError):
    """A channel cannot be like that: `field` says where, `message` how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class Sender(ABC):
    """One kind of channel."""

    kind: ClassVar[str]
    label: ClassVar[str]
    help: ClassVar[str]
    spacing_s: ClassVar[float] = 0.0
    """Least time between two messages that one channel takes."""

    @abstractmethod
    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that may be shown, sound and complete. Raises BadConfig."""

    @abstractmethod
    def check_secret(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The secrets of it; what is made here rather than given is made now. Raises BadConfig."""

    @abstractmethod
    def send(
        self, config: Mapping[str, Any], secret: Mapping[str, str], message: Outgoing
    ) -> Taken:
        """Send it once, within TIMEOUT_S. Raises SendError."""

    @abstractmethod
    def where(self, config: Mapping[str, Any]) -> str:
        """Where it goes, for people; never a secret."""
