"""The columns of the book: what each of its parts is called, counted and narrowed by.

Knows tables and names. Refuses values: they are parameters of the statement.
"""

from __future__ import annotations

from dataclasses import dataclass

from .filters import Filters

IDLE = "(idle)"
SHARED = "(shared hardware)"
UNBILLED = "(not billed)"
NOT_ON_BILL = "(not on the bill)"
NO_MODEL = "(credits and taxes)"
EVERYBODY_ELSE = "(everybody else)"
OTHER = "(other)"

USAGE = {
    "project": "c.project_id::text",
    "provider": "c.provider",
    "model": "c.model",
    "service": "c.service",
    "kind": "c.kind",
    "tier": "c.tier",
    "sku": f"'{UNBILLED}'",
    "origin": "'usage'",
    "user": "c.user_id",
    "label": "c.value",
    "anybody": f"'{EVERYBODY_ELSE}'",
    "rule": "''",
}
HARDWARE = {
    "project": "(SELECT id::text FROM unclaimed)",
    "provider": "l.provider",
    "model": f"CASE WHEN q.model = '' THEN '{IDLE}' ELSE q.model END",
    "service": f"'{SHARED}'",
    "kind": f"'{SHARED}'",
    "tier": f"'{SHARED}'",
    "sku": "l.hardware",
    "origin": "'hardware'",
    "anybody": f"'{SHARED}'",
    "rule": "''",
}
MODEL_OF_BILL = (
    # A bill knows no models, but what a model's provider charges for is named by its SKU; that of
    # a pool's hardware names the hardware, and that of a credit or a tax nothing that was used.
    f"CASE WHEN {{unused}} THEN '{NO_MODEL}'"
    " WHEN m.usage_provider <> '' AND d.sku <> ''"
    " AND lower(m.usage_provider) NOT IN (SELECT provider FROM pools) THEN d.sku"
    f" ELSE '{NOT_ON_BILL}' END"
)
"""`.format(unused=condition)`: SKUs that a bill names for nothing but credits and taxes. Of one
that also charges for use, a credit lowers what that cost: what rules moved is known by SKU alone,
and has to keep its name on both sides."""

BILL = {
    "project": "(SELECT id::text FROM unclaimed)",
    "provider": "coalesce(m.usage_provider, d.provider)",
    "model": MODEL_OF_BILL.format(unused="NOT d.is_used"),
    "service": "d.service",
    "kind": f"'{NOT_ON_BILL}'",
    "tier": f"'{NOT_ON_BILL}'",
    "sku": "d.sku",
    "origin": "'bill'",
    "anybody": f"'{NOT_ON_BILL}'",
    "rule": "''",
}
"""Each part's column for each thing that rows are grouped or filtered by; `book_moved` has more.

Usage alone is known by user and by label. Beside that, a total can be split by `anybody`: usage, of
which single users have their share, and what is nobody's."""


@dataclass(frozen=True, slots=True)
class Who:
    """A split of usage that is known by the day and by longer periods alone."""

    columns: tuple[str, ...]
    """What its tables have beside those of all usage; the last one is the key."""
    costs: str
    """The start of the names of its tables of costs."""

    @property
    def key(self) -> str:
        return f"c.{self.columns[-1]}"

    @property
    def days(self) -> str:
        return f"{self.costs}day"

    @property
    def periods(self) -> str:
        """A range as blocks of four weeks, whole weeks and days: a tenth of its days' rows."""
        listed = ", ".join((*self.columns, *_OF_ALL_USAGE))
        tables = {"fourweeks": "four_weeks", "week": "weeks", "day": "other_days"}
        parts = (
            f"SELECT {listed} FROM {self.costs}{table} WHERE day = ANY(%({chosen})s::date[])"
            for table, chosen in tables.items()
        )
        return f"({' UNION ALL '.join(parts)})"


_OF_ALL_USAGE = (
    "day", "project_id", "service", "kind", "provider", "model", "tier", "currency", "cost",
    "spans", "tokens", "priced_spans", "unpriced_spans", "unpriced_tokens", "unknown_spans",
)  # fmt: skip
IN_PERIODS = """(c.days, c.first) IN (
        SELECT * FROM unnest(%(lengths)s::smallint[], %(firsts)s::date[]))"""
"""Sums of all lengths in one table."""
WHO = {
    "user": Who(("user_id",), "finops_usercost"),
    "label": Who(("label", "value"), "finops_labelcost"),
}

USAGE_COSTS = {"list": "c.list_cost"}
"""Of priced usage it is known what was paid, and often what the list asks; see docs/prices.md."""

COSTS = {
    "effective": "d.effective_cost",
    "billed": "d.billed_cost",
    "list": "d.list_cost",
    "contracted": "d.contracted_cost",
}

VOLUMES = """
    coalesce(sum(c.spans) FILTER (WHERE c.kind = ANY(%(kinds)s)), 0)::bigint AS requests,
    sum(c.tokens)::bigint AS tokens,
    coalesce(sum(c.priced_spans) FILTER (WHERE c.kind = ANY(%(kinds)s)), 0)::bigint
        AS priced_requests,
    coalesce(sum(c.tokens - c.unpriced_tokens) FILTER (WHERE c.currency <> ''), 0)::bigint
        AS priced_tokens,
    coalesce(sum(c.spans) FILTER (WHERE c.kind = ANY(%(kinds)s)
        AND lower(c.provider) IN (SELECT provider FROM pools)), 0)::bigint AS pool_requests,
    coalesce(sum(c.tokens) FILTER (
        WHERE lower(c.provider) IN (SELECT provider FROM pools)), 0)::bigint AS pool_tokens,
    sum(c.unpriced_spans)::bigint AS unpriced_spans,
    sum(c.unpriced_tokens)::bigint AS unpriced_tokens,
    sum(c.unknown_spans)::bigint AS unknown_spans"""
"""A pool is paid by the hour: its spans have no price of their own, and none is missing.

All parts have the same types, so that of a measure nobody asks for PostgreSQL makes no sum."""

VOLUMES_OF_TOTAL = """
    sum(c.requests)::bigint, sum(c.tokens)::bigint, sum(c.priced_requests)::bigint,
    coalesce(sum(c.tokens - c.unpriced_tokens) FILTER (WHERE c.currency <> ''), 0)::bigint,
    coalesce(sum(c.requests) FILTER (
        WHERE lower(c.provider) IN (SELECT provider FROM pools)), 0)::bigint,
    coalesce(sum(c.tokens) FILTER (
        WHERE lower(c.provider) IN (SELECT provider FROM pools)), 0)::bigint,
    sum(c.unpriced_spans)::bigint, sum(c.unpriced_tokens)::bigint, sum(c.unknown_spans)::bigint"""
"""The same of `LabelTotal`."""

NO_VOLUMES = """
    0::bigint AS requests, 0::bigint AS tokens, 0::bigint AS priced_requests,
    0::bigint AS priced_tokens, 0::bigint AS pool_requests, 0::bigint AS pool_tokens,
    0::bigint AS unpriced_spans, 0::bigint AS unpriced_tokens, 0::bigint AS unknown_spans"""

UNKNOWN_VOLUMES = """
    NULL::bigint AS requests, NULL::bigint AS tokens, NULL::bigint AS priced_requests,
    NULL::bigint AS priced_tokens, NULL::bigint AS pool_requests, NULL::bigint AS pool_tokens,
    NULL::bigint AS unpriced_spans, NULL::bigint AS unpriced_tokens,
    NULL::bigint AS unknown_spans"""
"""Bills know of no requests: NULL adds nothing, and stays where there is nothing else."""

NO_MODELS = """SELECT DISTINCT period_id, provider, service, sku FROM ingest_billskuday
    WHERE day >= %(start)s AND day < %(end)s AND NOT is_used"""
"""See `MODEL_OF_BILL`, of what rules moved."""

MATCHED = """LEFT JOIN (
    -- Two providers may share one bill service; its lines then carry the first name.
    SELECT bill_provider, bill_service, min(usage_provider) AS usage_provider
    FROM finops_billmatch GROUP BY 1, 2
) m ON m.bill_provider = d.provider AND m.bill_service = d.service"""


def narrowed(columns: dict[str, str], filters: Filters) -> str:
    """AND-ed conditions for the filters that are set; names come from the tables above."""
    conditions = [
        f"AND {columns[name]} = ANY(%({name})s::text[])"
        for name in ("provider", "model", "service")
        if getattr(filters, f"{name}s")
    ]
    return " ".join(conditions)


def _owned(filters: Filters) -> str:
    return "" if filters.project_ids is None else "AND c.project_id = ANY(%(project_ids)s)"


def usage_in_scope(filters: Filters) -> str:
    """AND-ed conditions for rows of usage under the alias `c`; values come from `parameters`."""
    return f"{_owned(filters)} {narrowed(USAGE, filters)}"


def usage_counted(windows: int) -> str:
    """A day that a bill covers is on that bill. The windows stand in the statement one by one: each
    row is held against them, and a subquery would take longer than all else there is to do."""
    return (
        " AND ".join(
            f"NOT (c.provider = %(billed{n})s AND c.day >= %(billed{n}_from)s::date"
            f" AND c.day < %(billed{n}_to)s::date)"
            for n in range(windows)
        )
        or "true"
    )


@dataclass(frozen=True, slots=True)
class HardwareSource:
    """Tables of hardware and what they are read by, all under the alias `q`."""

    paid: str
    landed: str
    within: str
    point: str
    unpriced_quarters: str


def hardware_source(step: str, is_covered: bool) -> HardwareSource:
    """Days, but for the hours of a day and where a bill covers a part of one."""
    if is_covered or step == "hour":
        return HardwareSource(
            "finops_poolquarter",
            "finops_landedhardware",
            "q.at >= %(start_at)s AND q.at < %(end_at)s",
            "date_trunc('hour', q.at)" if step == "hour" else "(q.at AT TIME ZONE %(zone)s)::date",
            "(q.model = '' AND q.allocated IS NULL)::int",
        )
    days = ("finops_poolday", "finops_landedhardwareday")
    within = "q.day >= %(start)s AND q.day < %(end)s"
    return HardwareSource(*days, within, "q.day", "q.unpriced_quarters")


def hardware_counted(is_covered: bool) -> str:
    """Hardware that a bill of its provider covers is on that bill."""
    if not is_covered:
        return "true"
    return """NOT EXISTS (SELECT FROM days_billed w WHERE w.provider = l.provider
        AND (q.at AT TIME ZONE %(zone)s)::date >= w.first
        AND (q.at AT TIME ZONE %(zone)s)::date < w.last)
        OR EXISTS (SELECT FROM edges w WHERE w.provider = l.provider
        AND q.at >= w.first AND q.at < w.last)"""


@dataclass(frozen=True, slots=True)
class Grouping:
    """What the rows of each part are summed by."""

    keys: tuple[str, ...]
    step: str
    """`day` or `hour`; empty for no steps."""
    has_others: bool = False
    """Groups that are not `named` have the same key. Known before they are summed: to make one
    group of thousands takes as long as to make them."""

    def columns(self, of: dict[str, str], point: str) -> str:
        """The keys and the point, of a part that calls them so."""
        # Some columns are varchar; as one type, a measure that nobody asks for is not summed.
        chosen = [f"({of[key]})::text" for key in self.keys]
        if self.has_others:
            chosen = [f"CASE WHEN named.n0 IS NULL THEN '{OTHER}' ELSE {key} END" for key in chosen]
        chosen = [f"{key} AS k{place}" for place, key in enumerate(chosen)]
        if self.step:
            chosen.append(f"{point} AS point")
        return ", ".join(chosen) if chosen else "0 AS k0"

    def named(self, of: dict[str, str]) -> str:
        """The join by which `columns` knows whose group is named."""
        if not self.has_others:
            return ""
        same = (f"named.n{place} = ({of[key]})::text" for place, key in enumerate(self.keys))
        return f"LEFT JOIN named ON {' AND '.join(same)}"

    def named_groups(self) -> str:
        """What it joins, of the arrays `named0`, `named1`."""
        if not self.has_others:
            return ""
        arrays = ", ".join(f"%(named{place})s::text[]" for place in range(len(self.keys)))
        names = ", ".join(f"n{place}" for place in range(len(self.keys)))
        return f""",
named AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS named ({names}))"""

    @property
    def ordinals(self) -> str:
        """Places of the keys, and the currency behind them; one dummy when there is none."""
        count = max(1, len(self.keys) + bool(self.step)) + 1
        return ", ".join(str(place) for place in range(1, count + 1))
