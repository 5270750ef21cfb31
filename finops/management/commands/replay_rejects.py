"""Tries refused rows again: `manage.py replay_rejects SOURCE [--reason REASON | --row ID]`."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finops.actions import replays
from ingest.again import Tally
from ingest.models import Source


class Command(BaseCommand):
    help = "Try rows that were refused again, from what quarantine kept of them for 7 days."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", help="Its name.")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--reason", default="", help="Only rows refused for it: bad_tokens.")
        which.add_argument(
            "--row", type=int, metavar="ID", help="Only this one, as the API names it."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source = Source.objects.filter(name=options["source"]).first()
        if source is None:
            raise CommandError(f"There is no source {options['source']}; check its name.")
        tally = Tally()
        while True:
            tally += replays.replay(
                source,
                reject_id=options["row"],
                reason=options["reason"],
                after=tally.last_id,
                by=None,
                via="command",
            )
            if not tally.left:
                break
            self.stdout.write(f"{tally.tried:,} tried, {tally.left:,} left.")
        self.stdout.write(sentence(tally))
        for (reason, detail), rows in tally.reasons.most_common():
            self.stdout.write(f"  {rows:,} × {reason}: {detail}")


def sentence(tally: Tally) -> str:
    if not tally.tried:
        return "There was nothing to try: no such row is in quarantine."
    return (
        f"{tally.tried:,} tried: {tally.taken:,} taken now, {tally.refused:,} still refused,"
        f" {tally.nothing_kept:,} of which nothing was kept to try."
    )
