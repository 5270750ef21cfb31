"""By what a shared charge is divided on a day: priced usage of projects, or requests they made.

Knows the daily costs, and what rules moved of them. Refuses to add currencies, and to invent a
weight where nothing was used.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from finops.costing.allocating import Weights, in_one_unit
from finops.models import BillMatch
from finops.money import CONTEXT
from finops.queries.book import REQUEST_KINDS
from finops.queries.landed_usage import landed_usage

USED = f"""(
    SELECT day, provider, currency, project_id, cost FROM finops_costday
    WHERE day >= %(first)s AND day <= %(last)s AND currency <> ''
    UNION ALL SELECT l.day, l.provider, l.currency,
        CASE WHEN side.sign = 1 THEN l.project_id ELSE l.sender_id END, side.sign * l.cost
    FROM {landed_usage("l.day >= %(first)s AND l.day <= %(last)s")} AS l
    CROSS JOIN (VALUES (1), (-1)) AS side (sign)
) AS used"""
"""Whose usage is whose after the rules over requests: a bill of it is split accordingly."""

USAGE = f"""
SELECT day, lower(provider), currency, project_id, sum(cost) FROM {USED}
GROUP BY 1, 2, 3, 4"""

REQUESTS = """
SELECT day, lower(provider), model, project_id, sum(spans) FROM finops_costday
WHERE day >= %s AND day <= %s AND kind = ANY(%s)
    AND lower(provider) IN (SELECT lower(provider) FROM ingest_pool WHERE provider <> '')
GROUP BY 1, 2, 3, 4"""

REVISIONS = """
SELECT day, sum(said)::text FROM (
    SELECT day, hashtextextended(
        concat_ws('|', project_id, provider, model, kind, currency, cost, spans), 0) AS said
    FROM finops_costday
    UNION ALL SELECT day, hashtextextended(
        concat_ws('|', sender_id, project_id, provider, currency, cost), 1)
    FROM finops_landedusage
) AS used WHERE day >= %s AND day <= %s GROUP BY day ORDER BY day"""


class UsageWeights:
    """Priced usage per project between two days, read once."""

    def __init__(self, first: date, last: date) -> None:
        self.cells: dict[tuple[date, str], dict[tuple[str, int], Decimal]] = defaultdict(dict)
        self.known: dict[tuple[Any, ...], Weights] = {}
        for day, provider, currency, project, cost in _rows(USAGE, {"first": first, "last": last}):
            self.cells[day, provider][currency, project] = cost

    def of(self, first: date, last: date, providers: frozenset[str], currency: str) -> Weights:
        """Of those days; with providers, of their usage alone."""
        asked = (first, last, providers, currency)
        if asked not in self.known:
            self.known[asked] = self._summed(*asked)
        return self.known[asked]

    def _summed(self, first: date, last: date, providers: frozenset[str], currency: str) -> Weights:
        found: dict[str, dict[int, Decimal]] = {}
        for (day, provider), costs in self.cells.items():
            if not first <= day <= last or (providers and provider not in providers):
                continue
            for (unit, project), cost in costs.items():
                of = found.setdefault(unit, {})
                of[project] = CONTEXT.add(of.get(project, Decimal(0)), cost)
        return in_one_unit(found, currency)


class RequestWeights:
    """Requests per project that hardware of ours answered between two days, read once."""

    def __init__(self, first: date, last: date) -> None:
        self.cells: dict[tuple[date, str, str], dict[int, Decimal]] = defaultdict(dict)
        for day, provider, model, project, spans in _rows(
            REQUESTS, [first, last, list(REQUEST_KINDS)]
        ):
            self.cells[day, provider, model][project] = Decimal(spans)

    def of(self, first: date, last: date, providers: frozenset[str], model: str) -> Weights:
        """Of one model; without, as of the idle rest, of all models of these providers."""
        found: dict[int, Decimal] = defaultdict(Decimal)
        for (day, provider, name), counts in self.cells.items():
            if first <= day <= last and provider in providers and (not model or name == model):
                for project, count in counts.items():
                    found[project] += count
        what = f" for the model {model}" if model else ""
        return Weights(found, "" if found else f"No project's request{what} was seen in its days.")


def matched_providers() -> dict[tuple[str, str], frozenset[str]]:
    """(provider, service) of a bill → whose usage it charges for, where that is set."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for provider, service, usage in BillMatch.objects.values_list(
        "bill_provider", "bill_service", "usage_provider"
    ):
        found[provider, service].add(usage.lower())
    return {key: frozenset(names) for key, names in found.items()}


def revisions(first: date, last: date) -> dict[date, str]:
    """Per day, something that changes whenever a weight of it does."""
    return dict(_rows(REVISIONS, [first, last]))


def _rows(sql: str, values: list[Any] | dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
