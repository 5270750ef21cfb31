"""Every page of the loop, for everybody: who may open it, and that it is whole."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from optimiser.models import Target
from tests.factories.finops import person
from tests.finops.reading import Page
from tests.optimiser import made

LISTS = ("/recommendations", "/recommendations?state=all", "/changes", "/changes?state=all")
TARGETS = ("/targets",)
MANAGERS = ("/servers/new", "/targets/new")
SLIPS = ("{{", "{%", "None", "nan", "Decimal(", "<SafeString", "datetime.")


@pytest.fixture
def details(target, advice, rollout):
    """One of each, with everything that a page may show of it."""
    made.CalibrationFactory(target=target, state="failed", error="The server did not answer.")
    made.verdict(rollout, "INCONCLUSIVE", made.metric(outcome="INCONCLUSIVE", low=None))
    made.verdict(
        rollout,
        "PASS",
        made.metric(),
        made.metric("p95_latency_ms", question="non-inferiority", before=420, after=190),
        made.metric("error_rate", question="non-inferiority", before=0.0, after=0.0, effect=0.0),
        made.metric("quality", before=None, after=None, effect=None, low=None, needed=None),
        look=2,
    )
    change = rollout.change_id
    return (
        f"/recommendations/{advice.pk}",
        f"/changes/{change}",
        f"/changes/{change}/rollout",
        f"/targets/{target.pk}",
    )


@pytest.mark.parametrize("name", ["asha", "ben", "dev", "ada"])
def test_members_open_every_page(sign_in, details, name):
    client = sign_in(name)
    for path in (*LISTS, *TARGETS, *details, "/waiting"):
        assert (path, client.get(path).status_code) == (path, 200)
    expected = 200 if name == "ada" else 403
    assert {client.get(path).status_code for path in MANAGERS} == {expected}


def test_cleo_sees_nothing_of_other_projects(sign_in, details):
    client = sign_in("cleo")
    for path in (*LISTS, *TARGETS, "/waiting", "/"):
        html = client.get(path).text
        for hidden in ("chat", "triton-a", "Batch requests"):
            assert hidden not in html, (path, hidden)
    assert {client.get(path).status_code for path in details} == {404}


def test_stranger_is_sent_to_sign_in(details):
    for path in (*LISTS, *TARGETS, *MANAGERS, *details, "/waiting"):
        response = Client().get(path)
        assert response["Location"].startswith(f"{reverse('finops:sign-in')}?next="), path


def test_no_page_holds_what_a_strict_policy_refuses_or_a_slip(sign_in, details):
    client = sign_in("ada")
    for path in (*LISTS, *TARGETS, *MANAGERS, *details, "/waiting"):
        page = Page(client.get(path).text)
        assert (path, page.refused) == (path, [])
        for slip in SLIPS:
            assert not re.search(rf"(?<!\w){re.escape(slip)}(?!\w)", page.words), (path, slip)


@pytest.mark.parametrize("path", ["/recommendations", "/changes"])
def test_bad_cursor_and_state_are_refused(sign_in, path):
    client = sign_in("asha")
    assert client.get(f"{path}?cursor=nonsense").status_code == 400
    assert client.get(f"{path}?state=nonsense").status_code == 404


@pytest.mark.parametrize("path", ["/recommendations/9", "/changes/9", "/targets/9"])
def test_address_of_nothing_is_not_found(sign_in, path):
    assert sign_in("asha").get(path).status_code == 404


def queries_of(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path).status_code == 200
    return len(asked)


@pytest.mark.parametrize(
    "path", ["/recommendations?state=all", "/changes?state=all", "/targets", "/waiting"]
)
def test_more_rows_need_no_more_queries(sign_in, people, change, path):
    Target.objects.update(live_state="drifted")
    client = sign_in("ben")
    before = queries_of(client, path)
    for _ in range(2):
        target = made.TargetFactory(live_state="drifted")
        made.proposed(people["dev"], made.RecommendationFactory(target=target))
        made.RecommendationFactory(target=target, lever="variant")
    assert queries_of(client, path) == before


def test_more_blocks_and_decisions_need_no_more_queries(sign_in, people, rollout):
    path = f"/changes/{rollout.change_id}"
    client = sign_in("ben")
    made.verdict(rollout, "INCONCLUSIVE")
    before = queries_of(client, path)
    for look in (2, 3):
        made.verdict(rollout, "INCONCLUSIVE", look=look)
    assert queries_of(client, path) == before


def test_navigation_leads_to_the_loop_and_marks_where_one_is(sign_in, details):
    html = sign_in("asha").get(details[1]).text
    found = re.findall(r'href="(/[a-z]+)\?[^"]*" aria-current="(\w+)"', html)
    assert ("/changes", "true") in found
    hrefs = {href.partition("?")[0] for href in Page(html).hrefs}
    assert {"/recommendations", "/changes", "/targets"} <= hrefs


# What waits


def test_overview_asks_for_what_waits(sign_in):
    assert 'hx-get="/waiting" hx-trigger="load"' in sign_in("ben").get("/").text


def test_nothing_waiting_is_nothing_at_all(sign_in, target):
    assert sign_in("ben").get("/waiting").text == ""


def test_change_waits_for_whoever_can_decide_on_it(sign_in, change):
    assert "Batch requests to chat" in Page(sign_in("ben").get("/waiting").text).words
    for name in ("dev", "asha", "ada", "cleo"):
        assert sign_in(name).get("/waiting").text == ""


def test_rollouts_and_drift_wait_for_everybody_of_the_project(sign_in, rollout, target):
    Target.objects.update(live_state="drifted", live_detail="max_batch_size: 32 → 8")
    said = Page(sign_in("asha").get("/waiting").text).words
    assert "Rolling out" in said
    assert "max_batch_size: 32 → 8 Drifted" in said


def test_approver_of_another_project_has_nothing_to_decide(sign_in, people, change):
    people["nia"] = person("nia", "approver", project=made.TargetFactory().project)
    assert sign_in("nia").get("/waiting").text == ""
