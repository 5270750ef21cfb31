"""Tells, ends and lists events: `manage.py event add release --service search --version 1.4.2`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from finops.actions import events as actions
from finops.queries.events import KIND_WORDS
from ingest.events import KINDS, EventRecord
from ingest.models import Event, Project

MOST_DAYS = 36_500


class Command(BaseCommand):
    help = "Tell, end or list releases, config changes and incidents."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        act = parser.add_subparsers(dest="act", required=True)
        add = act.add_parser("add", help="Tell an event; telling it again changes nothing.")
        add.add_argument("kind", choices=KINDS)
        add.add_argument("--title", default="", help="Service and version if left out.")
        add.add_argument("--service", default="", help="As spans name it.")
        add.add_argument("--version", default="", dest="of_version")
        add.add_argument("--project", help="Its slug; left out: the whole estate.")
        add.add_argument("--environment", default="")
        add.add_argument("--at", type=moment, metavar="TIME", help="Now if left out.")
        add.add_argument("--ended", type=moment, metavar="TIME")
        add.add_argument("--link", default="", help="Begins with https:// or http://.")
        add.add_argument("--id", default="", help="One's own, to correct the event later.")
        end = act.add_parser("end", help="End an incident.")
        end.add_argument("event", type=int, help="Its number, as `event list` shows it.")
        end.add_argument("--at", type=moment, metavar="TIME", help="Now if left out.")
        listed = act.add_parser("list", help="What happened lately, newest first.")
        listed.add_argument("--days", type=days, default=30, help="30 if left out.")
        listed.add_argument("--kind", choices=KINDS)
        listed.add_argument("--project", help="Its slug.")
        listed.add_argument("--json", action="store_true", help="One JSON object a line.")

    def handle(self, *args: Any, **options: Any) -> None:
        {"add": self.add, "end": self.end, "list": self.list}[options["act"]](options)

    def add(self, options: dict[str, Any]) -> None:
        record = EventRecord(
            kind=options["kind"],
            external_id=options["id"],
            title=options["title"],
            version=options["of_version"],
            service=options["service"],
            environment=options["environment"],
            happened_at=options["at"],
            ended_at=options["ended"],
            link=options["link"],
            origin="command",
        )
        try:
            kept = actions.add(record, project_of(options["project"]), by=None, via="command")
        except actions.Refused as refused:
            raise CommandError(f"{refused.field}: {refused}") from refused
        assert kept.event is not None
        self.stdout.write(f"{kept.outcome.capitalize()}: {line_of(kept.event)}")

    def end(self, options: dict[str, Any]) -> None:
        event = Event.objects.filter(pk=options["event"], removed_at=None).first()
        if event is None:
            raise CommandError(f"There is no event {options['event']}; `event list` shows them.")
        try:
            actions.end(event, options["at"], by=None, via="command")
        except actions.Refused as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"Ended: {line_of(event)}")

    def list(self, options: dict[str, Any]) -> None:
        since = timezone.now() - timedelta(days=options["days"])
        found = Event.objects.filter(removed_at=None, happened_at__gte=since)
        if options["kind"]:
            found = found.filter(kind=options["kind"])
        if options["project"]:
            found = found.filter(project=project_of(options["project"]))
        rows = found.select_related("project").order_by("-happened_at", "-pk")
        for event in rows:
            self.stdout.write(json.dumps(plain(event)) if options["json"] else line_of(event))
        if not rows and not options["json"]:
            self.stdout.write(f"No events in the last {options['days']} days.")


def line_of(event: Event) -> str:
    where = event.project.slug if event.project else "whole estate"
    over = f" to {event.ended_at:%Y-%m-%d %H:%M}" if event.ended_at else ""
    still = ", not ended" if event.is_open else ""
    return (
        f"#{event.pk} {event.happened_at:%Y-%m-%d %H:%M}{over} UTC"
        f" {KIND_WORDS[event.kind]} {event.title} ({where}{still})"
    )


def plain(event: Event) -> dict[str, Any]:
    return {
        "id": event.pk,
        "kind": event.kind,
        "title": event.title,
        "version": event.version,
        "service": event.service,
        "project": event.project.slug if event.project else None,
        "environment": event.environment,
        "happened_at": event.happened_at.isoformat(),
        "ended_at": event.ended_at.isoformat() if event.ended_at else None,
        "link": event.link,
        "external_id": event.external_id,
    }


def project_of(slug: str | None) -> Project | None:
    if not slug:
        return None
    project: Project | None = Project.objects.filter(slug=slug).first()
    if project is None or project.is_unallocated:
        known = ", ".join(p.slug for p in Project.objects.all() if not p.is_unallocated) or "none"
        raise CommandError(f"There is no project {slug}; there are: {known}.")
    return project


def days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= MOST_DAYS):
        raise argparse.ArgumentTypeError(f"{text[:20]} is no number from 1 to {MOST_DAYS:,}.")
    return int(text)


def moment(text: str) -> datetime:
    """A day or a time; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is no time; write 2026-05-01 or 2026-05-01T12:00."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
