"""Derived measures on the page of requests, in its CSV files and in the API: the same figures."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from ingest import store
from ingest.models import Pool, Project, ServedModel, Source
from ingest.rollup import roll_up
from tests.factories.finops import access_token, person
from tests.finops.reading import Page
from tests.ingest.make import metric, span

pytestmark = pytest.mark.django_db

NOON = datetime(2025, 10, 2, 12, tzinfo=UTC)
DAY = "?from=2025-10-02&to=2025-10-03"


@pytest.fixture(autouse=True)
def utc(settings):
    settings.ACCOUNTING_TIME_ZONE = "UTC"


@pytest.fixture
def asha(client, plain_static):
    client.force_login(person("asha", "analyst"))
    return client


@pytest.fixture
def chat(db):
    project = Project.objects.create(slug="chat", name="Chat")
    return Source.objects.create(kind="otlp", name="chat", project=project)


def keep(source, **changes):
    """Three requests at once, one of them given up."""
    for n in range(3):
        given = {"user_id": f"u{n % 2}", "session_id": f"s{n}", "ttft_ms": 1_000.0, **changes}
        if n == 2:
            given |= {"status": "error", "error_type": "CancelledError"}
        at = NOON + timedelta(seconds=n)
        store.spans(source, [span(n, started_at=at, ended_at=at + timedelta(seconds=20), **given)])
    roll_up()


def words_of(client, path=f"/requests{DAY}"):
    return Page(client.get(path).text).words


def csv_of(client, path):
    return list(csv.reader(io.StringIO(client.get(path).text)))


def test_page_shows_each_measure(asha, chat):
    keep(chat)
    words = words_of(asha)
    assert "Each further token, 95% within" in words
    assert "Half within 1.00 s, 99% within 1.00 s. Known for 2 requests." in words
    assert "1 of 3 whose ending is known." in words
    assert "In flight at once" in words
    assert "100% of requests name one." in words
    assert "docs/measures.md" in words


def test_page_says_what_is_unknown_and_how_to_tell_it(asha, chat):
    keep(chat, user_id="", session_id="", ttft_ms=None)
    words = words_of(asha)
    assert "No request said when its first token came and how many tokens followed." in words
    assert "No request named one: send user.id with your traces." in words
    assert "No request named one: send session.id with your traces." in words


def test_page_without_requests_draws_nothing_of_them(asha, chat):
    page = Page(asha.get(f"/requests{DAY}").text)
    assert not {"in-flight-series", "people-series", "servers"} & set(page.tables)


def test_concurrency_is_the_same_on_page_csv_and_api(asha, chat):
    keep(chat)
    head, *hours, total = csv_of(asha, f"/requests/concurrency.csv{DAY}")
    assert head[1:] == [
        "In flight, average", "In flight, peak", "Users, average", "Users, peak",
        "Sessions, average", "Sessions, peak",
    ]  # fmt: skip
    mean = f"{60 / 86400:.6f}"
    assert total[1:] == [mean, "3", f"{2 / 288:.6f}", "2", f"{3 / 288:.6f}", "3"]
    token = access_token(person("ben", "approver"))
    api = asha.get(
        f"/api/v1/requests/concurrency{DAY}&step=hour", headers={"authorization": f"Bearer {token}"}
    ).json()
    assert len(api["points"]) == len(api["data"]) == len(hours) == 24
    assert (api["total"]["in_flight_peak"], api["total"]["users_peak"]) == (3, 2)
    noon = api["points"].index("2025-10-02T12:00:00Z")
    assert [api["data"][noon]["in_flight_peak"], api["naming_user"]] == [3, 3]
    table = Page(asha.get(f"/requests{DAY}").text).tables["in-flight-series"]
    assert [row[1] for row in table[1:]] == [row[2] for row in hours]


def test_abandonment_and_time_per_token_are_in_api_and_csv(asha, chat):
    keep(chat)
    [row] = asha.get(f"/api/v1/requests{DAY}").json()["data"]
    assert (row["abandoned"], row["endings_known"]) == (1, 3)
    assert row["abandonment_rate"] == pytest.approx(1 / 3)
    assert row["tpot"]["count"] == 2
    head, line, _ = csv_of(asha, f"/requests.csv{DAY}&group_by=model")
    told = dict(zip(head, line, strict=True))
    assert told["Abandoned"] == "0.333333"
    assert float(told["Per token p50"]) == pytest.approx(1000, rel=0.01)


def test_model_servers_are_shown_to_who_may_see_shared_hardware(asha, chat, client):
    pool = Pool.objects.create(name="gpus", provider="vllm", hardware="L4")
    source = Source.objects.create(kind="prometheus_text", name="vLLM", pool=pool)
    for part, end in (("sum", 100), ("count", 1000)):
        name = f"vllm:inter_token_latency_seconds_{part}"
        store.metrics(
            source,
            [
                metric(name, value, NOON + timedelta(seconds=15 * n), model_name="llama")
                for n, value in enumerate((0, end))
            ],
        )
    roll_up()
    ServedModel.objects.create(pool=pool, model="llama", parameter_bytes=15 * 10**9)
    [_, row] = Page(asha.get(f"/requests{DAY}").text).tables["servers"]
    assert row[:7] == ["llama", "gpus", "L4", "", "", "100.000", "0.500000"]
    assert csv_of(asha, f"/requests/servers.csv{DAY}")[1][:7] == row[:7]
    [said] = asha.get(f"/api/v1/requests/servers{DAY}").json()["data"]
    assert (said["bandwidth_used"], said["bandwidth_from"]) == (pytest.approx(0.5), "computed")
    client.force_login(person("cleo", "viewer", project=chat.project))
    assert "servers" not in Page(client.get(f"/requests{DAY}").text).tables
    assert client.get(f"/requests/servers.csv{DAY}").status_code == 403
