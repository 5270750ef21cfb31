"""Who is here, what they may do, which tokens they hold, and what the audit chain says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils import timezone

from finops.models import AccessToken, Audit, Membership, User
from ingest.models import Source, Token

from . import cursors


@dataclass(frozen=True, slots=True)
class AuditPage:
    rows: tuple[Audit, ...]
    """Newest first, each with its actor."""
    next: str | None


def access_tokens(user: User) -> list[AccessToken]:
    """The reader's own, newest first; ended ones stay listed."""
    return list(AccessToken.objects.filter(user=user).order_by("-created_at", "pk"))


def push_tokens(sources: Iterable[Source] | None = None) -> list[Token]:
    """Of these sources, or of all, newest first; each with its source."""
    found = Token.objects.select_related("source").order_by("-created_at", "pk")
    return list(found if sources is None else found.filter(source__in=list(sources)))


def token_state(token: AccessToken | Token) -> str:
    """`active`, `expired` or `revoked`."""
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= timezone.now():
        return "expired"
    return "active"


def memberships(user: User) -> list[Membership]:
    """With role, team and project, widest first."""
    found = Membership.objects.filter(user=user).select_related("role", "team", "project")
    return list(found.order_by("role__name", "team__name", "project__name"))


def audit_page(
    limit: int = 50, cursor: str | None = None, *, actor: str = "", action: str = "", obj: str = ""
) -> AuditPage:
    """Newest first. `obj` is a type such as `ingest.source`, or type and id: `ingest.source:7`."""
    found = Audit.objects.select_related("actor").order_by("-id")
    if actor:
        found = found.filter(actor_name=actor)
    if action:
        found = found.filter(Q(action=action) | Q(action__startswith=f"{action}."))
    if obj:
        kind, _, pk = obj.partition(":")
        found = found.filter(object_type=kind)
        found = found.filter(object_id=pk) if pk else found
    if cursor:
        [last] = cursors.decode(cursor, cursors.identity)
        found = found.filter(pk__lt=last)
    rows: list[Any] = list(found[: limit + 1])
    page = rows[:limit]
    return AuditPage(tuple(page), cursors.encode(page[-1].pk) if len(rows) > limit else None)
