"""Adds people, gives and takes roles, and issues the tokens by which scripts act for them.

Every change is audited in its own transaction. Refuses to show a secret twice.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from finops import audit
from finops.models import AccessToken, Membership, User
from finops.models.people import ACCESS_SCOPES
from ingest.models import Project, Team

LAST_USED_EVERY = timedelta(minutes=1)
"""A busy script would otherwise write its token's row at every call."""


ADMIN = "admin"
LAST_ADMIN = (
    "This is the only admin left, and without one nobody could hand out roles. "
    "Make somebody else an admin with staff status first."
)


class Refused(Exception):
    """Why it was not done, and what would be right."""


def add_user(
    username: str, password: str, *, full_name: str = "", by: User | None = None, via: str
) -> User:
    first, _, last = full_name.partition(" ")
    with transaction.atomic():
        user = User.objects.create_user(
            username, password=password, first_name=first, last_name=last
        )
        audit.record(by, via, "user.add", user, {"username": username})
    return user


def give_role(
    user: User,
    role: str,
    *,
    team: Team | None = None,
    project: Project | None = None,
    by: User | None = None,
    via: str,
) -> Membership:
    """The organisation's when neither team nor project is named. Safe to repeat."""
    if by is not None and by.pk == user.pk:
        raise Refused("Nobody gives a role to themselves; ask another admin.")
    with transaction.atomic():
        membership, is_new = Membership.objects.get_or_create(
            user=user, role=Group.objects.get(name=role), team=team, project=project
        )
        if is_new:
            audit.record(by, via, "role.give", membership, _told(membership))
    return membership


def take_role(membership: Membership, *, by: User | None, via: str) -> None:
    with keeping_an_admin():
        audit.record(by, via, "role.take", membership, _told(membership))
        membership.delete()


@contextmanager
def keeping_an_admin() -> Iterator[None]:
    """One transaction that must not leave the installation without an admin.

    The lock makes two admins who take the role from each other come one after the other.
    """
    with transaction.atomic():
        Group.objects.select_for_update().filter(name=ADMIN).first()
        had_one = _admins().exists()
        yield
        if had_one and not _admins().exists():
            raise Refused(LAST_ADMIN)


def _admins() -> QuerySet[User]:
    """Those who can hand out roles: the role over everything, and the pages to do it on."""
    return User.objects.filter(
        is_active=True,
        is_staff=True,
        memberships__role__name=ADMIN,
        memberships__team=None,
        memberships__project=None,
    )


def issue_token(
    user: User, name: str, scope: str, *, expires_at: datetime | None = None, via: str
) -> tuple[AccessToken, str]:
    """A new token and its text, which is shown once and never kept."""
    if scope not in ACCESS_SCOPES:
        raise Refused(f"scope: use one of {', '.join(ACCESS_SCOPES)}.")
    if not name.strip():
        raise Refused("name: say what the token is for.")
    if expires_at is not None and expires_at <= timezone.now():
        raise Refused("expires_at: choose a time that is still to come.")
    identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with transaction.atomic():
        token = AccessToken.objects.create(
            id=identity,
            user=user,
            name=name.strip()[:100],
            scope=scope,
            secret_sha256=_digest(secret),
            expires_at=expires_at,
        )
        detail = {"name": token.name, "scope": scope}
        audit.record(user, via, "token.issue", token, detail)
    return token, f"brk_{identity}_{secret}"


def revoke_token(token: AccessToken, *, by: User, via: str) -> None:
    with transaction.atomic():
        open_ones = AccessToken.objects.filter(pk=token.pk, revoked_at=None)
        if open_ones.update(revoked_at=timezone.now()):
            audit.record(by, via, "token.revoke", token, {"name": token.name})


def user_of_token(text: str) -> AccessToken | None:
    """The live token that this text is, or None. Compares in constant time."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != "brk":
        return None
    now = timezone.now()
    token = (
        AccessToken.objects.select_related("user")
        .filter(Q(expires_at=None) | Q(expires_at__gt=now), pk=parts[1], revoked_at=None)
        .filter(user__is_active=True)
        .first()
    )
    if token is None or not hmac.compare_digest(bytes(token.secret_sha256), _digest(parts[2])):
        return None
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_EVERY:
        AccessToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _told(membership: Membership) -> dict[str, str]:
    return {
        "user": membership.user.get_username(),
        "role": membership.role.name,
        "scope": str(membership.project or membership.team or "organisation"),
    }


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
