"""Pulls observations and scores from a Langfuse server, of whichever generation.

Knows its settings, and which stretches of time to read when. Refuses the network (`langfuse_api`)
and the paging (`langfuse_walk`).

Langfuse cannot be asked for what has changed, only for what began when. So every pull reads the
last minutes again, and once a day the last days: late observations, costs that were mended and
scores that came later are found there. Reading a row again changes nothing unless it is newer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ingest import outgoing
from ingest.sources import langfuse_api
from ingest.sources.base import BadConfig, FetchError, Page, Setting, Terms, TracePullSource
from ingest.sources.langfuse_api import Server
from ingest.sources.langfuse_walk import Reader, Walk

LOOK_BACK_EVERY = timedelta(days=1)

LIMITS = {
    "requests_per_minute": (1, 10_000),
    "requests_per_day": (1, 10_000_000),
    "overlap_minutes": (5, 24 * 60),
    "late_days": (1, 90),
    "page_size": (1, 1000),
    "timeout_s": (1, 60),
}


class Langfuse(TracePullSource):
    kind = "langfuse"
    label = "Langfuse (pulled)"
    usual_interval_s = 60
    help = "Reads traces, costs and scores from a Langfuse project, on the cloud or your own."
    owner = "project"
    settings = (
        Setting("url", "URL", "As in https://cloud.langfuse.com.", "", True, address=True),
        Setting("public_key", "Public key", "It begins with pk-lf-.", "", True),
        Setting("secret_key", "Secret key", "It begins with sk-lf-.", "", True, secret=True),
        Setting(
            "requests_per_minute",
            "Requests a minute",
            "The cloud allows an organisation 30 on Hobby (enter 25) and 1,000 from Core on.",
            600,
        ),
        Setting("requests_per_day", "Requests a day", "By UTC; all pulls together.", 100_000),
        Setting("overlap_minutes", "Overlap (min)", "What each pull reads again.", 30),
        Setting("late_days", "Late (days)", "What is read again once a day.", 7),
        Setting("page_size", "Page size", "Observations a request, at most 1,000.", 500),
        Setting(
            "prompts",
            "Prompts",
            "fingerprint: ask for prompts, keep their fingerprints alone; skip: do not ask.",
            "fingerprint",
        ),
        Setting("timeout_s", "Timeout (s)", "How long one request may take.", 20),
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        checked["url"] = _checked_url(checked["url"])
        for name in ("public_key", "secret_key"):
            checked[name] = _checked_key(name, checked[name])
        for name, (least, most) in LIMITS.items():
            number = checked[name]
            if isinstance(number, bool) or not isinstance(number, int):
                raise BadConfig(name, f"must be a whole number from {least:,} to {most:,}.")
            if not least <= number <= most:
                raise BadConfig(name, f"must be from {least:,} to {most:,}.")
        if checked["prompts"] not in ("fingerprint", "skip"):
            raise BadConfig("prompts", "must be fingerprint or skip.")
        return checked

    def check(self, config: Mapping[str, Any]) -> str:
        return langfuse_api.check(self._sound(config))

    def fetch_traces(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime, terms: Terms
    ) -> Iterator[Page]:
        checked = self._sound(config)
        plan = Plan.of(cursor, now, checked)
        with closing(Server(checked, terms.before_request)) as server:
            reader = Reader(server, checked, terms, cursor.get("api", {}))
            for which in ("recent", "late"):
                for page, walk in reader.pages(plan.walks[which]):
                    plan.walks[which] = walk
                    yield Page(page.records, page.rejects, plan.as_cursor(reader.api))

    def fetch_range(
        self,
        config: Mapping[str, Any],
        cursor: Mapping[str, Any],
        start: datetime,
        end: datetime,
        terms: Terms,
    ) -> Iterator[Page]:
        checked = self._sound(config)
        begun = Walk.of(cursor["walk"]) if "walk" in cursor else Walk(start, end)
        with closing(Server(checked, terms.before_request)) as server:
            reader = Reader(server, checked, terms, cursor.get("api", {}))
            for page, walk in reader.pages(begun):
                left = {"walk": walk.as_dict(), "api": reader.api}
                yield Page(page.records, page.rejects, left, reached=page.reached)

    def _sound(self, config: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self.check_config(config)
        except BadConfig as bad:
            raise FetchError(str(bad)) from None


@dataclass(slots=True)
class Plan:
    """What one pull reads: first what is recent, then, once a day, what came late."""

    walks: dict[str, Walk]
    looked_back_at: datetime
    """When the last look back began."""

    @classmethod
    def of(cls, cursor: Mapping[str, Any], now: datetime, config: Mapping[str, Any]) -> Plan:
        left = {name: Walk.of(said) for name, said in cursor.get("walks", {}).items()}
        recent, late = left.get("recent"), left.get("late")
        if recent is None or recent.is_over:
            read_to = min(recent.end, now) if recent else now
            recent = Walk(read_to - timedelta(minutes=config["overlap_minutes"]), now)
        before = _time(cursor.get("looked_back_at"))
        is_due = before is None or now - before >= LOOK_BACK_EVERY
        if late is None or before is None or (late.is_over and is_due):
            late, before = _look_back(now, config), now
        return cls({"recent": recent, "late": late}, before)

    def as_cursor(self, api: Mapping[str, str]) -> dict[str, Any]:
        return {
            "api": dict(api),
            "walks": {name: walk.as_dict() for name, walk in self.walks.items()},
            "looked_back_at": self.looked_back_at.isoformat(),
        }


def _look_back(now: datetime, config: Mapping[str, Any]) -> Walk:
    """The overlap's minutes are left to every pull."""
    overlap = timedelta(minutes=config["overlap_minutes"])
    return Walk(now - timedelta(days=config["late_days"]), now - overlap)


def _time(said: str | None) -> datetime | None:
    return datetime.fromisoformat(said) if said else None


def _checked_url(said: Any) -> str:
    try:
        parsed = outgoing.check_url(said)
    except outgoing.Refused as refused:
        raise BadConfig("url", str(refused)) from None
    if parsed.query or parsed.fragment:
        raise BadConfig("url", "Give the server alone, as in https://cloud.langfuse.com.")
    return langfuse_api.base_of(said)


def _checked_key(name: str, said: Any) -> str:
    if not isinstance(said, str):
        raise BadConfig(name, "must be a text; copy it from the project's settings in Langfuse.")
    key = said.strip()
    # It becomes part of a header, and a user name ends at the first colon.
    if not key.isascii() or not key.isprintable() or ":" in key or not 0 < len(key) <= 200:
        raise BadConfig(name, "is no key; copy it whole from the project's settings in Langfuse.")
    return key
