"""Pulls of a log store by its job: each error once, whatever is killed, repeated or answered."""

from datetime import timedelta

import pytest
from django.utils import timezone

from ingest import backfill, failpoints, pull
from ingest.error_records import quarter_of
from ingest.models import ErrorCount, Job, Source
from tests.ingest.sources.log_store_stubs import ElasticsearchStub, Line, LokiStub, serving
from tests.pulled import pulled

KINDS = {"loki": LokiStub, "elasticsearch": ElasticsearchStub}


@pytest.fixture(autouse=True)
def loopback(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]


@pytest.fixture(params=KINDS)
def stub(request):
    with serving(KINDS[request.param]()) as running:
        running.kind = request.param
        yield running
    assert running.complaints == []


@pytest.fixture
def connected(stub, project):
    config = {"url": stub.url, "timeout_s": 20, "history_hours": 20}
    return Source.objects.create(
        kind=stub.kind, name="Logs", project=project, interval_s=300, config=config
    )


def run(source) -> None:
    """The next pull of the source, to its end or its failure."""
    Job.objects.all().delete()
    assert pull.schedule(timezone.now()) == 1
    pull.run_job(Job.objects.get().pk)


def counted() -> dict:
    rows = ErrorCount.objects.values_list("at", "service", "type", "count")
    return {(at, service, kind): count for at, service, kind, count in rows}


def oracle(stub) -> dict:
    told: dict = {}
    for line in stub.lines:
        key = (quarter_of(line.at), line.service, line.type)
        told[key] = told.get(key, 0) + 1
    return told


def fill(stub, number=60) -> None:
    now = timezone.now() - timedelta(seconds=5)
    stub.lines += [
        Line(now - timedelta(minutes=17 * n, seconds=n), type=f"Error{n % 3}")
        for n in range(number)
    ]


def test_pull_counts_what_the_store_has_and_again_changes_nothing(stub, connected):
    fill(stub)
    run(connected)
    assert counted() == oracle(stub)
    before = list(ErrorCount.objects.order_by("pk").values())

    run(connected)

    assert list(ErrorCount.objects.order_by("pk").values()) == before
    assert pulled().inserted == len(before)


def test_late_lines_of_the_overlap_are_found(stub, connected):
    fill(stub)
    run(connected)
    stub.lines.append(Line(timezone.now() - timedelta(minutes=20), type="Late"))

    run(connected)

    assert counted() == oracle(stub)


@pytest.mark.parametrize("point", ["pull.before_rows", "pull.after_rows", "pull.before_commit"])
def test_window_whose_worker_dies_is_not_taken_and_then_taken_once(
    stub, connected, monkeypatch, point
):
    fill(stub)
    died = []

    def hit(name: str) -> None:
        if name == point and not died:
            died.append(name)
            raise KeyboardInterrupt

    monkeypatch.setattr(failpoints, "hit", hit)
    with pytest.raises(KeyboardInterrupt):
        run(connected)
    assert counted() == {}
    connected.refresh_from_db()
    assert connected.cursor == {}

    run(connected)

    assert counted() == oracle(stub)


@pytest.mark.parametrize("fault", ["500", "cut", "html", "429"])
def test_failed_pull_says_why_and_the_next_one_goes_on(stub, connected, fault):
    fill(stub)
    stub.faults.append(fault)
    stub.retry_after = "0"
    run(connected)
    connected.refresh_from_db()
    assert connected.last_error.endswith(".")
    assert counted() == {}
    Source.objects.update(delayed_until=None)

    run(connected)

    connected.refresh_from_db()
    assert (counted(), connected.last_error) == (oracle(stub), "")


def test_budget_of_requests_makes_a_pull_wait_and_go_on(stub, connected):
    fill(stub)
    plenty = {**connected.config, "exemplars": "skip"}
    Source.objects.update(config={**plenty, "requests_per_day": 1})
    run(connected)
    assert "used up" in Job.objects.get().error
    assert 0 < len(counted()) < len(oracle(stub))

    Source.objects.update(config=plenty, delayed_until=None, spent={})
    run(connected)

    assert counted() == oracle(stub)


def test_backfill_reads_the_past_once(stub, connected):
    fill(stub)
    now = timezone.now()
    job = backfill.start(connected, now - timedelta(hours=20), now)

    pull.run_job(job.pk)

    job.refresh_from_db()
    assert job.state == "done"
    assert counted() == oracle(stub)
    run(connected)
    assert counted() == oracle(stub)
