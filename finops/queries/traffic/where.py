"""Which rollup rows and spans a filter means, as SQL; the columns have the same names in both."""

from __future__ import annotations

from typing import Any

from ingest.models import Project

from ..book import REQUEST_KINDS
from ..filters import Filters


def names_of_projects(filters: Filters) -> dict[int, str]:
    """Every project in scope by id."""
    projects = Project.objects.all()
    if filters.project_ids is not None:
        projects = projects.filter(pk__in=filters.project_ids)
    return dict(projects.values_list("pk", "name"))


def condition(filters: Filters, table: str) -> str:
    """What holds for a request in scope; values come from `values`."""
    return " AND ".join((f"{table}.kind = ANY(%(kinds)s)", *narrowed(filters, table)))


def narrowed(filters: Filters, table: str) -> list[str]:
    """The same of rows that have no kind, for they are of requests alone."""
    parts = []
    if filters.project_ids is not None:
        parts.append(f"{table}.project_id = ANY(%(project_ids)s)")
    parts += [
        f"{table}.{name} = ANY(%({name})s::text[])"
        for name in ("provider", "model", "service")
        if getattr(filters, f"{name}s")
    ]
    return parts


def requests_by_day(filters: Filters) -> str:
    """Table `r` and its condition, for sums by day: of all requests a project has one row a day."""
    within = "r.day >= %(start)s AND r.day < %(end)s"
    if filters.providers or filters.models or filters.services:
        return f"ingest_span_day r WHERE {within} AND {condition(filters, 'r')}"
    return f"ingest_request_day r WHERE {' AND '.join((within, *narrowed(filters, 'r')))}"


def values(filters: Filters) -> dict[str, Any]:
    return {
        "kinds": list(REQUEST_KINDS),
        "project_ids": list(filters.project_ids or ()),
        "provider": list(filters.providers),
        "model": list(filters.models),
        "service": list(filters.services),
        "zone": filters.zone,
        "start": filters.start,
        "end": filters.end,
        "start_at": filters.start_at,
        "end_at": filters.end_at,
    }
