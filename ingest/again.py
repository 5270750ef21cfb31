"""Tries refused rows again: from what quarantine kept, through the decoder they came by at first.

Knows which reader takes which form. Refuses to guess: what was not kept, or lost a figure to
redaction, stays refused, and says so. A row that is taken moves, in its own transaction, from the
refused of its hour to the facts; one that still cannot be taken changes nothing but its reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q
from django.utils import timezone

from ingest import events, kept, privacy, quarantine, store
from ingest.models import Reject, Source, ToldPart
from ingest.parts import Part, Stamp
from ingest.quarantine import BeyondUse
from ingest.records import Reject as RejectRecord
from ingest.records import SpanRecord
from ingest.sources import gpu, langfuse_ingestion, otlp
from ingest.sources import langfuse_observation as langfuse
from ingest.sources.base import BadBody
from ingest.sources.langfuse_fields import BadRow
from ingest.sources.otlp import kept as otlp_kept
from ingest.store.counting import hour_of, project_of, rejects_told
from ingest.store.samples import GPU_BATCH

KEPT_FOR = timedelta(days=7)
MOST_AT_ONCE = 500
"""One request stays short; whoever asks goes on after `Tally.last_id` while `left` is not 0."""

TAKEN, REFUSED, NOTHING_KEPT = "taken", "refused", "nothing_kept"
NOTHING = "Kept nothing to try again:"
SEND_AGAIN = "its sender, or its file, must bring it again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row."""

    reject_id: int
    state: str
    """TAKEN, REFUSED or NOTHING_KEPT."""
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class Tally:
    """What became of several rows."""

    taken: int = 0
    refused: int = 0
    nothing_kept: int = 0
    left: int = 0
    """How many were not tried yet."""
    last_id: int = 0
    """Where to go on."""
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(reason, what to mend) → how many rows it keeps out still."""

    @property
    def tried(self) -> int:
        return self.taken + self.refused + self.nothing_kept

    def add(self, outcome: Outcome) -> None:
        setattr(self, outcome.state, getattr(self, outcome.state) + 1)
        self.last_id = outcome.reject_id
        if outcome.state != TAKEN:
            self.reasons[outcome.reason, outcome.detail] += 1

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.taken + other.taken,
            self.refused + other.refused,
            self.nothing_kept + other.nothing_kept,
            other.left,
            other.last_id,
            self.reasons + other.reasons,
        )


def waiting(source: Source, *, reject_id: int | None = None, reason: str = "") -> Any:
    """The refused rows that are meant, oldest first."""
    rows = source.rejects.filter(state=REFUSED).order_by("pk")
    if reject_id is not None:
        rows = rows.filter(pk=reject_id)
    return rows.filter(reason=reason) if reason else rows


def some(
    source: Source, *, reject_id: int | None = None, reason: str = "", after: int = 0
) -> Tally:
    """Try up to MOST_AT_ONCE rows after the one called `after`, each by itself."""
    rows = waiting(source, reject_id=reject_id, reason=reason).filter(pk__gt=after)
    ids = list(rows.values_list("pk", flat=True)[:MOST_AT_ONCE])
    tally = Tally(last_id=after)
    for one_id in ids:
        outcome = one(source, one_id)
        if outcome is not None:
            tally.add(outcome)
    # Counted last: what came meanwhile is left too.
    tally.left = rows.filter(pk__gt=max([after, *ids])).count()
    return tally


def one(source: Source, reject_id: int) -> Outcome | None:
    """One row; None where it was taken or forgotten meanwhile."""
    with transaction.atomic():
        row = (
            Reject.objects.select_for_update()
            .filter(pk=reject_id, source=source, state=REFUSED)
            .first()
        )
        if row is None:
            return None
        row.tries, row.tried_at = row.tries + 1, timezone.now()
        try:
            problem = _taken_or_why(source, row)
        except BeyondUse as lost:
            row.save(update_fields=["tries", "tried_at"])
            detail = f"{NOTHING} {lost}; {SEND_AGAIN}."
            return Outcome(row.pk, NOTHING_KEPT, row.reason, detail)
        if problem is not None:
            row.reason, row.field = problem.reason, problem.field[:100]
            row.detail = problem.detail
            row.save(update_fields=["tries", "tried_at", "reason", "field", "detail"])
            return Outcome(row.pk, REFUSED, row.reason, row.detail)
        # What is a fact now needs no copy in quarantine.
        row.state, row.payload = TAKEN, b""
        row.save(update_fields=["tries", "tried_at", "state", "payload"])
        _uncount(source, row)
        return Outcome(row.pk, TAKEN)


class _StillRefused(Exception):
    """Takes what was written of a row with it."""

    def __init__(self, problem: RejectRecord) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def _taken_or_why(source: Source, row: Reject) -> RejectRecord | None:
    reader = READERS.get(row.form)
    if reader is None:
        raise BeyondUse("nothing that could be read again was kept of it")
    told, is_less = quarantine.opened(row.payload, row.field)
    try:
        with transaction.atomic(), rejects_told() as refused:
            reader(source, told, is_less)
            if refused:
                raise _StillRefused(refused[0])
    except _StillRefused as still:
        return still.problem
    except BadRow as bad:
        return RejectRecord(bad.reason, bad.field, bad.detail)
    except BadBody as bad:
        return RejectRecord(row.reason, row.field, str(bad))
    return None


def _uncount(source: Source, row: Reject) -> None:
    """It came once: the hour that counted it as refused counts it no more, for this one does."""
    start = hour_of(row.received_at)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingest_pull SET rejected = rejected - 1, rows_in = rows_in - 1"
            " WHERE source_id = %s AND window_from = %s AND window_to = %s AND rejected > 0",
            [source.pk, start, start + timedelta(hours=1)],
        )


# ---- readers -----------------------------------------------------------------------------------

Reader = Callable[[Source, dict[str, Any], bool], None]
"""(source, the row without what was redacted, whether anything was) → stored, or BadRow."""


def _otlp_span(source: Source, row: dict[str, Any], is_less: bool) -> None:
    key = privacy.project_key(project_of(source))
    decoded = otlp.decode(otlp_kept.body_of(row), key=key)
    if is_less:
        decoded.spans = [_without_marks(span) for span in decoded.spans]
    if decoded.traces:
        store.parts.spread(source, decoded.traces, decoded.spans, decoded.rejects)
    else:
        store.spans(source, decoded.spans, decoded.rejects)
    if decoded.scores:
        store.scores(source, decoded.scores)


def _without_marks(span: SpanRecord) -> SpanRecord:
    """A fingerprint of half a prompt, or of half its parameters, would be that of another one."""
    return replace(
        span, prompt_hash=None, prefix_hashes=None, parameters_hash=None, prompt_signature=None,
        input_chars=None, output_chars=None, removable_chars=None,
    )  # fmt: skip


def _langfuse_event(source: Source, event: dict[str, Any], is_less: bool) -> None:
    told = event.get("observed")
    if is_less and isinstance(told, dict):
        event = {**event, "observed": _without_texts(told)}
    event = langfuse_ingestion.renamed(event, "observed")
    key = privacy.project_key(project_of(source))
    batch = langfuse_ingestion.decode(
        json.dumps({"batch": [event]}).encode(), key=key, keeps_text=False
    )
    _take_parts(source, batch.parts, batch.rejects)
    if batch.scores:
        store.scores(source, batch.scores)


def _langfuse_part(source: Source, row: dict[str, Any], _: bool) -> None:
    own_id, trace_id = row.get("id", ""), row.get("traceId", "")
    if not ToldPart.objects.filter(
        project_id=project_of(source), kind="observation", external_id=own_id
    ).exists():
        raise BeyondUse("its parts are gone")
    # It says nothing new: what is there already is put together once more.
    _take_parts(source, [Part("observation", own_id, trace_id, {}, Stamp(0, 0, ""))], [])


def _take_parts(source: Source, parts: list[Part], rejects: list[RejectRecord]) -> None:
    key = privacy.project_key(project_of(source))
    if parts or rejects:
        store.parts.take(source, parts, rejects, partial(langfuse_ingestion.whole, key=key))


def _langfuse_observation(source: Source, row: dict[str, Any], is_less: bool) -> None:
    key = privacy.project_key(project_of(source))
    told = _without_texts(row) if is_less else row
    store.spans(source, [langfuse.span(told, key=key, keeps_text=False)])


def _without_texts(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if name not in ("input", "output", "modelParameters")
    }


def _langfuse_score(source: Source, row: dict[str, Any], _: bool) -> None:
    batch, _ = langfuse_ingestion.decode_scores(json.dumps(row).encode(), now=timezone.now())
    store.scores(source, batch.scores, batch.rejects)


def _gpu_batch(source: Source, row: dict[str, Any], _: bool) -> None:
    store.gpus(source, gpu.decode(json.dumps(row).encode()))


def _span(source: Source, row: dict[str, Any], _: bool) -> None:
    store.spans(source, [kept.span(row)])


def _score(source: Source, row: dict[str, Any], _: bool) -> None:
    store.scores(source, [kept.score(row)])


def _metric(source: Source, row: dict[str, Any], _: bool) -> None:
    store.metrics(source, [kept.metric(row)])


def _event(source: Source, row: dict[str, Any], _: bool) -> None:
    try:
        record = events.of_row(row)
    except (TypeError, ValueError):
        raise BeyondUse("what was kept of it is not the whole event") from None
    store.events.take(source, [record])


READERS: dict[str, Reader] = {
    store.events.FORM: _event,
    otlp_kept.FORM: _otlp_span,
    langfuse.EVENT: _langfuse_event,
    langfuse.PART: _langfuse_part,
    langfuse.OBSERVATION: _langfuse_observation,
    langfuse.SCORE: _langfuse_score,
    GPU_BATCH: _gpu_batch,
    "record.span": _span,
    "record.score": _score,
    "record.metric": _metric,
}


def reasons(source: Source) -> Iterator[tuple[str, int, int]]:
    """(reason, how many rows it keeps out, how many of them can be tried again)."""
    found = (
        waiting(source)
        .order_by()
        .values_list("reason")
        .annotate(rows=Count("pk"), kept=Count("pk", filter=~Q(form="")))
    )
    yield from found.order_by("-rows", "reason")
