"""The pages of alerts: what they show to whom, and what people do there."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from finops.actions import alerting
from finops.actions.alerting import Finding
from finops.models import Alert, AlertRule, Channel, Silence
from finops.views.navigation import NAVIGATION
from ingest.models import Project
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")


def raised(key: str, slug: str | None = "support-chat", **changes) -> Alert:
    project = Project.objects.get(slug=slug) if slug else None
    usual = {"kind": "slo", "severity": "warning", "title": f"Answer {key} is slow",
             "text": "p95 was 2 s.", "path": "/requests"}  # fmt: skip
    given = {**usual, **changes}
    return alerting.raise_(
        Finding(key=key, project_id=project.pk if project else None, **given), timezone.now()
    )


def words_of(response) -> str:
    return Page(response.text).words


def test_empty_page_says_what_is_looked_for(sign_in):
    assert "Nothing is wrong" in words_of(sign_in("cleo").get("/alerts"))


def test_list_shows_what_one_may_see_and_counts_it(sign_in):
    raised("one")
    raised("two", slug="product-search")
    seen = words_of(sign_in("cleo").get("/alerts"))
    assert ("Answer one is slow" in seen, "Answer two is slow" in seen) == (True, False)
    assert "Not resolved 1" in seen
    assert "Not resolved 2" in words_of(sign_in("asha").get("/alerts"))


def test_navigation_says_how_many_are_open_to_this_reader(sign_in):
    raised("one")
    raised("two", slug="product-search")
    assert '<span class="visually-hidden">, open: </span>2<' in sign_in("asha").get("/costs").text
    assert '<span class="visually-hidden">, open: </span>1<' in sign_in("cleo").get("/costs").text
    alerting.acknowledge(Alert.objects.get(key="one"), by=None, via="command")
    assert "nav-count" not in sign_in("cleo").get("/costs").text
    assert any("alerts" in entry for _, entries in NAVIGATION for entry in entries)


def test_filters_of_the_address_narrow_the_list(sign_in):
    raised("one")
    raised("two", severity="critical", slug="product-search")
    raised("three", kind="drift")
    asha = sign_in("asha")
    for query, shown in [
        ("severity=critical", "two"),
        ("project=product-search", "two"),
        ("kind=drift", "three"),
    ]:
        seen = words_of(asha.get(f"/alerts?{query}"))
        assert [key for key in ("one", "two", "three") if f"Answer {key} is slow" in seen] == [
            shown
        ]
    assert "No alert like this" in words_of(asha.get("/alerts?state=resolved"))


@pytest.mark.parametrize("query", ["", "?state=all", "?tab=history"])
def test_csv_holds_exactly_the_rows_of_the_screen(sign_in, query):
    raised("one")
    raised("two", severity="critical")
    alerting.acknowledge(Alert.objects.get(key="two"), by=None, via="command")
    asha = sign_in("asha")
    table = Page(asha.get(f"/alerts{query}").text).tables["history" if "tab" in query else "alerts"]
    rows = list(csv.reader(io.StringIO(asha.get(f"/alerts.csv{query}").text)))
    assert rows == table


def test_marked_alerts_are_acknowledged_together(sign_in):
    one, two, hidden = raised("one"), raised("two"), raised("three")
    given = {"alert": [one.pk, two.pk, "x"], "back": "/alerts?kind=slo"}
    response = sign_in("dev").post("/alerts/acknowledge", given)
    assert (response.status_code, response["Location"]) == (302, "/alerts?kind=slo")
    states = dict(Alert.objects.values_list("pk", "state"))
    assert states == {one.pk: "acknowledged", two.pk: "acknowledged", hidden.pk: "open"}


def test_marked_alerts_send_nobody_to_another_site(sign_in):
    given = {"back": "//evil.example/alerts?"}
    assert sign_in("dev").post("/alerts/acknowledge", given)["Location"] == "/alerts"


def test_one_alert_shows_its_timeline_and_deliveries(sign_in):
    ops = Channel.objects.create(kind="email", name="On-call", state_at=timezone.now())
    alert = raised("one", channel_ids=(ops.pk,), figures={"p95": "2 s"})
    seen = words_of(sign_in("cleo").get(f"/alerts/{alert.pk}"))
    for part in (alert.ref, "p95 was 2 s.", "by itself", "On-call", "on its way"):
        assert part in seen
    assert "Resolve by hand" not in seen


def test_alert_without_a_channel_says_so(sign_in):
    seen = words_of(sign_in("asha").get(f"/alerts/{raised('one').pk}"))
    assert "No channel hears of this kind of alert" in seen


def test_alert_of_another_project_is_not_found(sign_in):
    alert = raised("one", slug="product-search")
    assert sign_in("cleo").get(f"/alerts/{alert.pk}").status_code == 404


@pytest.mark.parametrize("act", ["acknowledge", "snooze", "resolve"])
def test_handling_is_for_roles_that_may(sign_in, act):
    alert = raised("one")
    for name, status in (("cleo", 403), ("ada", 403), ("ben", 302)):
        response = sign_in(name).post(
            f"/alerts/{alert.pk}/{act}", {"length": "1h", "why": "Known."}
        )
        assert (name, response.status_code) == (name, status)


def test_snooze_by_button_and_by_time(sign_in):
    alert, asha = raised("one"), sign_in("asha")
    asha.post(f"/alerts/{alert.pk}/snooze", {"length": "8h"})
    alert.refresh_from_db()
    assert alert.snoozed_until - timezone.now() > timedelta(hours=7, minutes=59)
    asha.post(f"/alerts/{alert.pk}/snooze", {"until": "2020-01-01T00:00"})
    response = asha.post(f"/alerts/{alert.pk}/snooze", {"until": "2020-01-01T00:00"})
    assert response.status_code == 422
    assert "This is over; give a time yet to come." in words_of(response)
    assert "Snoozed until" in words_of(asha.get(f"/alerts/{alert.pk}"))


def test_resolve_by_hand_asks_for_the_reason(sign_in):
    alert, asha = raised("one"), sign_in("asha")
    assert asha.post(f"/alerts/{alert.pk}/resolve", {"why": ""}).status_code == 422
    asha.post(f"/alerts/{alert.pk}/resolve", {"why": "Planned move."})
    assert "Planned move." in words_of(asha.get(f"/alerts/{alert.pk}"))


def test_more_alerts_need_no_more_queries(sign_in):
    asha, asked = sign_in("asha"), []
    for number in (1, 3):
        for key in range(number):
            raised(f"{number}.{key}")
        with CaptureQueriesContext(connection) as queries:
            asha.get("/alerts")
        asked.append(len(queries))
    assert asked[0] == asked[1]


# Rules and silences


def test_rule_is_changed_on_its_page(sign_in):
    ops = Channel.objects.create(kind="email", name="On-call", state_at=timezone.now())
    given = {
        "kind": "budget", "budget-enabled": "on", "budget-severity": "critical",
        "budget-channel_ids": [ops.pk], "budget-remind_every_s": "3600",
        "budget-escalate_after_s": "900", "budget-escalation_channel_ids": [ops.pk],
        "budget-quiet_s": "1800",
    }  # fmt: skip
    asha = sign_in("asha")
    assert "Save the rule" in words_of(asha.get("/alerts/rules?kind=budget"))
    assert asha.post("/alerts/rules", given).status_code == 302
    rule = AlertRule.objects.get(pk="budget")
    assert (rule.severity, rule.channel_ids, rule.remind_every_s, rule.escalate_after_s) == (
        "critical", [ops.pk], 3600, 900,
    )  # fmt: skip
    shown = words_of(asha.get("/alerts/rules"))
    assert ("after 15 min to On-call" in shown, "the same within 30 min" in shown) == (True, True)
    assert rule.quiet_s == 1800


def test_rules_are_changed_by_analysts_and_admins_alone(sign_in):
    for name, status in (("cleo", 403), ("dev", 403), ("ben", 403), ("ada", 422)):
        assert sign_in(name).post("/alerts/rules", {"kind": "budget"}).status_code == status
    assert "Save the rule" not in words_of(sign_in("dev").get("/alerts/rules?kind=budget"))


def test_silence_is_planned_shown_on_the_alert_and_ended(sign_in):
    alert, asha = raised("one"), sign_in("asha")
    now = timezone.now()
    given = {
        "why": "Moving hosts", "kind": "slo", "project": "support-chat", "key_pattern": "on*",
        "starts_at": f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M}",
        "ends_at": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M}",
    }  # fmt: skip
    assert asha.post("/alerts/silences", given).status_code == 302
    assert "silenced: Moving hosts" in words_of(asha.get("/alerts"))
    assert "Moving hosts" in words_of(asha.get(f"/alerts/{alert.pk}"))
    held = Silence.objects.get()
    assert sign_in("dev").post(f"/alerts/silences/{held.pk}/end").status_code == 403
    asha.post(f"/alerts/silences/{held.pk}/end")
    assert "ended early" in words_of(asha.get("/alerts/silences"))
    assert "silenced" not in words_of(asha.get("/alerts"))


def test_silence_that_ends_before_it_begins_is_refused(sign_in):
    given = {"why": "Move", "starts_at": "2026-01-02T00:00", "ends_at": "2026-01-01T00:00"}
    response = sign_in("asha").post("/alerts/silences", given)
    assert response.status_code == 422
    assert "It must end later than it starts" in words_of(response)


def test_alert_that_came_and_went_says_so(sign_in):
    now = timezone.now()
    alert = raised("one")
    Alert.objects.filter(pk=alert.pk).update(swings=3, swung_at=now, is_flapping=True)
    shown = words_of(sign_in("asha").get(f"/alerts/{alert.pk}"))
    assert "Was over and came again 3 times, last" in shown
    assert "channels hear of it when it holds still" in shown
