"""Who calls the API: a session, or a token that acts for somebody; and whether they may.

Knows tokens, their scopes and a view's permission. Refuses a view that names none.
"""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from finops import access
from finops.actions import people
from finops.models import AccessToken, User
from finops.models.people import ACCESS_SCOPES

MAX_HEADER = 200
TOKEN = re.compile(rb"brk_[0-9a-f]{8,16}_[A-Za-z0-9_-]+")
UNKNOWN = "This access token is unknown, was revoked or has expired; make one under Settings."


class AccessTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer brk_<id>_<secret>`; without one, the session decides."""

    def authenticate(self, request: Request) -> tuple[User, AccessToken] | None:
        scheme, _, text = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        token = _find(text.strip())
        if token is None:
            raise AuthenticationFailed(UNKNOWN)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Breakeven"'


def _find(text: bytes) -> AccessToken | None:
    """Only what looks like a token is looked up: PostgreSQL takes no NUL in a text."""
    if len(text) > MAX_HEADER or not TOKEN.fullmatch(text):
        return None
    return people.user_of_token(text.decode())


class ScopedAndPermitted(BasePermission):
    """The token's scope allows the method, and a role allows what the view is about.

    A view says `permissions = {"GET": "finops.view_spend"}`; None stands for anybody signed in.
    `over_everything` asks for a role over the whole organisation; otherwise a role over anything
    opens the view, which then shows what that role reaches.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        method = "GET" if request.method in ("HEAD", "OPTIONS") else request.method
        if method not in view.permissions:
            return True  # DRF answers 405, with the methods there are
        wanted = self._scope(method, view)
        if isinstance(request.auth, AccessToken) and not _covers(request.auth.scope, wanted):
            self.message = f"This token may only {request.auth.scope}; this needs scope {wanted}."
            return False
        permission = view.permissions[method]
        if permission is None or self._holds(request.user, permission, view):
            return True
        self.message = f"Your role does not allow this: {_meaning(permission)}."
        return False

    @staticmethod
    def _scope(method: str, view: Any) -> str:
        return "read" if method in SAFE_METHODS else view.write_scope

    @staticmethod
    def _holds(user: User, permission: str, view: Any) -> bool:
        if view.over_everything:
            return user.has_perm(permission)
        return access.anywhere(user, permission)


def _covers(held: str, wanted: str) -> bool:
    return ACCESS_SCOPES.index(held) >= ACCESS_SCOPES.index(wanted)


def _meaning(permission: str) -> str:
    text = access.PERMISSIONS[permission.removeprefix("finops.")]
    return text[0].lower() + text[1:]


class AccessTokenScheme(OpenApiAuthenticationExtension):
    """How the schema describes our tokens."""

    target_class = "finops.api_auth.AccessTokenAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "brk_<id>_<secret>",
            "description": "An access token from Settings, Tokens; scopes read, write and admin.",
        }
