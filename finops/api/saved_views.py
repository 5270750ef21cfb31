"""Saved views: read, keep, change and remove them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    IntegerField,
    Serializer,
)

from finops.actions import saved_views as actions
from finops.actions.saved_views import ViewDraft
from finops.models.saved_views import LONGEST_NAME, LONGEST_QUERY, VIEW_PAGES
from finops.problems import Problem
from finops.queries import saved_views as queries
from finops.queries.filters import FilterError
from finops.queries.saved_views import ViewRow

from .base import Api, told
from .parameters import choice_of, only, text_parameter
from .people import body_of
from .shapes import Instant

READ = "finops.view_spend"
GROUP = "Saved views"
QUERY = "As in the page's address: `range=30d&group_by=model`."


class SavedViewShape(Serializer):
    """What a page was asked for; figures are those of whoever opens it."""

    id = IntegerField()
    page = ChoiceField(choices=VIEW_PAGES)
    name = CharField()
    query = CharField(help_text=f"{QUERY} Without what this reader may not ask for.")
    owner = CharField()
    is_mine = BooleanField()
    is_shared = BooleanField()
    is_default = BooleanField(help_text="The page opens with it for its owner.")
    created_at = Instant()


class SavedViewListShape(Serializer):
    data = SavedViewShape(many=True)
    next = CharField(allow_null=True)


class SavedViewChangeRequest(Serializer):
    """What is left out stays as it is."""

    name = CharField(max_length=LONGEST_NAME, required=False)
    query = CharField(max_length=LONGEST_QUERY, required=False, allow_blank=True, help_text=QUERY)
    is_shared = BooleanField(required=False)
    is_default = BooleanField(required=False)


class SavedViewRequest(SavedViewChangeRequest):
    page = ChoiceField(choices=VIEW_PAGES)
    name = CharField(max_length=LONGEST_NAME)
    query = CharField(max_length=LONGEST_QUERY, allow_blank=True, help_text=QUERY)


class SavedViews(Api):
    permissions = {"GET": READ, "POST": READ}

    @told(
        "Saved views: one's own, then what others share",
        SavedViewListShape,
        parameters=[text_parameter("page", "Only of this page.", enum=VIEW_PAGES)],
        name="saved_views",
        group=GROUP,
    )
    def get(self, request: Request) -> Response:
        only(request, "page")
        found = queries.saved_views(request.user, choice_of(request, "page", ("", *VIEW_PAGES)))
        return self.answer(SavedViewListShape, {"data": map(plain, found), "next": None})

    @told(
        "Save a view of a page",
        SavedViewShape,
        body=SavedViewRequest,
        status=201,
        name="saved_view_create",
        group=GROUP,
    )
    def post(self, request: Request) -> Response:
        draft = ViewDraft(**body_of(SavedViewRequest, request))
        with sound():
            made = actions.add(draft, by=request.user, via="api")
        return answered(request, made.pk, 201)


class OneSavedView(Api):
    permissions = {"GET": READ, "PATCH": READ, "DELETE": READ}

    @told("One saved view", SavedViewShape, name="saved_view", group=GROUP)
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return answered(request, int(pk))

    @told(
        "Rename, share or change a view of one's own",
        SavedViewShape,
        body=SavedViewChangeRequest,
        name="saved_view_change",
        group=GROUP,
    )
    def patch(self, request: Request, pk: str) -> Response:
        row = visible(request, int(pk))
        wanted = body_of(SavedViewChangeRequest, request)
        if not row.is_mine:
            raise Problem(403, "Only whoever saved a view changes it; save it as one of your own.")
        with sound():
            draft = replace(actions.draft_of(row.view), **wanted)
            actions.change(row.view, draft, by=request.user, via="api")
        return answered(request, row.view.pk)

    @told("Remove a view", None, status=204, name="saved_view_remove", group=GROUP)
    def delete(self, request: Request, pk: str) -> Response:
        row = visible(request, int(pk))
        if not actions.may_remove(request.user, row.view):
            raise Problem(403, "Only whoever saved a view removes it, or who manages people.")
        actions.remove(row.view, by=request.user, via="api")
        return Response(status=204)


def visible(request: Request, pk: int) -> ViewRow:
    row = queries.one(request.user, pk)
    if row is None:
        raise Problem(404, "There is no such view that you may see.")
    return row


def answered(request: Request, pk: int, status: int = 200) -> Response:
    return Api.answer(SavedViewShape, plain(visible(request, pk)), status)


def plain(row: ViewRow) -> dict[str, Any]:
    names = ("id", "page", "name", "is_shared", "created_at")
    return {
        **{name: getattr(row.view, name) for name in names},
        "query": row.query,
        "owner": row.view.owner.get_username(),
        "is_mine": row.is_mine,
        "is_default": row.is_mine and row.view.is_default,
    }


@contextmanager
def sound() -> Iterator[None]:
    try:
        yield
    except actions.Refused as refused:
        if not refused.field:
            raise Problem(409, str(refused)) from refused
        wrong = FilterError(refused.field, str(refused))
        raise Problem(400, "Some fields are wrong.", [wrong]) from refused
