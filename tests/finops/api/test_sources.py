"""Testing a connection, reading a source's past and the loads, through the API."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from finops.models import Audit
from ingest import backfill, jobs, source_secrets
from ingest.models import Project, Source
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, PullSource
from tests.ingest.sources.langfuse_stub import SECRET, Stub, serving

pytestmark = pytest.mark.usefixtures("estate")

MAY = {"from": "2026-05-01T00:00:00Z", "to": "2026-05-02T00:00:00Z"}


@pytest.fixture(autouse=True)
def nudged(monkeypatch):
    monkeypatch.setattr(jobs, "nudge", lambda *told: None)


@pytest.fixture
def stub(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub()) as serves:
        yield serves


@pytest.fixture
def langfuse(db, stub):
    adapter = REGISTRY["langfuse"]
    plain, secrets = source_secrets.split(adapter, adapter.check_config(stub.config))
    return Source.objects.create(
        kind="langfuse",
        name="Langfuse",
        project=Project.objects.get(slug="support-chat"),
        config=plain,
        secrets=secrets,
        interval_s=60,
    )


def asked(config, kind="langfuse"):
    return json.dumps({"kind": kind, "config": config})


def test_settings_are_tried_and_not_saved(by_token, stub):
    before = Source.objects.count()
    answer = by_token("ada", "write").post("/api/v1/sources/test", asked(stub.config))
    assert (answer.status_code, answer.json()["works"]) == (200, True)
    assert answer.json()["said"].startswith("Observations come by v2/observations")
    assert SECRET not in answer.content.decode()
    assert Source.objects.count() == before
    record = Audit.objects.filter(action="source.test").latest("id")
    assert (record.via, record.detail["kind"]) == ("api", "langfuse")


def test_setting_that_cannot_work_is_named(by_token, stub):
    config = {**stub.config, "page_size": 5000}
    answer = by_token("ada", "write").post("/api/v1/sources/test", asked(config))
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"field": "config.page_size", "message": "Must be from 1 to 1,000."}
    ]


@pytest.mark.parametrize("path", ["/api/v1/sources/test", "/api/v1/sources"])
def test_address_that_is_not_public_is_refused_as_it_is_entered(by_token, stub, settings, path):
    settings.PRIVATE_ADDRESSES = []
    told = {"kind": "langfuse", "config": stub.config}
    if not path.endswith("test"):
        told |= {"name": "Langfuse", "project": "Search", "interval_s": 60}
    answer = by_token("ada", "write").post(path, json.dumps(told))
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {
            "field": "config.url",
            "message": "127.0.0.1 is not a public address; an administrator can allow its network"
            " with BREAKEVEN_PRIVATE_ADDRESSES.",
        }
    ]


@pytest.mark.parametrize("kind", ["otlp", "nonsense"])
def test_kind_that_is_not_fetched_is_refused(by_token, kind):
    answer = by_token("ada", "write").post("/api/v1/sources/test", asked({}, kind))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "kind")


def test_token_that_only_reads_tests_nothing(by_token, stub):
    answer = by_token("ada").post("/api/v1/sources/test", asked(stub.config))
    assert answer.status_code == 403


def test_connected_source_is_tried_as_it_stands(by_token, langfuse):
    answer = by_token("ada", "write").post(f"/api/v1/sources/{langfuse.pk}/test", "")
    assert (answer.status_code, answer.json()["works"]) == (200, True)
    pushed = Source.objects.get(name="Support chat traces")
    refused = by_token("ada", "write").post(f"/api/v1/sources/{pushed.pk}/test", "")
    assert refused.status_code == 409


def test_past_is_started_told_and_stopped(by_token, langfuse):
    ada, path = by_token("ada", "write"), f"/api/v1/sources/{langfuse.pk}/backfills"
    begun = ada.post(path, json.dumps(MAY))
    assert begun.status_code == 201
    told = begun.json()
    assert (told["from"], told["to"], told["reached"]) == (MAY["from"], MAY["to"], MAY["from"])
    assert (told["state"], told["share"], told["counts"]["rows_in"]) == ("waiting", 0.0, 0)
    assert by_token("cleo").get(path).json() == {"data": [told], "next": None}
    assert ada.post(path, json.dumps(MAY)).status_code == 409

    assert ada.delete(f"{path}/{told['id']}").status_code == 204
    assert ada.delete(f"{path}/{told['id']}").status_code == 404
    [ended] = backfill.progress(langfuse)
    assert (ended.state, ended.note.startswith("Stopped by ada")) == ("failed", True)
    actions = Audit.objects.order_by("-id").values_list("action", flat=True)[:2]
    assert list(actions) == ["source.backfill_stop", "source.backfill"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"from": "2026-05-02T00:00:00Z", "to": "2026-05-01T00:00:00Z"}, 409),
        ({"from": "2026-05-02T00:00:00Z"}, 400),
        ({**MAY, "speed": 3}, 400),
        ({"from": "soon", "to": "2026-05-02"}, 400),
    ],
)
def test_stretch_that_cannot_be_read_is_refused(by_token, langfuse, body, status):
    path = f"/api/v1/sources/{langfuse.pk}/backfills"
    assert by_token("ada", "write").post(path, json.dumps(body)).status_code == status
    assert backfill.progress(langfuse) == ()


def test_another_sources_job_is_not_stopped(by_token, langfuse):
    other = Source.objects.create(kind="langfuse", name="Other", project=langfuse.project)
    start = datetime(2026, 5, 1, tzinfo=UTC)
    job = backfill.start(other, start, start + timedelta(days=1))
    path = f"/api/v1/sources/{langfuse.pk}/backfills/{job.pk}"
    assert by_token("ada", "write").delete(path).status_code == 404
    job.refresh_from_db()
    assert job.state == "waiting"


def test_source_tells_its_budget_and_delay(by_token, langfuse):
    told = by_token("asha").get(f"/api/v1/sources/{langfuse.pk}").json()
    assert (told["delayed_until"], told["completeness"]) == (None, None)
    assert [budget["window_s"] for budget in told["budgets"]] == [60, 86_400]


def test_loads_are_stamped_and_empty_where_nothing_was_observed(by_token):
    told = by_token("asha").get("/api/v1/loads", **{"from": "2020-01-01", "to": "2020-01-02"})
    assert told.status_code == 200
    assert (told.json()["hosts"], told.json()["servers"], told.json()["memory"]) == ([], [], [])


@pytest.mark.parametrize("kind", [k for k, a in REGISTRY.items() if isinstance(a, PullSource)])
def test_no_value_of_a_setting_is_more_than_refused(kind):
    """What arrives as JSON has any type, where a form sends only texts."""
    adapter = REGISTRY[kind]
    for setting in adapter.settings:
        for value in (5, [], {}, "x", None, [[1]], {"a": 1}, True, "\u0000"):
            config = {one.name: "x" for one in adapter.settings if one.required}
            with contextlib.suppress(BadConfig):
                adapter.check_config({**config, setting.name: value})


# Connecting and changing


def test_source_is_connected_and_told_without_its_secret(by_token, stub):
    wanted = {"kind": "langfuse", "name": "By API", "project": "Search", "config": stub.config}
    answer = by_token("ada", "write").post("/api/v1/sources", json.dumps(wanted))
    assert answer.status_code == 201
    told = answer.json()
    assert (told["name"], told["project"], told["interval_s"]) == ("By API", "search", 60)
    assert SECRET not in answer.content.decode()
    source = Source.objects.get(pk=told["id"])
    assert source_secrets.opened(source)["secret_key"] == SECRET
    record = Audit.objects.get(action="source.add")
    assert (record.via, record.object_id) == ("api", str(source.pk))


def test_source_is_changed_in_what_is_named(by_token, langfuse):
    client, address = by_token("ada", "write"), f"/api/v1/sources/{langfuse.pk}"
    wanted = {"config": {"page_size": 20}, "enabled": False}
    answer = client.patch(address, json.dumps(wanted))
    assert (answer.status_code, answer.json()["enabled"]) == (200, False)
    langfuse.refresh_from_db()
    assert (langfuse.name, langfuse.interval_s, langfuse.enabled) == ("Langfuse", 60, False)
    assert langfuse.config["page_size"] == 20
    assert source_secrets.opened(langfuse)["secret_key"] == SECRET
    done = Audit.objects.filter(via="api").values_list("action", flat=True).order_by("id")
    assert list(done) == ["source.change", "source.switch_off"]


@pytest.mark.parametrize(
    ("method", "wanted", "field"),
    [
        ("post", {"kind": "nonsense", "name": "New"}, "kind"),
        ("post", {"kind": "otlp", "name": "Langfuse", "project": "P"}, "name"),
        ("post", {"kind": "otlp", "name": "New"}, "project"),
        ("post", {"kind": "otlp", "name": "New", "project": "P", "gpu_count": 8}, "gpu_count"),
        ("post", {"kind": "langfuse", "name": "New", "project": "P"}, "config.url"),
        ("post", {"name": "New"}, "kind"),
        ("post", {"kind": "otlp", "name": "New", "project": "P", "colour": 1}, "colour"),
        ("patch", {"interval_s": 1}, "interval_s"),
        ("patch", {"config": {"url": "ftp://x"}}, "config.url"),
        ("patch", {"config": {"colour": "red"}}, "config.colour"),
        ("patch", {"name": ""}, "name"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(by_token, langfuse, method, wanted, field):
    before, records = Source.objects.count(), Audit.objects.count()
    address = "/api/v1/sources" + (f"/{langfuse.pk}" if method == "patch" else "")
    answer = getattr(by_token("ada", "write"), method)(address, json.dumps(wanted))
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (Source.objects.count(), Audit.objects.count()) == (before, records)
