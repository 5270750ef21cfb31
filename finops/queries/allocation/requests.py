"""Requests with the rule that takes them, as what they cost a day of the project that sent them.

Knows the facts of open days, and has them priced as a user's share of a day is. Several sets of
rules may be asked at once, so that a draft is compared with the rules in force on the very same
requests. Refuses days of which a part is gone, and to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection
from django.db.models import Max, Sum

from finops.actions.user_costs import Group, Share, Used, priced_shares
from finops.costing.allocating import REQUESTS, ZERO, Rule, part_of, parts_of, weights_of, within
from finops.costing.lines import Usage
from finops.models import CostDay
from ingest import partitions
from ingest.models import SealedDay
from ingest.models.rollups import DIMENSIONS
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS
from ingest.rollup.spans import OWN_USAGE, USAGE_BELOW, day_start

from .charges import taken_columns
from .matching import DAYS, NO_RULE, Matcher

DIMS = ", ".join(DIMENSIONS)
MOST_READ = 1_000_000
"""Requests that a page reads one by one."""

NO_PRICE = "These requests have no price of their own."


@dataclass(frozen=True, slots=True)
class RequestCharge:
    """A day's requests of one sender and dimension that the same rules take."""

    sender: int
    day: date
    group: Group
    currency: str
    """Empty: they have no amount, as where hardware is paid for by the hour."""
    taken_by: tuple[int, ...]
    """For each set of rules the number of the rule that takes it; NO_RULE where none does."""
    requests: int
    cost: Decimal
    list_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class RequestPart:
    project: int
    cost: Decimal
    list_cost: Decimal | None


def request_parts(charge: RequestCharge, rule: Rule) -> list[RequestPart]:
    """What lands where: the parts add up to the charge, to the last digit."""
    weights = weights_of(rule).of
    costs = parts_of(charge.cost, weights)
    listed: Mapping[int, Decimal | None] = dict.fromkeys(costs)
    if charge.list_cost is not None:
        listed = parts_of(charge.list_cost, weights)
    return [RequestPart(project, cost, listed[project]) for project, cost in costs.items()]


def senders(rules: Iterable[Rule]) -> list[int]:
    """The projects of which a rule may take a request, by what it asks of the project alone."""
    matcher = Matcher(REQUESTS)
    of_project = [
        replace(
            rule,
            conditions=tuple(one for one in rule.conditions if one.field == "project"),
            first_day=None,
            last_day=None,
        )
        for rule in rules
    ]
    case = matcher.case(of_project)
    sql = f"""SELECT id FROM (SELECT p.id {matcher.columns()} FROM ingest_project p) AS project
WHERE {case} <> {NO_RULE} ORDER BY id"""
    return [pk for (pk,) in _rows(sql, matcher.values)]


def open_days(days: Iterable[date]) -> list[date]:
    """Those of which every request is still there."""
    touched = {day: _utc_days(day) for day in days}
    gone = partitions.sealed(partitions.SPAN, (day for found in touched.values() for day in found))
    return [day for day, found in touched.items() if not gone.intersection(found)]


def reach() -> date | None:
    """The first day of which rules over requests may still move anything; None: every day."""
    sealed = SealedDay.objects.filter(table=partitions.SPAN.table)
    last = sealed.aggregate(last=Max("day"))["last"]
    if last is None:
        return None
    # The last one that is gone meets at most two accounting days.
    return min(open_days(last + timedelta(days=n) for n in range(4)))


def readable_days(projects: Sequence[int], days: Sequence[date]) -> list[date]:
    """The newest of them that are read within seconds, by the number of their requests."""
    known = CostDay.objects.filter(project_id__in=projects, day__in=days)
    counts = dict(known.values_list("day").annotate(spans=Sum("spans")).order_by("day"))
    found: list[date] = []
    read = 0
    for day in sorted(days, reverse=True):
        read += counts.get(day, 0)
        if found and read > MOST_READ:
            break
        found.append(day)
    return found


def request_charges(
    projects: Sequence[int], days: Sequence[date], sets: Sequence[Sequence[Rule]]
) -> list[RequestCharge]:
    """What the projects sent on these open days, as far as a rule of one of the sets takes it.

    For an amount that stays, the caller holds the lock `price:project:ID` of each.
    """
    if not projects or not days or not any(sets):
        return []
    most = _costs(projects, days)
    charges: list[RequestCharge] = []
    for (sender, day), used in _used(projects, days, sets).items():
        # What no rule takes is priced as well: together they are the cost of the day.
        shares = priced_shares(sender, day, used)
        charges += _charges(sender, day, shares, most)
    return [one for one in charges if set(one.taken_by) != {NO_RULE}]


def _charges(
    sender: int, day: date, shares: Iterable[Share], most: Mapping[tuple[Any, ...], Decimal]
) -> Iterator[RequestCharge]:
    """Never more than the day cost: of requests that come in just now the sums may know more."""
    groups: dict[tuple[Group, str], list[Share]] = {}
    for share in shares:
        groups.setdefault((share.group, share.cost.line.currency), []).append(share)
    for (group, currency), found in groups.items():
        whole = most.get((sender, day, *group, currency), ZERO)
        costs = within({at: one.cost.line.total for at, one in enumerate(found)}, whole)
        for at, one in enumerate(found):
            line, taken_by = one.cost.line, cast(tuple[int, ...], one.who)
            listed = line.listed if currency else None
            if listed is not None and costs[at] != line.total:
                listed = part_of(listed, costs[at], line.total)
            yield RequestCharge(
                sender, day, group, currency, taken_by, one.usage.spans, costs[at], listed
            )


def _costs(projects: Sequence[int], days: Sequence[date]) -> dict[tuple[Any, ...], Decimal]:
    found = CostDay.objects.filter(project_id__in=projects, day__in=days).values_list(
        "project_id", "day", *DIMENSIONS, "currency", "cost"
    )
    return {tuple(key): cost for *key, cost in found}


def _used(
    projects: Sequence[int], days: Sequence[date], sets: Sequence[Sequence[Rule]]
) -> dict[tuple[int, date], list[Used]]:
    """Of each sender and day the sums of what the same rules take, and of what none does."""
    matcher, places = Matcher(REQUESTS), [f"r{place}" for place in range(len(sets))]
    taken = taken_columns(matcher, sets)
    keys = ", ".join(("project_id", "day", *places, *DIMENSIONS))
    sql = f"""
SELECT {keys}, count(*), count(*) FILTER (WHERE status = 'error'),
    count(*) FILTER (WHERE usage_unknown),
    {", ".join(f"coalesce(sum({name}), 0)::bigint" for name in TOKEN_FIELDS)}
FROM (
    SELECT *, {taken} FROM (
        SELECT s.project_id, {DAYS[REQUESTS]} AS day, {", ".join(f"s.{n}" for n in DIMENSIONS)},
            s.status, {OWN_USAGE},
            u.key IS NULL AND s.status = 'ok' AND s.kind IN ('llm', 'embedding', 'rerank')
                AND s.input_tokens IS NULL AND s.output_tokens IS NULL AS usage_unknown
            {matcher.columns()}
        FROM ingest_span s JOIN ingest_project p ON p.id = s.project_id
        {USAGE_BELOW}
        WHERE s.project_id = ANY(%(projects)s)
            AND s.day BETWEEN %(first)s::date - 2 AND %(last)s::date + 2
            AND s.started_at >= %(from)s AND s.started_at < %(to)s
            AND (s.kind IN ('llm', 'embedding', 'rerank', 'inference')
                OR num_nonnulls(s.input_tokens, s.output_tokens) > 0)
        OFFSET 0  -- A fence: what is read above is not computed again for each rule.
    ) AS line {"WHERE day = ANY(%(days)s)" if _has_gaps(days) else ""}
) AS taken GROUP BY {keys}"""
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    values = {
        **matcher.values,
        "zone": zone.key,
        "projects": list(projects),
        "days": list(days),
        "first": min(days),
        "last": max(days),
        "from": day_start(min(days), zone),
        "to": day_start(max(days) + timedelta(days=1), zone),
    }
    found: dict[tuple[int, date], list[Used]] = {}
    width = 2 + len(sets)
    for project, day, *row in _rows(sql, values):
        who, group, counts = row[: width - 2], row[width - 2 : width + 4], row[width + 4 :]
        spans, errors, unknown, *tokens = counts
        usage = Usage(
            group[1], dict(zip(TOKEN_CLASSES, tokens, strict=True)), spans, errors, unknown
        )
        found.setdefault((project, day), []).append(Used(tuple(who), tuple(group), usage))
    return found


def _has_gaps(days: Sequence[date]) -> bool:
    """Without, the first and the last moment say it all, and the sums need no sorting."""
    return (max(days) - min(days)).days + 1 > len(set(days))


def _utc_days(day: date) -> list[date]:
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    first = day_start(day, zone).astimezone(UTC).date()
    end: datetime = day_start(day + timedelta(days=1), zone) - timedelta(microseconds=1)
    last = end.astimezone(UTC).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _rows(sql: str, values: Mapping[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
