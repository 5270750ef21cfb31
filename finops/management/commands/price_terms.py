"""Contracts and regions of purchase: `manage.py price_terms list`, `add`, `region`, `remove`."""

from __future__ import annotations

import argparse
import json
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from finops.actions import price_terms as actions
from finops.actions.price_terms import Draft, Refused, RegionDraft, TermDraft
from finops.models import BuyingRegion, PriceTerm
from finops.money import plain
from finops.queries.prices import price_book


class Command(BaseCommand):
    help = "List what was agreed with providers, enter it, or remove it from the next version on."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        act = parser.add_subparsers(dest="act", required=True)
        listed = act.add_parser("list", help="Everything in the newest version of the book.")
        listed.add_argument("--json", action="store_true", help="One JSON object a line.")
        add = act.add_parser("add", help="Enter a contract.")
        add.add_argument("--contract", required=True, help="Its number or name.")
        effect = add.add_mutually_exclusive_group(required=True)
        effect.add_argument("--percent", type=number, help="Off the list price; below 0 on top.")
        effect.add_argument("--amount", type=number, help="Of one model and one token class.")
        add.add_argument("--currency", default="", help="Of the amount.")
        add.add_argument("--model", default="")
        add.add_argument("--unit", default="", help="A token class, or request.")
        add.add_argument("--tier", default="")
        region = act.add_parser("region", help="Say from which region one buys.")
        for one in (add, region):
            one.add_argument("--provider", required=True)
            one.add_argument("--region", default="", required=one is region)
            one.add_argument("--project", default="", help="Its slug; left out: every project.")
            one.add_argument("--from", type=day, dest="first_day", metavar="DAY")
            one.add_argument("--until", type=day, dest="last_day", metavar="DAY",
                             help="The last day.")  # fmt: skip
            one.add_argument("--note", default="")
        remove = act.add_parser("remove", help="From the next version on; earlier ones keep it.")
        remove.add_argument("id", type=UUID)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"do_{options['act']}")(options)
        except Refused as refused:
            raise CommandError(str(refused)) from refused

    def do_list(self, options: dict[str, Any]) -> None:
        book = price_book()
        rows = [
            *(book.terms.select_related("project") if book else ()),
            *(book.regions.select_related("project") if book else ()),
        ]
        for row in rows:
            self.stdout.write(json.dumps(as_json(row)) if options["json"] else line_of(row))
        if not rows and not options["json"]:
            self.stdout.write("No contract and no region is entered.")

    def do_add(self, options: dict[str, Any]) -> None:
        self.enter(TermDraft(**{name: options[name] for name in TermDraft.__dataclass_fields__}))

    def do_region(self, options: dict[str, Any]) -> None:
        names = RegionDraft.__dataclass_fields__
        self.enter(RegionDraft(**{name: options[name] for name in names}))

    def enter(self, draft: Draft) -> None:
        row = actions.add(draft, by=None, via="command")
        self.stdout.write(f"{line_of(row)}. Version {row.book.version} of the price book has it.")

    def do_remove(self, options: dict[str, Any]) -> None:
        book, uid = price_book(), options["id"]
        for kind, rows in ((TermDraft, "terms"), (RegionDraft, "regions")):
            if book is not None and getattr(book, rows).filter(uid=uid).exists():
                made = actions.remove(kind, uid, by=None, via="command")
                self.stdout.write(f"Version {made.version} of the price book has it no more.")
                return
        raise CommandError(f"There is nothing like this in the newest version: {uid}.")


def line_of(row: PriceTerm | BuyingRegion) -> str:
    dates = f", from {row.valid_from:%Y-%m-%d}" if row.valid_from else ""
    if row.valid_to:
        dates += f", until before {row.valid_to:%Y-%m-%d}"
    payer = f", for {row.project.slug}" if row.project else ""
    if isinstance(row, BuyingRegion):
        return f"{row.uid} {row.provider} is bought in {row.region}{payer}{dates}"
    if row.percent is None:
        what = f"{plain(row.amount.normalize())} {row.currency} for"
    else:
        word = "off" if row.percent >= 0 else "on top of"
        what = f"{plain(abs(row.percent).normalize())}% {word}"
    scope = "".join(f", {part}" for part in (row.model, row.unit, row.tier, row.region) if part)
    return f"{row.uid} {row.contract}: {what} {row.provider}{scope}{payer}{dates}"


def as_json(row: PriceTerm | BuyingRegion) -> dict[str, Any]:
    draft = actions.draft_of(row)
    kind = "region" if isinstance(row, BuyingRegion) else "term"
    told = {name: getattr(draft, name) for name in type(draft).__dataclass_fields__}
    return {"id": str(row.uid), "kind": kind, "since": row.since} | {
        name: plain(value) if isinstance(value, Decimal) else written(value)
        for name, value in told.items()
    }


def written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text} is no number; write 12.5.") from None


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day; write 2026-05-01.") from None
