"""Who may do what to which project. Answers Django's `has_perm` from memberships.

Knows roles, scopes and the counting of failed sign-ins. Refuses shortcuts: being superuser opens
Django's admin, it approves nothing and reads no project.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import connection, transaction
from django.dispatch import receiver
from django.http import HttpRequest
from redis.exceptions import RedisError

from finops.models import User
from ingest.models import Project

log = logging.getLogger(__name__)

PERMISSIONS = {
    "view_spend": "Read spend, forecasts and prices",
    "view_requests": "Read requests and latency",
    "view_sources": "Read the health of sources",
    "view_bills": "Read what belongs to the organisation: bills and shared hardware",
    "view_audit": "Read the audit chain",
    "manage_prices": "Change the price book",
    "import_bills": "Bring in billing files",
    "manage_savings": "Enter what the work on savings took",
    "manage_events": "Tell, end and remove releases, config changes and incidents",
    "manage_budgets": "Set, change, pause and remove budgets",
    "manage_labels": "Choose the labels of requests that costs are split by",
    "manage_allocation": "Set rules of allocation, and close a month's chargeback",
    "handle_alerts": "Acknowledge, snooze and resolve alerts",
    "manage_alerts": "Change the rules of alerts and plan silences",
    "manage_sources": "Add, change and switch off sources and their push tokens",
    "manage_channels": "Add, change, test and switch off channels, and send messages again",
    "manage_people": "Add people, give and take roles",
    "manage_targets": "Add servers and the models on them that changes are applied to",
    "propose_slo": "Propose to set, change or retire an objective",
    "propose_change": "Propose a change to a target",
    "approve_change": "Approve or reject somebody else's change",
}

READING = ("view_spend", "view_requests", "view_sources", "view_bills")

ROLE_PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "viewer": READING,
    "analyst": (
        *READING,
        "manage_prices",
        "import_bills",
        "manage_savings",
        "manage_events",
        "manage_budgets",
        "manage_labels",
        "manage_allocation",
        "propose_slo",
        "handle_alerts",
        "manage_alerts",
    ),
    "engineer": (
        *READING,
        "manage_events",
        "handle_alerts",
        "propose_slo",
        "propose_change",
    ),
    "approver": (*READING, "view_audit", "handle_alerts", "approve_change"),
    # Whoever hands out roles must not be able to approve: that is the point of a second person.
    "admin": (
        *READING,
        "view_audit",
        "import_bills",
        "manage_events",
        "manage_labels",
        "manage_alerts",
        "manage_sources",
        "manage_channels",
        "manage_people",
        "manage_targets",
    ),
}

ADMIN_SITE_PERMISSIONS = (
    "finops.add_user",
    "finops.change_user",
    "finops.view_user",
    "finops.add_membership",
    "finops.change_membership",
    "finops.delete_membership",
    "finops.view_membership",
    "finops.view_audit",
    "finops.view_pricebook",
    "finops.view_price",
    "finops.view_hardwareprice",
    "finops.view_ledgerentry",
    "finops.view_modelalias",
    "finops.view_billmatch",
    "finops.add_billmatch",
    "finops.change_billmatch",
    "finops.delete_billmatch",
    "ingest.add_team",
    "ingest.change_team",
    "ingest.view_team",
    "ingest.add_project",
    "ingest.change_project",
    "ingest.view_project",
    "ingest.add_pool",
    "ingest.change_pool",
    "ingest.view_pool",
    "ingest.add_source",
    "ingest.change_source",
    "ingest.view_source",
    "ingest.view_token",
    "ingest.change_token",
    "ingest.view_pull",
    "ingest.view_delivery",
    "ingest.view_reject",
    "ingest.view_job",
    "optimiser.view_server",
    "optimiser.view_target",
    "optimiser.view_calibration",
    "optimiser.view_evidence",
    "optimiser.view_recommendation",
    "optimiser.view_change",
    "optimiser.view_approval",
    "optimiser.view_rollout",
    "optimiser.view_verdict",
)
"""What the role admin may do on Django's own admin pages; nobody else may open them."""

ORGANISATION_ONLY = frozenset(
    {
        "view_bills",
        "view_audit",
        "manage_prices",
        "manage_allocation",
        "import_bills",
        "manage_savings",
        "manage_sources",
        "manage_channels",
        "manage_people",
        "manage_targets",
    }
)
"""Held only through a membership of the whole organisation, whatever the role."""


def ensure_roles() -> None:
    """Makes the five groups hold exactly these permissions; safe to repeat."""
    with transaction.atomic():
        own = {name: _own_permission(name, text) for name, text in PERMISSIONS.items()}
        for role, names in ROLE_PERMISSIONS.items():
            group, _ = Group.objects.get_or_create(name=role)
            wanted = [own[name] for name in names]
            if role == "admin":
                wanted += _admin_site_permissions()
            group.permissions.set(wanted)


def _own_permission(codename: str, text: str) -> Permission:
    """`view_audit` is also the name of Django's own permission on the model: they are one."""
    holder = "audit" if codename == "view_audit" else "membership"
    kind, _ = ContentType.objects.get_or_create(app_label="finops", model=holder)
    permission, _ = Permission.objects.update_or_create(
        content_type=kind, codename=codename, defaults={"name": text}
    )
    return permission


def _admin_site_permissions() -> list[Permission]:
    found = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    return [found[name] for name in ADMIN_SITE_PERMISSIONS]


# Memberships → answers


@dataclass(frozen=True, slots=True)
class Grant:
    """What one membership allows, and where. No team and no project: everywhere."""

    role: str
    permissions: frozenset[str]
    team_id: int | None
    project_id: int | None

    @property
    def is_organisation(self) -> bool:
        return self.team_id is None and self.project_id is None

    def reaches(self, obj: Any) -> bool:
        if self.is_organisation:
            return True
        if isinstance(obj, Project):
            return self.project_id == obj.pk or (
                self.team_id is not None and self.team_id == obj.team_id
            )
        project = getattr(obj, "project", None)
        return project is not None and self.reaches(project)

    def allows(self, permission: str) -> bool:
        name = permission.removeprefix("finops.")
        if name in ORGANISATION_ONLY and not self.is_organisation:
            return False
        return permission in self.permissions


def grants(user: Any) -> tuple[Grant, ...]:
    """The memberships of an active user, read once per user object."""
    if not user.is_active or user.is_anonymous:
        return ()
    if not hasattr(user, "_grants"):
        user._grants = _read_grants(user)
    return user._grants


# Asked for every page and every call of the API: composing it takes Django several times as long
# as having it answered.
GRANTS = """
SELECT r.name, array_agg(t.app_label || '.' || p.codename) FILTER (WHERE p.id IS NOT NULL),
    m.team_id, m.project_id
FROM finops_membership m
JOIN auth_group r ON r.id = m.role_id
LEFT JOIN auth_group_permissions g ON g.group_id = r.id
LEFT JOIN auth_permission p ON p.id = g.permission_id
LEFT JOIN django_content_type t ON t.id = p.content_type_id
WHERE m.user_id = %s GROUP BY m.id, r.name"""


def _read_grants(user: User) -> tuple[Grant, ...]:
    with connection.cursor() as cursor:
        cursor.execute(GRANTS, [user.pk])
        return tuple(
            Grant(role, frozenset(names or ()), team_id, project_id)
            for role, names, team_id, project_id in cursor.fetchall()
        )


class MembershipBackend(ModelBackend):
    """Passwords as Django keeps them, permissions from memberships.

    Without an object the question is about the whole organisation, so a role on one project says
    no. With a project, or something that has one, it is about that project.
    """

    def authenticate(self, request, username=None, password=None, **kwargs):
        name = username if username is not None else kwargs.get(User.USERNAME_FIELD)
        if not _can_be_stored((name or "") + (password or "")):
            return None
        if request is not None and sign_in_blocked(request, name or ""):
            return None
        return super().authenticate(request, username, password, **kwargs)

    def has_perm(self, user_obj, perm, obj=None):
        if user_obj.is_active and user_obj.is_superuser and _is_of_admin_site(perm):
            return True
        return any(grant.reaches(obj) and grant.allows(perm) for grant in grants(user_obj))

    def get_all_permissions(self, user_obj, obj=None):
        return {
            name
            for grant in grants(user_obj)
            if grant.reaches(obj)
            for name in grant.permissions
            if grant.allows(name)
        }

    def get_user_permissions(self, user_obj, obj=None):
        """Nobody holds a permission of their own: roles are all there is."""
        return set()

    def get_group_permissions(self, user_obj, obj=None):
        return self.get_all_permissions(user_obj, obj)

    def has_module_perms(self, user_obj, app_label):
        return any(name.startswith(f"{app_label}.") for name in self.get_all_permissions(user_obj))


def _can_be_stored(text: str) -> bool:
    """NUL and half a character are nobody's name, and an error to the database."""
    return "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


def _is_of_admin_site(permission: str) -> bool:
    """Django's own add, change, delete and view; none of ours."""
    return permission.rpartition(".")[2] not in PERMISSIONS


def sees_organisation(user: Any) -> bool:
    """May this reader see bills, shared hardware and what nobody has claimed?"""
    return MembershipBackend().has_perm(user, "finops.view_bills")


def anywhere(user: Any, permission: str) -> bool:
    """Does this person hold the permission over anything at all? For navigation, not for access."""
    return any(grant.allows(permission) for grant in grants(user))


@dataclass(frozen=True, slots=True)
class Projects:
    """The projects somebody may read."""

    everything: bool
    """A member of the organisation: also what will be added tomorrow."""
    all: tuple[Project, ...]

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(project.pk for project in self.all)

    @property
    def by_slug(self) -> dict[str, int]:
        return {project.slug: project.pk for project in self.all}

    @property
    def by_team(self) -> dict[str, tuple[int, ...]]:
        teams: dict[str, tuple[int, ...]] = {}
        for project in self.all:
            if project.team is not None:
                teams[project.team.name] = (*teams.get(project.team.name, ()), project.pk)
        return teams


def remember_projects(user: Any) -> None:
    """While somebody only reads: a page asks for them half a dozen times."""
    user._seen_projects = {}


def visible_projects(user: Any, permission: str = "finops.view_spend") -> Projects:
    """Those a membership reaches; `unallocated` only for members of the organisation."""
    seen: dict[str, Projects] | None = getattr(user, "_seen_projects", None)
    if seen is None:
        return _visible_projects(user, permission)
    if permission not in seen:
        seen[permission] = _visible_projects(user, permission)
    return seen[permission]


def _visible_projects(user: Any, permission: str) -> Projects:
    mine = [grant for grant in grants(user) if grant.allows(permission)]
    everything = any(grant.is_organisation for grant in mine)
    projects = Project.objects.select_related("team").order_by("name", "pk") if mine else ()
    return Projects(
        everything,
        tuple(project for project in projects if any(grant.reaches(project) for grant in mine)),
    )


# Failed sign-ins

FAILURES_PER_ADDRESS = 20
FAILURES_PER_NAME = 10
WINDOW_S = 3600


def client_address(request: HttpRequest) -> str:
    """The peer's address; behind our own TLS proxy the one the proxy appended last."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) and forwarded:
        return forwarded.rsplit(",", 1)[-1].strip()[:64]
    return request.META.get("REMOTE_ADDR", "")


def _counters(request: HttpRequest, name: str) -> tuple[tuple[str, int], ...]:
    """A name is hashed: it may hold a password typed into the wrong field."""
    digest = hashlib.sha256(name.casefold().encode(errors="replace")).hexdigest()
    return (
        (f"sign-in:address:{client_address(request)}", FAILURES_PER_ADDRESS),
        (f"sign-in:name:{digest}", FAILURES_PER_NAME),
    )


def sign_in_blocked(request: HttpRequest, name: str) -> str:
    """Why this sign-in must wait (answer 429 with it), or an empty string."""
    try:
        counted = cache.get_many([key for key, _ in _counters(request, name)])
    except RedisError:
        # Without the counts a guesser would have free rein, so the door stays shut.
        return "Sign-ins cannot be counted while the cache does not answer; try again in a minute."
    if any(counted.get(key, 0) >= limit for key, limit in _counters(request, name)):
        return "Too many failed sign-ins; wait an hour, or ask an admin for a new password."
    return ""


@receiver(user_login_failed)
def count_failure(sender: Any, credentials: Mapping[str, Any], request=None, **_: Any) -> None:
    if request is None:
        return
    try:
        for key, _limit in _counters(request, str(credentials.get("username", ""))):
            cache.add(key, 0, WINDOW_S)
            cache.incr(key)
    except (RedisError, ValueError):
        # Without a cache nobody gets in at all; a count that expired in between starts anew.
        log.warning("sign_in_failure_not_counted")


@receiver(user_logged_in)
def forget_failures(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    cache.delete(_counters(request, user.get_username())[1][0])
