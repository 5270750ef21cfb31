"""What makes an event impossible, and what a second telling of it changes."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from ingest import again, events, store
from ingest.events import EventRecord
from ingest.models import Event, Reject
from tests.factories.ingest import ProjectFactory, SourceFactory
from tests.pulled import pulled

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AT = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
RELEASE = EventRecord("release", service="search", version="1.4.2", happened_at=AT)


def kept(project, *records, **more):
    with transaction.atomic():
        return store.events.keep(project and project.pk, records, **more)


def outcomes(project, *records, **more):
    return [one.outcome for one in kept(project, *records, **more)]


@pytest.mark.parametrize(
    ("changes", "field", "detail"),
    [
        ({"kind": "party"}, "kind", "Use one of release, config_change, incident."),
        (
            {"service": "", "version": ""},
            "title",
            "Say what it was: give a title, or a service and a version.",
        ),
        ({"title": "x" * 201}, "title", "201 characters; give at most 200."),
        (
            {"title": "two\nlines"},
            "title",
            "Holds a line break or a control character; give one line of plain text.",
        ),
        (
            {"link": "javascript:alert(1)"},
            "link",
            "Must be an address that begins with https:// or http://, or be left out.",
        ),
        (
            {"happened_at": NOW + timedelta(minutes=6)},
            "happened_at",
            "2026-11-20T12:06:00+00:00 is yet to come; tell an event when it has happened.",
        ),
        (
            {"happened_at": datetime(1999, 12, 31, tzinfo=UTC)},
            "happened_at",
            "1999-12-31T00:00:00+00:00 is before the year 2000; send real times.",
        ),
        (
            {"ended_at": AT - timedelta(seconds=1)},
            "ended_at",
            "Ends before it began; give a time after happened_at.",
        ),
    ],
)
def test_impossible_event_names_its_field_and_the_fix(changes, field, detail):
    problem = replace(RELEASE, **changes).problem(NOW)
    assert (problem.field, problem.detail) == (field, detail)


@pytest.mark.parametrize(
    "link",
    ["https://", "http:///x", "//evil.example", "ftp://x.example", 'https://x.example/"onload=',
     "https://x.example/ y", "HTTPS:evil", "data:text/html,x", "https://[::1"],
)  # fmt: skip
def test_link_that_is_no_web_address_is_refused(link):
    assert replace(RELEASE, link=link).problem(NOW).field == "link"


@pytest.mark.parametrize("link", ["https://x.example/a?b=c#d", "http://10.0.0.1:8080/run/7", ""])
def test_web_address_is_taken(link):
    assert replace(RELEASE, link=link).problem(NOW) is None


def test_same_content_has_the_same_id_and_other_content_another():
    same = EventRecord("release", service="search", version="1.4.2", happened_at=AT)
    other = replace(RELEASE, version="1.4.3")
    ids = [record.identified(NOW).external_id for record in (RELEASE, same, other)]
    assert ids[0] == ids[1] != ids[2]


def test_event_without_a_title_is_called_by_service_and_version(db):
    [one] = kept(None, RELEASE)
    assert (one.outcome, one.event.title, one.event.project) == ("inserted", "search 1.4.2", None)


def test_title_made_of_long_names_still_fits(db):
    long = replace(RELEASE, service="s" * 200, version="v" * 100)
    assert outcomes(None, long, replace(long, environment="live")) == ["inserted", "inserted"]
    assert set(Event.objects.values_list("title", flat=True)) == {"s" * 200}


def test_same_event_again_changes_nothing(db):
    assert outcomes(None, RELEASE, RELEASE) == ["inserted", "unchanged"]
    assert outcomes(None, RELEASE) == ["unchanged"]
    assert Event.objects.count() == 1


def test_event_told_again_without_a_time_keeps_the_one_it_has(db):
    first = EventRecord("release", external_id="build-7", title="Search", happened_at=AT)
    again = EventRecord("release", external_id="build-7", title="Search")
    assert outcomes(None, first, again) == ["inserted", "unchanged"]
    assert Event.objects.get().happened_at == AT


def test_correction_under_the_same_id_replaces_and_an_empty_text_erases_nothing(db):
    first = replace(RELEASE, external_id="b7", link="https://x.example/7")
    better = EventRecord("release", external_id="b7", version="1.4.3")
    assert outcomes(None, first) == ["inserted"]
    assert outcomes(None, better) == ["updated"]
    event = Event.objects.get()
    assert (event.version, event.service, event.link) == ("1.4.3", "search", "https://x.example/7")


def test_same_id_in_two_projects_is_two_events(db):
    record = replace(RELEASE, external_id="build-7")
    mine, others = ProjectFactory(), ProjectFactory()
    assert [outcomes(one, record) for one in (mine, others, None)] == [["inserted"]] * 3
    assert outcomes(mine, replace(record, version="9")) == ["updated"]
    assert Event.objects.get(project=others).version == "1.4.2"


def test_messages_about_one_incident_give_the_same_in_any_order(db):
    begun = EventRecord(
        "incident", "incident:42", "Latency", happened_at=AT, stamp=1, is_partial=True
    )
    noted = replace(begun, title="Latency of search", happened_at=AT + timedelta(hours=1), stamp=2)
    over = AT + timedelta(hours=2)
    ended = EventRecord(
        "incident", "incident:42", happened_at=over, ended_at=over, stamp=3, is_partial=True
    )
    found = set()
    for number, order in enumerate(permutations([begun, noted, ended])):
        project = ProjectFactory(slug=f"p{number}")
        for record in order:
            kept(project, record)
        kept(project, *order)
        event = Event.objects.get(project=project)
        found.add((event.title, event.happened_at, event.ended_at))
    assert found == {("Latency of search", AT, over)}


def test_end_before_the_known_begin_is_refused(db):
    kept(None, replace(RELEASE, external_id="b7"))
    early = EventRecord("release", external_id="b7", ended_at=AT - timedelta(days=1))
    [one] = kept(None, early)
    assert (one.outcome, one.reject.field) == ("rejected", "ended_at")


def test_removed_event_stays_removed_for_machines_and_comes_back_for_people(db):
    [one] = kept(None, RELEASE)
    assert [store.events.remove(one.event), store.events.remove(one.event)] == [True, False]
    assert outcomes(None, RELEASE) == ["unchanged"]
    assert Event.objects.get().removed_at is not None
    assert outcomes(None, RELEASE, revives=True) == ["updated"]
    assert Event.objects.get().removed_at is None


def test_incident_is_ended_once(db):
    [one] = kept(None, EventRecord("incident", title="GPU host down", happened_at=AT))
    assert one.event.is_open
    assert store.events.end(one.event, NOW)
    assert not store.events.end(one.event, NOW + timedelta(days=1))
    assert Event.objects.get().ended_at == NOW


def test_pushed_events_are_counted_and_rejects_kept_with_their_reason(db):
    source = SourceFactory()
    bad = replace(RELEASE, link="javascript:x")
    counts = store.events.take(source, [RELEASE, bad, RELEASE])
    assert counts.as_dict() == {
        "rows_in": 3, "inserted": 1, "updated": 0, "unchanged": 1, "stale": 0, "rejected": 1,
    }  # fmt: skip
    assert Event.objects.get().project == source.project
    assert Reject.objects.values_list("reason", "field").get() == ("bad_link", "link")
    assert pulled(source=source) == counts


@pytest.mark.parametrize(
    "changes",
    [{"kind": "party"}, {"origin": "fax"}, {"link": "javascript:x"}, {"ended_at": AT}],
)
def test_database_itself_refuses_what_no_door_may_let_in(db, changes):
    sound = {"kind": "incident", "title": "x", "origin": "api", "external_id": "1"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.create(**{**sound, "happened_at": NOW, **changes})


def test_title_made_of_the_version_follows_a_corrected_version(db):
    kept(None, replace(RELEASE, external_id="b7"))
    kept(None, EventRecord("release", external_id="b7", version="1.4.3"))
    assert Event.objects.get().title == "search 1.4.3"


def test_older_word_about_an_event_is_stale(db):
    new = replace(RELEASE, external_id="b7", title="New", stamp=2, is_partial=True)
    old = replace(new, title="Old", stamp=1)
    assert outcomes(None, new, old, new) == ["inserted", "stale", "unchanged"]
    assert Event.objects.get().title == "New"


def test_refused_event_is_taken_when_it_is_tried_again_later(db, monkeypatch):
    source = SourceFactory()
    early = timezone.now() + timedelta(hours=1)
    record = replace(RELEASE, happened_at=early, link="https://x.example/7", stamp=7)
    assert store.events.take(source, [record]).rejected == 1
    [row] = Reject.objects.all()
    assert again.one(source, row.pk).state == again.REFUSED
    monkeypatch.setattr("ingest.store.events.timezone.now", lambda: early)
    assert again.one(source, row.pk).state == again.TAKEN
    event = Event.objects.get()
    assert (event.title, event.happened_at, event.link) == (
        "search 1.4.2", early, "https://x.example/7",
    )  # fmt: skip


def test_record_is_the_same_after_quarantine():
    whole = replace(RELEASE, ended_at=NOW, stamp=7, is_partial=True, origin="otlp")
    assert events.of_row(json.loads(json.dumps(events.row_of(whole)))) == whole
