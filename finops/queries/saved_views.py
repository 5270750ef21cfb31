"""Views that somebody kept, as a reader may open them. Knows access; refuses changes.

Figures are the reader's own whatever a view says. Its name and its address are text of whoever
shared it, so a view that names a project or a team is only for those who may see those, and one by
the values of a label, which no project bounds, for those who see everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.db.models import Q, QuerySet

from finops import access
from finops.models import SavedView

from .filters import LABEL

MEMBERS_ONLY = ("basis", "known_on")
"""What only members of the organisation may ask for; others have one basis."""


@dataclass(frozen=True, slots=True)
class Place:
    """A page that views are kept of."""

    label: str
    own: tuple[str, ...]
    """Parameters of this page alone."""


PLACES: Mapping[str, Place] = MappingProxyType(
    {
        "costs": Place("Costs", ("sort", "chart")),
        "requests": Place("Requests", ("sort", "tab")),
    }
)


@dataclass(frozen=True, slots=True)
class ViewRow:
    view: SavedView
    is_mine: bool
    query: str
    """As this reader may ask for it."""


def saved_views(user: Any, page: str = "") -> list[ViewRow]:
    """One's own first, then what others share; by name."""
    found = _readable(user).select_related("owner")
    if page:
        found = found.filter(page=page)
    visible, bills = access.visible_projects(user), access.sees_organisation(user)
    rows = [
        _row(one, user, bills) for one in found if one.owner_id == user.pk or may_see(one, visible)
    ]
    return sorted(rows, key=lambda row: (not row.is_mine, row.view.name.lower(), row.view.pk))


def one(user: Any, pk: int) -> ViewRow | None:
    found = _readable(user).select_related("owner").filter(pk=pk).first()
    if found is None:
        return None
    if found.owner_id != user.pk and not may_see(found, access.visible_projects(user)):
        return None
    return _row(found, user, access.sees_organisation(user))


def default_query(user: Any, page: str) -> str:
    """What the page opens with for this reader; empty without one."""
    found = SavedView.objects.filter(owner=user, page=page, is_default=True).first()
    if found is None:
        return ""
    return asked_by(found.query, bills=access.sees_organisation(user))


def may_see(view: SavedView, visible: access.Projects) -> bool:
    if visible.everything:
        return True
    for name, value in parse_qsl(view.query, keep_blank_values=True):
        if name == "f.project" and value not in visible.by_slug:
            return False
        if name == "f.team" and value not in visible.by_team:
            return False
        if name.startswith(f"f.{LABEL}"):
            return False
    return True


def asked_by(query: str, *, bills: bool) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([pair for pair in pairs if bills or pair[0] not in MEMBERS_ONLY])


def _readable(user: Any) -> QuerySet[SavedView]:
    return SavedView.objects.filter(Q(owner=user) | Q(is_shared=True))


def _row(view: SavedView, user: Any, bills: bool) -> ViewRow:
    return ViewRow(view, view.owner_id == user.pk, asked_by(view.query, bills=bills))
