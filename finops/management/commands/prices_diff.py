"""Shows what a newer price list would change; with the fingerprint of the review, takes it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finops.actions import price_update as actions
from finops.costing.rates import BadPriceList, Rate
from finops.money import plain
from finops.queries import price_update as queries
from finops.queries.price_update import PriceChange


class Command(BaseCommand):
    help = "Compare the installed genai-prices, or a file of its form, with the newest book."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--file", type=Path, help="data.json of a release of genai-prices.")
        parser.add_argument("--confirm", default="", metavar="REVIEW", help="As shown before.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            wanted = self.list_of(options["file"])
            if options["confirm"]:
                seeded = actions.take(wanted, options["confirm"], by=None, via="command")
                self.stdout.write(f"Price book {seeded.book}: {seeded.prices:,} list prices.")
                return
            diff = queries.price_diff(wanted)
        except (BadPriceList, actions.Refused) as error:
            raise CommandError(str(error)) from error
        for change in diff.changes:
            self.stdout.write(line_of(change))
        self.stdout.write(diff.said)
        if diff.changes:
            self.stdout.write(f"Nothing was written; to take it, add: --confirm {diff.digest}")

    def list_of(self, file: Path | None) -> Any:
        if file is None:
            return None
        try:
            content = file.read_bytes()
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        return actions.keep_list(file.name, content, by=None, via="command")


def line_of(change: PriceChange) -> str:
    share = "" if change.share is None else f" ({change.share:+.1%})"
    own = ", under a price of our own" if change.is_covered else ""
    return (
        f"{change.kind}: {change.provider} {change.model} {change.rate.unit}"
        f" {change.rate.tier}: {said(change.old)} to {said(change.new)}{share}{own}"
    )


def said(rate: Rate | None) -> str:
    return "none" if rate is None else f"{plain(rate.amount)} {rate.currency}"
