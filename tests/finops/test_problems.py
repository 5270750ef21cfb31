"""Django's own refusals: a problem under /api, a page elsewhere."""

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, UnreadablePostError
from django.test import Client

from finops import problems

pytestmark = pytest.mark.usefixtures("plain_static")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestDataTooBig(), 413),
        (UnreadablePostError(), 400),
        (SuspiciousOperation("Invalid HTTP_HOST header"), 400),
        (PermissionDenied(), 403),
        (Http404(), 404),
    ],
)
def test_framework_errors_have_a_status_and_a_sentence(error, status):
    found = problems.problem_of(error)
    assert (found.status, found.detail.endswith(".")) == (status, True)
    assert "HTTP_HOST" not in found.detail


def test_error_nobody_foresaw_is_left_to_the_log():
    assert problems.problem_of(ZeroDivisionError()) is None


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (lambda request: problems.bad_request(request, RequestDataTooBig()), (413, 400)),
        (lambda request: problems.permission_denied(request, PermissionDenied()), (403, 403)),
        (lambda request: problems.page_not_found(request, Http404()), (404, 404)),
        (problems.server_error, (500, 500)),
    ],
)
def test_api_answers_with_a_problem_and_pages_with_a_page(rf, handler, status):
    of_api, of_page = handler(rf.get("/api/v1/spend")), handler(rf.get("/costs"))
    assert (of_api.status_code, of_page.status_code) == status
    assert of_api["Content-Type"] == "application/problem+json"
    assert of_page["Content-Type"].startswith("text/html")


def test_host_we_are_not_is_a_problem_too():
    answer = Client(raise_request_exception=False).get("/api/v1/me", HTTP_HOST="evil.example")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
