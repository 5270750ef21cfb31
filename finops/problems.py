"""What the API answers when something is wrong: RFC 9457, one sentence, the fields, the request id.

Knows Django's, DRF's and our own ways to fail. Refuses to leak: an unforeseen error says no more
than where to look it up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views import defaults
from rest_framework import exceptions

from finops.queries.cursors import BadCursor
from finops.queries.filters import FilterError

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
PATHS = ("/api/",)


class Problem(Exception):
    """A refusal with its status and, where it is about fields, each field with its fix."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Iterable[FilterError] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`more` are members of this problem's own, as RFC 9457 allows."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def respond(request: HttpRequest | None, problem: Problem) -> HttpResponse:
    body: dict[str, Any] = {
        **problem.more,
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.path if request is not None else "",
        "request_id": request_id(),
    }
    if problem.errors:
        body["errors"] = [
            {"field": error.field, "message": error.message} for error in problem.errors
        ]
    return JsonResponse(
        body, status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers
    )


def request_id() -> str:
    """As the log lines of this request carry it."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """DRF's exception handler. None lets an unforeseen error be logged and become a 500."""
    problem = problem_of(error)
    if problem is None:
        return None
    return respond(context.get("request"), problem)


def problem_of(error: Exception) -> Problem | None:
    match error:
        case Problem():
            return error
        case BadCursor():
            return Problem(
                400, "The cursor is not one of ours.", [FilterError("cursor", str(error))]
            )
        case exceptions.APIException():
            return _of_framework(error)
        case Http404():
            return Problem(404, "There is nothing here that you may see.")
        case PermissionDenied():
            return Problem(403, str(error) or "Your role does not allow this.")
        case RequestDataTooBig():
            return Problem(413, "The body is too large; send less at once.")
        case UnreadablePostError():
            return Problem(400, "The body broke off; send it again.")
        case SuspiciousOperation() | BadRequest():
            return Problem(400, "The request cannot be read.")
        case OperationalError() | InterfaceError():
            return _away()
        case _:
            return None


def _away() -> Problem:
    detail = "The database is away for now; try again in some seconds."
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def _of_framework(error: exceptions.APIException) -> Problem:
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header
    if getattr(error, "wait", None):
        headers["Retry-After"] = str(int(error.wait) + 1)
    if isinstance(error, exceptions.ValidationError):
        return Problem(400, "Some fields are wrong.", _fields(error.detail), headers)
    return Problem(error.status_code, str(error.detail), headers=headers)


def _fields(detail: Any, at: str = "") -> list[FilterError]:
    """DRF's nested messages, each under the path of its field."""
    if isinstance(detail, dict):
        return [
            found
            for name, inner in detail.items()
            for found in _fields(inner, f"{at}.{name}" if at else str(name))
        ]
    if isinstance(detail, list):
        return [found for inner in detail for found in _fields(inner, at)]
    return [FilterError(at.removeprefix("non_field_errors"), str(detail))]


# Django's own answers, for paths of the API and for pages


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith(PATHS)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        return defaults.bad_request(request, exception)
    found = problem_of(exception) or Problem(400, "The request cannot be read.")
    return respond(request, found)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        return defaults.permission_denied(request, exception)
    return respond(request, Problem(403, str(exception) or "Your role does not allow this."))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        return defaults.page_not_found(request, exception)
    return respond(request, Problem(404, "There is no such address; /api/v1/schema lists them."))


def server_error(request: HttpRequest) -> HttpResponse:
    if not is_api(request):
        return defaults.server_error(request)
    detail = "Something went wrong on our side; the log tells more under this request id."
    return respond(request, Problem(500, detail))
