"""Whatever is sent, the answer is a problem with a sentence, and never a 500."""

import json

import pytest
from django.db import OperationalError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finops.queries import spend
from tests.factories.finops import person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("people")]

TOKENS = "/api/v1/tokens"


@pytest.fixture(scope="module")
def people(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), transaction.atomic():
        person("asha", "analyst")
        person("ada", "admin")
        yield
        transaction.set_rollback(True)


def problem(answer, status):
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    told = answer.json()
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert told["title"]
    assert told["detail"].endswith((".", "…."))
    return told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"name":' * 5_000 + b"1" + b"}" * 5_000, "nested deeper"),
        (b"[" * 40 + b"]" * 40, "nested deeper"),
        (b'{"name": NaN}', "NaN is not a number"),
        (b'{"name": Infinity}', "Infinity is not a number"),
        (b'{"name": 1e999}', "too large"),
        (b'{"name": ' + b"9" * 5_000 + b"}", "too large"),
        (b'{"name": "a", "name": "b"}', "occurs twice"),
        (b'{"name": "a\\u0000b"}', "NUL"),
        (b'{"na\\u0000me": "a"}', "NUL"),
        (b'{"name": "\\ud800"}', "half a character"),
    ],
)
def test_json_that_cannot_be_taken_is_refused_in_a_sentence(by_token, body, words):
    answer = by_token("ada", "admin").post(TOKENS, body)
    assert words in problem(answer, 400)["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": "x", "scope": "root"}, "scope"),
        ({"name": "x", "scope": 1}, "scope"),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"),
        ({"name": "x", "is_admin": True}, "is_admin"),
        ([], "name"),
        (None, "name"),
        ("text", ""),
        (7, ""),
    ],
)
def test_wrong_field_is_named(by_token, body, field):
    answer = by_token("ada", "admin").post(TOKENS, json.dumps(body))
    told = problem(answer, 400)
    if field and isinstance(body, dict):
        assert [error["field"] for error in told["errors"]] == [field]


def test_body_in_another_charset_or_format_is_refused(by_token):
    ada = by_token("ada", "admin")
    for charset in ("x-nonsense", "utf-16", "\\"):
        answer = ada.post(TOKENS, b"{}", f"application/json; charset={charset}")
        assert problem(answer, 415)["detail"] == "Send JSON in UTF-8."
    problem(ada.post(TOKENS, b"name=x", "application/x-www-form-urlencoded"), 415)
    assert ada.post(TOKENS, b'{"name": "x"}', "application/json; charset=UTF-8").status_code == 201


def test_body_that_is_too_large_is_refused_before_it_is_read(by_token):
    answer = by_token("ada", "admin").post(TOKENS, b'"' + b"x" * 2_000_000 + b'"')
    problem(answer, 413)


@pytest.mark.parametrize(
    "path",
    ["/api/v1/nothing", "/api/v1/sources/" + "9" * 30, "/api/v1/sources/٣", "/api/v1/sources/-1",
     "/api/v1/sources/1%00", "/api/v1/deliveries/999999999999999999", "/api/", "/api/v2/spend"],
)  # fmt: skip
def test_address_that_leads_nowhere_is_a_problem_too(by_token, path):
    problem(by_token("ada").get(path), 404)


def test_method_that_there_is_not_is_named(by_token):
    answer = by_token("ada", "admin").post("/api/v1/spend", "{}")
    assert "POST" in problem(answer, 405)["detail"]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("spend", {"rnage": "7d"}, "rnage"),
        ("spend", {"step": "day"}, "step"),
        ("spend/series", {"step": "minute"}, "step"),
        ("spend/series", {"step": "hour"}, "step"),
        ("spend/by", {"group_by": "id; DROP TABLE x"}, "group_by"),
        ("requests", {"group_by": "sku"}, "group_by"),
        ("requests/recent", {"limit": "0"}, "limit"),
        ("requests/recent", {"limit": "201"}, "limit"),
        ("requests/recent", {"limit": "٣"}, "limit"),
        ("requests/recent", {"limit": "1_0"}, "limit"),
        ("requests/recent", {"limit": "9" * 400}, "limit"),
        ("requests/recent", {"cursor": "bm9uc2Vuc2U"}, "cursor"),
        ("requests/slowest", {"cursor": "\0"}, "cursor"),
        ("prices", {"q": "\0"}, "q"),
        ("prices", {"book": "latest"}, "book"),
        ("audit", {"cursor": "WzFlOTld"}, "cursor"),
        ("me", {"as": "asha"}, "as"),
    ],
)
def test_wrong_parameter_is_named_with_the_fix(by_token, path, query, field):
    told = problem(by_token("ada").get(f"/api/v1/{path}", **query), 400)
    assert [error["field"] for error in told["errors"]] == [field]
    assert all(error["message"].endswith(".") for error in told["errors"])


def test_version_of_the_book_that_there_is_not_is_404(by_token):
    problem(by_token("ada").get("/api/v1/prices", book="4000"), 404)


PATHS = ("spend", "spend/by", "requests", "requests/recent", "requests/slowest", "prices", "audit")
NAMES = ("range", "from", "to", "group_by", "basis", "currency", "known_on", "f.model", "f.project",
         "cursor", "limit", "q", "book", "step", "compare")  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(PATHS),
    query=st.dictionaries(
        st.sampled_from(NAMES),
        st.one_of(
            st.text(max_size=40),
            st.integers(-(10**30), 10**30).map(str),
            st.dates().map(str),
        ),
        max_size=4,
    ),
)
def test_no_query_makes_it_fail(session, path, query):
    encoded = {name: value.encode("utf-8", "replace") for name, value in query.items()}
    answer = session.get(f"/api/v1/{path}", encoded)
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        problem(answer, answer.status_code)


@pytest.fixture
def session(by_session):
    return by_session("ada").client


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer brk_",
        "Bearer brk_1_2",
        "Bearer brk_\0_x",
        "Bearer " + "x" * 9999,
        "bearer brk_0123456789ab_é",
        "Bearer brk_0123456789ab_wrong",
    ],
)
def test_token_that_is_none_is_401(anybody, header):
    answer = anybody.get("/api/v1/me", headers={"Authorization": header})
    assert problem(answer, 401)["detail"].startswith("This access token is unknown")


def test_session_without_its_csrf_token_changes_nothing(by_session):
    answer = by_session("ada", enforce_csrf_checks=True).post(TOKENS, '{"name": "x"}')
    assert "CSRF" in problem(answer, 403)["detail"]


def test_database_that_is_away_is_503_with_a_time_to_wait(by_token, monkeypatch):
    def away(_filters):
        raise OperationalError("server closed the connection")

    asha = by_token("asha")
    monkeypatch.setattr(spend, "spend_total", away)
    answer = asha.get("/api/v1/spend")
    assert "server closed" not in problem(answer, 503)["detail"]
    assert answer["Retry-After"] == "5"


def test_unforeseen_error_tells_its_request_id_and_nothing_else(by_token, monkeypatch):
    def broken(_filters):
        raise RuntimeError("secret of the house")

    asha = by_token("asha")
    monkeypatch.setattr(spend, "spend_total", broken)
    told = problem(asha.get("/api/v1/spend"), 500)
    assert "secret" not in json.dumps(told)
    assert told["request_id"]


def test_names_from_outside_stay_data(by_token):
    name = "'; DROP TABLE finops_user; --<script>alert(1)</script>"
    answer = by_token("asha").get("/api/v1/spend/by", **{"f.model": name, "group_by": "model"})
    assert (answer.status_code, answer.json()["data"]) == (200, [])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM finops_user")
        assert cursor.fetchone()[0] == 2
