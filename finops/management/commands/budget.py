"""Lists budgets and computes them now: `manage.py budget list`, `manage.py budget check`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from finops.actions import budget_watch
from finops.costing.budget_states import share
from finops.money import plain
from finops.queries.budgets import BudgetRow, every
from finops.templatetags import words

OVER_EXIT = 3
"""For scripts: something is over its budget."""


class Command(BaseCommand):
    help = "List budgets, or compute them now."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        act = parser.add_subparsers(dest="act", required=True)
        listed = act.add_parser("list", help="Every budget as of its newest evaluation.")
        check = act.add_parser(
            "check",
            help=f"Compute every active budget now; ends with {OVER_EXIT} if one is over.",
        )
        for one in (listed, check):
            one.add_argument("--json", action="store_true", help="One JSON object a line.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["act"] == "check":
            now = timezone.now()
            for row in every():
                budget_watch.evaluate(row.budget.pk, now)
        rows = every()
        for row in rows:
            said = json.dumps(as_json(row)) if options["json"] else line_of(row)
            self.stdout.write(said)
        if not rows and not options["json"]:
            self.stdout.write("There are no budgets.")
        over = [row.budget.name for row in rows if row.state == "over"]
        if options["act"] == "check" and over:
            raise CommandError(f"Over budget: {', '.join(over)}.", returncode=OVER_EXIT)


def line_of(row: BudgetRow) -> str:
    budget, now = row.budget, row.current
    said = f"#{budget.pk} {budget.name}: {row.state.replace('_', ' ')}"
    if now is None or budget.is_paused:
        return f"{said}. {row.why}"
    part = share(now.spent, now.amount)
    used = f" ({words.percent(part)})" if part is not None else ""
    spent, amount = words.money(now.spent, now.currency), words.money(now.amount, now.currency)
    return (
        f"{said}, {spent} of {amount}{used},"
        f" {words.money(now.expected, now.currency)} expected by {words.day(now.ends_before)}."
        f" {row.why}"
    )


def as_json(row: BudgetRow) -> dict[str, Any]:
    budget, now = row.budget, row.current
    amounts = ("amount", "spent", "expected", "expected_low", "expected_high")
    found = {name: getattr(now, name) if now else None for name in amounts}
    return {
        "id": budget.pk,
        "name": budget.name,
        "scope": budget.scope,
        "currency": budget.currency,
        "state": row.state,
        "why": row.why,
        **{name: None if value is None else plain(value) for name, value in found.items()},
        "evaluated_at": now.evaluated_at.astimezone(UTC).isoformat() if now else None,
    }
