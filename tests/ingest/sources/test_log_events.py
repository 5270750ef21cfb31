"""Which log records are events, and what they say of them."""

from datetime import timedelta

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ingest.sources.otlp import log_events
from ingest.sources.otlp.log_bodies import LogGroup
from ingest.sources.otlp.measures import time

from .otlp_body import START, START_NS, put

SECOND = 1_000_000_000


def record(name="", at_ns=START_NS, body="", severity=9, **attributes) -> LogRecord:
    """Attributes with `__` for a dot."""
    made = LogRecord(event_name=name, time_unix_nano=at_ns, severity_number=severity)
    made.body.string_value = body
    for key, value in attributes.items():
        put(made.attributes.add(), key.replace("__", "."), value)
    return made


def split(*records, **resource):
    carrier = Resource()
    for key, value in {"service__name": "search", **resource}.items():
        put(carrier.attributes.add(), key.replace("__", "."), value)
    return log_events.split([LogGroup(list(carrier.attributes), "ci", list(records))])


def one(*args, **more):
    resource = {key: more.pop(key) for key in list(more) if key in ("service__version",)}
    found = split(record(*args, **more), **resource)
    assert found.rejects == []
    return found.events[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("deployment", "release"),
        ("Release", "release"),
        ("deployment.finished", "release"),
        ("config_change", "config_change"),
        ("config.change", "config_change"),
        ("incident", "incident"),
        ("incident-opened", "incident"),
        ("incident.resolved", "incident"),
    ],
)
def test_event_name_says_the_kind(name, kind):
    assert one(name).kind == kind
    # Older SDKs know no field for the name and send it as an attribute.
    assert one(event__name=name).kind == kind


@pytest.mark.parametrize("name", ["", "exception", "gen_ai.choice", "incidental", "release.notes"])
def test_any_other_record_goes_on_to_the_next_reader(name):
    found = split(record("deployment"), record(name, body="x"))
    assert len(found.events) == 1
    [group] = found.others
    assert [other.body.string_value for other in group.records] == ["x"]
    assert not log_events.is_event(group.records[0])


def test_conventions_of_opentelemetry_are_read():
    event = one(
        "deployment",
        service__version="1.4.2",
        deployment__environment__name="production",
        deployment__id="1208",
        cicd__pipeline__run__url__full="https://ci.example/runs/7",
    )
    assert event.called == "search 1.4.2"
    assert (event.version, event.service, event.environment) == ("1.4.2", "search", "production")
    assert event.external_id == "deployment:1208:search:production"
    assert (event.happened_at, event.link) == (START, "https://ci.example/runs/7")


def test_failed_deployment_says_so():
    event = one("deployment", service__version="1.4.2", deployment__status="failed")
    assert event.title == "search 1.4.2 (failed)"


def test_body_is_the_title_in_one_line():
    assert one("incident", body="Search\n is  slow \0").title == "Search is slow"


def test_resolved_incident_has_ended_by_name_or_by_status():
    for event in (
        one("incident.resolved", incident__id=42),
        one("incident", incident__id="42", incident__status="resolved"),
    ):
        assert (event.external_id, event.ended_at) == ("incident:42", START)
    assert one("incident", incident__id="42", incident__status="open").ended_at is None


def test_record_without_a_time_takes_that_of_the_observer():
    made = record("release", at_ns=0)
    made.observed_time_unix_nano = START_NS + SECOND
    assert split(made).events[0].happened_at == START + timedelta(seconds=1)


def test_event_without_any_time_is_refused_with_the_fix():
    [reject] = split(record("release", at_ns=0, body="secret")).rejects
    assert (reject.reason, reject.field) == ("missing_time", "time_unix_nano")
    assert b"secret" not in reject.payload


def test_time_of_an_event_is_exact():
    assert one("release", at_ns=START_NS + 1_001_000).happened_at == time(START_NS + 1_001_000)
