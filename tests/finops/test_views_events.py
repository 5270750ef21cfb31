"""The page of events, the form, ending, removing, the CSV, and marks on every chart."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from finops.models import AnomalyMark, Audit
from ingest.models import Event, Project
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")


def event(title="search 1.4.2", kind="release", **more) -> Event:
    given = {
        "kind": kind, "title": title, "origin": "api", "external_id": title,
        "happened_at": timezone.now() - timedelta(days=1), **more,
    }  # fmt: skip
    return Event.objects.create(**given)


def form(**more):
    at = (timezone.now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    return {"kind": "release", "service": "search", "version": "1.4.2", "happened_at": at, **more}


def test_empty_page_says_how_to_send_one(sign_in):
    page = Page(sign_in("asha").get("/events").text)
    assert "No event in this period" in page.words
    assert "/api/v1/events" in page.words
    assert "events_from_git" in page.words
    assert page.refused == []


def test_page_csv_and_api_say_the_same(sign_in):
    project = Project.objects.get(slug="support-chat")
    event(project=project, service="search", version="1.4.2", environment="live")
    event("GPU host down", "incident", ended_at=timezone.now())
    event("batch size", "config_change", created_by="asha")
    client = sign_in("asha")
    shown = Page(client.get("/events").text).tables["events"]
    rows = list(csv.reader(io.StringIO(client.get("/events.csv").text)))
    assert shown[1:] == rows[1:]
    told = client.get("/api/v1/events").json()["data"]
    assert [(row[0], row[1]) for row in rows[1:]] == [(one["title"], one["kind"]) for one in told]


def test_page_is_narrowed_by_kind_and_environment(sign_in):
    event(environment="live")
    event("GPU host down", "incident", environment="test")
    client = sign_in("asha")
    for query, titles in (
        ("kind=incident", ["GPU host down"]),
        ("environment=live", ["search 1.4.2"]),
    ):
        rows = Page(client.get(f"/events?{query}").text).tables["events"][1:]
        assert [row[0] for row in rows] == titles
    page = Page(client.get("/events?kind=config_change").text)
    assert "No event like this in the period" in page.words


def test_cleo_sees_her_project_and_the_whole_estate_alone(sign_in):
    chat, search = (Project.objects.get(slug=s) for s in ("support-chat", "product-search"))
    mine, others, all_ = event("mine", project=chat), event("others", project=search), event("all")
    cleo = sign_in("cleo")
    rows = Page(cleo.get("/events").text).tables["events"][1:]
    assert {row[0] for row in rows} == {"mine", "all"}
    opened = {one.title: cleo.get(f"/events/{one.pk}").status_code for one in (mine, others, all_)}
    assert opened == {"mine": 200, "others": 404, "all": 200}


def test_event_is_told_by_hand_and_again_changes_nothing(sign_in):
    client = sign_in("dev")
    given = form(project="support-chat", link="https://ci.example/7")
    for _ in range(2):
        assert client.post("/events", given).status_code == 302
    found = Event.objects.get()
    assert (found.title, found.project.slug, found.origin) == (
        "search 1.4.2", "support-chat", "page",
    )  # fmt: skip
    assert found.created_by == "dev"
    assert Audit.objects.filter(action="event.add").count() == 1
    assert "is marked in every chart" in client.get("/events").text


def test_clock_time_in_the_form_is_that_of_the_accounting_zone(sign_in, settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kolkata"
    assert sign_in("dev").post("/events", form(happened_at="2026-02-01T05:30")).status_code == 302
    assert Event.objects.get().happened_at.isoformat() == "2026-02-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"link": "javascript:alert(1)"}, "Must be an address that begins with https://"),
        ({"service": "", "version": ""}, "Say what it was: give a title"),
        ({"happened_at": "2999-01-01T00:00"}, "is yet to come"),
        ({"happened_at": ""}, "This field is required."),
        ({"kind": "party"}, "Select a valid choice"),
        ({"project": "nowhere"}, "Select a valid choice"),
    ],
)
def test_bad_form_comes_back_with_the_fix(sign_in, changes, said):
    answer = sign_in("dev").post("/events", form(**changes))
    assert answer.status_code == 422
    assert said in Page(answer.text).words
    assert not Event.objects.exists()


def test_viewer_and_approver_get_no_form_and_may_not_post(sign_in):
    one = event("GPU host down", "incident")
    for name in ("cleo", "ben"):
        client = sign_in(name)
        assert "Tell of an event" not in client.get("/events").text
        assert client.post("/events", form()).status_code == 403
        page = client.get(f"/events/{one.pk}").text
        assert "It is over" not in page
        assert "Remove it" not in page
        for act in ("end", "remove"):
            assert client.post(f"/events/{one.pk}/{act}").status_code == 403
    assert Event.objects.get().is_open


def test_open_incident_stands_on_top_until_it_is_ended(sign_in):
    one = event("GPU host down", "incident")
    client = sign_in("ada")
    assert "Incident GPU host down goes on since" in Page(client.get("/events").text).words
    early = client.post(f"/events/{one.pk}/end", {"ended_at": "2020-01-01T00:00"})
    assert early.status_code == 422
    assert client.post(f"/events/{one.pk}/end", {"ended_at": ""}).status_code == 302
    assert "goes on since" not in Page(client.get("/events").text).words
    assert Audit.objects.filter(action="event.end", actor_name="ada", via="page").count() == 1


def test_removed_event_is_no_longer_shown(sign_in):
    one = event()
    client = sign_in("asha")
    assert client.post(f"/events/{one.pk}/remove").status_code == 302
    assert "search 1.4.2" not in Page(client.get("/events").text).tables.get("events", [])
    assert client.get(f"/events/{one.pk}").status_code == 404


def test_page_of_an_event_leads_to_its_link(sign_in):
    one = event(link="https://ci.example/7")
    assert "https://ci.example/7" in Page(sign_in("asha").get(f"/events/{one.pk}").text).hrefs


def test_navigation_leads_to_the_events(sign_in):
    page = Page(sign_in("cleo").get("/").text)
    assert any(href.startswith("/events?") for href in page.hrefs)


@pytest.mark.parametrize(
    ("path", "charts"),
    [("/", ["daily"]), ("/costs", ["cost"]), ("/costs?range=today&basis=usage", ["cost"]),
     ("/requests", ["latency", "traffic"]), ("/gpus", ["utilisation"])],
)  # fmt: skip
def test_every_chart_over_time_marks_the_event(sign_in, path, charts):
    at = timezone.now() - timedelta(minutes=1)
    event(happened_at=at)
    text = sign_in("asha").get(path).text
    for chart in charts:
        figure = text.split(f'<script id="{chart}-figure" type="application/json">')[1]
        data = json.loads(figure.split("</script>")[0])["data"]
        [heads] = [trace for trace in data if trace["name"] == "Events"]
        assert heads["hovertext"] == ["Release search 1.4.2"]
    words = Page(text).words
    assert words.count("Marked in this chart") >= len(charts)
    # Said by the first chart alone, and by its sentence alone.
    assert text.count("Marked: release search 1.4.2 on") == 1


def test_overview_names_the_release_near_the_unexpected_day(sign_in):
    mark = AnomalyMark.objects.filter(scope="all").latest("day")
    begin = timezone.now().replace(
        year=mark.day.year, month=mark.day.month, day=mark.day.day,
        hour=0, minute=0, second=0, microsecond=0,
    )  # fmt: skip
    event(happened_at=begin - timedelta(hours=2))
    words = Page(sign_in("asha").get("/").text).words
    assert f"Not expected: {mark.day.day} {mark.day:%b} (2 h after release search 1.4.2)" in words


def test_list_asks_as_often_for_three_events_as_for_one(sign_in):
    client = sign_in("asha")
    counts = []
    for number in range(3):
        event(f"e{number}", project=Project.objects.get(slug="support-chat"))
        if number != 1:
            with CaptureQueriesContext(
                connection,
            ) as asked:
                client.get("/events")
            counts.append(len(asked))
    assert counts[0] == counts[1]
