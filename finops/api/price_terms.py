"""Contracts, regions of purchase, what they would do, and how a price comes about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import DateTimeField, Serializer, ValidationError

from finops import access
from finops.actions import price_terms as actions
from finops.actions.price_terms import Draft, Refused, RegionDraft, TermDraft
from finops.models import BuyingRegion, PriceTerm
from finops.problems import Problem
from finops.queries import price_terms as queries
from finops.queries.filters import FilterError
from finops.queries.price_effect import effect
from finops.queries.price_explained import explain, pinned_book
from finops.queries.prices import price_book

from . import price_terms_shapes as shapes
from .base import Api, told
from .parameters import number_of, only, refuse, text_of, text_parameter
from .people import body_of
from .shapes import ProblemShape

READ = "finops.view_spend"
WRONG = (ProblemShape, "It has changed since it was read, or a newer version does not have it.")
STALE = {
    409: WRONG,
    412: (ProblemShape, "If-Match names another revision than the newest."),
    428: (ProblemShape, "Neither If-Match nor revision was sent."),
}
EXPLAIN = (
    text_parameter("provider", "As its requests name it.", required=True),
    text_parameter("model", "As its requests name it.", required=True),
    text_parameter("tier", "Standard if left out."),
    OpenApiParameter("prompt_tokens", OpenApiTypes.INT, description="The whole prompt."),
    text_parameter("project", "Who pays; nobody in particular if left out."),
    OpenApiParameter("at", OpenApiTypes.DATETIME, description="Now if left out."),
    OpenApiParameter(
        "book", OpenApiTypes.INT,
        description="Version; the one the hour was priced with, else the newest, if left out.",
    ),
)  # fmt: skip


class Terms(Api):
    permissions = {"GET": READ, "POST": actions.MANAGE}

    @told(
        "What was agreed with providers, in the newest version of the price book",
        shapes.TermListShape,
        name="price_terms",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        only(request)
        found = [told_of(row) for row in queries.terms(request.user, price_book())]
        return self.answer(shapes.TermListShape, {"data": found, "next": None})

    @told(
        "Enter a contract; it makes the next version of the price book",
        shapes.TermShape,
        body=shapes.TermRequest,
        status=201,
        name="price_term_add",
        group="Prices",
    )
    def post(self, request: Request) -> Response:
        draft = TermDraft(**body_of(shapes.TermRequest, request))
        return added(self, shapes.TermShape, request, draft)


class TermPreview(Api):
    permissions = {"POST": actions.MANAGE}

    @told(
        "What a contract would have made of the last 30 days; nothing is written",
        shapes.EffectShape,
        body=shapes.TermRequest,
        name="price_term_preview",
        group="Prices",
    )
    def post(self, request: Request) -> Response:
        draft = TermDraft(**body_of(shapes.TermRequest, request))
        demand(request)
        with sound():
            named, before, after = actions.agreed_with(draft)
        book = price_book()
        assert book is not None  # the draft was checked against it
        found = effect(book, before, after, named.provider, queries.projects_of(request.user))
        return self.answer(shapes.EffectShape, found)


class OneTerm(Api):
    permissions = {"GET": READ, "PATCH": actions.MANAGE, "DELETE": actions.MANAGE}

    @told("One contract", shapes.TermShape, name="price_term", group="Prices")
    def get(self, request: Request, uid: str) -> Response:
        only(request)
        return with_revision(self.answer(shapes.TermShape, told_of(term_of(request, uid))))

    @told(
        "Change a contract; it makes the next version of the price book",
        shapes.TermShape,
        body=shapes.TermChangeRequest,
        name="price_term_change",
        group="Prices",
        more=STALE,
    )
    def patch(self, request: Request, uid: str) -> Response:
        wanted = body_of(shapes.TermChangeRequest, request)
        return changed(self, shapes.TermShape, request, term_of(request, uid), wanted)

    @told("Remove a contract from the next version on", None, status=204,
          name="price_term_remove", group="Prices")  # fmt: skip
    def delete(self, request: Request, uid: str) -> Response:
        return removed(request, TermDraft, term_of(request, uid))


class Regions(Api):
    permissions = {"GET": READ, "POST": actions.MANAGE}

    @told(
        "From which regions one buys, in the newest version of the price book",
        shapes.RegionListShape,
        name="buying_regions",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        only(request)
        found = [told_of(row) for row in queries.regions(request.user, price_book())]
        return self.answer(shapes.RegionListShape, {"data": found, "next": None})

    @told(
        "Say from which region one buys; it makes the next version of the price book",
        shapes.RegionShape,
        body=shapes.RegionRequest,
        status=201,
        name="buying_region_add",
        group="Prices",
    )
    def post(self, request: Request) -> Response:
        draft = RegionDraft(**body_of(shapes.RegionRequest, request))
        return added(self, shapes.RegionShape, request, draft)


class OneRegion(Api):
    permissions = {"GET": READ, "PATCH": actions.MANAGE, "DELETE": actions.MANAGE}

    @told("One region of purchase", shapes.RegionShape, name="buying_region", group="Prices")
    def get(self, request: Request, uid: str) -> Response:
        only(request)
        return with_revision(self.answer(shapes.RegionShape, told_of(region_of(request, uid))))

    @told(
        "Change a region of purchase; it makes the next version of the price book",
        shapes.RegionShape,
        body=shapes.RegionChangeRequest,
        name="buying_region_change",
        group="Prices",
        more=STALE,
    )
    def patch(self, request: Request, uid: str) -> Response:
        wanted = body_of(shapes.RegionChangeRequest, request)
        return changed(self, shapes.RegionShape, request, region_of(request, uid), wanted)

    @told("Remove a region of purchase from the next version on", None, status=204,
          name="buying_region_remove", group="Prices")  # fmt: skip
    def delete(self, request: Request, uid: str) -> Response:
        return removed(request, RegionDraft, region_of(request, uid))


class Explain(Api):
    permissions = {"GET": READ}

    @told(
        "How the price of one request comes about: list, own price, region, contract",
        shapes.ExplainedShape,
        parameters=EXPLAIN,
        name="price_explained",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        only(request, *(one.name for one in EXPLAIN))
        provider, model = text_of(request, "provider"), text_of(request, "model")
        refuse([
            FilterError(name, f"Name the {name}.")
            for name, said in (("provider", provider), ("model", model))
            if not said
        ])  # fmt: skip
        at = moment_of(request)
        project, version = project_of(request), number_of(request, "book")
        book = price_book(version) if version else pinned_book(project, at) or price_book()
        if version and book is None:
            raise Problem(404, f"There is no version {version} of the price book.")
        found = explain(
            book,
            project,
            provider,
            model,
            tier=text_of(request, "tier"),
            prompt_tokens=number_of(request, "prompt_tokens") or 0,
            at=at,
        )
        return self.answer(shapes.ExplainedShape, found)


# What both kinds do


def added(api: Api, shape: type[Serializer], request: Request, draft: Draft) -> Response:
    demand(request)
    with sound():
        row = actions.add(draft, by=request.user, via="api")
    return with_revision(api.answer(shape, told_of(row), status=201))


def changed(
    api: Api,
    shape: type[Serializer],
    request: Request,
    row: PriceTerm | BuyingRegion,
    wanted: dict[str, Any],
) -> Response:
    demand(request)
    revision = revision_of(request, wanted.pop("revision", None), row)
    draft = replace(actions.draft_of(row), **wanted)
    with sound():
        made = actions.change(row.uid, draft, by=request.user, via="api", revision=revision)
    return with_revision(api.answer(shape, told_of(made)))


def removed(request: Request, kind: type[Draft], row: PriceTerm | BuyingRegion) -> Response:
    demand(request)
    with sound():
        actions.remove(kind, row.uid, by=request.user, via="api")
    return Response(status=204)


def told_of(row: PriceTerm | BuyingRegion) -> dict[str, Any]:
    """The row as it would be sent, with its identity."""
    draft = actions.draft_of(row)
    names = type(draft).__dataclass_fields__
    return {name: getattr(draft, name) for name in names} | {
        "id": row.uid,
        "revision": row.since,
    }


def uid_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Problem(404, f"{text} is no id of a contract or region.") from error


def term_of(request: Request, uid: str) -> PriceTerm:
    row = queries.term(request.user, price_book(), uid_of(uid))
    if row is None:
        raise Problem(404, "There is no such contract in the newest version that you may see.")
    return row


def region_of(request: Request, uid: str) -> BuyingRegion:
    row = queries.region(request.user, price_book(), uid_of(uid))
    if row is None:
        raise Problem(404, "There is no such region in the newest version that you may see.")
    return row


def demand(request: Request) -> None:
    if not request.user.has_perm(actions.MANAGE):
        raise Problem(403, "Your role does not allow this: it must be over the organisation.")


def project_of(request: Request) -> Any:
    slug = text_of(request, "project")
    if not slug:
        return None
    for project in access.visible_projects(request.user).all:
        if project.slug == slug:
            return project
    raise Problem(404, "There is no such project that you may see.")


def moment_of(request: Request) -> Any:
    text = text_of(request, "at")
    if not text:
        return timezone.now()
    try:
        return DateTimeField().run_validation(text)
    except ValidationError as error:
        wrong = FilterError("at", "Give a time as in 2026-05-01T09:15:00Z.")
        raise Problem(400, "Some parameters are wrong.", [wrong]) from error


def revision_of(request: Request, said: int | None, row: PriceTerm | BuyingRegion) -> int:
    """The revision that the caller has read; refused when it is another."""
    header = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not header and said is None:
        raise Problem(428, "Say which revision you have read: If-Match with the ETag, or revision.")
    if header and header != str(row.since):
        raise Problem(412, "It has changed since you read it. Read it again.")
    if said is not None and said != row.since:
        raise Problem(409, "It has changed since you read it. Read it again.")
    return int(row.since)


def with_revision(answer: Response) -> Response:
    answer["ETag"] = f'"{answer.data["revision"]}"'
    return answer


@contextmanager
def sound() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if not refused.field:
            raise Problem(409, str(refused)) from refused
        wrong = FilterError(refused.field, str(refused))
        raise Problem(400, "Some fields are wrong.", [wrong]) from refused
