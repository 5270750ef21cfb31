"""What spans say they cost by their own source, beside what they cost by our prices.

Knows daily sums. Compared are only the sums in which every request has both costs: a request that
one side does not price would look like a difference of prices. Refuses other currencies than the
dollar, in which sources report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from ingest.models.rollups import DIMENSIONS

from ..amounts import ZERO, minus
from ..book import parameters, rows, usage_in_scope
from ..filters import Filters
from ..stamp import Stamped, newest, notes
from .bills import recent_months
from .facts import month_after

CURRENCY = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCostRow:
    """One provider and model."""

    provider: str
    model: str
    requests: int
    """Spans of all sums in which some source told a cost."""
    told: int
    """Of these, the ones whose source told it."""
    source_cost: Decimal
    """All that sources told."""
    compared: int
    """Spans in sums where each has both costs."""
    compared_source_cost: Decimal
    compared_cost: Decimal

    @property
    def difference(self) -> Decimal | None:
        """Ours − the source's, of the compared; None where nothing can be compared."""
        return minus(self.compared_cost, self.compared_source_cost) if self.compared else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCosts(Stamped):
    months: tuple[date, ...]
    currency: str
    rows: tuple[SourceCostRow, ...]
    """The largest difference first."""


SQL = f"""
WITH ours AS (
    SELECT c.project_id, c.day, {", ".join(f"c.{name}" for name in DIMENSIONS)},
        sum(c.cost) FILTER (WHERE c.currency = '{CURRENCY}') AS cost,
        coalesce(sum(c.priced_spans) FILTER (WHERE c.currency = '{CURRENCY}'), 0) AS priced
    FROM finops_costday c
    WHERE to_char(c.day, 'YYYY-MM') = ANY(%(months)s) AND c.day >= %(start)s AND c.day < %(end)s
        {{scope}}
    GROUP BY c.project_id, c.day, {", ".join(f"c.{name}" for name in DIMENSIONS)}
), told AS (
    SELECT c.provider, c.model, c.spans, c.source_cost_spans, c.source_cost_usd, o.cost,
        c.source_cost_spans = c.spans AND o.priced = c.spans AS comparable
    FROM ingest_span_day c
    LEFT JOIN ours o ON o.project_id = c.project_id AND o.day = c.day
        AND {" AND ".join(f"o.{name} = c.{name}" for name in DIMENSIONS)}
    WHERE to_char(c.day, 'YYYY-MM') = ANY(%(months)s) AND c.day >= %(start)s AND c.day < %(end)s
        AND c.source_cost_spans > 0 {{scope}}
)
SELECT provider, model, sum(spans)::bigint, sum(source_cost_spans)::bigint, sum(source_cost_usd),
    coalesce(sum(spans) FILTER (WHERE comparable), 0)::bigint,
    sum(source_cost_usd) FILTER (WHERE comparable), sum(cost) FILTER (WHERE comparable)
FROM told GROUP BY 1, 2"""


def source_costs(filters: Filters, months: Sequence[date] = (), provider: str = "") -> SourceCosts:
    """Of the projects the reader may see, by months of the accounting zone."""
    chosen = tuple(months) or recent_months()
    scope = replace(
        filters,
        start=min(chosen),
        end=month_after(max(chosen)),
        providers=(provider,) if provider else filters.providers,
    )
    values = parameters(scope) | {"months": [f"{month:%Y-%m}" for month in chosen]}
    found = [
        SourceCostRow(
            provider=row[0],
            model=row[1],
            requests=row[2],
            told=row[3],
            source_cost=row[4],
            compared=row[5],
            compared_source_cost=row[6] or ZERO,
            compared_cost=row[7] or ZERO,
        )
        for row in rows(SQL.format(scope=usage_in_scope(scope)), values)
    ]
    found.sort(key=lambda row: (-abs(row.difference or ZERO), row.provider, row.model))
    sources = notes(scope, usage=True)
    return SourceCosts(
        months=chosen,
        currency=CURRENCY,
        rows=tuple(found),
        as_of=newest(scope, sources),
        provisional=True,
        sources=sources,
    )
