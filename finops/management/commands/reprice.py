"""Prices a range again: shows the difference, and with its plan's fingerprint confirms it."""

from __future__ import annotations

import argparse
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from finops.actions import repricing as actions
from finops.models import PriceBook
from finops.money import plain
from finops.queries import prices, repricing
from finops.queries.filters import midnight
from finops.queries.repricing_plan import Plan, Scope
from ingest.models import Project


class Command(BaseCommand):
    help = "Show what pricing a range again would change; --confirm PLAN does it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--from", required=True, type=day, dest="first", metavar="DAY")
        parser.add_argument("--to", required=True, type=day, help="The day after the last one.")
        parser.add_argument(
            "--project", action="append", help="Its slug, repeatable; left out: everything."
        )
        parser.add_argument("--book", type=int, help="Version; the latest if left out.")
        parser.add_argument("--confirm", default="", metavar="PLAN", help="As shown before.")
        parser.add_argument("--note", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["first"] >= options["to"]:
            raise CommandError("--to is the day after the last one; it must be later than --from.")
        zone = settings.ACCOUNTING_TIME_ZONE
        scope = Scope.until_now(
            midnight(options["first"], zone),
            midnight(options["to"], zone),
            project_ids(options["project"]),
            timezone.now(),
        )
        book = book_of(options["book"])
        if options["confirm"]:
            self.confirm(scope, book, options["confirm"], options["note"])
        else:
            self.show(repricing.preview(scope, book, most_rows=None))

    def show(self, plan: Plan) -> None:
        for change in plan.changes:
            self.stdout.write(
                f"{change.provider} {change.model}: {said(change.before)} to {said(change.after)}"
                f" {change.currency}"
            )
        for total in plan.totals:
            self.stdout.write(
                f"In all: {plain(total.before)} to {plain(total.after)} {total.currency},"
                f" a difference of {plain(total.difference)}"
            )
        gained, lost = plan.newly_priced, plan.newly_unpriced
        self.stdout.write(
            f"Newly priced: {gained.requests:,} requests, {gained.tokens:,} tokens."
            f" Newly without a price: {lost.requests:,} requests, {lost.tokens:,} tokens."
        )
        self.stdout.write(
            f"{plan.hours:,} hours to version {plan.book.version}. Nothing was written;"
            f" to do it, add: --confirm {plan.digest}"
        )

    def confirm(self, scope: Scope, book: PriceBook, plan: str, note: str) -> None:
        try:
            made = actions.confirm(scope, book, plan, note, by=None, via="command", most_rows=None)
        except actions.Refused as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"{made.hours:,} hours move to version {book.version}.")


def said(amount: Any) -> str:
    return "no amount" if amount is None else plain(amount)


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day; write 2026-05-01.") from None


def book_of(version: int | None) -> PriceBook:
    book = prices.price_book(version)
    if book is None:
        raise CommandError("There is no such version of the price book.")
    return book


def project_ids(slugs: list[str] | None) -> list[int] | None:
    if not slugs:
        return None
    known = dict(Project.objects.values_list("slug", "pk"))
    unknown = [slug for slug in slugs if slug not in known]
    if unknown:
        raise CommandError(f"There is no project {unknown[0]}; there are: {', '.join(known)}.")
    return [known[slug] for slug in slugs]
