"""What was agreed with providers, as it can be read: terms, regions of purchase, their history.

Knows every version of the price book. Refuses to name a project to who may not see it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import F, Q

from finops import access
from finops.models import BuyingRegion, PriceBook, PriceTerm


def terms(user: Any, book: PriceBook | None) -> list[PriceTerm]:
    """Of this version, everybody's first."""
    return [] if book is None else list(_seen(user, book.terms).order_by(*_order(PriceTerm)))


def regions(user: Any, book: PriceBook | None) -> list[BuyingRegion]:
    return [] if book is None else list(_seen(user, book.regions).order_by(*_order(BuyingRegion)))


def term(user: Any, book: PriceBook | None, uid: UUID) -> PriceTerm | None:
    return None if book is None else _seen(user, book.terms).filter(uid=uid).first()


def region(user: Any, book: PriceBook | None, uid: UUID) -> BuyingRegion | None:
    return None if book is None else _seen(user, book.regions).filter(uid=uid).first()


def history(user: Any, uid: UUID) -> list[PriceTerm]:
    """How the term was in each version that changed it, the newest first."""
    found = _seen(user, PriceTerm.objects.filter(uid=uid, since=F("book__version")))
    return list(found.select_related("project", "book").order_by("-since"))


def last_seen(user: Any, uid: UUID) -> PriceTerm | None:
    """The term in the newest version that has it, also when that is not the newest of all."""
    found = _seen(user, PriceTerm.objects.filter(uid=uid))
    last: PriceTerm | None = (
        found.select_related("project", "book").order_by("-book__version").first()
    )
    return last


def projects_of(user: Any) -> Collection[int]:
    return [project.pk for project in access.visible_projects(user).all]


def _seen(user: Any, found: Any) -> Any:
    mine = Q(project=None) | Q(project_id__in=projects_of(user))
    return found.filter(mine).select_related("project")


def _order(model: Any) -> tuple[Any, ...]:
    return (F("project__name").asc(nulls_first=True), *model._meta.ordering)
