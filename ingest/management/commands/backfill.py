"""Reads a source's past: `manage.py backfill SOURCE --from 2026-05-01 --to 2026-06-01`."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingest import backfill
from ingest.models import Job, Source
from ingest.sources.base import FetchError

LOOK_EVERY_S = 2.0


class Command(BaseCommand):
    help = "Read the past of a source that is pulled, in the workers; it goes on after a restart."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", help="Its name.")
        parser.add_argument("--from", required=True, dest="begin", type=_moment, metavar="TIME")
        parser.add_argument("--to", required=True, dest="end", type=_moment, metavar="TIME")
        parser.add_argument("--wait", action="store_true", help="Stay and tell how it goes.")

    def handle(self, *args: Any, **options: Any) -> None:
        source = Source.objects.filter(name=options["source"]).first()
        if source is None:
            raise CommandError(f"There is no source {options['source']}; check its name.")
        try:
            job = backfill.start(source, options["begin"], options["end"])
        except (backfill.Refused, FetchError) as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"Job {job.pk} reads {source.name}; the workers do it.")
        if options["wait"]:
            self.wait(job)

    def wait(self, job: Job) -> None:
        told = ""
        while True:
            job.refresh_from_db()
            now = backfill.progress_of(job)
            said = sentence(now)
            if said != told:
                self.stdout.write(said)
                told = said
            if now.state == "failed":
                raise CommandError(now.note)
            if now.state == "done":
                return
            time.sleep(LOOK_EVERY_S)


def sentence(now: backfill.Progress) -> str:
    counts = now.counts
    said = (
        f"{now.share:.0%}, up to {now.reached:%Y-%m-%d %H:%M} UTC: {counts.rows_in:,} rows,"
        f" {counts.inserted:,} new, {counts.updated:,} updated, {counts.rejected:,} rejected."
    )
    return f"{said} {now.note}" if now.note else said


def _moment(text: str) -> datetime:
    """A day or a time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is no time; write 2026-05-01 or 2026-05-01T12:00."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
