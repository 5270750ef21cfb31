"""Choosing the labels that costs are split by, and taking one back with all that was summed by it.

Every act has its audit record in the same transaction. Refuses whoever has no role over the
projects it is about; `ingest.labels` refuses what a label cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import transaction

from finops import access, audit
from finops.models import (
    LabelCostDay,
    LabelCostFourWeeks,
    LabelCostWeek,
    LabelSpend,
    LabelTotal,
    User,
)
from ingest import labels
from ingest.labels import BadLabel as BadLabel
from ingest.models import KeptLabel, Project

MANAGE = "finops.manage_labels"


def may_manage(user: Any, project: Project | None) -> bool:
    """A label of every project asks for a role over the whole organisation."""
    return bool(user.has_perm(MANAGE, project) if project else user.has_perm(MANAGE))


def managed(user: Any) -> dict[str, Project]:
    """The projects whose labels somebody may choose, by slug."""
    visible = access.visible_projects(user).all
    return {project.slug: project for project in visible if may_manage(user, project)}


def keep(
    project: Project | None,
    name: str,
    attributes: Iterable[str],
    since: date,
    *,
    by: User,
    via: str,
) -> KeptLabel:
    """Sum usage by this label from a day on, as far back as requests are still there."""
    with transaction.atomic():
        label = labels.keep(project, name, attributes, since, by.get_username())
        audit.record(by, via, "label.keep", label, _told(label))
    return label


def remove(label: KeptLabel, *, by: User, via: str) -> None:
    """Its values go for good: from the sums, and from the costs."""
    with transaction.atomic():
        audit.record(by, via, "label.remove", label, _told(label))
        owners = labels.remove(label)
        for costs in (LabelCostDay, LabelCostWeek, LabelCostFourWeeks, LabelSpend, LabelTotal):
            costs.objects.filter(label=label.name, project_id__in=owners).delete()


def _told(label: KeptLabel) -> dict[str, Any]:
    return {
        "name": label.name,
        "project": label.project.slug if label.project else "every project",
        "attributes": label.attributes,
        "since": label.since.isoformat(),
    }
