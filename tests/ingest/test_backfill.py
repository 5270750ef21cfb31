"""The past of a source: read in steps, told as it goes, gone on with whoever stopped it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from ingest import backfill, fetching, jobs, pull
from ingest.models import Job, Source, Span
from ingest.sources.base import FetchError

from .langfuse_oracle import compare
from .sources.langfuse_stub import Observation, Score, Stub, Trace, serving
from .test_langfuse_pull import connect, later

pytestmark = pytest.mark.django_db

START, END = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def nudged(monkeypatch):
    sent = []
    monkeypatch.setattr(jobs, "nudge", lambda task, *args: sent.append(args))
    return sent


@pytest.fixture
def stub(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub()) as serves:
        for number in range(24):
            at, trace = START + 2 * number * HOUR, f"t{number // 3}"
            serves.add(
                Trace(trace, at),
                Observation(f"c{number:02}", trace, at, usage={"input": number, "output": 1}),
                Score(f"s{number:02}", trace, at, value=number / 7),
            )
        yield serves
    assert serves.complaints == []


@pytest.fixture
def langfuse(stub, project):
    return connect(stub, project, page_size=2)


def test_backfill_reads_the_whole_range_and_nothing_else(stub, langfuse):
    late = Observation("later", "t", END)
    stub.add(late)
    job = backfill.start(langfuse, START, END)
    [told] = backfill.progress(langfuse)
    assert (told.state, told.share, told.reached) == ("waiting", 0.0, START)
    pull.run_job(job.pk)

    del stub.observations["later"]
    compare(langfuse, stub)
    [told] = backfill.progress(langfuse)
    assert (told.state, told.share, told.reached, told.note) == ("done", 1.0, END, "")
    assert (told.counts.rows_in, told.counts.inserted) == (48, 48)
    assert told.finished_at is not None
    langfuse.refresh_from_db()
    assert langfuse.cursor == {}


def test_second_backfill_of_a_range_changes_nothing(stub, langfuse):
    for _ in range(2):
        pull.run_job(backfill.start(langfuse, START, END).pk)

    compare(langfuse, stub)
    assert [told.counts.unchanged for told in backfill.progress(langfuse)] == [48, 0]


def test_backfill_gives_its_worker_back_and_goes_on(stub, langfuse, monkeypatch, nudged):
    monkeypatch.setattr(fetching, "MOST_AT_ONCE", timedelta(0))
    job = backfill.start(langfuse, START, END)
    shares = []
    for _ in range(200):
        nudged.clear()
        pull.run_job(job.pk)
        job.refresh_from_db()
        shares.append(backfill.progress_of(job).share)
        if job.state == "done":
            break
        assert job.state == "waiting"
    else:
        pytest.fail("it never ended")

    compare(langfuse, stub)
    assert shares == sorted(shares)
    assert len(shares) > 20
    assert backfill.progress_of(job).counts.inserted == 48


def test_backfill_waits_when_the_server_asks_for_it(stub, langfuse):
    stub.fail("throttle", retry_after="120", after=4)
    job = backfill.start(langfuse, START, END)
    pull.run_job(job.pk)
    [told] = backfill.progress(langfuse)

    assert told.state == "waiting"
    assert told.note.startswith("Delayed until ")
    assert 110 < (told.waits_until - timezone.now()).total_seconds() <= 121
    langfuse.refresh_from_db()
    assert langfuse.delayed_until is not None
    later(job)
    pull.run_job(job.pk)
    compare(langfuse, stub)


def test_failing_server_is_tried_again_until_it_is_given_up(stub, langfuse):
    job = backfill.start(langfuse, START, END)
    for _ in range(jobs.MOST_ATTEMPTS):
        stub.fail("broken")
        pull.run_job(job.pk)
        pull.run_job(job.pk)  # a nudge too many costs no attempt
        job.refresh_from_db()
        assert job.state == "waiting"
        assert job.error.startswith("Langfuse answered 500")
        later(job)
    pull.run_job(job.pk)
    [told] = backfill.progress(langfuse)
    assert told.state == "failed"
    assert told.note.startswith("Gave up after 5 attempts. Langfuse answered 500")

    again = backfill.start(langfuse, START, END)
    assert again.pk == job.pk
    pull.run_job(again.pk)
    compare(langfuse, stub)


def test_progress_gives_a_job_all_its_attempts_again(stub, langfuse):
    job = backfill.start(langfuse, START, END)
    for _ in range(jobs.MOST_ATTEMPTS + 3):
        stub.fail("broken", after=2)
        pull.run_job(job.pk)
        later(job)
    job.refresh_from_db()
    assert job.state == "waiting"
    assert Span.objects.exists()


def test_source_that_was_switched_off_is_not_read(stub, langfuse):
    Source.objects.update(enabled=False)
    job = backfill.start(langfuse, START, END)
    pull.run_job(job.pk)
    job.refresh_from_db()

    assert job.error == "Langfuse is switched off; switch it on and start again."
    assert stub.asked == []


def test_one_backfill_at_a_time(langfuse):
    job = backfill.start(langfuse, START, END)
    with pytest.raises(backfill.Refused, match=f"already; wait until job {job.pk} ends"):
        backfill.start(langfuse, START, END + HOUR)


@pytest.mark.parametrize(
    ("begin", "end"),
    [(END, START), (START, START), (START, datetime(2999, 1, 1, tzinfo=UTC)),
     (datetime(1999, 1, 1, tzinfo=UTC), END)],
)  # fmt: skip
def test_range_must_be_one_of_the_past(langfuse, begin, end):
    with pytest.raises(backfill.Refused, match="Give a range of the past"):
        backfill.start(langfuse, begin, end)


def test_source_without_a_past_is_refused(pool_source, source):
    with pytest.raises(backfill.Refused, match="keeps no past"):
        backfill.start(pool_source, START, END)
    with pytest.raises(FetchError, match="is not fetched by us"):
        backfill.start(source, START, END)


def test_command_starts_a_backfill_and_tells_how_it_goes(stub, langfuse, monkeypatch):
    # The worker, in the moment in which the command would wait for it.
    monkeypatch.setattr(
        "ingest.management.commands.backfill.time.sleep",
        lambda seconds: pull.run_job(Job.objects.get().pk),
    )
    said = StringIO()
    call_command(
        "backfill", "Langfuse", "--from=2026-05-01", "--to=2026-05-03", "--wait", stdout=said
    )

    compare(langfuse, stub)
    assert said.getvalue().splitlines() == [
        f"Job {Job.objects.get().pk} reads Langfuse; the workers do it.",
        "0%, up to 2026-05-01 00:00 UTC: 0 rows, 0 new, 0 updated, 0 rejected.",
        "100%, up to 2026-05-03 00:00 UTC: 48 rows, 48 new, 0 updated, 0 rejected.",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("Nobody", "--from=2026-05-01", "--to=2026-05-03"), "There is no source Nobody"),
        (("Langfuse", "--from=2026-05-03", "--to=2026-05-01"), "Give a range of the past"),
        (("Langfuse", "--from=May", "--to=2026-05-01"), "May is no time; write 2026-05-01"),
    ],
)
def test_command_says_what_is_wrong(langfuse, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("backfill", *arguments)
