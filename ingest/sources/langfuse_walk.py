"""Reads a stretch of time from Langfuse, page by page, so that it may be stopped anywhere.

Knows how a walk goes on where another process left it, what drifting pages do, and where a trace's
user is when its observations do not say. Refuses to choose the stretch: whoever pulls does.

A walk goes through its time in slices, oldest first; in each slice through the observations, then
the scores. Within a slice the server says the order. Pages that are counted by number drift when
rows come or go meanwhile: then the slice is read again. What a server adds to a slice that was read
already is found when the next pull reads the same time again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from ingest.records import Reject, ScoreRecord, SpanRecord
from ingest.sources import langfuse_observation as rows
from ingest.sources.base import FetchError, Page, Terms
from ingest.sources.langfuse_api import (
    CURSOR,
    OBSERVATIONS,
    SCORES,
    Door,
    NotThere,
    NotUnderstood,
    Server,
    doors,
    no_door,
)
from ingest.sources.langfuse_fields import BadRow

SLICE = timedelta(hours=6)
MOST_READINGS = 3
"""How often a slice is read whose pages drift; the next pull reads it once more anyway."""
MOST_TRACES = 10_000
TRACE_PAGE = 100
MOST_TRACE_PAGES = 3


@dataclass(frozen=True, slots=True)
class Walk:
    """What is left of a stretch of time, and which page of its first slice is next."""

    start: datetime
    end: datetime
    what: str = OBSERVATIONS
    at: str | int | None = None
    """The next page's cursor or number; None is the first page."""
    total: int | None = None
    """Rows of the slice, as its first page said."""
    readings: int = 1

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Walk:
        times = {name: datetime.fromisoformat(said[name]) for name in ("start", "end")}
        return cls(**{**said, **times})

    def as_dict(self) -> dict[str, Any]:
        return {
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "what": self.what,
            "at": self.at,
            "total": self.total,
            "readings": self.readings,
        }

    @property
    def slice_end(self) -> datetime:
        return min(self.start + SLICE, self.end)

    @property
    def is_over(self) -> bool:
        return self.start >= self.end

    def next_part(self) -> Walk:
        """The scores of the slice, or the next slice."""
        if self.what == OBSERVATIONS:
            return Walk(self.start, self.end, SCORES)
        return Walk(self.slice_end, self.end)

    def again(self) -> Walk:
        return Walk(self.start, self.end, self.what, readings=self.readings + 1)


class Reader:
    """Takes walks on one server. `api` is what it has learnt: which door answers for what."""

    def __init__(
        self, server: Server, config: Mapping[str, Any], terms: Terms, api: Mapping[str, str]
    ) -> None:
        self.api = dict(api)
        self._server = server
        self._terms = terms
        self._page_size = config["page_size"]
        self._with_text = config["prompts"] == "fingerprint"
        # Each observation may need its trace asked for: a page must fit into a minute's requests.
        self._most_numbered = max(1, config["requests_per_minute"] - MOST_TRACE_PAGES - 2)
        self._traces: dict[str, Mapping[str, Any] | None] = {}
        self._seen: set[str] | None = None
        """Ids of the slice so far, when it was read from its first page on."""

    def pages(self, walk: Walk) -> Iterator[tuple[Page, Walk]]:
        """Each page with the walk that is left after it."""
        while not walk.is_over:
            page, walk = self._step(walk)
            yield page, walk

    def _step(self, walk: Walk) -> tuple[Page, Walk]:
        walk, door, answer = self._answer(walk)
        found = answer.get("data")
        if not isinstance(found, list):
            raise FetchError(
                "Langfuse's answer holds no list of rows; check that the URL is its server."
            )
        after = self._after(walk, door, found, answer.get("meta"))
        records, rejects = self._taken(walk.what, door, found)
        return Page(records, rejects, reached=after.start), after

    def _answer(self, walk: Walk) -> tuple[Walk, Door, dict[str, Any]]:
        """The next page by the door that answers; another door begins the slice anew."""
        known = self.api.get(walk.what)
        for door in doors(walk.what, known):
            if door.path != known:
                walk = Walk(walk.start, walk.end, walk.what, readings=walk.readings)
            try:
                answer = self._ask(door, walk)
            except NotThere:
                continue
            except NotUnderstood:
                if walk.at is None:
                    raise
                # A server forgets its cursors when it is replaced by a newer one.
                walk = Walk(walk.start, walk.end, walk.what, readings=walk.readings)
                answer = self._ask(door, walk)
            self.api[walk.what] = door.path
            return walk, door, answer
        raise no_door()

    def _ask(self, door: Door, walk: Walk) -> dict[str, Any]:
        times = {door.start: _iso(walk.start), door.end: _iso(walk.slice_end)}
        if door.pages == CURSOR:
            with_io = walk.what == OBSERVATIONS and self._with_text
            fields = f"{door.fields},io" if with_io else door.fields
            limit = min(self._page_size, door.most)
            return self._server.get(door.path, limit=limit, cursor=walk.at, fields=fields, **times)
        limit = min(self._page_size, door.most, self._most_numbered)
        return self._server.get(door.path, limit=limit, page=walk.at or 1, **times)

    def _after(self, walk: Walk, door: Door, found: Sequence[Any], meta: Any) -> Walk:
        meta = meta if isinstance(meta, Mapping) else {}
        if door.pages == CURSOR:
            cursor = meta.get("cursor")
            if cursor and cursor == walk.at:
                raise FetchError(
                    "Langfuse gives the same page again and again; report this to whoever runs it."
                )
            return replace(walk, at=cursor) if cursor else walk.next_part()
        return self._after_number(walk, found, meta)

    def _after_number(self, walk: Walk, found: Sequence[Any], meta: Mapping[str, Any]) -> Walk:
        number = walk.at if isinstance(walk.at, int) else 1
        total, last = _whole(meta.get("totalItems")), _whole(meta.get("totalPages"))
        if number == 1:
            walk, self._seen = replace(walk, total=total), set()
        if self._seen is not None:
            self._seen.update(str(row.get("id")) for row in found if isinstance(row, Mapping))
        if found and (last is None or number < last):
            return replace(walk, at=number + 1)
        complete = self._seen is None or total is None or len(self._seen) >= total
        if (total == walk.total and complete) or walk.readings >= MOST_READINGS:
            return walk.next_part()
        return walk.again()

    # ---- rows → records ----

    def _taken(
        self, what: str, door: Door, found: Sequence[Any]
    ) -> tuple[list[SpanRecord | ScoreRecord], list[Reject]]:
        records: list[SpanRecord | ScoreRecord] = []
        rejects: list[Reject] = []
        # Only the older API leaves users and tags at the trace.
        traces = self._traces_of(found) if what == OBSERVATIONS and door.pages != CURSOR else {}
        form = rows.SCORE if what == SCORES else rows.OBSERVATION
        for row in found:
            try:
                records.append(self._record(what, row, traces))
            except BadRow as bad:
                rejects.append(rows.reject(row, bad, form))
        return records, rejects

    def _record(
        self, what: str, row: Any, traces: Mapping[str, Mapping[str, Any] | None]
    ) -> SpanRecord | ScoreRecord:
        if what == SCORES:
            return rows.score(row)
        if isinstance(row, Mapping):
            row = rows.with_trace(row, traces.get(str(row.get("traceId"))))
        return rows.span(row, key=self._terms.key, keeps_text=self._terms.keeps_text)

    def _traces_of(self, found: Sequence[Any]) -> dict[str, Mapping[str, Any] | None]:
        """The traces of a page's observations: by their time, and the rest one by one."""
        times = {
            row["traceId"]: row["startTime"]
            for row in found
            if isinstance(row, Mapping)
            and isinstance(row.get("startTime"), str)
            and isinstance(row.get("traceId"), str)
            and row["traceId"]
        }
        missing = times.keys() - self._traces.keys()
        if len(missing) > 1:
            self._list_traces(min(times.values()), max(times.values()), missing)
        for trace_id in sorted(missing - self._traces.keys()):
            self._traces[trace_id] = self._one_trace(trace_id)
        known = {trace_id: self._traces[trace_id] for trace_id in times}
        if len(self._traces) > MOST_TRACES:
            self._traces = dict(known)
        return known

    def _list_traces(self, first: str, last: str, missing: set[str]) -> None:
        """Traces that began while the page's observations did, which most of theirs have."""
        page, pages = 1, 1
        while page <= min(pages, MOST_TRACE_PAGES) and missing - self._traces.keys():
            answer = self._server.get(
                "traces",
                page=page,
                limit=TRACE_PAGE,
                fromTimestamp=first,
                toTimestamp=_just_after(last),
                fields="core",
            )
            found = answer.get("data")
            for trace in found if isinstance(found, list) else ():
                if isinstance(trace, Mapping):
                    self._traces[str(trace.get("id"))] = trace
            meta = answer.get("meta")
            pages = (_whole(meta.get("totalPages")) or 1) if isinstance(meta, Mapping) else 1
            page += 1

    def _one_trace(self, trace_id: str) -> Mapping[str, Any] | None:
        """A trace that began before the page, or None when nobody wrote one."""
        try:
            return self._server.get(f"traces/{quote(trace_id, safe='')}", fields="core")
        except NotThere:
            return None


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _just_after(said: str) -> str:
    """Ends of ranges are not part of them."""
    try:
        return _iso(datetime.fromisoformat(said) + timedelta(milliseconds=1))
    except ValueError:
        return ""


def _whole(said: Any) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) else None
