"""The page of errors by type: the same as its CSV and the API, and how to connect when empty."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from ingest import store
from ingest.error_records import ErrorTally, ErrorWindow, quarter_of
from ingest.models import Project, Source
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")


@pytest.fixture
def told(db):
    project = Project.objects.get(slug="support-chat")
    source = Source.objects.create(kind="loki", name="Our Loki", project=project, interval_s=300)
    at = quarter_of(timezone.now() - timedelta(hours=1))
    tallies = [
        ErrorTally("chat-api", "TimeoutError", at, 3, "Took <n> ms <script>", "ab" * 16),
        ErrorTally("chat-api", "=cmd()", at, 1),
    ]
    store.errors.settle(source, [ErrorWindow(at, at + timedelta(minutes=15), tallies)])
    return source


def test_page_says_how_to_connect_when_nothing_tells_of_errors(sign_in):
    page = sign_in("ada").get("/requests/errors")

    assert page.status_code == 200
    assert "No source tells of errors yet" in page.text
    assert "/v1/logs" in page.text
    assert "/sources/new?kind=loki" in page.text
    assert "/sources/new?kind=loki" not in sign_in("asha").get("/requests/errors").text


def test_page_csv_and_api_say_the_same(sign_in, told):
    client = sign_in("asha")

    response = client.get("/requests/errors")
    page = Page(response.text)
    lines = list(csv.reader(io.StringIO(client.get("/requests/errors.csv").text)))
    api = json.loads(client.get("/api/v1/errors").content)

    assert page.refused == []
    shown = page.tables["logged-errors"][1:]
    assert [row[:3] for row in shown] == [
        ["chat-api", "TimeoutError", "3"],
        ["chat-api", "=cmd()", "1"],
    ]
    assert [line[2] for line in lines if line and line[0] == "chat-api"] == ["3", "1"]
    assert all(not cell.startswith("=") for line in lines for cell in line)
    assert [(row["type"], row["count"]) for row in api["data"]] == [
        ("TimeoutError", 3),
        ("=cmd()", 1),
    ]
    assert api["count"] == 4
    assert "<script>" not in response.text.partition('id="logged-errors"')[2].partition("<svg")[0]


def test_two_sources_are_not_added_and_one_can_be_chosen(sign_in, told):
    other = Source.objects.create(kind="otlp", name="SDK logs", project=told.project)
    at = quarter_of(timezone.now() - timedelta(hours=1))
    window = ErrorWindow(at, at + timedelta(minutes=15), [ErrorTally("chat-api", "E", at, 7)])
    store.errors.settle(other, [window])
    client = sign_in("asha")

    both = client.get("/requests/errors")
    one = Page(client.get(f"/requests/errors?source={other.pk}").text)

    assert "Two sources tell of one service" in both.text
    assert [row[1] for row in one.tables["logged-errors"][1:]] == ["E"]


def test_errors_of_others_are_not_shown(sign_in, told):
    other = Project.objects.exclude(slug="support-chat").exclude(slug="unallocated").first()
    Source.objects.filter(pk=told.pk).update(project=other)
    at = quarter_of(timezone.now() - timedelta(hours=2))
    told.refresh_from_db()
    window = ErrorWindow(at, at + timedelta(minutes=15), [ErrorTally("x", "Hidden", at, 1)])
    store.errors.settle(told, [window])

    assert "Hidden" in sign_in("asha").get("/requests/errors").text
    assert "Hidden" not in sign_in("cleo").get("/requests/errors").text


@pytest.mark.parametrize("query", ["source=x", "sort=-share", "sort=nothing", "range=today"])
def test_page_survives_any_parameter(sign_in, told, query):
    assert sign_in("asha").get(f"/requests/errors?{query}").status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [("source=x", "source"), ("step=week", "step"), ("range=90d&step=hour", "step")],
)
def test_api_refuses_what_it_cannot_mean(sign_in, query, field):
    response = sign_in("asha").get(f"/api/v1/errors?{query}")

    assert response.status_code == 400
    assert [error["field"] for error in json.loads(response.content)["errors"]] == [field]


def test_queries_do_not_grow_with_rows(sign_in, told, django_assert_max_num_queries):
    client = sign_in("asha")
    with django_assert_max_num_queries(30):
        client.get("/requests/errors")


@pytest.mark.parametrize(
    ("kind", "url", "setting"),
    [
        ("loki", "http://loki:3100", "config.query"),
        ("elasticsearch", "https://elasticsearch:9200", "config.index"),
    ],
)
def test_log_store_is_connected_by_its_form(sign_in, kind, url, setting):
    client = sign_in("ada")
    form = client.get(f"/sources/new?kind={kind}")
    assert f'name="{setting}"' in form.text

    response = client.post(
        f"/sources/new?kind={kind}",
        {
            "name": "Our logs", "project": "Search", "interval_s": "300",
            "config.url": url, "config.password": "s3cret", "config.username": "breakeven",
        } | ({"config.index": "logs-app-*"} if kind == "elasticsearch" else {}),
        follow=True,
    )  # fmt: skip

    source = Source.objects.get(name="Our logs")
    assert (source.kind, source.interval_s, source.config["url"]) == (kind, 300, url)
    assert "s3cret" not in response.text + str(source.config)
