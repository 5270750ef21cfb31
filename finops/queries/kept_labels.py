"""Which labels of requests usage is summed by, for whom.

Knows what is kept. Refuses to name a label of a project that the reader may not see.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from finops import access
from ingest.models import KeptLabel


def visible(visible: access.Projects) -> list[KeptLabel]:
    """The labels that a reader may split costs by."""
    return list(_chosen(visible).select_related("project"))


def names(visible: access.Projects) -> tuple[str, ...]:
    return tuple(sorted(set(_chosen(visible).values_list("name", flat=True))))


def _chosen(visible: access.Projects) -> QuerySet[KeptLabel]:
    if visible.everything:
        return KeptLabel.objects.all()
    return KeptLabel.objects.filter(Q(project=None) | Q(project__in=visible.ids))


def one(user: Any, pk: int) -> KeptLabel | None:
    return next((x for x in visible(access.visible_projects(user)) if x.pk == pk), None)
