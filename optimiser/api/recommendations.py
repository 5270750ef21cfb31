"""Recommendations: reading, proposing and dismissing them."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from finops.api.base import Api, told
from finops.api.parameters import PAGE, choice_of, limit_of, only, text_of, text_parameter
from finops.problems import Problem
from optimiser import asking
from optimiser.queries import recommendations as queries

from . import shapes
from .asked import CONFLICT, body_of, refused
from .changes import answer_with_plan, detail_of

STATE = text_parameter("state", "Which ones; open if left out.", enum=queries.STATES)


class Recommendations(Api):
    permissions = {"GET": queries.SEE}

    @told(
        "Recommendations, newest first",
        shapes.RecommendationPageShape,
        parameters=[STATE, *PAGE],
        name="recommendations",
        group="Recommendations",
    )
    def get(self, request: Request) -> Response:
        only(request, "state", "limit", "cursor")
        state = choice_of(request, "state", queries.STATES)
        cursor = text_of(request, "cursor") or None
        page = queries.recommendation_list(request.user, state, limit_of(request), cursor)
        return self.answer(shapes.RecommendationPageShape, page)


def _found(request: Request, pk: int) -> queries.RecommendationDetail:
    found = queries.recommendation_detail(request.user, int(pk))
    if found is None:
        raise Problem(404, "There is no such recommendation that you may see.")
    return found


class OneRecommendation(Api):
    permissions = {"GET": queries.SEE}

    @told(
        "One recommendation with its evidence",
        shapes.OneRecommendationShape,
        name="recommendation",
        group="Recommendations",
    )
    def get(self, request: Request, pk: int) -> Response:
        only(request)
        return self.answer(shapes.OneRecommendationShape, _found(request, pk))


class Propose(Api):
    permissions = {"POST": queries.SEE}

    @told(
        "Propose it as a change; somebody else approves",
        shapes.OneChangeShape,
        body=shapes.ProposeRequest,
        status=201,
        name="recommendation_propose",
        group="Recommendations",
        more=CONFLICT,
    )
    def post(self, request: Request, pk: int) -> Response:
        wanted = body_of(shapes.ProposeRequest, request)
        advice = _found(request, pk).advice
        with refused():
            change = asking.propose(
                advice,
                request.user,
                via="api",
                terms=wanted["policy"],
                why=wanted["why"],
                expires_at=wanted["expires_at"],
            )
        return answer_with_plan(detail_of(request, change.pk), status=201)


class Dismiss(Api):
    permissions = {"POST": queries.SEE}

    @told(
        "Say why it is not wanted",
        shapes.OneRecommendationShape,
        body=shapes.DismissRequest,
        name="recommendation_dismiss",
        group="Recommendations",
        more=CONFLICT,
    )
    def post(self, request: Request, pk: int) -> Response:
        wanted = body_of(shapes.DismissRequest, request)
        advice = _found(request, pk).advice
        with refused():
            asking.dismiss(advice.pk, request.user, via="api", reason=wanted["reason"])
        return self.answer(shapes.OneRecommendationShape, _found(request, pk))
