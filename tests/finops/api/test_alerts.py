"""A bot's way through alerts: list, handle, follow; rules and silences."""

from __future__ import annotations

import json
from datetime import timedelta
from threading import BoundedSemaphore

import pytest
from django.utils import timezone

from finops.actions import alerting
from finops.actions.alerting import Finding
from finops.api import alerts as api
from finops.models import Alert, Audit, Channel, Silence
from ingest.models import Project

pytestmark = pytest.mark.usefixtures("estate")
PATH = "/api/v1/alerts"


def raised(key: str, slug: str | None = "support-chat", **changes) -> Alert:
    project = Project.objects.get(slug=slug) if slug else None
    usual = {"kind": "slo", "severity": "warning", "title": f"{key} is slow", "text": "p95 2 s.",
             "path": "/requests", "figures": {"p95": "2 s"}}  # fmt: skip
    given = {**usual, **changes}
    return alerting.raise_(
        Finding(key=key, project_id=project.pk if project else None, **given), timezone.now()
    )


def keys(answer) -> list[str]:
    return [row["key"] for row in answer.json()["data"]]


def test_list_is_open_first_and_pages_by_cursor(by_token):
    asha = by_token("asha", "write")
    for key in ("a", "b", "c"):
        raised(key)
    asha.post(f"{PATH}/{Alert.objects.get(key='c').pk}/acknowledge", "")
    first = asha.get(PATH, limit=2)
    assert keys(first) == ["b", "a"]
    rest = asha.get(PATH, limit=2, cursor=first.json()["next"])
    assert (keys(rest), rest.json()["next"]) == (["c"], None)


def test_list_is_worst_first_within_a_state(by_token):
    for key, severity in (("a", "info"), ("b", "critical"), ("c", "warning"), ("d", "critical")):
        raised(key, severity=severity)
    found, cursor = [], ""
    while cursor is not None:
        answer = by_token("asha").get(PATH, limit=1, cursor=cursor)
        found, cursor = [*found, *keys(answer)], answer.json()["next"]
    assert found == ["d", "b", "c", "a"]


def test_list_is_narrowed_by_state_kind_severity_and_project(by_token):
    asha = by_token("asha")
    raised("a")
    raised("b", severity="critical")
    raised("c", slug="product-search")
    raised("d", kind="drift")
    alerting.resolve("drift", "d", "Over.", timezone.now())
    assert keys(asha.get(PATH, severity="critical")) == ["b"]
    assert keys(asha.get(PATH, project="product-search")) == ["c"]
    assert keys(asha.get(PATH, state="resolved")) == ["d"]
    assert keys(asha.get(PATH, kind="slo", state="open")) == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("query", "field"),
    [({"state": "gone"}, "state"), ({"kind": "x"}, "kind"), ({"severity": "x"}, "severity"),
     ({"project": "a\0"}, "project"), ({"range": "7d"}, "range"), ({"limit": "0"}, "limit")],
)  # fmt: skip
def test_list_refuses_what_it_does_not_know(by_token, query, field):
    answer = by_token("asha").get(PATH, **query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_one_alert_tells_all_of_it(by_token):
    ops = Channel.objects.create(kind="email", name="ops", state_at=timezone.now())
    alert = raised("a", channel_ids=(ops.pk,))
    answer = by_token("cleo").get(f"{PATH}/{alert.pk}").json()
    assert (answer["alert_id"], answer["project"], answer["figures"]) == (
        f"A-{alert.pk}", "support-chat", {"p95": "2 s"},
    )  # fmt: skip
    [event], [told] = answer["history"], answer["deliveries"]
    assert (event["act"], event["by"], event["channels"]) == ("opened", "", [ops.pk])
    assert (told["channel"], told["event"], told["state"]) == ("ops", "opened", "waiting")


def test_alerts_of_others_are_answered_like_those_that_do_not_exist(by_token):
    cleo = by_token("cleo", "write")
    hidden = [raised("a", slug="product-search"), raised("b", slug=None)]
    assert keys(cleo.get(PATH, state="all")) == []
    assert cleo.get(f"{PATH}/stream").json()["data"] == []
    missing = cleo.get(f"{PATH}/999999").json()["detail"]
    for alert in hidden:
        answer = cleo.get(f"{PATH}/{alert.pk}")
        assert (answer.status_code, answer.json()["detail"]) == (404, missing)


def test_acknowledge_snooze_and_resolve_are_audited(by_token):
    asha, alert = by_token("asha", "write"), raised("a")
    until = (timezone.now() + timedelta(hours=1)).isoformat()
    steps = [
        ("acknowledge", "", "acknowledged"),
        ("snooze", json.dumps({"until": until}), "snoozed"),
        ("resolve", '{"why": "Known."}', "resolved"),
    ]
    for act, body, state in steps:
        answer = asha.post(f"{PATH}/{alert.pk}/{act}", body)
        assert (answer.status_code, answer.json()["state"]) == (200, state)
        assert Audit.objects.filter(action=f"alert.{act}", via="api").count() == 1
    again = asha.post(f"{PATH}/{alert.pk}/acknowledge", "")
    assert (again.status_code, again.json()["detail"]) == (
        409, f"A-{alert.pk} is resolved already: Known.",
    )  # fmt: skip


def test_snooze_into_the_past_names_the_field(by_token):
    body = '{"until": "2020-01-01T00:00:00Z"}'
    answer = by_token("asha", "write").post(f"{PATH}/{raised('a').pk}/snooze", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "until"


def test_token_that_may_only_read_handles_nothing(by_token):
    assert by_token("asha").post(f"{PATH}/{raised('a').pk}/acknowledge", "").status_code == 403


# Following


def acts(answer) -> list[tuple[str, str]]:
    return [(row["alert"]["key"], row["act"]) for row in answer.json()["data"]]


def test_stream_tells_each_event_once_in_order(by_token):
    asha = by_token("asha", "write")
    begin = asha.get(f"{PATH}/stream", after="now").json()
    assert begin["data"] == []
    alert = raised("a")
    raised("b")
    asha.post(f"{PATH}/{alert.pk}/acknowledge", "")
    first = asha.get(f"{PATH}/stream", after=begin["next"], limit=2)
    assert acts(first) == [("a", "opened"), ("b", "opened")]
    second = asha.get(f"{PATH}/stream", after=first.json()["next"])
    assert acts(second) == [("a", "acknowledged")]
    last = asha.get(f"{PATH}/stream", after=second.json()["next"]).json()
    assert last == {"data": [], "next": second.json()["next"]}


def test_stream_waits_for_the_first_event(by_token, monkeypatch):
    asha = by_token("asha")
    begin = asha.get(f"{PATH}/stream", after="now").json()["next"]
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raised("a")

    monkeypatch.setattr(api.time, "sleep", sleep)
    answer = asha.get(f"{PATH}/stream", after=begin, wait=20)
    assert (acts(answer), slept) == ([("a", "opened")], [1.0, 1.0])


def test_stream_answers_with_nothing_when_the_time_is_over(by_token):
    asha = by_token("asha")
    begin = asha.get(f"{PATH}/stream", after="now").json()
    assert asha.get(f"{PATH}/stream", after=begin["next"], wait=1).json() == begin


def test_stream_with_too_many_waiting_says_when_to_come_back(by_token, monkeypatch):
    full = BoundedSemaphore(1)
    full.acquire()
    monkeypatch.setattr(api, "_waiting", full)
    answer = by_token("asha").get(f"{PATH}/stream", after="now", wait=5)
    assert (answer.status_code, answer["Retry-After"]) == (429, "5")


@pytest.mark.parametrize("query", [{"wait": "26"}, {"wait": "-1"}, {"after": "nonsense"}])
def test_stream_refuses_bad_parameters(by_token, query):
    assert by_token("asha").get(f"{PATH}/stream", **query).status_code == 400


# Rules and silences

RULE = {
    "enabled": True, "severity": "critical", "channel_ids": [], "remind_every_s": 3600,
    "escalate_after_s": None, "escalation_channel_ids": [], "quiet_s": 1800,
}  # fmt: skip


def test_rules_are_listed_and_changed_whole(by_token):
    asha = by_token("asha", "write")
    listed = {row["kind"]: row for row in asha.get(f"{PATH}/rules").json()["data"]}
    assert listed["source_lag"]["remind_every_s"] == 4 * 3600
    answer = asha.put(f"{PATH}/rules/source_lag", json.dumps(RULE))
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in RULE} == RULE
    assert answer.json()["changed_by"] == "asha"


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"severity": "dire"}, "severity"), ({"channel_ids": [99]}, "channel_ids"),
     ({"remind_every_s": 5}, "remind_every_s"), ({"quiet_s": 59}, "quiet_s"),
     ({"more": 1}, "more")],
)  # fmt: skip
def test_rule_refuses_what_cannot_work(by_token, changes, field):
    answer = by_token("asha", "write").put(f"{PATH}/rules/budget", json.dumps({**RULE, **changes}))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_rule_of_no_kind_is_not_found(by_token):
    answer = by_token("asha", "write").put(f"{PATH}/rules/weather", json.dumps(RULE))
    assert answer.status_code == 404


def test_silence_is_planned_listed_shown_and_ended(by_token):
    asha, alert = by_token("asha", "write"), raised("a")
    body = {"why": "Move", "kind": "slo", "project": "support-chat",
            "ends_at": (timezone.now() + timedelta(hours=1)).isoformat()}  # fmt: skip
    made = asha.post(f"{PATH}/silences", json.dumps(body))
    assert (made.status_code, made.json()["project"]) == (201, "support-chat")
    assert asha.get(f"{PATH}/{alert.pk}").json()["is_silenced"] is True
    pk = made.json()["id"]
    assert [row["id"] for row in asha.get(f"{PATH}/silences").json()["data"]] == [pk]
    assert asha.delete(f"{PATH}/silences/{pk}").status_code == 204
    assert asha.get(f"{PATH}/{alert.pk}").json()["is_silenced"] is False
    over = asha.get(f"{PATH}/silences", which="over").json()["data"]
    assert [(row["id"], row["ended_by"]) for row in over] == [(pk, "asha")]


def test_silence_without_an_end_names_the_field(by_token):
    answer = by_token("asha", "write").post(f"{PATH}/silences", '{"why": "Move"}')
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "ends_at")
    assert not Silence.objects.exists()
