"""The oracle of the campaign sees what it is there to see."""

from __future__ import annotations

import base64
import json
import random
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from ingest import failpoints, files, jobs, pull, rollup, store
from ingest.models import Job, Score, Source, Span
from tests.chaos import campaign
from tests.chaos.oracle import Distance, Sent, distance, rows_behind
from tests.chaos.senders import LINES, MONTHS, Billed, Pulled
from tests.chaos.victims import VICTIMS, Kill
from tests.factories.ingest import SourceFactory
from tests.ingest.make import span

pytestmark = pytest.mark.django_db


@pytest.fixture
def source():
    found = SourceFactory()
    store.spans(
        found, [span(n, input_tokens=10 * n, source_cost_usd=Decimal("0.01")) for n in (1, 2, 3)]
    )
    rollup.roll_up()
    return found


@pytest.fixture
def sent():
    return [Sent(f"{n:016x}", 10 * n, 20, Decimal("0.01")) for n in (1, 2, 3)]


def test_truth_is_no_distance(source, sent):
    found = distance(source.project_id, sent)
    assert found == Distance()
    assert not found.is_wrong


def test_lost_row_is_seen(source, sent):
    more = Sent("ff" * 8, 0, 0, Decimal())
    assert distance(source.project_id, [*sent, more]) == Distance(lost=1, wrong_sums=2)


def test_row_too_many_is_seen(source, sent):
    assert distance(source.project_id, sent[:2]) == Distance(doubled=1, wrong_sums=2)


@pytest.mark.parametrize("changes", [{"cost_usd": Decimal("0.010000000001")}, {"input_tokens": 11}])
def test_a_fraction_of_a_cent_and_one_token_are_seen(source, sent, changes):
    told = [replace(sent[0], **changes), *sent[1:]]
    assert distance(source.project_id, told) == Distance(wrong_sums=2)


def test_sum_that_was_not_made_anew_is_seen(source, sent):
    store.spans(source, [span(4, input_tokens=1, source_cost_usd=Decimal("0.01"))])
    told = [*sent, Sent(f"{4:016x}", 1, 20, Decimal("0.01"))]
    assert distance(source.project_id, told) == Distance(wrong_sums=1)


@pytest.fixture
def pulled(settings, monkeypatch):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    monkeypatch.setattr(jobs, "nudge", lambda task, *args: None)
    with ExitStack() as stack:
        found = Pulled(stack, random.Random(1), None)
        found.adds()
        found.asks()
        pull.run_job(Job.objects.latest("pk").pk)
        yield found


def test_cursor_behind_which_a_row_is_missing_is_seen(pulled):
    assert rows_behind(pulled.source, pulled.stub, {}) == 0
    Span.objects.filter(span_id=pulled.sent[0].span_id).delete()
    Score.objects.filter(external_id=f"s-{pulled.sent[1].span_id}").delete()
    assert rows_behind(pulled.source, pulled.stub, {}) == 2
    # Of a cursor that did not move nothing can be said.
    assert rows_behind(pulled.source, pulled.stub, pulled.source.cursor) == 0


def test_cursor_in_the_middle_of_a_page_promises_what_it_has_passed(pulled):
    now = timezone.now()
    rows = sorted(pulled.stub.observations.values(), key=lambda row: row.started_at)
    newest, oldest = rows[-1], rows[0]
    at = newest.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    position = base64.urlsafe_b64encode(json.dumps([at, newest.id]).encode()).decode()
    walk = {"start": (now - timedelta(hours=1)).isoformat(), "end": now.isoformat(),
            "what": "observations", "at": position, "total": None, "readings": 1}  # fmt: skip
    over = {**walk, "start": walk["end"]}
    Source.objects.update(cursor={"walks": {"recent": walk, "late": over}})
    Span.objects.filter(span_id=oldest.id).delete()
    assert rows_behind(pulled.source, pulled.stub, {}) == 0
    Span.objects.filter(span_id=newest.id).delete()
    assert rows_behind(pulled.source, pulled.stub, {}) == 1


def test_bill_is_believed_to_the_cent(tmp_path):
    billed = Billed(tmp_path, random.Random(1))
    for _ in range(2):
        path, total = billed.writes()
        files.take(billed.source, path, name=path.name)
        assert billed.believed() == (total, len(MONTHS) * LINES)


def test_every_place_is_somebodys():
    """A new failpoint must be killed at."""
    groups = ("PULL", "PUSH", "STORE", "BILL", "ROLLUP", "SCHEDULE")
    assert sum((getattr(failpoints, group) for group in groups), ()) == failpoints.NAMES
    assert sum(share for _, share in VICTIMS.values()) == pytest.approx(1)


def test_campaign_tells_what_was_wrong():
    kills = [
        Kill("rollup", "rollup.summed", 1.0, Distance()),
        Kill("rollup", "rollup.summed", 3.0, Distance(lost=2, wrong_sums=1)),
    ]
    assert campaign.table(kills) == [["rollup", "rollup.summed", 2, 1, "2.00", "3.00"]]
    told = campaign.told(kills, 9.0)
    assert (told["kills"], told["wrong"], told["lost"], told["wrong_sums"]) == (2, 1, 2, 1)
