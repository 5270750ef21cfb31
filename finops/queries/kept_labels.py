"""Which labels of requests usage is summed by, for whom.

Knows what is kept. Refuses to name a label of a project that the reader may not see.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from finops import access
from ingest.models import KeptLabel


def visible(visible: access.Projects) -> list[KeptLabel]:
    """The labels that a reader may split costs by."""
    chosen = KeptLabel.objects.select_related("project")
    if not visible.everything:
        chosen = chosen.filter(Q(project=None) | Q(project__in=visible.ids))
    return list(chosen)


def names(visible_projects: access.Projects) -> tuple[str, ...]:
    return tuple(sorted({label.name for label in visible(visible_projects)}))


def one(user: Any, pk: int) -> KeptLabel | None:
    return next((x for x in visible(access.visible_projects(user)) if x.pk == pk), None)
