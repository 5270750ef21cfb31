"""What the callers of a target saw, and what the server spent on it, in a stretch of time.

Knows spans, their scores and the server's own counters. Refuses to guess: a block without counters
has no GPU time, a request that nobody traced has no latency.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from finops.queries.book import REQUEST_KINDS
from optimiser.models import Rollout, RolloutBlock, Target
from optimiser.verify import CONTROL, TREATED, Block

SPANS = """
SELECT s.started_at, s.latency_ms, s.status = 'error', s.model, c.good, s.user_id
FROM ingest_span s
LEFT JOIN LATERAL (
    SELECT bool_and(coalesce(truth, number >= 0.5, label IN ('pass', 'good', 'correct'))) AS good
    FROM ingest_score
    WHERE project_id = s.project_id AND trace_id = s.trace_id AND span_id = s.span_id
        AND (truth IS NOT NULL OR number BETWEEN 0 AND 1
            OR label IN ('pass', 'good', 'correct', 'fail', 'bad', 'wrong'))
) c ON true
WHERE s.project_id = %(project)s AND s.kind = ANY(%(kinds)s)
    AND coalesce(nullif(s.request_model, ''), s.model) = %(model)s
    AND s.started_at >= %(start)s AND s.started_at < %(end)s
    AND s.day BETWEEN (%(start)s AT TIME ZONE 'UTC')::date
        AND (%(end)s AT TIME ZONE 'UTC')::date
    -- Where nested spans report the same usage, the leaf counts.
    AND NOT EXISTS (
        SELECT FROM ingest_usage_parent p WHERE p.project_id = s.project_id AND p.key = s.key)
ORDER BY s.started_at DESC, s.key DESC
LIMIT %(most)s"""
"""The index is on (project_id, started_at)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as its caller saw it."""

    started_at: datetime
    latency_ms: float | None
    is_error: bool
    model: str
    """Who answered, as the span says; of an error, whom it asked."""
    is_good: bool | None
    caller: str = ""
    """Who asked, as the span says; empty where it does not."""


def requests(
    target: Target, start: datetime, end: datetime, most: int | None = None
) -> list[Request]:
    """The target's requests that began in `[start, end)`, in order; the newest of too many."""
    given = {
        "project": target.project_id,
        "model": target.request_model,
        "kinds": list(REQUEST_KINDS),
        "start": start,
        "end": end,
        "most": most,
    }
    with connection.cursor() as cursor:
        cursor.execute(SPANS, given)
        return [Request(*row) for row in reversed(cursor.fetchall())]


def blocks(
    rollout: Rollout, measured: Sequence[RolloutBlock]
) -> list[tuple[Block, dict[str, Any]]]:
    """For the judge, in order of time, each with what it was made from, for the input hash."""
    found: list[tuple[Block, dict[str, Any]]] = []
    for one in measured:
        seen = [] if one.dropped_reason else _requests_of(rollout.target, one)
        pair = one.index // 2 if one.arm else one.index
        for arm, part in _by_arm(one, seen):
            found.append((block := _block(one, arm, part, pair), _told(one, block)))
    return found


def _requests_of(target: Target, block: RolloutBlock) -> list[Request]:
    assert block.measured_from is not None
    assert block.measured_to is not None
    return requests(target, block.measured_from, block.measured_to)


def _by_arm(block: RolloutBlock, seen: list[Request]) -> list[tuple[str, list[Request]]]:
    """A switchback's block is of one arm; in a split the model that answered says which."""
    if block.arm:
        return [(block.arm, seen)]
    models = {arm: said["model"] for arm, said in (block.statistics_from or {}).items()}
    known = {arm: [one for one in seen if one.model == models.get(arm)] for arm in ARMS}
    nobodys = [one for one in seen if one.model not in models.values()]
    return [(arm, known[arm] + part) for arm, part in _shared(nobodys, known).items()]


ARMS = (CONTROL, TREATED)


def _shared(
    nobodys: list[Request], known: Mapping[str, list[Request]]
) -> Mapping[str, list[Request]]:
    """An error that names no model is the router's own: both arms bear it, each by its share."""
    errors = [one for one in nobodys if one.is_error]
    answered = sum(map(len, known.values()))
    cut = round(len(errors) * len(known[CONTROL]) / answered) if answered else len(errors) // 2
    return {CONTROL: errors[:cut], TREATED: errors[cut:]}


def _block(block: RolloutBlock, arm: str, seen: list[Request], pair: int) -> Block:
    latencies = [one.latency_ms for one in seen if not one.is_error and one.latency_ms is not None]
    scores = [float(one.is_good) for one in seen if one.is_good is not None]
    errors = sum(one.is_error for one in seen)
    counted = {} if block.dropped_reason else _counted(block, arm)
    if not block.arm and counted:
        # The router answers from the base what the canary fails at; the server counted it.
        errors += counted["failed"]
    return Block(
        arm=arm,
        latencies_ms=np.array(latencies, dtype=np.float64),
        errors=errors,
        gpu_seconds=_gpu_seconds(counted, len(latencies)),
        scores=np.array(scores) if scores else None,
        pair=pair,
    )


def _counted(block: RolloutBlock, arm: str) -> dict[str, Any]:
    first, last = (block.statistics_from or {}).get(arm), (block.statistics_to or {}).get(arm)
    if first is None or last is None:
        return {}
    return {name: last[name] - first[name] for name in ("requests_ok", "failed", "busy_s")}


def _gpu_seconds(counted: Mapping[str, Any], answered: int) -> float | None:
    """The answered requests' part of the server's work, which may answer others' as well."""
    if not counted or counted["requests_ok"] <= 0:
        return None
    return float(counted["busy_s"]) * answered / float(counted["requests_ok"])


def _told(row: RolloutBlock, block: Block) -> dict[str, Any]:
    return {
        "index": row.index,
        "arm": block.arm,
        "pair": block.pair,
        "errors": block.errors,
        "gpu_seconds": block.gpu_seconds,
        "latencies": _hash(block.latencies_ms),
        "scores": None if block.scores is None else _hash(block.scores),
    }


def _hash(values: NDArray[np.float64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
