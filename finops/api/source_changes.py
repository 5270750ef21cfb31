"""Connecting a source and changing one, through the API."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BooleanField, CharField, DictField, IntegerField, Serializer

from finops.actions import connections
from finops.actions.connections import Changes, NewSource, Refused
from finops.problems import Problem
from finops.queries import sources
from finops.queries.filters import FilterError

from .base import Api, told
from .parameters import only
from .people import body_of
from .source_shapes import SourceListShape, SourceShape
from .traffic import source_row, visible_source

SEE, MANAGE = "finops.view_sources", "finops.manage_sources"
SETTINGS = "Its settings, secrets too; a secret goes in and never comes out."


class SourceRequest(Serializer):
    kind = CharField(max_length=40)
    name = CharField(max_length=connections.NAME_LENGTH)
    project = CharField(
        max_length=100, default="", help_text="Whose requests these are; a new name makes one."
    )
    team = CharField(max_length=100, default="", help_text="Who owns a new project.")
    pool = CharField(
        max_length=100, default="", help_text="Whose readings these are; a new name makes one."
    )
    provider = CharField(max_length=100, default="", help_text="Of a new pool, as in triton.")
    hardware = CharField(max_length=100, default="", help_text="Of a new pool, as in H100.")
    gpu_count = IntegerField(min_value=1, max_value=100_000, default=None)
    interval_s = IntegerField(default=None, help_text="Seconds between pulls.")
    config = DictField(default=dict, help_text=SETTINGS)


class SourceChangeRequest(Serializer):
    """What is left out stays as it is."""

    name = CharField(max_length=connections.NAME_LENGTH, default=None)
    enabled = BooleanField(default=None, help_text="false: it takes nothing more.")
    interval_s = IntegerField(default=None, help_text="Seconds between pulls.")
    config = DictField(default=dict, help_text=f"{SETTINGS} Only those that change.")


class Sources(Api):
    permissions = {"GET": SEE, "POST": MANAGE}

    @told("The sources and how they do", SourceListShape, name="sources", group="Sources")
    def get(self, request: Request) -> Response:
        only(request)
        found = {"data": sources.source_list(request.user), "next": None}
        return self.answer(SourceListShape, found)

    @told(
        "Connect a source",
        SourceShape,
        body=SourceRequest,
        status=201,
        name="sources_create",
        group="Sources",
    )
    def post(self, request: Request) -> Response:
        _demand(request)
        wanted = body_of(SourceRequest, request)
        with_defaults = _sound(lambda: connections.checked(NewSource(**wanted)))
        made = _sound(lambda: connections.connect(with_defaults, by=request.user, via="api"))
        return self.answer(SourceShape, source_row(request, made.pk), status=201)


class OneSource(Api):
    permissions = {"GET": SEE, "PATCH": MANAGE}

    @told("One source and how it does", SourceShape, name="source", group="Sources")
    def get(self, request: Request, pk: int) -> Response:
        only(request)
        return self.answer(SourceShape, source_row(request, pk))

    @told(
        "Change a source, or switch it on or off; what it brought stays",
        SourceShape,
        body=SourceChangeRequest,
        name="source_change",
        group="Sources",
    )
    def patch(self, request: Request, pk: int) -> Response:
        _demand(request)
        wanted = body_of(SourceChangeRequest, request)
        source, enabled = visible_source(request, pk), wanted.pop("enabled")
        with transaction.atomic():
            changes = Changes(**wanted)
            _sound(lambda: connections.change(source, changes, by=request.user, via="api"))
            if enabled is not None:
                connections.switch(source, enabled, by=request.user, via="api")
        return self.answer(SourceShape, source_row(request, pk))


def _demand(request: Request) -> None:
    if not request.user.has_perm(MANAGE):
        raise Problem(403, "Your role does not allow this: it must be over the organisation.")


def _sound(act: Any) -> Any:
    try:
        return act()
    except Refused as refused:
        wrong = FilterError(refused.field, refused.message)
        raise Problem(400, "Some fields are wrong.", [wrong]) from refused
