"""Every address × every role: who may ask, and that nobody sees what belongs to others."""

from __future__ import annotations

import re

import pytest
from django.urls import get_resolver

from tests.factories.ingest import PoolFactory, ProjectFactory
from tests.optimiser import made

PEOPLE = ("asha", "ben", "cleo", "dev", "ada")
EVERYBODY = set(PEOPLE)
MEMBERS = EVERYBODY - {"cleo"}
MAY_READ = {
    "servers": {"ada"},
    "targets": EVERYBODY,
    "target": MEMBERS,
    "calibrations": EVERYBODY,
    "calibration": MEMBERS,
    "recommendations": EVERYBODY,
    "recommendation": MEMBERS,
    "changes": EVERYBODY,
    "change": MEMBERS,
}
MAY_WRITE = {
    ("POST", "servers"): {"ada"},
    ("POST", "targets"): {"ada"},
    ("POST", "propose"): {"dev"},
    ("POST", "dismiss"): {"dev"},
    ("PATCH", "change"): {"dev"},
    ("POST", "approve"): {"ben"},
    ("POST", "reject"): {"ben"},
    ("POST", "ask"): {"ben"},
    ("POST", "withdraw"): {"dev"},
}
CONTROLLER = {"calibrations", "rollback"}
"""Their POST needs a shadow and a rollout; see test_targets and test_changes."""


def addresses() -> dict[str, str]:
    """Name → path with `{pk}`."""
    [api] = [
        one
        for one in get_resolver().url_patterns
        if getattr(one, "namespace", None) == "optimiser-api"
    ]
    found = {}
    for pattern in api.url_patterns:
        text = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", str(pattern.pattern))
        found[pattern.name] = text.strip("^$").removeprefix("v1/")
    return found


@pytest.fixture
def pks(people, target):
    """Name → the id that its address is about."""
    proposed = made.proposed(people["dev"], made.RecommendationFactory(target=target))
    advice = made.RecommendationFactory(target=target)
    calibration = made.CalibrationFactory(target=target)
    by_name = dict.fromkeys(("approve", "reject", "ask", "withdraw", "change"), proposed.pk)
    by_name |= dict.fromkeys(("recommendation", "propose", "dismiss"), advice.pk)
    return {**by_name, "target": target.pk, "calibration": calibration.pk, "plan": proposed}


def path_of(name: str, pks) -> str:
    return addresses()[name].format(pk=pks.get(name, 0))


def body_of(name: str, pks) -> dict:
    pool, project = PoolFactory(), ProjectFactory()
    server = made.ServerFactory()
    plan = pks["plan"].plan_hash
    return {
        "servers": {"name": "new", "url": "http://triton-new:8000"},
        "targets": {
            "server": server.pk, "model": "m", "project": project.slug, "pool": pool.name,
        },
        "dismiss": {"reason": "It is retired."},
        "change": {"plan_hash": plan, "why": "Better words."},
        "approve": {"plan_hash": plan},
        "reject": {"plan_hash": plan, "comment": "Too risky."},
        "ask": {"plan_hash": plan, "comment": "Shorter."},
    }.get(name, {})  # fmt: skip


def test_every_address_has_a_line_in_the_table(db):
    written = {name for _, name in MAY_WRITE}
    assert set(addresses()) == set(MAY_READ) | written | CONTROLLER


@pytest.mark.parametrize("name", MAY_READ)
def test_reading_is_for_those_in_the_table(by_token, pks, name):
    path = path_of(name, pks)
    statuses = {person: by_token(person, "read").get(path).status_code for person in PEOPLE}
    assert {person for person, status in statuses.items() if status == 200} == MAY_READ[name]
    # What is hidden answers like what is not there.
    assert statuses["cleo"] in (200, 403 if name == "servers" else 404)


@pytest.mark.parametrize(("method", "name"), MAY_WRITE)
@pytest.mark.parametrize("person", PEOPLE)
def test_writing_is_for_those_in_the_table(by_token, pks, method, name, person):
    answer = by_token(person, "admin").send(path_of(name, pks), body_of(name, pks), method)
    if person in MAY_WRITE[method, name]:
        assert answer.status_code in (200, 201)
    else:
        assert answer.status_code in (403, 404)
        assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "name"), MAY_WRITE)
def test_token_without_the_scope_changes_nothing(by_token, pks, method, name):
    [person] = MAY_WRITE[method, name]
    wanted = "admin" if name in ("servers", "targets") else "write"
    caller = by_token(person, "write" if wanted == "admin" else "read")
    answer = caller.send(path_of(name, pks), body_of(name, pks), method)
    assert answer.status_code == 403
    assert answer.json()["detail"].endswith(f"this needs scope {wanted}.")


def test_cleo_sees_nothing_of_others_projects(by_token, pks):
    cleo = by_token("cleo", "read")
    for name in ("targets", "calibrations", "recommendations", "changes"):
        assert cleo.get(path_of(name, pks)).json() == {"data": [], "next": None}


@pytest.mark.parametrize(
    ("name", "rows"), [("recommendations", 3), ("changes", 3), ("calibrations", 9)]
)
def test_lists_are_paged_without_loss(by_token, people, name, rows):
    for _ in range(3):
        target = made.TargetFactory()
        made.proposed(people["dev"], made.RecommendationFactory(target=target))
        made.RecommendationFactory(target=target)
        made.CalibrationFactory(target=target)
    caller = by_token("asha", "read")
    seen, cursor = [], ""
    while cursor is not None:
        page = caller.get(name, limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == rows
    assert caller.get(name, cursor="nonsense").status_code == 400


def test_query_that_nobody_knows_is_named(by_token, pks):
    asha = by_token("asha", "read")
    for name in MAY_READ:
        if name != "servers":
            answer = asha.get(path_of(name, pks), colour="red")
            assert [one["field"] for one in answer.json()["errors"]] == ["colour"]
    assert asha.get("changes", state="nonsense").status_code == 400
