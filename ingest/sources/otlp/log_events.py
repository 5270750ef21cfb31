"""OTLP log records → the releases, config changes and incidents among them.

Knows which event names mean which kind, and the attributes of OpenTelemetry's conventions that say
the rest: `deployment.*`, `cicd.*`, `vcs.*`, `service.*`. Refuses every other record: it goes on to
whoever looks for errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ingest import quarantine
from ingest.events import CONFIG_CHANGE, INCIDENT, LONGEST, RELEASE, EventRecord
from ingest.records import Reject

from .attributes import attribute, clean
from .log_bodies import LogGroup
from .measures import time

NAMES = {
    "release": RELEASE,
    "deployment": RELEASE,
    "deploy": RELEASE,
    "rollout": RELEASE,
    "rollback": RELEASE,
    "config_change": CONFIG_CHANGE,
    "configuration_change": CONFIG_CHANGE,
    "feature_flag_change": CONFIG_CHANGE,
    "incident": INCIDENT,
    "outage": INCIDENT,
}
"""Event names, dots and dashes read as underscores; a last word of `ENDS` or `BEGINS` is left out
first: `deployment.finished`, `incident-resolved`."""
ENDS = frozenset({"resolved", "closed", "ended", "mitigated"})
BEGINS = frozenset({"created", "opened", "started", "triggered", "finished", "succeeded", "failed"})

VERSIONS = ("service.version", "deployment.version", "vcs.ref.head.name")
SERVICES = ("service.name",)
ENVIRONMENTS = ("deployment.environment.name", "deployment.environment")
TITLES = ("event.title", "title", "incident.title", "deployment.name")
LINKS = (
    "event.url", "incident.url", "deployment.url", "cicd.pipeline.run.url.full", "vcs.change.url",
    "url.full",
)  # fmt: skip
IDS = (
    ("event.id", "event"),
    ("incident.id", "incident"),
    ("deployment.id", "deployment"),
    ("cicd.pipeline.run.id", "run"),
)
STATES = ("incident.status", "incident.state", "event.status")
FAILURES = (("deployment.status", "failed"), ("cicd.pipeline.result", "failure"))


@dataclass(slots=True)
class Split:
    """The log records of one request, taken apart."""

    events: list[EventRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    others: list[LogGroup] = field(default_factory=list)
    """The same groups without the events."""


def split(groups: Iterable[LogGroup]) -> Split:
    found = Split()
    for group in groups:
        rest = []
        for record in group.records:
            kind, has_ended = _kind(record)
            if kind:
                _take(record, group.resource, kind, has_ended, found)
            else:
                rest.append(record)
        if rest:
            found.others.append(LogGroup(group.resource, group.scope, rest))
    return found


def is_event(record: LogRecord) -> bool:
    """A release, config change or incident, by its event name alone."""
    return bool(_kind(record)[0])


def _kind(record: LogRecord) -> tuple[str, bool]:
    """(kind or empty, whether the name says that it is over)."""
    name = record.event_name or attribute(record.attributes, "event.name")
    words = name.strip().lower().replace(".", "_").replace("-", "_")
    stem, _, last = words.rpartition("_")
    if last in ENDS or last in BEGINS:
        return NAMES.get(stem, ""), last in ENDS
    return NAMES.get(words, ""), False


def _take(record: LogRecord, resource: Any, kind: str, has_ended: bool, found: Split) -> None:
    told = _strings(resource) | _strings(record.attributes)
    at_ns = record.time_unix_nano or record.observed_time_unix_nano
    try:
        at = time(at_ns) if at_ns else None
    except OverflowError:
        at = None
    if at is None:
        detail = "An event needs the time it happened; use an OpenTelemetry SDK's own exporter."
        reject = Reject("missing_time", "time_unix_nano", detail, payload=_payload(kind, told))
        found.rejects.append(reject)
        return
    is_over = has_ended or _first(told, STATES).lower() in ENDS
    service = _first(told, SERVICES)
    environment = _first(told, ENVIRONMENTS)
    found.events.append(
        EventRecord(
            kind=kind,
            external_id=_id(kind, told, service, environment),
            title=_title(record, told),
            version=_first(told, VERSIONS)[: LONGEST["version"]],
            service=service,
            environment=environment[: LONGEST["environment"]],
            happened_at=at,
            ended_at=at if kind == INCIDENT and is_over else None,
            link=next((told[name] for name in LINKS if told.get(name)), ""),
            origin="otlp",
            stamp=at_ns // 1000,
            is_partial=True,
        )
    )


def _id(kind: str, told: Mapping[str, str], service: str, environment: str) -> str:
    """Empty without any of `IDS`: then the content is the id."""
    for name, prefix in IDS:
        said = clean(told.get(name, ""))
        if said:
            # One pipeline run may deploy several services; an incident spans them.
            scope = () if kind == INCIDENT else (service, environment)
            return ":".join(filter(None, (prefix, said, *scope)))[: LONGEST["external_id"]]
    return ""


def _title(record: LogRecord, told: Mapping[str, str]) -> str:
    title = _first(told, TITLES) or _line(record.body.string_value)
    failed = any(told.get(name) == value for name, value in FAILURES)
    if not failed:
        return title
    named = title or " ".join(filter(None, (_first(told, SERVICES), _first(told, VERSIONS))))
    return f"{named[: LONGEST['title'] - 9]} (failed)".strip()


def _first(told: Mapping[str, str], names: Iterable[str]) -> str:
    return _line(next((told[name] for name in names if told.get(name)), ""))


def _line(text: str) -> str:
    """One line of plain text: what a name holds beyond that is no part of it."""
    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(plain.split())[: LONGEST["title"]].rstrip()


def _strings(attributes: Any) -> dict[str, str]:
    """Attributes as text; a number that is an id is still an id."""
    told = {}
    for pair in attributes:
        which = pair.value.WhichOneof("value")
        if which == "string_value":
            told[pair.key] = pair.value.string_value
        elif which == "int_value":
            told[pair.key] = str(pair.value.int_value)
    return told


def _payload(kind: str, told: Mapping[str, str]) -> bytes:
    names = (*SERVICES, *VERSIONS, *ENVIRONMENTS, *(name for name, _ in IDS))
    return quarantine.payload({"kind": kind, **{n: told[n] for n in names if n in told}})
