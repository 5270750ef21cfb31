"""Who asks, what they may see, their tokens, and the audit chain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from finops import access
from finops.actions import connections
from finops.actions import people as actions
from finops.problems import Problem
from finops.queries import people
from finops.queries.filters import FilterError
from ingest.sources import REGISTRY

from . import shapes
from .base import Api, told
from .parameters import PAGE, limit_of, only, text_of, text_parameter
from .traffic import visible_source


class Me(Api):
    permissions = {"GET": None}

    @told("Who asks, and what they may do", shapes.MeShape, name="me", group="People")
    def get(self, request: Request) -> Response:
        only(request)
        permissions = request.user.get_all_permissions()
        found = {
            "username": request.user.get_username(),
            "memberships": people.memberships(request.user),
            "permissions": sorted(
                name.removeprefix("finops.")
                for name in permissions
                if name.removeprefix("finops.") in access.PERMISSIONS
            ),
            "accounting_time_zone": settings.ACCOUNTING_TIME_ZONE,
            "currency": settings.REPORTING_CURRENCY,
        }
        return self.answer(shapes.MeShape, found)


class Projects(Api):
    permissions = {"GET": "finops.view_spend"}

    @told("The projects one may see", shapes.ProjectListShape, name="projects", group="People")
    def get(self, request: Request) -> Response:
        only(request)
        found = {"data": access.visible_projects(request.user).all, "next": None}
        return self.answer(shapes.ProjectListShape, found)


class Tokens(Api):
    """One's own access tokens. Making one by a token needs its scope `admin`."""

    permissions = {"GET": None, "POST": None}
    write_scope = "admin"

    @told("One's own access tokens", shapes.TokenListShape, name="tokens", group="Tokens")
    def get(self, request: Request) -> Response:
        only(request)
        found = {"data": [_told(token) for token in people.access_tokens(request.user)]}
        return self.answer(shapes.TokenListShape, found | {"next": None})

    @told(
        "Make an access token; its text is in this answer and nowhere else",
        shapes.NewTokenShape,
        body=shapes.TokenRequest,
        status=201,
        name="tokens_create",
        group="Tokens",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.TokenRequest, request)
        try:
            token, text = actions.issue_token(
                request.user,
                wanted["name"],
                wanted["scope"],
                expires_at=wanted["expires_at"],
                via="api",
            )
        except actions.Refused as refusal:
            field, _, message = str(refusal).partition(": ")
            raise Problem(400, "Some fields are wrong.", [FilterError(field, message)]) from refusal
        return self.answer(shapes.NewTokenShape, _told(token, text), status=201)


class OneToken(Api):
    permissions = {"DELETE": None}
    write_scope = "admin"

    @told(
        "Revoke an access token of one's own",
        None,
        status=204,
        name="tokens_revoke",
        group="Tokens",
    )
    def delete(self, request: Request, pk: str) -> Response:
        own = next((token for token in people.access_tokens(request.user) if token.pk == pk), None)
        if own is None:
            raise Problem(404, "You have no such token.")
        actions.revoke_token(own, by=request.user, via="api")
        return Response(status=204)


class PushTokens(Api):
    permissions = dict.fromkeys(("GET", "POST"), "finops.manage_sources")
    over_everything = True
    write_scope = "admin"

    @told(
        "The push tokens of a source",
        shapes.PushTokenListShape,
        name="push_tokens",
        group="Tokens",
    )
    def get(self, request: Request, pk: int) -> Response:
        only(request)
        found = people.push_tokens([visible_source(request, pk)])
        data = {"data": [_told(token) for token in found], "next": None}
        return self.answer(shapes.PushTokenListShape, data)

    @told(
        "Make a push token; its text is in this answer and nowhere else",
        shapes.NewPushTokenShape,
        body=shapes.PushTokenRequest,
        status=201,
        name="push_tokens_create",
        group="Tokens",
    )
    def post(self, request: Request, pk: int) -> Response:
        wanted = body_of(shapes.PushTokenRequest, request)
        source = visible_source(request, pk)
        if not REGISTRY[source.kind].pushes:
            raise Problem(409, "This source does not push, so it needs no token.")
        token, text = connections.issue_push_token(
            source, wanted["name"], by=request.user, via="api"
        )
        return self.answer(shapes.NewPushTokenShape, _told(token, text), status=201)


class OnePushToken(Api):
    permissions = {"DELETE": "finops.manage_sources"}
    over_everything = True
    write_scope = "admin"

    @told("Revoke a push token", None, status=204, name="push_tokens_revoke", group="Tokens")
    def delete(self, request: Request, pk: int, token: str) -> Response:
        found = people.push_tokens([visible_source(request, pk)])
        own = next((one for one in found if one.pk == token), None)
        if own is None:
            raise Problem(404, "This source has no such token.")
        connections.revoke_push_token(own, by=request.user, via="api")
        return Response(status=204)


class AuditLog(Api):
    permissions = {"GET": "finops.view_audit"}
    over_everything = True

    @told(
        "The audit chain, newest first",
        shapes.AuditPageShape,
        parameters=[
            text_parameter("actor", "Only of this user name."),
            text_parameter("action", "Only this action, or a group such as push_token."),
            text_parameter("object", "A type such as ingest.source, or type:id."),
            *PAGE,
        ],
        name="audit",
        group="Audit",
    )
    def get(self, request: Request) -> Response:
        only(request, "actor", "action", "object", "limit", "cursor")
        page = people.audit_page(
            limit_of(request),
            text_of(request, "cursor") or None,
            actor=text_of(request, "actor"),
            action=text_of(request, "action"),
            obj=text_of(request, "object"),
        )
        return self.answer(shapes.AuditPageShape, page)


def body_of(shape: type[Serializer], request: Request) -> dict[str, Any]:
    """What was sent; a name nobody knows is an error, not ignored."""
    sent = request.data
    form = shape(data=sent)
    form.is_valid(raise_exception=True)
    unknown = [name for name in sent if name not in form.fields]
    if unknown:
        allowed = ", ".join(form.fields)
        raise Problem(
            400,
            "Some fields are wrong.",
            [FilterError(name[:40], f"Not known here; there are: {allowed}.") for name in unknown],
        )
    return form.validated_data


def _told(token: Any, text: str = "") -> SimpleNamespace:
    names = ("pk", "name", "scope", "created_at", "expires_at", "last_used_at", "revoked_at")
    return SimpleNamespace(
        **{name: getattr(token, name) for name in names},
        state=people.token_state(token),
        source=getattr(token, "source", None),
        token=text,
    )
