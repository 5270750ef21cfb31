"""Telling, reading, ending and removing events through the API."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from finops.models import AnomalyMark, Audit, Membership, User
from ingest.models import Event, Project

pytestmark = pytest.mark.usefixtures("estate")
PATH = "/api/v1/events"
RELEASE = {"kind": "release", "service": "search", "version": "1.4.2", "external_id": "build-812"}


def tell(caller, **more):
    return caller.post(PATH, json.dumps({**RELEASE, **more}))


def acts():
    return list(
        Audit.objects.filter(action__startswith="event.").order_by("pk").values_list(
            "action", "actor_name", "via"
        )
    )  # fmt: skip


def test_release_is_told_and_read_back(by_token):
    asha = by_token("asha", "write")
    answer = tell(asha, project="support-chat", link="https://ci.example/812")
    assert answer.status_code == 201
    told = answer.json()
    assert told["title"] == "search 1.4.2"
    assert (told["project"], told["origin"], told["created_by"]) == ("support-chat", "api", "asha")
    assert asha.get(f"{PATH}/{told['id']}").json() == told
    assert asha.get(PATH).json() == {"data": [told], "next": None}
    assert acts() == [("event.add", "asha", "api")]


def test_same_event_again_changes_nothing_and_a_correction_corrects(by_token):
    asha = by_token("asha", "write")
    first = tell(asha).json()
    again = tell(asha)
    assert (again.status_code, again.json()) == (200, first)
    better = tell(asha, version="1.4.3")
    assert (better.status_code, better.json()["title"]) == (200, "search 1.4.3")
    assert Event.objects.count() == 1
    assert [act for act, *_ in acts()] == ["event.add", "event.change"]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"kind": "party"}, "kind", '"party" is not a valid choice.'),
        ({"title": "x" * 201}, "title", "Ensure this field has no more than 200 characters."),
        (
            {"link": "javascript:alert(1)"},
            "link",
            "Must be an address that begins with https:// or http://, or be left out.",
        ),
        (
            {"happened_at": "2999-01-01T00:00:00Z"},
            "happened_at",
            "2999-01-01T00:00:00+00:00 is yet to come; tell an event when it has happened.",
        ),
        (
            {"happened_at": "2026-02-02T00:00:00Z", "ended_at": "2026-02-01T00:00:00Z"},
            "ended_at",
            "Ends before it began; give a time after happened_at.",
        ),
        (
            {"project": "nowhere"},
            "project",
            "There is no project “nowhere” that you may see; leave it out for the whole estate.",
        ),
        (
            {"service": "", "version": "", "external_id": ""},
            "title",
            "Say what it was: give a title, or a service and a version.",
        ),
    ],
)
def test_bad_event_names_its_field_and_the_fix(by_token, body, field, message):
    answer = tell(by_token("asha", "write"), **body)
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": field, "message": message}]
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{", '{"kind": "release", "colour": "red"}', "null",
     '{"kind": "release", "title": "\\u0000"}', '{"kind": "release", "title": "\\ud800"}'],
)  # fmt: skip
def test_body_that_is_none_is_refused(by_token, body):
    assert by_token("asha", "write").post(PATH, body).status_code == 400


def test_reading_token_tells_nothing(by_token):
    answer = tell(by_token("asha", "read"))
    assert answer.status_code == 403
    assert answer.json()["detail"] == "This token may only read; this needs scope write."


@pytest.fixture
def engineer_of_chat():
    """Cleo may also tell events, of one project."""
    project = Project.objects.get(slug="support-chat")
    return Membership.objects.create(
        user=User.objects.get(username="cleo"),
        role=Group.objects.get(name="engineer"),
        project=project,
    )


def test_role_on_one_project_tells_its_events_and_no_others(by_token, engineer_of_chat):
    cleo = by_token("cleo", "write")
    assert tell(cleo, project="support-chat").status_code == 201
    whole = tell(cleo)
    assert whole.status_code == 403
    assert "name one of your projects in `project`" in whole.json()["detail"]
    assert tell(cleo, project="product-search").status_code == 400


def test_events_of_other_projects_can_neither_be_seen_nor_ended_nor_removed(
    by_token, engineer_of_chat
):
    asha, cleo = by_token("asha", "write"), by_token("cleo", "write")
    others = tell(asha, kind="incident", project="product-search").json()["id"]
    estate = tell(asha, kind="incident", title="Whole").json()["id"]
    assert [row["id"] for row in cleo.get(PATH).json()["data"]] == [estate]
    assert cleo.get(f"{PATH}/{others}").status_code == 404
    assert cleo.post(f"{PATH}/{others}/end", "{}").status_code == 404
    assert cleo.delete(f"{PATH}/{others}").status_code == 404
    assert cleo.post(f"{PATH}/{estate}/end", "{}").status_code == 403
    assert cleo.delete(f"{PATH}/{estate}").status_code == 403
    assert Event.objects.filter(ended_at=None, removed_at=None).count() == 2


def test_incident_is_ended_once_and_the_same_end_again_changes_nothing(by_token):
    asha = by_token("asha", "write")
    began = timezone.now() - timedelta(hours=3)
    told = tell(asha, kind="incident", happened_at=began.isoformat()).json()
    assert told["is_open"]
    end = {"ended_at": (began + timedelta(hours=1)).isoformat()}
    ended = asha.post(f"{PATH}/{told['id']}/end", json.dumps(end))
    assert (ended.status_code, ended.json()["is_open"]) == (200, False)
    assert asha.post(f"{PATH}/{told['id']}/end", json.dumps(end)).json() == ended.json()
    other = asha.post(f"{PATH}/{told['id']}/end", "{}")
    assert other.status_code == 409
    assert other.json()["detail"].startswith("It ended at ")
    assert [act for act, *_ in acts()] == ["event.add", "event.end"]


def test_end_before_the_begin_and_end_of_a_release_are_refused(by_token):
    asha = by_token("asha", "write")
    incident = tell(asha, kind="incident", external_id="i").json()["id"]
    early = asha.post(f"{PATH}/{incident}/end", '{"ended_at": "2020-01-01T00:00:00Z"}')
    assert (early.status_code, early.json()["errors"][0]["field"]) == (400, "ended_at")
    release = tell(asha).json()["id"]
    assert asha.post(f"{PATH}/{release}/end", "{}").status_code == 409


def test_removed_event_is_gone_and_may_be_told_again(by_token):
    asha = by_token("asha", "write")
    pk = tell(asha).json()["id"]
    assert asha.delete(f"{PATH}/{pk}").status_code == 204
    assert asha.get(f"{PATH}/{pk}").status_code == 404
    assert asha.get(PATH).json()["data"] == []
    assert tell(asha).json()["id"] == pk
    assert [act for act, *_ in acts()] == ["event.add", "event.remove", "event.change"]


def test_list_pages_and_filters(by_token):
    asha = by_token("asha", "write")
    now = timezone.now()
    for number in range(3):
        tell(
            asha,
            external_id=f"b{number}",
            kind="release" if number else "config_change",
            environment="live",
            happened_at=(now - timedelta(hours=number)).isoformat(),
        )
    first = asha.get(PATH, limit=2).json()
    second = asha.get(PATH, limit=2, cursor=first["next"]).json()
    ids = [row["external_id"] for row in first["data"] + second["data"]]
    assert (ids, second["next"]) == (["b0", "b1", "b2"], None)
    kinds = asha.get(PATH, kind="config_change").json()["data"]
    assert [row["external_id"] for row in kinds] == ["b0"]
    assert len(asha.get(PATH, environment="live").json()["data"]) == 3
    assert asha.get(PATH, environment="test").json()["data"] == []


@pytest.mark.parametrize(
    ("query", "field"), [({"kind": "party"}, "kind"), ({"cursor": "x"}, "cursor")]
)
def test_bad_parameter_is_named(by_token, query, field):
    answer = by_token("asha").get(PATH, **query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_anomaly_names_the_events_near_it(by_token):
    asha = by_token("asha", "write")
    mark = AnomalyMark.objects.filter(scope="all").latest("day")
    begin = timezone.now().replace(
        year=mark.day.year, month=mark.day.month, day=mark.day.day,
        hour=0, minute=0, second=0, microsecond=0,
    )  # fmt: skip
    told = tell(asha, happened_at=(begin - timedelta(hours=2)).isoformat()).json()
    rows = asha.get("/api/v1/anomalies").json()["data"]
    [row] = [row for row in rows if (row["scope"], row["day"]) == ("all", str(mark.day))]
    assert row["events"] == [
        {"id": told["id"], "kind": "release", "title": "search 1.4.2",
         "happened_at": told["happened_at"], "said": "2 h after release search 1.4.2"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"kind": "release", "title": "x", "happened_at": "9999-12-31T23:59:59-14:00"}',
         "happened_at"),
        ('{"kind": "release", "title": "x", "happened_at": "0001-01-01T00:00:00+14:00"}',
         "happened_at"),
        ('{"kind": "release", "title": "x", "ended_at": 7}', "ended_at"),
        ('{"kind": "release", "title": {"a": 1}}', "title"),
    ],
)  # fmt: skip
def test_hostile_value_is_an_error_of_its_field(by_token, body, field):
    answer = by_token("asha", "write").post(PATH, body)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_number_that_no_event_has_is_not_found(by_token):
    asha = by_token("asha", "write")
    for pk in ("0", "999999999999999999"):
        assert asha.get(f"{PATH}/{pk}").status_code == 404
        assert asha.delete(f"{PATH}/{pk}").status_code == 404
        assert asha.post(f"{PATH}/{pk}/end", "{}").status_code == 404
