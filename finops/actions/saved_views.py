"""Views as people keep, rename, share and remove them.

An act on a shared view has its audit record in the same transaction; one's own are nobody else's
business and leave none. Refuses a query that the page would not understand.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.db import transaction
from django.http import QueryDict

from finops import audit
from finops.models import SavedView, User
from finops.models.saved_views import LONGEST_NAME, LONGEST_QUERY, VIEW_PAGES
from finops.queries.filters import FIELDS, LABEL, Filters
from finops.queries.saved_views import PLACES

MANAGE_ALL = "finops.manage_people"
"""Removes what others shared, should its owner be gone."""
MOST = 50
USUAL = (
    "range", "from", "to", "group_by", "basis", "metric", "currency", "convert", "known_on",
    "compare", *(f"f.{name}" for name in FIELDS),
)  # fmt: skip
PASSING = ("cursor", "last")
"""Where somebody was in a list is no part of a view."""


class Refused(Exception):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class ViewDraft:
    page: str
    name: str
    query: str
    is_shared: bool = False
    is_default: bool = False


def draft_of(view: SavedView) -> ViewDraft:
    return ViewDraft(**{name: getattr(view, name) for name in ViewDraft.__dataclass_fields__})


def add(draft: ViewDraft, *, by: User, via: str) -> SavedView:
    sound = checked(draft, by)
    with transaction.atomic():
        own = list(SavedView.objects.select_for_update().filter(owner=by, page=draft.page))
        if len(own) >= MOST:
            raise Refused("", f"There are {MOST} views of yours already; remove one of them.")
        _name_is_free(sound, own, None)
        _clear_default(sound, by)
        made: SavedView = SavedView.objects.create(**asdict(sound), owner=by)
        if made.is_shared:
            audit.record(by, via, "saved_view.share", made, asdict(sound))
    return made


def change(view: SavedView, draft: ViewDraft, *, by: User, via: str) -> SavedView:
    """The page it is of stays."""
    sound = checked(draft, by)
    with transaction.atomic():
        own = list(SavedView.objects.select_for_update().filter(owner=by, page=view.page))
        held: SavedView | None = next((one for one in own if one.pk == view.pk), None)
        if held is None:
            raise Refused("", "Only whoever saved a view changes it; save it as one of your own.")
        was = draft_of(held)
        if was == sound:
            return held
        _name_is_free(sound, own, held.pk)
        _clear_default(sound, by)
        for name in ("name", "query", "is_shared", "is_default"):
            setattr(held, name, getattr(sound, name))
        held.save()
        _audited(was, held, by, via)
    return held


def remove(view: SavedView, *, by: User, via: str) -> None:
    if not may_remove(by, view):
        raise Refused("", "Only whoever saved a view removes it, or who manages people.")
    with transaction.atomic():
        held = SavedView.objects.select_for_update().filter(pk=view.pk).first()
        if held is None:
            return
        if held.is_shared:
            audit.record(by, via, "saved_view.remove", held, asdict(draft_of(held)))
        held.delete()


def may_remove(user: Any, view: SavedView) -> bool:
    return bool(view.owner_id == user.pk or (view.is_shared and user.has_perm(MANAGE_ALL)))


def checked(draft: ViewDraft, by: User) -> ViewDraft:
    """With the query as it is kept; refuses the first thing that is wrong."""
    name = draft.name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused("name", f"Give it a name of at most {LONGEST_NAME} characters.")
    if draft.page not in VIEW_PAGES:
        raise Refused("page", f"Use one of {', '.join(VIEW_PAGES)}.")
    query = _checked_query(draft, by)
    return ViewDraft(**{**asdict(draft), "name": name, "query": query})


def _checked_query(draft: ViewDraft, by: User) -> str:
    text = draft.query.removeprefix("?")
    if len(text) > LONGEST_QUERY or not text.isprintable():
        raise Refused("query", f"Use an address of at most {LONGEST_QUERY} characters.")
    pairs = [pair for pair in parse_qsl(text, keep_blank_values=True) if pair[0] not in PASSING]
    known = {*USUAL, *PLACES[draft.page].own}
    for name, value in pairs:
        if name not in known and not name.startswith(f"f.{LABEL}"):
            raise Refused("query", f"{name[:40]} is no part of the address of this page.")
        if not value.isprintable():
            raise Refused("query", f"{name[:40]} is not plain text.")
    kept = urlencode(pairs)
    _, errors = Filters.parse(QueryDict(kept), by, by_label=True)
    if errors:
        raise Refused("query", f"{errors[0].field}: {errors[0].message}")
    return kept


def _name_is_free(draft: ViewDraft, own: list[SavedView], pk: int | None) -> None:
    if any(one.name == draft.name and one.pk != pk for one in own):
        message = f"There is a view “{draft.name}” of yours already; choose another name."
        raise Refused("name", message)


def _clear_default(draft: ViewDraft, by: User) -> None:
    if draft.is_default:
        SavedView.objects.filter(owner=by, page=draft.page, is_default=True).update(
            is_default=False
        )


def _audited(was: ViewDraft, view: SavedView, by: User, via: str) -> None:
    now = draft_of(view)
    if not (was.is_shared or now.is_shared):
        return
    before, after = asdict(was), asdict(now)
    # What one's own page opens with is no change to what others see.
    names = [name for name in after if name != "is_default" and before[name] != after[name]]
    if not names:
        return
    act = "share" if not was.is_shared else "change" if now.is_shared else "unshare"
    moved = {name: [before[name], after[name]] for name in names}
    audit.record(by, via, f"saved_view.{act}", view, {"name": view.name, "moved": moved})
