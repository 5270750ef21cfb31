"""Servers, targets, calibrations and recommendations by API."""

from __future__ import annotations

import pytest
from django.test import Client

from ingest.encryption import decrypt
from optimiser.models import Server
from tests.factories.ingest import PoolFactory, ProjectFactory, SourceFactory
from tests.optimiser import made


def test_admin_key_goes_in_and_never_comes_out(by_token):
    ada = by_token("ada", "admin")
    sent = {"name": "a", "url": "http://triton:8000/", "admin_key": "open sesame"}
    answer = ada.send("servers", sent)
    assert answer.status_code == 201
    assert (answer.json()["has_admin_key"], answer.json()["url"]) == (True, "http://triton:8000")
    assert decrypt(Server.objects.get().admin_key) == b"open sesame"
    assert b"sesame" not in ada.get("servers").content + answer.content


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"url": "ftp://triton"}, "url"),
        ({"url": "http://me:secret@triton"}, "url"),
        ({"url": "http://triton/v2/models"}, "url"),
        ({"name": ""}, "name"),
        ({"timeout_s": 600}, "timeout_s"),
        ({"statistics_source": 999_999}, "statistics_source"),
        ({"statistics_source": 2**62 * 2 - 1}, "statistics_source"),
        ({"statistics_source": "otlp"}, "statistics_source"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_server_that_cannot_work_is_refused_at_its_field(by_token, sent, field):
    if sent.get("statistics_source") == "otlp":
        sent = {"statistics_source": SourceFactory().pk}
    body = {"name": "a", "url": "http://triton:8000", **sent}
    answer = by_token("ada", "admin").send("servers", body)
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_names_are_there_once(by_token, target):
    ada = by_token("ada", "admin")
    answer = ada.send("servers", {"name": "triton-a", "url": "http://t:8000"})
    assert answer.json()["errors"][0]["field"] == "name"
    body = {"server": target.server_id, "model": "chat", "project": "support", "pool": "h100-eu"}
    assert ada.send("targets", body).json()["errors"][0]["field"] == "model"
    assert ada.send("targets", {**body, "model": "other"}).status_code == 201


def test_new_target_is_unknown_until_it_is_read(by_token):
    server, project, pool = made.ServerFactory(), ProjectFactory(slug="p"), PoolFactory(name="q")
    body = {"server": server.pk, "model": "m", "project": project.slug, "pool": pool.name}
    told = by_token("ada", "admin").send("targets", body).json()
    assert (told["live_state"], told["moved"], told["request_model"]) == ("unknown", None, "m")
    for field in ("server", "project", "pool"):
        wrong = {**body, "model": "n", field: 0 if field == "server" else "nowhere"}
        answer = by_token("ada", "admin").send("targets", wrong)
        assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_drift_names_its_fields(by_token):
    target = made.TargetFactory(model="chat", live_config=made.config("chat", max_batch_size=8))
    told = by_token("asha", "read").get(f"targets/{target.pk}").json()
    assert told["moved"] == [{"path": "max_batch_size", "old": 32, "new": 8}]


def test_calibration_is_asked_of_the_controller(by_token, target):
    dev, body = by_token("dev"), {"target": target.pk}
    answer = dev.send("calibrations", body)
    assert (answer.status_code, answer.json()["moved"]) == (409, [])
    assert "no shadow model" in answer.json()["detail"]

    target.shadow_model = "chat_shadow"
    target.save()
    answer = dev.send("calibrations", body)
    told = answer.json()
    assert (answer.status_code, told["state"], told["requested_by"]) == (202, "waiting", "dev")
    assert dev.get(answer["Location"].removeprefix("/api/v1/")).json() == told
    assert dev.send("calibrations", body).status_code == 409
    assert by_token("asha").send("calibrations", body).status_code == 403
    assert by_token("cleo").send("calibrations", body).status_code == 400


def test_recommendation_tells_effect_evidence_and_worth(by_token, advice):
    told = by_token("asha", "read").get(f"recommendations/{advice.pk}").json()
    assert told["outcome"] == "recommended"
    assert told["effect"]["p95_ms"]["change"] == 0.55
    assert (told["evidence"]["seed"], told["evidence"]["requests"]) == (7, 86_400)
    # 86,400 requests in 30 minutes, 0.0144 GPU-seconds less each, for 30 days.
    assert told["potential"]["gpu_hours"]["value"] == pytest.approx(497.664)
    assert (told["potential"]["cash"], told["potential"]["cash_note"]) == (
        None, "enter a price of H100",
    )  # fmt: skip


def test_dismissed_recommendation_leaves_the_open_ones(by_token, advice):
    dev = by_token("dev")
    answer = dev.send(f"recommendations/{advice.pk}/dismiss", {"reason": "It is retired."})
    told = answer.json()
    assert (told["state"], told["closed_by"], told["closed_reason"]) == (
        "dismissed", "dev", "It is retired.",
    )  # fmt: skip
    assert dev.get("recommendations").json()["data"] == []
    assert len(dev.get("recommendations", state="dismissed").json()["data"]) == 1
    again = dev.send(f"recommendations/{advice.pk}/dismiss", {"reason": "Again."})
    assert again.status_code == 409
    assert dev.send(f"recommendations/{advice.pk}/dismiss", {}).status_code == 400


def test_stranger_is_told_to_sign_in(db):
    for path in ("targets", "recommendations", "changes", "calibrations", "servers"):
        assert Client().get(f"/api/v1/{path}").status_code == 401
