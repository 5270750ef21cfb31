"""Traces pulled from Langfuse into the database: keys, budget, waiting, and nothing lost."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.management import call_command
from django.utils import timezone

from ingest import encryption, fetching, jobs, pull, source_secrets, store
from ingest.models import Job, Reject, Source, Span
from ingest.records import Reject as RejectRecord
from ingest.sources import REGISTRY
from ingest.sources.base import Delayed
from tests.pulled import pulled

from .langfuse_oracle import compare
from .sources.langfuse_stub import PUBLIC, SECRET, Observation, Score, Stub, Trace, serving

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def nudged(monkeypatch):
    sent = []
    monkeypatch.setattr(jobs, "nudge", lambda task, *args: sent.append(args))
    return sent


@pytest.fixture(params=["v4", "v3"])
def stub(request, settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub(generation=request.param)) as serves:
        yield serves
    assert serves.complaints == []


@pytest.fixture
def newest(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub()) as serves:
        yield serves


def connect(stub, project, **config) -> Source:
    adapter = REGISTRY["langfuse"]
    plain, secrets = source_secrets.split(
        adapter, adapter.check_config({**stub.config, "late_days": 1, **config})
    )
    return Source.objects.create(
        kind="langfuse", name="Langfuse", project=project, config=plain, secrets=secrets,
        interval_s=60,
    )  # fmt: skip


def truncated(at: datetime) -> datetime:
    """Langfuse keeps milliseconds."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def some(stub: Stub, count: int, start: datetime, name: str = "call") -> None:
    for number in range(count):
        at = truncated(start + timedelta(seconds=number))
        # Twelve calls of one moment, in four traces.
        at = at if number >= 12 else truncated(start)
        trace = f"{name}-trace-{number // 3}"
        stub.add(
            Trace(trace, at - timedelta(seconds=number % 3), user=f"user-{number % 5}"),
            Observation(f"{name}-{number:03}", trace, at, usage={"input": number, "output": 3}),
            Score(f"{name}-score-{number:03}", trace, at, value=number / 7),
        )


def later(job: Job) -> None:
    """The time that a job was to wait for has come."""
    Source.objects.update(delayed_until=timezone.now())
    Job.objects.filter(pk=job.pk).update(scheduled_for=timezone.now())


def run(source: Source) -> Job:
    """One slot's job, as the workers run it."""
    jobs.enqueue("pull", str(source.pk), timezone.now())
    job = Job.objects.latest("pk")
    pull.run_job(job.pk)
    job.refresh_from_db()
    source.refresh_from_db()
    return job


def test_pull_stores_what_the_server_has_and_repeats_at_no_cost(stub, project):
    some(stub, 40, timezone.now() - 10 * MINUTE)
    source = connect(stub, project)

    assert run(source).state == "done"
    compare(source, stub)
    before = list(Span.objects.order_by("key").values())
    run(source)

    compare(source, stub)
    assert list(Span.objects.order_by("key").values()) == before
    totals = pulled()
    assert totals.inserted == 80
    assert totals.rows_in == totals.inserted + totals.unchanged == 160
    assert (source.last_error, source.delayed_until) == ("", None)


def test_what_changes_while_it_is_read_is_whole_after_two_pulls(stub, project):
    """Late rows, updates, deletions of a page's rows, duplicates and late scores, at each page."""
    dice = random.Random(20261121)
    now = truncated(timezone.now())
    some(stub, 48, now - 20 * MINUTE)
    source = connect(stub, project, page_size=10)

    def mutate(number: int, path: str) -> None:
        if number > 40:
            return
        at = now - timedelta(seconds=dice.randrange(1, 1000))
        trace = f"call-trace-{dice.randrange(16)}"
        stub.add(Observation(f"late-{number:03}", trace, truncated(at), usage={"output": number}))
        stub.add(Score(f"late-score-{number:03}", trace, truncated(at), value=float(number)))
        one = dice.choice(list(stub.observations.values()))
        one.cost, one.usage = f"0.{number:06}", {"input": number, "input_cached_tokens": 7}
        one.updated_at = now + timedelta(milliseconds=number)
        score = dice.choice(list(stub.scores.values()))
        score.value, score.updated_at = number / 3, now + timedelta(milliseconds=number)

    stub.between = mutate
    run(source)
    stub.between = lambda number, path: None
    assert Span.objects.count() > 48
    run(source)

    compare(source, stub)


def test_deleted_rows_do_not_hide_their_neighbours(stub, project):
    now = truncated(timezone.now())
    some(stub, 60, now - 20 * MINUTE)
    source = connect(stub, project, page_size=10)
    gone: dict[str, Observation] = {}

    def shorten(number: int, path: str) -> None:
        if number % 3 == 0 and len(gone) < 12:
            row = stub.observations.pop(max(stub.observations))
            gone[row.id] = row

    stub.between = shorten
    run(source)
    stub.between = lambda number, path: None
    run(source)

    # What was read before it went away there stays here: it was paid for.
    kept = set(Span.objects.values_list("span_id", flat=True))
    assert kept - gone.keys() == stub.observations.keys()


def test_older_version_never_overwrites_a_newer_one(newest, project):
    now = truncated(timezone.now())
    one = Observation("c", "t", now - 5 * MINUTE, cost="2", updated_at=now)
    newest.add(one)
    source = connect(newest, project)
    run(source)
    one.cost, one.updated_at = "1", now - MINUTE
    run(source)

    assert str(Span.objects.get().source_cost_usd.normalize()) == "2"


def test_user_that_its_trace_learns_later_is_picked_up(stub, project):
    at = truncated(timezone.now() - 5 * MINUTE)
    stub.add(Trace("t", at, user=None), Observation("c", "t", at))
    source = connect(stub, project)
    run(source)
    assert Span.objects.get().user_id == ""
    stub.traces["t"].user = "ann"
    run(source)

    assert Span.objects.get().user_id == "ann"


def test_refused_row_is_kept_once_however_often_it_is_read(newest, project):
    newest.add(Observation("bad", "t", timezone.now() - MINUTE, usage={"input": -5}))
    source = connect(newest, project)
    for _ in range(3):
        run(source)

    [reject] = Reject.objects.all()
    assert (reject.reason, reject.external_id) == ("bad_tokens", "t/bad")
    assert json.loads(encryption.decrypt(reject.payload))["input"].startswith("[text of ")


def test_rejects_without_an_id_are_all_kept(newest, project):
    source = connect(newest, project)
    same = RejectRecord("no_object", "", "Must be a JSON object.")
    store.spans(source, [], [same, same])
    store.spans(source, [], [same])

    assert Reject.objects.count() == 3


# ---- waiting ----


def test_server_that_asks_to_wait_is_left_alone_and_the_job_goes_on_later(newest, project):
    some(newest, 30, timezone.now() - 10 * MINUTE)
    source = connect(newest, project, page_size=10)
    newest.fail("throttle", retry_after="90", after=2)
    job = run(source)

    assert job.state == "waiting"
    assert 80 < (job.scheduled_for - timezone.now()).total_seconds() < 91
    assert (job.attempts, job.lease_expires_at) == (0, None)
    assert source.last_error.startswith(f"Delayed until {source.delayed_until:%Y-%m-%d %H:%M} UTC")
    assert Span.objects.count() == 20
    asked = len(newest.asked)
    pull.run_job(job.pk)
    with pytest.raises(Delayed):
        pull.now(source)
    assert len(newest.asked) == asked
    assert pull.schedule(timezone.now()) == 0

    later(job)
    pull.run_job(job.pk)
    source.refresh_from_db()
    compare(source, newest)
    assert source.last_error == ""
    assert Job.objects.get().state == "done"


def test_budget_of_a_minute_stops_the_pull_until_the_next(newest, project, monkeypatch):
    now = [datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)]
    monkeypatch.setattr(fetching.timezone, "now", lambda: now[0])
    some(newest, 30, now[0] - 10 * MINUTE)
    source = connect(newest, project, page_size=10, requests_per_minute=7)
    job = run(source)
    minutes = 0
    while job.state == "waiting":
        assert len(newest.asked) <= 7 * (minutes + 1)
        source.refresh_from_db()
        assert source.delayed_until == now[0].replace(second=0) + MINUTE
        assert source.last_error == ""  # a budget is no failure
        now[0] = source.delayed_until
        pull.run_job(job.pk)
        job.refresh_from_db()
        minutes += 1

    assert job.state == "done"
    assert minutes >= 1
    compare(source, newest)


def test_budget_of_a_day_lasts_until_midnight(newest, project):
    source = connect(newest, project, requests_per_day=3)
    job = run(source)
    tomorrow = timezone.now().date() + timedelta(days=1)

    assert len(newest.asked) == 3
    assert job.state == "waiting"
    assert source.delayed_until == datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC)
    assert source.spent["requests_per_day"][1] == 3


@pytest.mark.parametrize("fault", ["broken", "html", "truncate", "cut"])
def test_failure_is_said_at_the_source_and_leaves_the_cursor(newest, project, fault):
    some(newest, 30, timezone.now() - 10 * MINUTE)
    source = connect(newest, project, page_size=10)
    newest.fail(fault, after=2)
    job = run(source)

    assert (job.state, job.error) == ("failed", source.last_error)
    assert "goes on from the same place" in source.last_error
    assert source.cursor["walks"]["recent"]["at"]
    assert Span.objects.count() == 20
    run(source)
    compare(source, newest)
    assert source.last_error == ""


def test_source_that_was_switched_off_is_asked_nothing(newest, project):
    source = connect(newest, project)
    Source.objects.update(enabled=False)

    assert run(source).state == "done"
    assert newest.asked == []


# ---- keys ----


def test_secret_is_in_nothing_that_is_shown(newest, project):
    source = connect(newest, project)

    assert source.config["public_key"] == PUBLIC
    assert "secret_key" not in source.config
    assert source_secrets.opened(source)["secret_key"] == SECRET
    shown = [serializers.serialize("json", [source]), repr(source.__dict__), str(source.config)]
    assert not any(SECRET in text for text in shown)
    assert fetching.check(source).startswith("Observations come by v2/observations")


def test_secret_moves_to_a_newer_key_and_is_missed_without_one(newest, project, settings):
    source = connect(newest, project)
    old, new = settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, old]
    call_command("rotate_keys", stdout=StringIO())
    settings.ENCRYPTION_KEYS = [new]
    source.refresh_from_db()
    assert source_secrets.opened(source)["secret_key"] == SECRET

    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    job = run(source)
    assert job.error.startswith("Its keys cannot be read. None of BREAKEVEN_ENCRYPTION_KEYS")
    assert newest.asked == []
