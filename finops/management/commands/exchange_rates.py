"""Brings in exchange rates, and says which there are: `manage.py exchange_rates import FILE`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finops.actions import exchange
from finops.costing.exchange_files import MOST_BYTES, BadRates
from finops.queries.exchange import coverage
from finops.templatetags import words


class Command(BaseCommand):
    help = "Bring in exchange rates, or list what there are rates of."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        act = parser.add_subparsers(dest="act", required=True)
        brought = act.add_parser("import", help="All of a file, or nothing of it.")
        brought.add_argument(
            "file", type=Path, help="The ECB's CSV, ZIP or XML; or CSV with day,base,quote,rate."
        )
        brought.add_argument("--source", default="", help="Where a table of your own is from.")
        act.add_parser("list", help="Each pair of currencies, with its first and newest day.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["act"] == "list":
            return self._list()
        path: Path = options["file"]
        try:
            # One byte more than allowed is enough to know.
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            outcome = exchange.import_file(
                content, name=path.name, source=options["source"], by=None, via="command"
            )
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        except BadRates as error:
            raise CommandError(f"Nothing was taken. {error}") from error
        self.stdout.write(
            f"{words.count(outcome.added)} rates added, {words.count(outcome.replaced)} replaced,"
            f" {words.count(outcome.unchanged)} known already, from {outcome.first_day} to"
            f" {outcome.last_day}."
        )

    def _list(self) -> None:
        found = coverage()
        for one in found:
            self.stdout.write(
                f"{one.base} in {one.quote}: {one.first} to {one.last}, {one.days} days"
            )
        if not found:
            self.stdout.write("There are no exchange rates yet.")
