"""Pages of rows, newest first, by a cursor that stays right while rows are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from finops.queries import cursors


@dataclass(frozen=True, slots=True)
class Page:
    rows: tuple[Any, ...]
    next: str | None


def newest_first(
    rows: QuerySet[Any], limit: int, cursor: str | None, moment: str = "created_at"
) -> Page:
    """Ordered by `moment` and id, both descending. Raises BadCursor."""
    found = rows.order_by(f"-{moment}", "-pk")
    if cursor:
        at, pk = cursors.decode(cursor, cursors.instant, cursors.identity)
        found = found.filter(Q(**{f"{moment}__lt": at}) | Q(**{moment: at, "pk__lt": pk}))
    fetched = list(found[: limit + 1])
    page = tuple(fetched[:limit])
    if len(fetched) <= limit:
        return Page(page, None)
    return Page(page, cursors.encode(getattr(page[-1], moment).isoformat(), page[-1].pk))
