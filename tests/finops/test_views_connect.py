"""Trying a connection out, reading a source's past, and what its page says of its pulls."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from finops.actions import trying
from finops.models import Audit
from ingest import backfill, jobs, pull, source_secrets
from ingest.models import Job, Project, Source, Span
from ingest.sources import REGISTRY
from ingest.sources.base import PullSource
from tests.finops.reading import Page
from tests.ingest.sources.langfuse_stub import SECRET, Observation, Stub, Trace, serving

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

BY_SCRIPT = {"HX-Request": "true", "HX-Target": "tried"}
START = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = {"first": "2026-05-01", "last": "2026-05-02"}
OTHERS = ("asha", "ben", "cleo", "dev")


@pytest.fixture(autouse=True)
def nudged(monkeypatch):
    monkeypatch.setattr(jobs, "nudge", lambda *told: None)


@pytest.fixture
def stub(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub()) as serves:
        for number in range(4):
            at = START + timedelta(hours=12 * number)
            serves.add(Trace("t", at), Observation(f"c{number}", "t", at))
        yield serves


@pytest.fixture
def langfuse(db, stub):
    """A connected source that has not pulled yet."""
    adapter = REGISTRY["langfuse"]
    given = {**stub.config, "requests_per_minute": 50}
    plain, secrets = source_secrets.split(adapter, adapter.check_config(given))
    return Source.objects.create(
        kind="langfuse",
        name="Langfuse",
        project=Project.objects.get(slug="support-chat"),
        config=plain,
        secrets=secrets,
        interval_s=3600,
    )


def typed(stub, **changes):
    return {f"config.{name}": value for name, value in {**stub.config, **changes}.items()}


def words_of(response) -> str:
    return Page(response.text).words


def kept() -> tuple[int, int]:
    return Source.objects.count(), Project.objects.count()


# Testing what was typed


def test_working_settings_are_said_to_work_and_nothing_is_saved(sign_in, stub):
    before = kept()
    response = sign_in("ada").post(
        "/sources/new/test?kind=langfuse", typed(stub), headers=BY_SCRIPT
    )
    assert response.status_code == 200
    said = words_of(response)
    assert said.startswith("It works. Nothing was saved. Observations come by v2/observations")
    assert "<html" not in response.text
    assert kept() == before


def test_secret_is_used_and_neither_shown_nor_written_down(sign_in, stub):
    client = sign_in("ada")
    right = client.post("/sources/new/test?kind=langfuse", typed(stub))
    wrong = client.post(
        "/sources/new/test?kind=langfuse", typed(stub, secret_key="sk-lf-of-somebody-else")
    )
    assert "It works." in words_of(right)
    assert "Langfuse refuses the keys; check the public key" in words_of(wrong)
    records = Audit.objects.filter(action="source.test").order_by("id")
    assert [record.detail["host"] for record in records] == ["127.0.0.1"] * 2
    said = right.text + wrong.text + "".join(str(record.detail) for record in records)
    assert SECRET not in said
    assert "sk-lf-of-somebody-else" not in said


def test_settings_that_cannot_work_are_named_before_anything_is_asked(sign_in, stub):
    response = sign_in("ada").post(
        "/sources/new/test?kind=langfuse",
        typed(stub, url="ftp://langfuse", page_size="5000"),
        headers=BY_SCRIPT,
    )
    said = words_of(response)
    assert "Nothing was tested; mend this first." in said
    assert "URL: " in said
    assert not Audit.objects.filter(action="source.test").exists()


def test_private_address_is_refused_with_the_way_to_allow_it(sign_in, stub, settings):
    settings.PRIVATE_ADDRESSES = []
    response = sign_in("ada").post(
        "/sources/new/test?kind=langfuse", typed(stub), headers=BY_SCRIPT
    )
    said = words_of(response)
    assert "Nothing was tested; mend this first." in said
    assert "URL: 127.0.0.1 is not a public address" in said
    assert "BREAKEVEN_PRIVATE_ADDRESSES" in said


def test_without_a_script_the_form_comes_back_as_it_was_but_for_the_secret(sign_in, stub):
    given = {**typed(stub), "name": "Half typed"}
    response = sign_in("ada").post("/sources/new/test?kind=langfuse", given)
    assert response.status_code == 200
    assert 'value="Half typed"' in response.text
    assert 'action="/sources/new?' in response.text
    # A project is still missing, but that is no matter of the connection.
    assert "This field is required." not in words_of(response)


@pytest.mark.parametrize("kind", ["otlp", "request_log", "nonsense"])
def test_what_is_not_fetched_has_no_connection_to_test(sign_in, kind):
    client = sign_in("ada")
    assert client.post(f"/sources/new/test?kind={kind}").status_code == 404
    assert "Test connection" not in words_of(client.get(f"/sources/new?kind={kind}"))


@pytest.mark.parametrize("name", OTHERS)
def test_only_who_manages_sources_may_test_one(sign_in, langfuse, stub, name):
    client = sign_in(name)
    assert client.post("/sources/new/test?kind=langfuse", typed(stub)).status_code == 403
    assert client.post(f"/sources/{langfuse.pk}/test").status_code == 403
    assert "Test connection" not in words_of(client.get(f"/sources/{langfuse.pk}"))
    assert not Audit.objects.filter(action="source.test").exists()


# Testing what is connected


def test_connected_source_is_tested_with_the_secret_it_keeps(sign_in, langfuse):
    client = sign_in("ada")
    assert "Test connection" in words_of(client.get(f"/sources/{langfuse.pk}"))
    part = client.post(f"/sources/{langfuse.pk}/test", headers=BY_SCRIPT)
    whole = client.post(f"/sources/{langfuse.pk}/test")
    assert "It works." in words_of(part)
    assert "It works." in words_of(whole)
    assert SECRET not in part.text + whole.text
    langfuse.refresh_from_db()
    assert (langfuse.cursor, langfuse.last_success_at) == ({}, None)
    record = Audit.objects.filter(action="source.test").latest("id")
    assert (record.actor_name, record.via, record.object_id) == ("ada", "page", str(langfuse.pk))


def test_server_that_asked_to_wait_is_not_asked_by_a_test(sign_in, langfuse):
    until = timezone.now() + timedelta(hours=1)
    Source.objects.filter(pk=langfuse.pk).update(delayed_until=until)
    said = words_of(sign_in("ada").post(f"/sources/{langfuse.pk}/test", headers=BY_SCRIPT))
    assert said.startswith("Nothing was asked.")
    assert f"allows none before {until:%Y-%m-%d %H:%M} UTC" in said
    assert not Audit.objects.filter(action="source.test").exists()


@pytest.mark.django_db
def test_slow_server_and_many_tests_at_once_hold_nobody_up(monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(trying, "LIMIT_S", 0.05)
    monkeypatch.setattr(trying, "_turns", threading.BoundedSemaphore(1))

    def check() -> str:
        ended.wait(10)
        return "late"

    slow = trying._tried(check)
    crowded = trying._tried(lambda: "never asked")
    ended.set()
    assert not slow.works
    assert slow.said.startswith("There was no answer within 0 seconds; check that the address")
    assert (crowded.works, crowded.said) == (
        False,
        "Other connections are being tested; try again in a moment.",
    )


@pytest.mark.parametrize("kind", [k for k, a in REGISTRY.items() if isinstance(a, PullSource)])
def test_form_of_every_fetched_kind_offers_the_test(sign_in, kind):
    assert "Test connection" in words_of(sign_in("ada").get(f"/sources/new?kind={kind}"))


# The past


def test_past_is_read_followed_and_told(sign_in, langfuse):
    client = sign_in("ada")
    response = client.post(f"/sources/{langfuse.pk}/past", DAYS, follow=True)
    assert "The workers read these days now" in words_of(response)
    [told] = backfill.progress(langfuse)
    assert (told.start, told.end) == (START, START + timedelta(days=2))
    waiting = client.get(f"/sources/{langfuse.pk}/past", headers={"HX-Request": "true"})
    assert f'hx-get="/sources/{langfuse.pk}/past"' in waiting.text
    assert "0% read" in words_of(waiting)

    pull.run_job(told.job_id)
    done = client.get(f"/sources/{langfuse.pk}/past", headers={"HX-Request": "true"})
    assert "hx-get" not in done.text
    assert words_of(done).startswith("1 May 2026 to 2 May 2026 Done")
    assert "100% read Reached 3 May 2026, 00:00 UTC Rows so far 4 New 4" in words_of(done)
    assert Span.objects.filter(started_at__lt=START + timedelta(days=2)).count() == 4
    record = Audit.objects.filter(action="source.backfill").latest("id")
    assert (record.actor_name, record.detail["from"]) == ("ada", START.isoformat())


def test_past_can_be_stopped_and_gone_on_with(sign_in, langfuse):
    client = sign_in("ada")
    client.post(f"/sources/{langfuse.pk}/past", DAYS)
    [told] = backfill.progress(langfuse)
    address = f"/sources/{langfuse.pk}/past/{told.job_id}/stop"
    assert "It is stopped." in words_of(client.post(address, follow=True))
    assert "It had ended already" in words_of(client.post(address, follow=True))
    page = words_of(client.get(f"/sources/{langfuse.pk}"))
    assert "Stopped by ada; start the same days again to go on from here." in page
    assert Audit.objects.filter(action="source.backfill_stop").count() == 1

    client.post(f"/sources/{langfuse.pk}/past", DAYS)
    [again] = backfill.progress(langfuse)
    assert (again.job_id, again.state) == (told.job_id, "waiting")


def test_who_held_a_stopped_job_cannot_write_any_more(langfuse):
    job = backfill.start(langfuse, START, START + timedelta(days=1))
    held, lease = jobs.claim(job.pk)
    assert backfill.stop(langfuse, held.pk, "Stopped.")
    with pytest.raises(jobs.LeaseLost):
        lease.check()
    with pytest.raises(jobs.LeaseLost):
        lease.renew({})


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ({"first": "2026-05-02", "last": "2026-05-01"}, "It is before the first day"),
        ({"first": "2999-01-01", "last": "2999-01-02"}, "There is nothing to read of days to come"),
        ({"first": "", "last": "2026-05-01"}, "This field is required."),
        ({"first": "0001-01-01", "last": "9999-12-31"}, "Give a range of the past"),
    ],
)
def test_days_that_cannot_be_read_are_refused_with_the_fix(sign_in, langfuse, days, said):
    response = sign_in("ada").post(f"/sources/{langfuse.pk}/past", days)
    assert response.status_code == 422
    assert said in words_of(response)
    assert not Job.objects.filter(kind="backfill").exists()


def test_today_is_read_as_far_as_it_has_come(sign_in, langfuse):
    today = timezone.now().date().isoformat()
    yesterday = (timezone.now() - timedelta(days=1)).date().isoformat()
    sign_in("ada").post(f"/sources/{langfuse.pk}/past", {"first": yesterday, "last": today})
    [told] = backfill.progress(langfuse)
    assert timedelta() <= timezone.now() - told.end < timedelta(minutes=2)


def test_second_past_at_once_is_refused(sign_in, langfuse):
    client = sign_in("ada")
    client.post(f"/sources/{langfuse.pk}/past", DAYS)
    response = client.post(f"/sources/{langfuse.pk}/past", {**DAYS, "last": "2026-05-03"})
    assert response.status_code == 422
    assert "is being back-filled already" in words_of(response)


@pytest.mark.parametrize("name", OTHERS)
def test_past_is_followed_by_readers_and_moved_by_managers_alone(sign_in, langfuse, name):
    job = backfill.start(langfuse, START, START + timedelta(days=1))
    client, address = sign_in(name), f"/sources/{langfuse.pk}/past"
    part = client.get(address, headers={"HX-Request": "true"})
    assert (part.status_code, "Stop" in words_of(part)) == (200, False)
    assert "Read these days" not in words_of(client.get(f"/sources/{langfuse.pk}"))
    assert client.post(address, DAYS).status_code == 403
    assert client.post(f"{address}/{job.pk}/stop").status_code == 403
    job.refresh_from_db()
    assert job.state == "waiting"


def test_past_of_what_keeps_none_is_not_there(sign_in):
    source = Source.objects.get(kind="prometheus_text")
    client = sign_in("ada")
    assert client.post(f"/sources/{source.pk}/past", DAYS).status_code == 404
    assert "Read these days" not in words_of(client.get(f"/sources/{source.pk}"))


# How pulling goes


def test_page_tells_the_delay_the_budget_and_how_many_pulls_came(sign_in, langfuse):
    now = timezone.now()
    until = now + timedelta(minutes=10)
    Source.objects.filter(pk=langfuse.pk).update(
        created_at=now - timedelta(days=3),
        delayed_until=until,
        last_success_at=now,
        last_fact_at=now - timedelta(hours=3),
        spent={
            "requests_per_minute": [int(now.timestamp()) // 60 - 5, 7],
            "requests_per_day": [int(now.timestamp()) // 86_400, 1_234],
        },
    )
    for hour in range(12):
        at = now - timedelta(hours=hour, minutes=1)
        Job.objects.create(kind="pull", key=str(langfuse.pk), scheduled_for=at, state="done")
    client = sign_in("ada")
    said = words_of(client.get(f"/sources/{langfuse.pk}"))
    assert f"Delayed until {until.day} {until:%b %Y, %H:%M} UTC" in said
    assert "Behind by 3 h" in said
    assert "Pulls done of those due, last 24 h 50%" in said
    assert "Requests this minute 0 of 50" in said
    assert "Requests today (UTC) 1,234 of 100,000" in said
    assert "1 must wait before the next request." in words_of(client.get("/sources"))


def test_source_that_pushes_has_no_share_of_pulls(sign_in):
    source = Source.objects.get(name="Support chat traces")
    assert "Pulls done" not in words_of(sign_in("ada").get(f"/sources/{source.pk}"))


# Changing what is connected


def changed(stub, **more):
    """The form as it comes filled in: all but the secret."""
    plain = {name: value for name, value in stub.config.items() if name != "secret_key"}
    settings = {f"config.{name}": value for name, value in plain.items()}
    return {"name": "Langfuse", "interval_s": "3600", **settings, **more}


def test_settings_are_changed_and_the_secret_that_was_not_typed_stays(sign_in, langfuse, stub):
    client, address = sign_in("ada"), f"/sources/{langfuse.pk}"
    assert f'href="{address}/edit"' in client.get(address).text
    form = client.get(f"{address}/edit")
    assert stub.config["url"] in form.text
    assert "Leave it empty to keep it." in form.text
    assert SECRET not in form.text

    sent = changed(stub, name="Traces", interval_s="120", **{"config.page_size": "20"})
    response = client.post(f"{address}/edit", sent, follow=True)

    assert "“Traces” is changed." in response.text
    langfuse.refresh_from_db()
    assert (langfuse.name, langfuse.interval_s) == ("Traces", 120)
    assert langfuse.config["page_size"] == 20
    assert source_secrets.opened(langfuse)["secret_key"] == SECRET
    record = Audit.objects.get(action="source.change")
    assert record.detail["to"] == {"name": "Traces", "interval_s": 120}


def test_form_sent_back_as_it_came_changes_nothing(sign_in, langfuse, stub):
    langfuse.config = REGISTRY["langfuse"].check_config(stub.config)
    del langfuse.config["secret_key"]
    langfuse.save()
    sent = {f"config.{name}": value for name, value in langfuse.config.items() if value is not None}
    sent = {"name": "Langfuse", "interval_s": "3600", **sent}
    response = sign_in("ada").post(f"/sources/{langfuse.pk}/edit", sent, follow=True)
    assert "nothing was changed" in response.text
    assert not Audit.objects.filter(action="source.change").exists()


def test_change_is_tried_with_the_secret_that_is_kept(sign_in, langfuse, stub):
    address = f"/sources/{langfuse.pk}/edit/test"
    right = sign_in("ada").post(address, changed(stub), headers=BY_SCRIPT)
    assert "It works." in words_of(right)
    wrong = sign_in("ada").post(address, changed(stub, **{"config.secret_key": "sk-lf-other"}))
    assert "Langfuse refuses the keys" in words_of(wrong)
    assert source_secrets.opened(Source.objects.get(pk=langfuse.pk))["secret_key"] == SECRET


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "Bills"}, "There is a source of this name"),
        ({"interval_s": "1"}, "greater than or equal to"),
        ({"config.url": "ftp://langfuse"}, "URL"),
        ({"config.page_size": "5000"}, "Must be from 1 to 1,000."),
    ],
)
def test_change_that_cannot_be_is_refused_at_its_field(sign_in, langfuse, stub, wrong, sentence):
    Source.objects.create(kind="focus_csv", name="Bills")
    response = sign_in("ada").post(f"/sources/{langfuse.pk}/edit", changed(stub, **wrong))
    assert response.status_code == 422
    assert sentence in words_of(response)
    assert Source.objects.get(pk=langfuse.pk).name == "Langfuse"
    assert not Audit.objects.filter(action="source.change").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_only_who_manages_sources_may_change_one(sign_in, langfuse, stub, name):
    client, address = sign_in(name), f"/sources/{langfuse.pk}"
    for response in (
        client.get(f"{address}/edit"),
        client.post(f"{address}/edit", changed(stub, name="Mine")),
        client.post(f"{address}/edit/test", changed(stub)),
    ):
        assert response.status_code in (403, 404)
    assert f"{address}/edit" not in client.get(address).text
    assert Source.objects.get(pk=langfuse.pk).name == "Langfuse"


@pytest.mark.parametrize("kind", REGISTRY)
def test_form_of_every_kind_opens_for_change(sign_in, kind):
    source = Source.objects.create(kind=kind, name=f"One of {kind}")
    response = sign_in("ada").get(f"/sources/{source.pk}/edit")
    assert response.status_code == 200
    assert f"One of {kind}" in response.text


def test_limits_are_folded_until_one_is_wrong(sign_in, langfuse, stub):
    client, address = sign_in("ada"), f"/sources/{langfuse.pk}/edit"
    folded = client.get(address).text
    assert '<details class="terms">' in folded
    inside = folded.split('<details class="terms">')[1].split("</details>")[0]
    assert 'name="config.page_size"' in inside
    assert 'name="config.url"' not in inside
    wrong = client.post(address, changed(stub, **{"config.page_size": "5000"}))
    assert '<details class="terms" open>' in wrong.text
