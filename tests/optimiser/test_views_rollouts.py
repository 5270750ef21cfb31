"""A rollout as its page follows it, rolling back, and a target that drifted."""

from __future__ import annotations

import pytest
from django.utils import timezone

from finops.actions import ledger
from optimiser.booking import ESTIMATE_FOR, ref
from optimiser.models import Target
from tests.finops.reading import Page
from tests.optimiser import made

pytestmark = pytest.mark.django_db


def words_of(response) -> str:
    return Page(response.text).words


def test_running_rollout_is_followed_and_a_finished_one_is_not(sign_in, rollout):
    client, path = sign_in("ben"), f"/changes/{rollout.change_id}"
    html = client.get(path).text
    assert f'hx-get="{path}/rollout" hx-trigger="every 3s"' in html
    assert "hx-trigger" not in client.get(f"{path}?live=0").text.partition('id="rollouts"')[2][:200]
    part = client.get(f"{path}/rollout")
    assert "<html" not in part.text
    assert "HX-Refresh" not in part
    assert "Measuring. 3 of 8 blocks are done." in words_of(part)

    rollout.state = "rolled_back"
    rollout.save()
    part = client.get(f"{path}/rollout")
    assert part["HX-Refresh"] == "true"
    assert "hx-trigger" not in part.text
    assert "hx-trigger" not in client.get(path).text


def test_strip_says_of_each_block_which_config_and_how_far(sign_in, rollout):
    rollout.blocks.filter(index=1).update(dropped_reason="too few requests")
    rollout.blocks.filter(index=2).update(measured_to=None)
    said = words_of(sign_in("asha").get(f"/changes/{rollout.change_id}/rollout"))
    assert "Block 1, old config: measured" in said
    assert "Block 2, new config: left out, too few requests" in said
    assert "Block 3, new config: now" in said
    assert "Block 4, old config: to come" in said


def test_verdict_shows_effect_interval_margin_and_samples(sign_in, rollout):
    made.verdict(
        rollout,
        "INCONCLUSIVE",
        made.metric(),
        made.metric("p95_latency_ms", outcome="INCONCLUSIVE", effect=-0.02, low=-0.12, high=0.08,
                    margin=0.1, needed=None),
        made.metric("error_rate", before=0.001, after=0.002, effect=-0.001, low=None, high=0.0,
                    margin=0.005),
    )  # fmt: skip
    html = sign_in("asha").get(f"/changes/{rollout.change_id}").text
    rows = Page(html).tables[f"verdict-{rollout.pk}"]
    assert [row[0] for row in rows[1:]] == ["GPU time per request", "P95 latency", "Error rate"]
    said = Page(html).words
    assert "70% at least 65%" in said
    assert "−2.0% −12% to 8.0%" in said
    assert "−0.1 points at most 0 points 0.5 points" in said
    assert "8 of 4 needed" in said
    assert "8 needed: unknown yet" in said


@pytest.mark.parametrize(("name", "may"), [("ben", True), ("dev", True), ("asha", False)])
def test_roll_back_now_is_there_for_those_who_may(sign_in, rollout, name, may):
    html = sign_in(name).get(f"/changes/{rollout.change_id}").text
    assert ("Yes, roll back" in html) == may
    assert ("your role does not." in html) != may


def test_roll_back_now_asks_the_controller(sign_in, change, rollout):
    client, path = sign_in("ben"), f"/changes/{change.pk}"
    answer = client.post(f"{path}/rollback", {"plan_hash": change.plan_hash})
    assert answer["Location"] == path
    rollout.refresh_from_db()
    assert rollout.stop_asked_by.username == "ben"
    page = client.get(path)
    assert "Roll back asked by" in words_of(page)
    assert "It is being rolled back." in words_of(page)
    assert "Yes, roll back" not in page.text


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("asha", 403, "Nothing was done. No role of yours rolls back changes in Support"),
        ("dev", 409, "Nothing was done. Nothing of this change is applied"),
    ],
)
def test_refused_roll_back_is_said_in_words(sign_in, change, name, status, said):
    answer = sign_in(name).post(f"/changes/{change.pk}/rollback")
    assert answer.status_code == status
    assert said in words_of(answer)


def test_drifted_target_shows_what_differs(sign_in, target):
    live = made.config("chat", max_batch_size=8)
    Target.objects.update(live_state="drifted", live_config=live, live_detail="Read at noon.")
    page = Page(sign_in("asha").get(f"/targets/{target.pk}").text)
    assert page.tables["live-diff"][1:] == [["max_batch_size", "32", "8"]]
    assert "1 field differs" in page.words
    assert "Drifted. Read at noon." in page.words


def test_booked_entries_stand_on_the_page_of_their_change(sign_in, people, change):
    target, start = change.target, timezone.now()
    scope = ledger.Scope(target.project_id, target.pool_id, ("chat",), ("chat",))
    expected = ledger.Expected(0.02, 0.0056, 0.69, 0.75, 10_000)
    client, path = sign_in("asha"), f"/changes/{change.pk}"
    assert "booked" not in Page(client.get(path).text).tables
    booked = ledger.book_estimate(
        ref(change), change.title, scope, expected, start, start + ESTIMATE_FOR, basis="A replay."
    )
    assert isinstance(booked, ledger.Booked)
    page = Page(client.get(path).text)
    assert [row[0] for row in page.tables["booked"][1:]] == [f"#{booked.entry.pk}"]
    # 10,000 requests, 0.0144 GPU-seconds less each.
    assert page.tables["booked"][1][4] == "144.000"
    assert "Estimated and realised are never added up." in page.words
