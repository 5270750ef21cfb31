"""What Langfuse's SDKs tell bit by bit: put together in the database, in whatever order it comes.

A trace is locked before its observations and ids are locked in order, so that two deliveries about
one trace wait for each other and the later one sees both. What is whole becomes a span at once;
what is not waits, and what still waits after a week is quarantined, not forgotten in silence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from ingest import parts, quarantine
from ingest.models import Reject as RejectRow
from ingest.models import Source, ToldPart
from ingest.parts import Fields, Part
from ingest.records import Reject, SpanRecord

from . import counting
from .counting import Counts, mark_dirty, project_of
from .spans import spans as store_spans

KEPT_FOR = timedelta(days=7)
"""After the last word; a score may come later, for it needs no part."""

PART = "langfuse.part"
"""How quarantine names what its parts make."""

Whole = Callable[[str, Mapping[str, Any], Mapping[str, Any], int], SpanRecord | Reject | None]
"""(id, an observation's fields, its trace's, version) → the span; None while it is not whole."""

BEGIN = """
INSERT INTO ingest_told_part
    (project_id, kind, external_id, trace_id, source_id, fields, is_span, touched_at)
SELECT %(project)s, %(kind)s, id, '', %(source)s, '{}', false, now()
FROM unnest(%(ids)s::text[]) AS told (id) ORDER BY id
ON CONFLICT DO NOTHING"""
KNOWN = """
SELECT external_id, trace_id, fields FROM ingest_told_part
WHERE project_id = %(project)s AND kind = %(kind)s
    AND (external_id = ANY(%(ids)s) OR (trace_id = ANY(%(traces)s) AND trace_id <> ''))
ORDER BY external_id"""
WRITE = """
UPDATE ingest_told_part p SET fields = told.fields::jsonb, trace_id = told.trace_id,
    is_span = told.is_span, source_id = %(source)s, touched_at = now()
FROM unnest(%(ids)s::text[], %(traces)s::text[], %(fields)s::text[], %(whole)s::bool[])
    AS told (id, trace_id, fields, is_span)
WHERE p.project_id = %(project)s AND p.kind = %(kind)s AND p.external_id = told.id"""

# A span is kept on the day it was first seen; one that moved to a day now closed stays as it is.
SPREAD = """
UPDATE ingest_span s SET
    user_id = coalesce(nullif(s.user_id, ''), told.user_id),
    session_id = coalesce(nullif(s.session_id, ''), told.session_id)
FROM unnest(%(ids)s::text[], %(users)s::text[], %(sessions)s::text[])
    AS told (trace_id, user_id, session_id)
WHERE s.project_id = %(project)s AND s.trace_id = told.trace_id
    AND ((s.user_id = '' AND told.user_id <> '')
        OR (s.session_id = '' AND told.session_id <> ''))
    AND (s.started_at AT TIME ZONE 'UTC')::date = s.day
RETURNING date_trunc('hour', s.started_at)"""


@dataclass(slots=True)
class _Told:
    """One trace or observation as it stands in the database."""

    trace_id: str = ""
    fields: Fields = field(default_factory=dict)
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    counts: Counts
    problems: Mapping[str, str]
    """Why an observation, by its id, is no span although all of it was told."""


def take(source: Source, told: Sequence[Part], rejects: Sequence[Reject], whole: Whole) -> Taken:
    """Put parts to what is known of their things, and store what has become of them."""
    project = project_of(source)
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        owner = {"project": project, "source": source.pk}
        traces = _with_traces(cursor, owner, told)
        observations = _with_observations(cursor, owner, told, traces)
        _look_up(cursor, owner, observations.values(), traces)
        texts = _texts(told)
        records: list[SpanRecord] = []
        refused = list(rejects)
        problems: dict[str, str] = {}
        done: set[str] = set()
        for own_id, known in observations.items():
            made = _made(own_id, known, traces.get(known.trace_id), whole)
            problem = made.problem(now) if isinstance(made, SpanRecord) else made
            if isinstance(problem, Reject) and isinstance(made, SpanRecord):
                problem = replace(problem, form=PART, payload=_named(own_id, known))
            if isinstance(problem, Reject):
                refused.append(problem)
                problems[own_id] = problem.detail
            elif isinstance(made, SpanRecord):
                records.append(replace(made, texts=texts.get(own_id)))
                done.add(own_id)
        _write(cursor, owner, "observation", observations, done)
        counts = store_spans(source, records, refused)
    return Taken(counts, problems)


def spread(
    source: Source, told: Sequence[Part], records: Sequence[SpanRecord], rejects: Sequence[Reject]
) -> Counts:
    """Store whole spans whose user and session were said at another span of their trace."""
    with transaction.atomic(), connection.cursor() as cursor:
        owner = {"project": project_of(source), "source": source.pk}
        traces = _with_traces(cursor, owner, told)
        said = {trace_id: parts.values(trace.fields) for trace_id, trace in traces.items()}
        counts = store_spans(source, [_filled(one, said) for one in records], rejects)
        _spread(cursor, owner["project"], traces)
    return counts


def _filled(record: SpanRecord, said: Mapping[str, Mapping[str, Any]]) -> SpanRecord:
    trace = said.get(record.trace_id, {})
    user_id = record.user_id or trace.get("userId", "")
    session_id = record.session_id or trace.get("sessionId", "")
    if (user_id, session_id) == (record.user_id, record.session_id):
        return record
    return replace(record, user_id=user_id, session_id=session_id)


def _spread(cursor: Any, project: int, traces: Mapping[str, _Told]) -> None:
    """To the spans that came before their trace said it."""
    changed = {
        trace_id: parts.values(trace.fields) for trace_id, trace in traces.items() if trace.changed
    }
    if not changed:
        return
    cursor.execute(
        SPREAD,
        {
            "project": project,
            "ids": list(changed),
            "users": [said.get("userId", "") for said in changed.values()],
            "sessions": [said.get("sessionId", "") for said in changed.values()],
        },
    )
    mark_dirty(cursor, "project", project, {hour for (hour,) in cursor.fetchall()})


# ---- rows of parts -----------------------------------------------------------------------------


def _with_traces(cursor: Any, owner: Mapping[str, int], told: Sequence[Part]) -> dict[str, _Told]:
    """The traces these parts belong to, locked; those that parts speak of are merged and stored."""
    ids = sorted({part.trace_id for part in told if part.trace_id})
    traces = _locked(cursor, owner, "trace", ids)
    for part in told:
        if part.kind == "trace":
            traces[part.id].changed |= parts.merge(traces[part.id].fields, part)
    changed = {trace_id: trace for trace_id, trace in traces.items() if trace.changed}
    _write(cursor, owner, "trace", changed, set())
    return traces


def _with_observations(
    cursor: Any, owner: Mapping[str, int], told: Sequence[Part], traces: Mapping[str, _Told]
) -> dict[str, _Told]:
    """The observations these parts speak of, and those of a trace that says something new."""
    mine = [part for part in told if part.kind == "observation"]
    news = sorted(trace_id for trace_id, trace in traces.items() if trace.changed)
    found = _locked(cursor, owner, "observation", sorted({part.id for part in mine}), news)
    for part in mine:
        known = found[part.id]
        parts.merge(known.fields, part)
        known.trace_id = parts.values(known.fields).get("traceId", "")
    return found


def _locked(
    cursor: Any, owner: Mapping[str, int], kind: str, ids: list[str], traces: Sequence[str] = ()
) -> dict[str, _Told]:
    asked = {**owner, "kind": kind, "ids": ids, "traces": list(traces)}
    if ids:
        cursor.execute(BEGIN, asked)
    if not ids and not traces:
        return {}
    cursor.execute(f"{KNOWN} FOR UPDATE", asked)
    return {own_id: _Told(trace_id, _read(fields)) for own_id, trace_id, fields in cursor}


def _look_up(
    cursor: Any, owner: Mapping[str, int], observations: Iterable[_Told], traces: dict[str, _Told]
) -> None:
    """Traces that only an earlier part named: read without a lock, for a lock would come too late.

    Whoever changes such a trace meanwhile waits for its observations, and then sees these parts.
    """
    missing = sorted({one.trace_id for one in observations} - traces.keys() - {""})
    if missing:
        asked = {**owner, "kind": "trace", "ids": missing, "traces": []}
        cursor.execute(KNOWN, asked)
        traces.update({own_id: _Told(own_id, _read(fields)) for own_id, _, fields in cursor})


def _read(fields: Any) -> Fields:
    read: Fields = json.loads(fields) if isinstance(fields, str) else fields
    return read


def _write(
    cursor: Any, owner: Mapping[str, int], kind: str, told: Mapping[str, _Told], whole: set[str]
) -> None:
    if not told:
        return
    cursor.execute(
        WRITE,
        {
            **owner,
            "kind": kind,
            "ids": list(told),
            # A trace is not one of its own observations.
            "traces": ["" if kind == "trace" else one.trace_id for one in told.values()],
            "fields": [json.dumps(one.fields) for one in told.values()],
            "whole": [own_id in whole for own_id in told],
        },
    )


def _made(
    own_id: str, known: _Told, trace: _Told | None, whole: Whole
) -> SpanRecord | Reject | None:
    about = trace.fields if trace is not None else {}
    newest = parts.version(known.fields, about)
    return whole(own_id, parts.values(known.fields), parts.values(about), newest)


def _named(own_id: str, known: _Told) -> bytes:
    """Its parts stay where they are: to try it again its name is enough."""
    return quarantine.payload({"id": own_id, "traceId": known.trace_id})


def _texts(told: Sequence[Part]) -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = {}
    for part in sorted(told, key=lambda part: part.stamp):
        if part.texts:
            texts.setdefault(part.id, {}).update(part.texts)
    return texts


# ---- keeping house -----------------------------------------------------------------------------


def forget(now: datetime) -> int:
    """Drop what was last spoken of long ago; what never became a span is quarantined. How many."""
    with transaction.atomic():
        old = list(
            ToldPart.objects.select_for_update(skip_locked=True)
            .filter(touched_at__lt=now - KEPT_FOR)
            .order_by("kind", "external_id")[:10_000]
        )
        sources = Source.objects.in_bulk({one.source_id for one in old})
        for one in old:
            if one.kind == "observation" and not one.is_span and one.source_id in sources:
                _quarantine(sources[one.source_id], one)
        for one in old:
            ToldPart.objects.filter(pk=one.pk).delete()
    return len(old)


def _quarantine(source: Source, one: ToldPart) -> None:
    if RejectRow.objects.filter(source=source, external_id=f"{one.trace_id}/{one.external_id}"):
        return  # said already, when it was put together
    detail = (
        "Its update came but never its beginning; see that the process that starts it can send."
    )
    never_began = Reject(
        "never_began", "startTime", detail, external_id=f"{one.trace_id}/{one.external_id}"
    )
    counting.quarantine_rejects(source, [never_began])
