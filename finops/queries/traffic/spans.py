"""Lists of single requests: the newest, the failed, the slowest. Rows never hold prompt text.

Spans are many and have an index by project and time only. The rollups say which quarter hours hold
what is looked for, so a page reads those few quarters and not the whole window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone

from finops import access
from finops.actions.span_costs import SpanCost, span_costs
from ingest import sketch
from ingest.models import Span
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS

from .. import book, cursors
from ..filters import Filters
from ..stamp import Stamped, newest, notes
from .where import condition, names_of_projects, values

QUARTER = timedelta(minutes=15)
MOST_SLOWEST = 250
"""How far the list of the slowest goes; beyond it, narrow the window."""

DETAILS_KEPT = """NOT EXISTS (SELECT FROM ingest_sealedday z
    WHERE z."table" = 'ingest_span' AND z.day = r.day)"""
"""Of a closed day the sums are known and no single request: it must not crowd out days that have
some."""

COLUMNS = (
    "project_id", "day", "key", "trace_id", "span_id", "kind", "name", "service", "provider",
    "model", "tier", "status", "error_type", "started_at", "latency_ms", "ttft_ms", "input_band",
    *TOKEN_FIELDS, "usage_convention", "removable_tokens",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """One request as it was observed, with its derived cost."""

    project_id: int
    project: str
    day: date
    key: str
    trace_id: str
    span_id: str
    name: str
    kind: str
    service: str
    provider: str
    model: str
    tier: str
    status: str
    error_type: str
    started_at: datetime
    latency_ms: float | None
    ttft_ms: float | None
    tokens: dict[str, int | None]
    """Token class → count; None is unknown."""
    usage_convention: str
    """Whether the sender's input count held the cached tokens: inclusive, exclusive or unknown."""
    removable_tokens: int | None
    """Input that says nothing: blocks sent twice, needless white space. Unknown without text."""
    cost: Decimal | None
    """None is unpriced, unknown or paid otherwise; `cost_note` says which."""
    currency: str
    cost_note: str
    list_cost: Decimal | None
    """Of what `cost` covers, at list prices; None also where no list has a price."""

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token after the first, of an answer that succeeded; see docs/measures.md.

        Unknown unless the sender told when the first one came.
        """
        produced = [self.tokens[name] for name in ("output", "reasoning", "audio_output")]
        count = sum(number for number in produced if number is not None)
        if self.latency_ms is None or self.ttft_ms is None or self.tokens["output"] is None:
            return None
        if self.status != "ok" or count < 2 or self.latency_ms < self.ttft_ms:
            return None
        return (self.latency_ms - self.ttft_ms) / (count - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanPage(Stamped):
    rows: tuple[SpanRow, ...]
    next: str | None
    """Cursor of the next page; None on the last."""


def recent(filters: Filters, limit: int = 50, cursor: str | None = None) -> SpanPage:
    """Newest first."""
    return _newest_first(filters, limit, cursor, "spans", "true")


def errors(filters: Filters, limit: int = 50, cursor: str | None = None) -> SpanPage:
    """Failed requests, newest first."""
    return _newest_first(filters, limit, cursor, "errors", "s.status = 'error'")


def _newest_first(
    filters: Filters, limit: int, cursor: str | None, measure: str, wanted: str
) -> SpanPage:
    projects = names_of_projects(filters)
    before = cursors.decode(cursor, cursors.instant, UUID) if cursor else None
    upper = min(before[0], filters.end_at) if before else filters.end_at
    quarters = _quarters_with(filters, measure, upper, limit + 1)
    if before is None:
        quarters |= _not_rolled_up_yet(filters, projects)
    found = _spans(
        filters,
        quarters,
        f"{wanted} AND (%(before)s::timestamptz IS NULL"
        " OR (s.started_at, s.key) < (%(before)s, %(before_key)s))",
        ("s.started_at", "s.key"),
        limit + 1,
        before=before and before[0],
        before_key=before and before[1],
    )
    spans = [span for span, _ in found[:limit]]
    following = None
    if len(found) > limit:
        following = cursors.encode(spans[-1].started_at.isoformat(), str(spans[-1].key))
    return _page(filters, spans, projects, following)


def _quarters_with(
    filters: Filters, measure: str, upper: datetime, count: int
) -> set[tuple[int, datetime]]:
    """(project, quarter) pairs that hold the `count` newest before `upper`, and few others."""
    scope = condition(filters, "r")
    last_day = (upper - timedelta(microseconds=1)).astimezone(ZoneInfo(filters.zone)).date()
    given = {**values(filters), "last_day": last_day, "upper": upper}
    per_day = book.rows(
        f"SELECT r.day, sum(r.{measure}) FROM ingest_span_day r"
        f" WHERE r.day >= %(start)s AND r.day <= %(last_day)s AND r.{measure} > 0 AND {scope}"
        f" AND {DETAILS_KEPT} GROUP BY 1 ORDER BY 1 DESC",
        given,
    )
    # Of the day (or quarter) that holds `upper` itself, nothing may be left before it.
    days = [day for day, _ in _until(per_day, count, lambda day: day == last_day)]
    if not days:
        return set()
    given["days"] = days
    per_quarter = book.rows(
        f"SELECT r.at, array_agg(DISTINCT r.project_id), sum(r.{measure})"
        " FROM ingest_span_quarter r WHERE (r.at AT TIME ZONE %(zone)s)::date = ANY(%(days)s)"
        " AND r.at >= (%(first)s::timestamp AT TIME ZONE %(zone)s) AND r.at < %(upper)s"
        f" AND r.{measure} > 0 AND {scope} GROUP BY 1 ORDER BY 1 DESC",
        {**given, "first": days[-1]},
    )
    ids = {at: projects for at, projects, _ in per_quarter}
    chosen = _until(
        [(at, count) for at, _, count in per_quarter], count, lambda at: at + QUARTER > upper
    )
    return {(project, at) for at, _ in chosen for project in ids[at]}


def _until(counted: Sequence[tuple[Any, int]], count: int, is_partial: Any) -> list[Any]:
    """The leading items that together hold `count`, where partial ones count for nothing."""
    chosen, reached = [], 0
    for item in counted:
        if reached >= count:
            break
        chosen.append(item)
        reached += 0 if is_partial(item[0]) else item[1]
    return chosen


def _not_rolled_up_yet(filters: Filters, projects: Iterable[int]) -> set[tuple[int, datetime]]:
    """The last two quarters may hold spans that no rollup has seen."""
    now = timezone.now()
    current = now - timedelta(
        minutes=now.minute % 15, seconds=now.second, microseconds=now.microsecond
    )
    quarters = (current + QUARTER, current, current - QUARTER)
    return {
        (project, at)
        for at in quarters
        for project in projects
        if filters.start_at <= at < filters.end_at
    }


def slowest(filters: Filters, limit: int = 50, cursor: str | None = None) -> SpanPage:
    """Slowest first, up to 250; from one page to the next the order is right to 2 %.

    The sketches say how slow the n-th slowest request was, to one bucket, and which quarter hours
    hold requests in that bucket or above. Within a page the order is exact; in the last bucket,
    where thousands may have run into the same timeout, the newest come first.
    """
    projects = names_of_projects(filters)
    seen, bucket, at, key = (
        cursors.decode(cursor, cursors.identity, int, cursors.instant, UUID)
        if cursor
        else (0, 2**15, filters.end_at, UUID(int=0))
    )
    if seen >= MOST_SLOWEST or not -(2**15) <= bucket <= 2**15:
        raise cursors.BadCursor
    limit = min(limit, MOST_SLOWEST - seen)
    wanted = seen + limit + 1
    floor = _bucket_of_nth(filters, wanted)
    if floor is None:
        return _page(filters, [], projects, None)
    quarters = _quarters_from(filters, floor, wanted)
    in_bucket = sketch.BUCKET_SQL.format(x="s.latency_ms")
    found = _spans(
        filters,
        quarters,
        f"s.latency_ms IS NOT NULL AND {in_bucket} >= %(floor)s"
        f" AND ({in_bucket}, s.started_at, s.key) < (%(bucket)s, %(at)s, %(key)s)",
        (in_bucket, "s.started_at", "s.key"),
        limit + 1,
        floor=floor,
        bucket=bucket,
        at=at,
        key=key,
    )
    spans = [span for span, _ in found[:limit]]
    following = None
    if len(found) > limit and seen + limit < MOST_SLOWEST:
        last, reached = found[limit - 1]
        following = cursors.encode(
            seen + limit, reached, last.started_at.isoformat(), str(last.key)
        )
    spans.sort(key=lambda span: (-span.latency_ms, span.key))
    return _page(filters, spans, projects, following)


def _bucket_of_nth(filters: Filters, count: int) -> int | None:
    """The bucket of the n-th slowest request, or of the fastest where there are fewer.

    The `count` rollup rows with the highest top bucket hold the answer: each has at least one
    request in it, so no row below them can hold one of the n slowest.
    """
    found = book.rows(
        f"""
WITH tops AS (
    SELECT r.latency_keys AS keys, r.latency_counts AS counts FROM ingest_span_day r
    WHERE r.day >= %(start)s AND r.day < %(end)s AND r.latency_count > 0
        AND {condition(filters, "r")} AND {DETAILS_KEPT}
    ORDER BY r.latency_keys[cardinality(r.latency_keys)] DESC LIMIT %(count)s
), ranked AS (
    SELECT b.k, sum(sum(b.n)) OVER (ORDER BY b.k DESC) AS upto
    FROM tops, unnest(tops.keys, tops.counts) AS b (k, n) GROUP BY b.k
)
SELECT coalesce(max(k) FILTER (WHERE upto >= %(count)s), min(k)) FROM ranked""",
        {**values(filters), "count": count},
    )
    return found[0][0]


def _quarters_from(filters: Filters, floor: int, count: int) -> set[tuple[int, datetime]]:
    """Quarters with a request above the bucket, and the newest that reach just up to it.

    `count` of them are enough: each has a request that belongs to the `count` slowest. Rows are
    compared as (project, time), which only the primary key can serve: of two plain conditions
    PostgreSQL takes the index on time alone, and reads every project's day.
    """
    top = "r.latency_keys[cardinality(r.latency_keys)]"
    scope = f"r.latency_count > 0 AND {top} >= %(floor)s AND {condition(filters, 'r')}"
    given = {**values(filters), "floor": floor, "count": count}
    per_day = book.rows(
        f"""
SELECT r.project_id, r.day, bool_or({top} > %(floor)s),
    sum(coalesce(r.latency_counts[array_position(r.latency_keys, CAST(%(floor)s AS smallint))], 0))
FROM ingest_span_day r WHERE r.day >= %(start)s AND r.day < %(end)s AND {scope}
    AND {DETAILS_KEPT}
GROUP BY 1, 2 ORDER BY 2 DESC""",
        given,
    )
    pairs = _days_from(per_day, count)
    given |= {"owners": [owner for owner, _ in pairs], "days": [day for _, day in pairs]}
    reaching = book.rows(
        f"""
SELECT r.project_id, r.at FROM unnest(%(owners)s::int[], %(days)s::date[]) AS d (owner, day)
CROSS JOIN LATERAL (
    SELECT r.project_id, r.at, max({top}) > %(floor)s AS above FROM ingest_span_quarter r
    WHERE (r.project_id, r.at) >= (d.owner, d.day::timestamp AT TIME ZONE %(zone)s)
        AND (r.project_id, r.at) < (d.owner, (d.day + 1)::timestamp AT TIME ZONE %(zone)s)
        AND {scope}
    GROUP BY 1, 2
) AS r ORDER BY r.above DESC, r.at DESC LIMIT %(count)s""",
        given,
    )
    return set(reaching)


def _days_from(per_day: Sequence[tuple[Any, ...]], count: int) -> list[tuple[int, date]]:
    """Days above the bucket, and the newest whole days that hold `count` requests in it.

    After an outage every quarter hour of months may reach the bucket of the timeout.
    """
    chosen, reached, last = [], 0, None
    for owner, day, is_above, in_bucket in per_day:
        if reached < count or day == last:
            last = day
        if is_above or day == last:
            chosen.append((owner, day))
        reached += in_bucket
    return chosen


def _spans(
    filters: Filters,
    quarters: set[tuple[int, datetime]],
    wanted: str,
    order: tuple[str, ...],
    limit: int,
    **given: Any,
) -> list[tuple[Span, Any]]:
    """Spans of these quarters in descending order, each with the value it is first ordered by.

    LATERAL with its LIMIT makes PostgreSQL go quarter by quarter, down the index and with all but
    one partition pruned; a plain join scans the whole window. A span stays on the day it was first
    seen on, which may be the day beside, so each quarter is looked for on three days. Each by `=`:
    every row of a partition has that day, so the index on time is chosen and not the primary key.

    What is the same for all places would be weighed for each partition, and most of the time goes
    into that: the ends of the window are put into the places, and days are told by the first and
    the last of them, unless most of those between are not looked at.
    """
    if not quarters:
        return []
    places = [
        (owner, max(at, filters.start_at), min(at + QUARTER, filters.end_at))
        for owner, at in sorted(quarters)
    ]
    owners, since, until = (list(column) for column in zip(*places, strict=True))
    days = {at.astimezone(UTC).date() for at in since}
    looked_at = sorted({day + timedelta(days=beside) for day in days for beside in (-1, 0, 1)})
    close_by = (looked_at[-1] - looked_at[0]).days < 2 * len(looked_at)
    descending = ", ".join(f"{column} DESC" for column in order)
    sql = f"""
SELECT s.* FROM (
    SELECT owner, since, until, (since AT TIME ZONE 'UTC')::date + beside AS day
    FROM unnest(%(owners)s::int[], %(since)s::timestamptz[], %(until)s::timestamptz[])
        AS place (owner, since, until), generate_series(-1, 1) AS beside
) AS q CROSS JOIN LATERAL (
    SELECT {", ".join(f"s.{name}" for name in COLUMNS)}, {order[0]} AS first
    FROM ingest_span s
    WHERE s.project_id = q.owner AND s.started_at >= q.since AND s.started_at < q.until
        AND s.day = q.day AND {
        "s.day BETWEEN %(first_day)s AND %(last_day)s" if close_by else "s.day = ANY(%(looked_at)s)"
    }
        AND {condition(filters, "s")} AND {wanted}
    ORDER BY {descending} LIMIT %(limit)s
) AS s ORDER BY s.first DESC, s.started_at DESC, s.key DESC
LIMIT %(limit)s"""
    given |= values(filters)
    given |= {
        "owners": owners,
        "since": since,
        "until": until,
        "looked_at": looked_at,
        "first_day": looked_at[0],
        "last_day": looked_at[-1],
        "limit": limit,
    }
    return [
        (Span(**dict(zip(COLUMNS, row[:-1], strict=True))), row[-1])
        for row in book.rows(sql, given)
    ]


def span_detail(user: Any, project: int, day: date, key: str) -> SpanRow | None:
    """One request; None when there is none that this reader may see."""
    visible = access.visible_projects(user, "finops.view_requests")
    names = {found.pk: found.name for found in visible.all}
    if project not in names:
        return None
    given = {"project": project, "day": day, "key": UUID(key)}
    found = book.rows(
        f"SELECT {', '.join(COLUMNS)} FROM ingest_span"
        " WHERE project_id = %(project)s AND day = %(day)s AND key = %(key)s",
        given,
    )
    spans = [Span(**dict(zip(COLUMNS, row, strict=True))) for row in found]
    costs = span_costs(spans) if spans else {}
    rows = (_row(span, names[project], costs[span.project_id, span.key]) for span in spans)
    return next(rows, None)


def _page(
    filters: Filters, found: list[Span], projects: dict[int, str], following: str | None
) -> SpanPage:
    costs = span_costs(found) if found else {}
    sources = notes(filters, usage=True)
    return SpanPage(
        rows=tuple(
            _row(span, projects[span.project_id], costs[span.project_id, span.key])
            for span in found
        ),
        next=following,
        as_of=newest(filters, sources),
        provisional=True,
        sources=sources,
    )


def _row(span: Span, project: str, cost: SpanCost) -> SpanRow:
    return SpanRow(
        project=project,
        key=str(span.key),
        tokens={
            name: getattr(span, field)
            for name, field in zip(TOKEN_CLASSES, TOKEN_FIELDS, strict=True)
        },
        cost=cost.money.amount if cost.money else None,
        currency=cost.money.currency if cost.money else "",
        cost_note=cost.note,
        list_cost=cost.listed.amount if cost.listed else None,
        **{name: getattr(span, name) for name in PLAIN},
    )


PLAIN = (
    "project_id", "day", "trace_id", "span_id", "name", "kind", "service", "provider", "model",
    "tier", "status", "error_type", "started_at", "latency_ms", "ttft_ms", "usage_convention",
    "removable_tokens",
)  # fmt: skip
