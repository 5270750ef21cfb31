"""The SQL of unit costs: which rows are counted, split by which columns, in one pass.

Knows tables. Refuses to interpret: answers leave as sums per split, key and day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ingest.models.rollups import DIMENSIONS
from ingest.records import TOKEN_FIELDS

from .. import book, conversion
from ..book import Split
from ..filters import Filters
from ..group_names import columns_of
from ..traffic.where import narrowed

OUTPUT_FIELDS = ("output_tokens", "reasoning_tokens", "audio_output_tokens")
INPUT_FIELDS = tuple(name for name in TOKEN_FIELDS if name not in OUTPUT_FIELDS)
DIMS = ", ".join(DIMENSIONS)
COUNTED = ("spans", "errors", "usage_unknown", *TOKEN_FIELDS)
INPUT = " + ".join(INPUT_FIELDS)
OUTPUT = " + ".join(OUTPUT_FIELDS)


@dataclass(frozen=True, slots=True)
class Found:
    """One row of an answer."""

    keys: tuple[str, ...]
    """One per column of the split."""
    day: date | None
    values: tuple[Any, ...]


def split_rows(
    source: str,
    measures: str,
    splits: Sequence[Split],
    values: dict[str, Any],
    of_parts: str = "",
) -> list[list[Found]]:
    """Sums over `source` (with columns project_id, provider, model, service, day) per split.

    With `of_parts` the source has a column `part` too: `measures` are then of each part by itself,
    and what is answered are these further sums of them.
    """
    keys = tuple(dict.fromkeys(key for split in splits for key in columns_of(split.keys)))
    names = [_column(key) for key in keys]
    if any(split.by_time for split in splits):
        keys, names = (*keys, "day"), [*names, "f.day"]
    sets, masks = [], []
    for split in splits:
        own = {*columns_of(split.keys), *(("day",) if split.by_time else ())}
        sets.append(f"({', '.join(n for k, n in zip(keys, names, strict=True) if k in own)})")
        masks.append(int("".join("0" if key in own else "1" for key in keys) or "0", base=2))
    grouping = f"grouping({', '.join(names)})" if names else "0"
    called = [f"k{place}" for place in range(len(names))]
    listed = "".join(f", {n} AS {alias}" for n, alias in zip(names, called, strict=True))
    sql = f"SELECT {grouping} AS mask{listed}, {measures} FROM ({source}) AS f GROUP BY "
    if of_parts:
        one = ", ".join(("mask", *called))
        sql = f"SELECT {one}, {of_parts} FROM ({sql} f.part, GROUPING SETS ({', '.join(sets)}))"
        sql += f" AS parts GROUP BY {one}"
    else:
        sql += f"GROUPING SETS ({', '.join(sets)})"
    found = book.rows(sql, values)
    answers: list[list[Found]] = []
    for split, mask in zip(splits, masks, strict=True):
        columns = columns_of(split.keys)
        answers.append(
            [
                Found(
                    tuple(str(row[1 + keys.index(key)]) for key in columns),
                    row[1 + keys.index("day")] if split.by_time else None,
                    tuple(row[1 + len(keys) :]),
                )
                for row in found
                # A set without columns answers one row even of nothing.
                if row[0] == mask
            ]
        )
    return answers


def _column(key: str) -> str:
    return "f.project_id" if key == "project" else f"f.{key}"


def exact_usage(
    filters: Filters, *, by: str = "day", of_kind: bool = False, is_converted: bool = False
) -> str:
    """Costs joined with what they are for, by day or by quarter hour (`at`); of all kinds of spans,
    or `of_kind`, which is a value of the statement.

    `is_exact` says that the whole of a row was priced in the currency asked for, as it is known
    now: only then is it known which of its tokens its cost belongs to. Converted, it says that all
    of it has a rate on its day; the values of `conversion.joined` are needed then.
    """
    rate, join, priced = "", "", "c.currency = %(currency)s"
    if is_converted:
        rate, join = " * fx.rate", f"LEFT JOIN {conversion.joined('c')}"
        priced = "fx.rate IS NOT NULL"
    costs, usage, within = {
        "day": (
            "finops_costday",
            "ingest_span_day",
            "{0}.day >= %(start)s AND {0}.day < %(end)s",
        ),
        "at": (
            "finops_costquarter",
            f"(SELECT project_id, at, {DIMS}, {', '.join(COUNTED)} FROM ingest_span_quarter"
            f" UNION ALL SELECT project_id, at, {DIMS}, {', '.join(COUNTED)}"
            " FROM ingest_late_quarter)",
            "{0}.at >= %(start_at)s AND {0}.at < %(end_at)s",
        ),
    }[by]
    if of_kind:
        within += " AND {0}.kind = %(kind)s"
    scope = " AND ".join((within.format("c"), *narrowed(filters, "c")))
    # Rates are of a day, and a quarter hour is of the day it is in.
    of_day = ", (c.at AT TIME ZONE %(zone)s)::date AS day" if is_converted and by == "at" else ""
    listed = ", ".join(f"u.{name}" for name in COUNTED)
    own = " AND ".join((within.format("u"), *narrowed(filters, "u")))
    keys = f"project_id, {by}, {DIMS}"
    # The offset makes it a hash join: PostgreSQL takes the groups of costs for a tenth of what they
    # are, and would look each of them up.
    used = f"SELECT {keys}, {', '.join(COUNTED)} FROM {usage} u WHERE {own} OFFSET 0"
    if by == "at":  # what came late has rows of its own
        sums = ", ".join(f"sum(u.{name})::bigint AS {name}" for name in COUNTED)
        used = f"SELECT {keys}, {sums} FROM {usage} u WHERE {own} GROUP BY {keys}"
    return f"""
SELECT {keys}, {listed}, c.input_side, c.output_side, c.cost,
    c.in_currency AND NOT c.otherwise AND c.unpriced_tokens = 0
        AND c.tokens = {INPUT} + {OUTPUT} AS is_exact
FROM (
    SELECT {keys}, sum(c.tokens) AS tokens, sum(c.unpriced_tokens) AS unpriced_tokens,
        sum((c.input_cost + c.cache_cost){rate}) AS input_side,
        sum(c.output_cost{rate}) AS output_side, sum(c.cost{rate}) AS cost,
        bool_or({priced}) AS in_currency,
        bool_or(NOT ({priced}) AND (c.tokens > 0 OR c.currency <> '')) AS otherwise
    FROM (SELECT *{of_day} FROM {costs} c WHERE {scope}) c {join} GROUP BY {keys}
) AS c JOIN ({used}) AS u USING ({keys})"""
