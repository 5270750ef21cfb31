"""What the levers said, kept: when advice is new, when it stands, and when it is let rest."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from optimiser import advise, levers, observe
from optimiser.levers.base import NEEDS_EXPERIMENT, RECOMMENDED, REFUSED, Finding, Lever
from optimiser.models import Evidence, Recommendation
from tests.optimiser import made

pytestmark = pytest.mark.django_db


class Says(Lever):
    """Says what it is told to, whatever it is asked."""

    key, version, label = "batching", "1", "Dynamic batching"

    def __init__(self):
        self.now: Finding | None = None

    def propose(self, traffic, live_config, curve, seed):
        return self.now


def recommends(delay_us=2000) -> Finding:
    effect = SimpleNamespace(to_json=lambda: made.EFFECT)
    return Finding(RECOMMENDED, "It pays.", made.batching("chat", delay_us), effect)


def refuses(outcome=REFUSED) -> Finding:
    return Finding(outcome, "Nobody is there to wait for.")


@pytest.fixture
def lever(monkeypatch):
    found = Says()
    monkeypatch.setitem(levers.REGISTRY, "batching", found)
    monkeypatch.setattr(observe, "requests", lambda *_: [])
    return found


@pytest.fixture
def ask(lever, target):
    """`ask(finding)`: the advice that is open once the lever has said that."""

    def asked(finding: Finding) -> Recommendation:
        lever.now = finding
        advise.advise(target.pk)
        return Recommendation.objects.get(target=target, state="open")

    return asked


def age(advice: Recommendation, by: timedelta) -> None:
    Recommendation.objects.filter(pk=advice.pk).update(created_at=timezone.now() - by)


def test_advice_is_kept_with_its_evidence(ask, target):
    advice = ask(recommends())
    assert (advice.title, advice.reason) == ("Dynamic batching for chat", "It pays.")
    assert advice.current_config == target.live_config
    assert (advice.evidence.requests, advice.evidence.lever) == (0, "batching")
    assert Evidence.objects.count() == 1


def test_the_like_of_it_is_not_said_twice_within_the_hour(ask):
    first = ask(refuses())
    assert ask(refuses()) == first
    age(first, advise.KEEP_FOR)
    assert ask(refuses()) != first
    first.refresh_from_db()
    assert first.state == "superseded"


def test_what_a_new_calibration_leads_to_is_said_at_once(ask, target):
    first = ask(refuses(NEEDS_EXPERIMENT))
    made.CalibrationFactory(
        target=target, state="done", curve=made.CURVE, finished_at=timezone.now()
    )
    second = ask(refuses(NEEDS_EXPERIMENT))
    assert second != first
    assert ask(refuses(NEEDS_EXPERIMENT)) == second


def test_recommendation_is_not_taken_back_under_its_reader(ask):
    first = ask(recommends())
    assert ask(refuses()) == first
    age(first, advise.STANDS_FOR)
    assert ask(refuses()).outcome == REFUSED


def test_requests_are_not_read_while_nothing_could_be_said(ask, target, people, monkeypatch):
    read = []
    monkeypatch.setattr(observe, "requests", lambda *_: read.append(1) or [])
    advice = ask(recommends())
    assert (ask(recommends()), len(read)) == (advice, 1)
    age(advice, advise.STANDS_FOR)
    made.proposed(people["dev"], advice)
    assert (advise.advise(target.pk), len(read)) == ([], 1)
    made.Change.objects.update(state="rejected")
    Recommendation.objects.update(state="superseded")
    ask(recommends())
    assert len(read) == 2


def test_what_is_found_to_pay_is_said_at_once(ask):
    ask(refuses(NEEDS_EXPERIMENT))
    assert ask(recommends()).outcome == RECOMMENDED


def test_recommendation_for_a_config_that_moved_is_taken_back_at_once(ask, target):
    first = ask(recommends())
    target.live_config = target.desired_config = made.config("chat", max_batch_size=8)
    target.save()
    second = ask(refuses())
    assert (second.outcome, second.current_config) == (REFUSED, target.live_config)
    first.refresh_from_db()
    assert first.state == "superseded"


def test_what_somebody_dismissed_rests_for_a_week(ask, lever, target):
    first = ask(recommends())
    Recommendation.objects.update(state="dismissed", closed_at=timezone.now())
    lever.now = recommends()
    assert advise.advise(target.pk) == []
    assert ask(recommends(delay_us=5000)) != first
    Recommendation.objects.filter(state="open").delete()
    Recommendation.objects.update(closed_at=timezone.now() - advise.LET_REST_FOR)
    assert ask(recommends()) != first


def test_proposed_advice_is_not_touched(ask, lever, target, people):
    advice = ask(recommends())
    made.proposed(people["dev"], advice)
    lever.now = refuses()
    assert advise.advise(target.pk) == []
    advice.refresh_from_db()
    assert advice.state == "proposed"


@pytest.mark.parametrize("state", ["drifted", "away", "unknown"])
def test_nothing_is_advised_on_a_target_that_is_not_in_step(lever, target, state):
    target.live_state = state
    target.save()
    lever.now = recommends()
    assert advise.advise(target.pk) == []
