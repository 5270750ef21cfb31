"""Lists and acknowledges alerts, plans silences: `manage.py alert silence --hours 2 --why …`."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from finops.actions import alerting
from finops.models import Alert
from finops.models.alerts import ALERT_KINDS, ALERT_STATES, RESOLVED
from ingest.models import Project

MOST_HOURS = 8_760
MOST_LISTED = 1_000


class Command(BaseCommand):
    help = "List or acknowledge alerts, or plan a silence."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        act = parser.add_subparsers(dest="act", required=True)
        listed = act.add_parser("list", help="Alerts that are not resolved, newest first.")
        listed.add_argument("--state", choices=ALERT_STATES, help="Only these, resolved ones too.")
        listed.add_argument("--kind", choices=ALERT_KINDS)
        listed.add_argument("--project", help="Its slug.")
        listed.add_argument("--json", action="store_true", help="One JSON object a line.")
        known = act.add_parser("acknowledge", help="Somebody looks at them: no more reminders.")
        known.add_argument("alerts", nargs="+", type=number, metavar="A-7")
        silence = act.add_parser("silence", help="Planned activity: tell no channel meanwhile.")
        silence.add_argument("--why", required=True, help="What is planned.")
        silence.add_argument("--hours", type=hours, required=True, help="How long from now.")
        silence.add_argument("--kind", choices=ALERT_KINDS, default="")
        silence.add_argument("--project", help="Its slug; left out: every project.")
        silence.add_argument("--key", default="", help="As in 'source:7' or 'project:*'.")

    def handle(self, *args: Any, **options: Any) -> None:
        {"list": self.list, "acknowledge": self.acknowledge, "silence": self.silence}[
            options["act"]
        ](options)

    def list(self, options: dict[str, Any]) -> None:
        found = Alert.objects.select_related("project").order_by("-opened_at", "-pk")
        if options["state"]:
            found = found.filter(state=options["state"])
        else:
            found = found.exclude(state=RESOLVED)
        if options["kind"]:
            found = found.filter(kind=options["kind"])
        if options["project"]:
            found = found.filter(project=project_of(options["project"]))
        rows = found[:MOST_LISTED]
        for alert in rows:
            self.stdout.write(json.dumps(plain(alert)) if options["json"] else line_of(alert))
        if not rows and not options["json"]:
            self.stdout.write("No alerts.")

    def acknowledge(self, options: dict[str, Any]) -> None:
        for pk in options["alerts"]:
            alert = Alert.objects.filter(pk=pk).first()
            if alert is None:
                raise CommandError(f"There is no alert A-{pk}; `alert list` shows them.")
            try:
                held = alerting.acknowledge(alert, by=None, via="command")
            except alerting.Refused as refused:
                raise CommandError(str(refused)) from refused
            self.stdout.write(f"Acknowledged: {line_of(held)}")

    def silence(self, options: dict[str, Any]) -> None:
        plan = alerting.Plan(
            why=options["why"],
            ends_at=timezone.now() + timedelta(hours=options["hours"]),
            kind=options["kind"],
            key_pattern=options["key"],
        )
        try:
            held = alerting.silence(plan, project_of(options["project"]), by=None, via="command")
        except alerting.Refused as refused:
            raise CommandError(f"{refused.field}: {refused}") from refused
        self.stdout.write(f"Silent until {held.ends_at:%Y-%m-%d %H:%M} UTC: {held.why}")


def line_of(alert: Alert) -> str:
    where = alert.project.slug if alert.project else "whole organisation"
    return (
        f"{alert.ref} {alert.opened_at:%Y-%m-%d %H:%M} UTC {alert.severity} {alert.state}"
        f" {alert.kind} {alert.title} ({where})"
    )


def plain(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.pk,
        "alert_id": alert.ref,
        "kind": alert.kind,
        "key": alert.key,
        "severity": alert.severity,
        "state": alert.state,
        "title": alert.title,
        "text": alert.text,
        "project": alert.project.slug if alert.project else None,
        "figures": alert.figures,
        "opened_at": alert.opened_at.isoformat(),
        "last_seen_at": alert.last_seen_at.isoformat(),
    }


def project_of(slug: str | None) -> Project | None:
    if not slug:
        return None
    project: Project | None = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(f"There is no project {slug}; there are: {known}.")
    return project


def number(text: str) -> int:
    digits = text.upper().removeprefix("A-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise argparse.ArgumentTypeError(f"{text[:20]} is no alert; write A-7 or 7.")
    return int(digits)


def hours(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{text[:20]} is no number of hours up to {MOST_HOURS}.")
    return found
