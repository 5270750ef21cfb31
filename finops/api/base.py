"""What every view of the API shares: parsing, permission, documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from finops.problems import CONTENT_TYPE

from .parsers import StrictJson
from .shapes import ProblemShape

PROBLEMS = {
    400: "A parameter or the body is wrong; `errors` names each field with its fix.",
    401: "Sign in, or send an access token.",
    403: "The role or the token's scope does not allow it.",
    404: "There is nothing that this reader may see.",
    429: "Too many attempts; Retry-After says how long to wait.",
    503: "The database is away for now; Retry-After says how long to wait.",
}

View = TypeVar("View", bound=Callable[..., Any])


class Api(APIView):
    """A view says for each method which permission it asks for; see `ScopedAndPermitted`."""

    permissions: ClassVar[Mapping[str, str | None]] = {}
    over_everything: ClassVar[bool] = False
    write_scope: ClassVar[str] = "write"
    parser_classes = (StrictJson,)
    renderer_classes = (JSONRenderer,)

    @staticmethod
    def answer(shape: type[Serializer], result: Any, status: int = 200) -> Response:
        return Response(shape(result).data, status=status)


def told(
    summary: str,
    shape: type[Serializer] | None,
    *,
    parameters: Sequence[OpenApiParameter] = (),
    body: type[Serializer] | None = None,
    status: int = 200,
    name: str,
    group: str,
    more: Mapping[int, tuple[type[Serializer], str]] | None = None,
    also: Mapping[int, tuple[type[Serializer], str]] | None = None,
) -> Callable[[View], View]:
    """Describes one operation in the schema, with every problem it may answer.

    `more` are problems of this operation alone, `also` other ways it may go well.
    """
    responses: dict[Any, Any] = {
        status: OpenApiResponse(shape, summary) if shape else OpenApiResponse(description=summary)
    }
    for code, (other, text) in (also or {}).items():
        responses[code] = OpenApiResponse(other, text)
    for code, text in PROBLEMS.items():
        responses[code, CONTENT_TYPE] = OpenApiResponse(ProblemShape, text)
    for code, (problem, text) in (more or {}).items():
        responses[code, CONTENT_TYPE] = OpenApiResponse(problem, text)
    return extend_schema(
        operation_id=name,
        summary=summary,
        parameters=list(parameters),
        request=body,
        responses=responses,
        tags=[group],
    )
