"""Which labels of requests are kept: their names, where they are read from, and since when.

Knows `KeptLabel` and has days summed again. Refuses what a name or an attribute cannot be; who may
choose is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from ingest.models import KeptLabel, Project
from ingest.models.labels import LONGEST_ATTRIBUTE, LONGEST_NAME

MOST_LABELS = 5
"""Of one project, those of every project among them: each is one more split of every day."""
MOST_ATTRIBUTES = 5

OTHER_VALUES = "(other values)"
"""The values of a day that are not kept apart, as one."""

NAME = re.compile(rf"[a-z0-9](?:[a-z0-9_.-]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?", re.ASCII)


class BadLabel(ValueError):
    """One field that is wrong, and a sentence with the fix."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def in_force(project: int, day: date) -> dict[str, list[str]]:
    """Name → attributes of the labels that a project's day is summed by; its own come first."""
    return {
        label.name: label.attributes for label in of_project(project).values() if label.since <= day
    }


def of_project(project: int) -> dict[str, KeptLabel]:
    """The labels of one project by name, those of every project among them."""
    chosen = KeptLabel.objects.filter(Q(project=None) | Q(project=project))
    own_last = sorted(chosen, key=lambda label: (label.project_id is not None, label.name))
    return {label.name: label for label in own_last}


def keep(
    project: Project | None, name: str, attributes: Iterable[str], since: date, created_by: str
) -> KeptLabel:
    """A new label; the days from `since` on are summed by it in the background. Raises BadLabel."""
    keys = _attributes(attributes)
    if not NAME.fullmatch(name):
        raise BadLabel(
            "name",
            f"Use at most {LONGEST_NAME} small letters, digits, dots, dashes and underscores, as in"
            " customer or tenant.id.",
        )
    with transaction.atomic(), connection.cursor() as cursor:
        # Two people choosing at once must not go past the most.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('kept labels', 0))")
        if KeptLabel.objects.filter(project=project, name=name).exists():
            raise BadLabel("name", f"There is a label “{name}” already; remove it first.")
        _refuse_too_many(project, name)
        label = KeptLabel.objects.create(
            project=project, name=name, attributes=keys, since=since, created_by=created_by
        )
        sum_again(label)
    return label


def remove(label: KeptLabel) -> list[int]:
    """Take it back, with every sum that was made by it; the projects that had it from here."""
    with transaction.atomic():
        held_by = owners(label)
        KeptLabel.objects.filter(pk=label.pk).delete()
        with connection.cursor() as cursor:
            for table in ("ingest_label_day", "ingest_label_day_state"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE label = %s AND project_id = ANY(%s)",
                    [label.name, held_by],
                )
        # Where a project's own label goes, that of every project takes its place.
        sum_again(label)
    return held_by


def owners(label: KeptLabel) -> list[int]:
    """The projects that have their label of this name from here."""
    if label.project_id is not None:
        return [label.project_id]
    own = KeptLabel.objects.filter(name=label.name).exclude(project=None)
    projects = Project.objects.exclude(pk__in=own.values("project"))
    return list(projects.values_list("pk", flat=True))


def sum_again(label: KeptLabel) -> int:
    """Have the days of a label summed again; how many. Days whose requests are gone stay."""
    with connection.cursor() as cursor:
        cursor.execute(
            # After what is due already, so that today does not wait for the days before.
            "UPDATE ingest_user_day_state SET changed = changed + 1,"
            " not_before = greatest(not_before, %s)"
            " WHERE project_id = ANY(%s) AND day >= %s",
            [timezone.now(), owners(label), label.since],
        )
        count: int = cursor.rowcount
    return count


def _attributes(told: Iterable[str]) -> list[str]:
    keys = list(dict.fromkeys(key.strip() for key in told if key.strip()))
    if not 1 <= len(keys) <= MOST_ATTRIBUTES:
        raise BadLabel("attributes", f"Name 1 to {MOST_ATTRIBUTES} attributes of requests.")
    if any(len(key) > LONGEST_ATTRIBUTE or not key.isprintable() for key in keys):
        raise BadLabel(
            "attributes", f"Use plain names of at most {LONGEST_ATTRIBUTE} characters each."
        )
    return keys


def _refuse_too_many(project: Project | None, name: str) -> None:
    """Of every project, its own labels and those of every project together."""
    chosen = KeptLabel.objects.exclude(name=name)
    shared = set(chosen.filter(project=None).values_list("name", flat=True))
    own: dict[int, set[str]] = {}
    for owner, other in chosen.exclude(project=None).values_list("project_id", "name"):
        own.setdefault(owner, set()).add(other)
    asked = own.values() if project is None else [own.get(project.pk, set())]
    if max((len(shared | names) for names in [*asked, set()]), default=0) >= MOST_LABELS:
        raise BadLabel("name", f"A project has at most {MOST_LABELS} labels; remove one first.")
