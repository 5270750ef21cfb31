"""Proposing and dismissing what a lever says, and asking for the experiment that it needs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from finops.models import Audit
from optimiser.forms import ProposeForm
from optimiser.models import Calibration, Change
from optimiser.policy import Policy
from tests.finops.reading import Page
from tests.optimiser import made

pytestmark = pytest.mark.django_db

USUAL = Policy()


def words_of(response) -> str:
    return Page(response.text).words


def terms(**changes):
    """What the form of the usual policy sends."""
    shown = {name: value for name, value in ProposeForm(USUAL).initial.items() if name != "weight"}
    return {**shown, "why": "", "expires_in": "72", **changes}


def test_engineer_proposes_with_the_usual_terms(sign_in, advice):
    answer = sign_in("dev").post(f"/recommendations/{advice.pk}/propose", terms(why="It is dear."))

    change = Change.objects.get()
    assert answer["Location"] == f"/changes/{change.pk}"
    assert (change.proposer.username, change.state) == ("dev", "proposed")
    assert change.why == "It is dear."
    said = Policy.from_json(change.policy)
    assert (said.blocks, said.block_s, said.looks) == (USUAL.blocks, USUAL.block_s, USUAL.looks)
    assert said.judge == {
        "latency_margin": 0.1,
        "error_margin": 0.005,
        "quality_margin": 0.01,
        "needs_quality": False,
    }
    assert timedelta(hours=71) < change.expires_at - timezone.now() < timedelta(hours=73)
    assert Audit.objects.latest("id").via == "page"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("blocks", "9", "Must be even, so that both configs get as many."),
        ("block_s", "1", "Must be at least 20."),
        ("deadline_min", "5", "Must leave time for 16 blocks: at least 1128."),
        ("looks", "10", "Cannot be more than half the blocks."),
        ("latency_margin", "many", "Enter a number."),
        ("expires_in", "9999", "Select a valid choice."),
    ],
)
def test_term_that_cannot_work_is_named_beside_its_field(sign_in, advice, field, value, said):
    sent = terms(**{field: value})
    answer = sign_in("dev").post(f"/recommendations/{advice.pk}/propose", sent)
    assert answer.status_code == 422
    assert said in words_of(answer)
    assert f'id="id_{field}_error"' in answer.text
    assert not Change.objects.exists()


def test_short_blocks_are_for_sample_data(sign_in, advice, settings):
    settings.SAMPLE_DATA = True
    sent = terms(blocks="8", block_s="4", washout_s="1", settle_s="3", book_least_minutes="1")
    answer = sign_in("dev").post(f"/recommendations/{advice.pk}/propose", sent)
    assert answer.status_code == 302
    assert Policy.from_json(Change.objects.get().policy).block_s == 4


@pytest.mark.parametrize("name", ["asha", "ben", "ada"])
def test_only_engineers_are_offered_to_propose(sign_in, advice, name):
    client, path = sign_in(name), f"/recommendations/{advice.pk}"
    assert "Propose this change" not in client.get(path).text
    answer = client.post(f"{path}/propose", terms())
    assert answer.status_code == 403
    assert "Nothing was done. No role of yours proposes changes in" in words_of(answer)


def test_recommendation_is_proposed_once(sign_in, change):
    path = f"/recommendations/{change.recommendation_id}"
    client = sign_in("dev")
    assert f"Proposed as change #{change.pk}" in words_of(client.get(path))
    answer = client.post(f"{path}/propose", terms())
    assert answer.status_code == 409
    assert "This recommendation is no longer open" in words_of(answer)


def test_dismissing_needs_a_reason_and_is_kept(sign_in, advice):
    client, path = sign_in("dev"), f"/recommendations/{advice.pk}"
    assert client.post(f"{path}/dismiss", {"reason": " "}).status_code == 422
    assert client.post(f"{path}/dismiss", {"reason": "It is retired soon."}).status_code == 302

    advice.refresh_from_db()
    assert (advice.state, advice.closed_by.username) == ("dismissed", "dev")
    assert "Dismissed by dev" in words_of(client.get(path))
    assert "It is retired soon." in words_of(client.get(path))
    assert Audit.objects.latest("id").action == "recommendation.dismiss"
    assert client.post(f"{path}/dismiss", {"reason": "Again."}).status_code == 409
    assert "chat" not in Page(client.get("/recommendations").text).tables


def test_superseded_advice_leads_to_what_the_lever_says_now(sign_in, advice):
    client, path = sign_in("dev"), f"/recommendations/{advice.pk}"
    assert "The lever has looked again" not in words_of(client.get(path))

    type(advice).objects.update(state="superseded")
    made.RecommendationFactory(lever="variant")
    assert "The lever has looked again" not in words_of(client.get(path))
    newer = made.RecommendationFactory(target=advice.target)
    answer = client.get(path)
    assert "The lever has looked again since: what it says now" in words_of(answer)
    assert f'href="/recommendations/{newer.pk}' in answer.text


def test_analyst_does_not_dismiss(sign_in, advice):
    answer = sign_in("asha").post(f"/recommendations/{advice.pk}/dismiss", {"reason": "No."})
    assert answer.status_code == 403
    advice.refresh_from_db()
    assert advice.state == "open"


@pytest.fixture
def experiment(target):
    """Advice that needs one; the target has a shadow to measure on."""
    target.shadow_model = "chat_shadow"
    target.save()
    return made.RecommendationFactory(
        target=target,
        outcome="needs_experiment",
        reason="Its service times are not known.",
        evidence=None,
    )


def test_lever_without_a_calibration_offers_to_run_it(sign_in, experiment):
    client, path = sign_in("dev"), f"/recommendations/{experiment.pk}"
    assert "Run the calibration" in client.get(path).text
    assert "Run the calibration" not in sign_in("asha").get(path).text

    assert client.post(f"{path}/calibrate")["Location"] == path
    calibration = Calibration.objects.get()
    assert (calibration.target, calibration.state) == (experiment.target, "waiting")
    assert calibration.requested_by.username == "dev"
    assert "A calibration waits for the controller" in words_of(client.get(path))
    assert "Run the calibration" not in client.get(path).text

    answer = client.post(f"{path}/calibrate")
    assert answer.status_code == 409
    assert "A calibration of this target is on its way already." in words_of(answer)


def test_refusal_to_calibrate_is_said_on_the_page(sign_in, experiment):
    answer = sign_in("asha").post(f"/targets/{experiment.target_id}/calibrate")
    assert answer.status_code == 403
    assert "No role of yours asks for calibrations in Support" in words_of(answer)
    assert not Calibration.objects.exists()


def test_potential_keeps_capacity_and_cash_apart(sign_in, advice):
    said = words_of(sign_in("asha").get(f"/recommendations/{advice.pk}"))
    # 86,400 requests in 30 minutes, 0.0144 GPU-seconds less each, for 30 days.
    assert "Capacity freed in 30 days 498 h of GPU time (477 to 518)" in said
    assert "Cash saved in 30 days unknown (enter a price of H100)" in said
