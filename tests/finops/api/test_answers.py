"""What the API answers is what the queries say, in the shape that the schema promises."""

from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.http import QueryDict
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator

from finops.api.description import description
from finops.models import AccessToken, Audit, User
from finops.money import plain
from finops.queries import gpus, spend, traffic
from finops.queries.filters import Filters
from ingest.models import Source
from tests.finops.api.test_matrix import MAY_READ, path_of
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate")

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Independent of whether the site runs behind TLS."""
    file = tmp_path_factory.mktemp("schema") / "openapi.yaml"
    description.cache_clear()
    with override_settings(SESSION_COOKIE_NAME="sessionid"):
        call_command("spectacular", file=str(file), validate=True, fail_on_warn=True)
    return file


@pytest.fixture(scope="module")
def schema(generated):
    return yaml.load(generated.read_text(), Loader=yaml.CSafeLoader)


def test_committed_schema_is_current_and_valid(generated):
    assert generated.read_text() == COMMITTED.read_text(), (
        "Run: python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml"
    )


def filters(query=""):
    return Filters.parse(QueryDict(query), User.objects.get(username="asha"))[0]


def test_spend_is_the_querys_to_the_last_digit(by_token):
    answer = by_token("asha").get("/api/v1/spend", range="30d").json()
    found = spend.spend_total(filters("range=30d"))
    assert found.cost > 0
    assert (answer["cost"], answer["currency"]) == (plain(found.cost), "USD")
    assert answer["reconciled"] == plain(found.reconciled)
    assert answer["provisional"] is found.provisional
    assert [note["name"] for note in answer["sources"]] == [one.name for one in found.sources]


@pytest.mark.parametrize("query", ["range=30d&group_by=model,provider", "range=7d&basis=usage"])
def test_rows_are_the_querys_and_add_up(by_token, query):
    asked = dict(pair.split("=") for pair in query.split("&"))
    answer = by_token("asha").get("/api/v1/spend/by", **asked).json()
    found = spend.spend_by(filters(query))
    assert [(row["keys"], row["cost"]) for row in answer["data"]] == [
        (list(row.keys), plain(row.cost)) for row in found.rows
    ]
    assert sum(Decimal(row["cost"]) for row in answer["data"]) == Decimal(answer["total"]["cost"])


def test_series_has_a_value_or_null_for_every_point(by_token):
    answer = by_token("asha").get("/api/v1/spend/series", range="30d", group_by="model").json()
    assert len(answer["points"]) == 30
    assert {len(line["values"]) for line in answer["lines"]} == {30}
    assert None in answer["lines"][0]["values"]


def test_pages_of_requests_join_up(by_token):
    asha, seen, cursor = by_token("asha"), [], {}
    while True:
        page = asha.get("/api/v1/requests/recent", range="30d", limit="50", **cursor).json()
        seen += [row["key"] for row in page["data"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(seen) == len(set(seen)) == traffic.request_summary(filters()).total.requests


def test_pools_and_their_gpus_are_the_querys(by_token):
    answer = by_token("asha").get("/api/v1/gpus", range="7d").json()
    [pool], [found] = answer["data"], gpus.pools(filters("range=7d")).pools
    assert (pool["name"], pool["allocated"]) == (found.name, plain(found.allocated))
    assert [gpu["id"] for gpu in pool["gpus"]] == [gpu.id for gpu in found.gpus]


def test_me_tells_roles_and_what_they_allow(by_token):
    assert by_token("cleo").get("/api/v1/me").json() == {
        "username": "cleo",
        "memberships": [{"role": "viewer", "team": None, "project": "support-chat"}],
        "permissions": [],
        "accounting_time_zone": "UTC",
        "currency": "USD",
    }
    assert by_token("dev").get("/api/v1/me").json()["permissions"] == [
        "handle_alerts", "manage_events", "propose_change", "propose_slo", "view_bills",
        "view_requests", "view_sources", "view_spend",
    ]  # fmt: skip


def test_session_reads_what_a_token_reads(by_session, by_token):
    for name in ("spend", "sources"):
        assert by_session("asha").get(path_of(name)).json().keys() == (
            by_token("asha").get(path_of(name)).json().keys()
        )


def test_token_is_shown_once_works_and_ends(by_token):
    ada = by_token("ada", "admin")
    made = ada.post("/api/v1/tokens", '{"name": "nightly", "scope": "read"}').json()
    assert made["token"].startswith(f"brk_{made['id']}_")
    assert "token" not in ada.get("/api/v1/tokens").json()["data"][0]
    used = {"headers": {"Authorization": f"Bearer {made['token']}"}}
    assert ada.client.get("/api/v1/me", **used).json()["username"] == "ada"
    assert AccessToken.objects.get(pk=made["id"]).last_used_at is not None
    assert ada.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert ada.client.get("/api/v1/me", **used).status_code == 401
    told = list(Audit.objects.filter(object_id=made["id"]).values_list("action", "via"))
    assert sorted(told) == [("token.issue", "api"), ("token.revoke", "api")]


def test_person_who_is_switched_off_has_no_working_token(by_token):
    asha = by_token("asha")
    User.objects.filter(username="asha").update(is_active=False)
    assert asha.get("/api/v1/me").status_code == 401


def test_push_token_is_for_sources_that_push(by_token):
    ada = by_token("ada", "admin")
    bills = Source.objects.get(kind="focus_csv")
    answer = ada.post(f"/api/v1/sources/{bills.pk}/tokens", '{"name": "x"}')
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "This source does not push, so it needs no token.",
    )


def test_description_page_lists_every_operation_and_needs_no_script(sign_in, schema):
    page = Page(sign_in("cleo").get("/api/docs").content.decode())
    for path, methods in schema["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page.words
    assert page.refused == []


def test_schema_is_made_once_for_everybody_who_asks(anybody, schema, monkeypatch):
    """It takes seconds and needs no sign-in."""
    monkeypatch.delattr(SchemaGenerator, "get_schema")
    answer = anybody.get("/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.json()["paths"].keys() == schema["paths"].keys()


# The schema's promise, checked on real answers.


def test_every_answer_has_the_shape_that_the_schema_promises(by_token, schema):
    for name, readers in MAY_READ.items():
        address = path_of(name)
        path = address.partition("?")[0]
        answer = by_token("asha" if "asha" in readers else "ada").get(address)
        # An address of its own goes before a pattern that it would fit as well.
        named = [path] if path in schema["paths"] else schema["paths"]
        [template] = [one for one in named if matches(one, path)]
        told = schema["paths"][template]["get"]["responses"]["200"]
        shape = told["content"]["application/json"]["schema"]
        assert list(wrong(answer.json(), shape, schema, name)) == []


def matches(template, path):
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        one == other or one.startswith("{") for one, other in zip(parts, given, strict=True)
    )


TYPES = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def wrong(value, shape, schema, at):
    """Where a value is not what the schema says: types, names, nothing left out, nothing more."""
    if "$ref" in shape:
        shape = schema["components"]["schemas"][shape["$ref"].rsplit("/", 1)[-1]]
    for one in shape.get("allOf", ()):
        yield from wrong(value, one, schema, at)
    if "oneOf" in shape or "anyOf" in shape:
        choices = shape.get("oneOf") or shape["anyOf"]
        if all(list(wrong(value, one, schema, at)) for one in choices):
            yield f"{at}: fits none"
        return
    allowed = shape.get("type", [])
    names = [allowed] if isinstance(allowed, str) else allowed
    kinds = tuple(TYPES[name] for name in names)
    is_bool = isinstance(value, bool) and bool not in kinds
    if kinds and (not isinstance(value, kinds) or is_bool):
        yield f"{at}: {value!r} is no {allowed}"
        return
    if isinstance(value, dict) and "properties" in shape:
        for name in set(shape.get("required", ())) - set(value):
            yield f"{at}.{name} is missing"
        for name, inner in value.items():
            if name not in shape["properties"]:
                yield f"{at}.{name} is not in the schema"
            else:
                yield from wrong(inner, shape["properties"][name], schema, f"{at}.{name}")
    if isinstance(value, list):
        for place, inner in enumerate(value):
            yield from wrong(inner, shape.get("items", {}), schema, f"{at}[{place}]")
