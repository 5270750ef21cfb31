"""Prices a range again once somebody has seen what it changes and confirmed that.

Knows the plan of a preview. Refuses another one: if what it would do has changed in between, the
new difference has to be looked at first. Each confirmation is audited.
"""

from __future__ import annotations

from django.db import connection, transaction

from finops import audit
from finops.actions import pricing
from finops.models import PriceBook, Repricing, User
from finops.money import plain
from finops.queries.repricing import MOST_ROWS, preview
from finops.queries.repricing_plan import Plan, Scope

MANAGE = "finops.manage_prices"

HAS_CHANGED = (
    "What this would do has changed since the preview: facts or prices came in between."
    " Look at the new difference, then confirm that one."
)


class Refused(ValueError):
    """Says in one sentence why nothing was priced again."""


def confirm(
    scope: Scope,
    book: PriceBook,
    digest: str,
    note: str = "",
    *,
    by: User | None,
    via: str,
    most_rows: int | None = MOST_ROWS,
) -> Repricing:
    """Move the hours of the scope to the book, as the preview with this digest showed.

    Raises Refused, or TooMuch. The hours are priced by the next runs of the task `price`.
    """
    with transaction.atomic():
        owners = scope.owners()
        _hold(owners)
        plan = preview(scope, book, most_rows)
        _check(plan, digest)
        moved = sum(
            pricing.reprice(kind, ids, scope.start, scope.end, book) for kind, ids in owners.items()
        )
        made: Repricing = Repricing.objects.create(
            book=book,
            project_ids=None if scope.project_ids is None else list(scope.project_ids),
            start=scope.start,
            end=scope.end,
            hours=moved,
            plan=plan.digest,
            totals=_totals(plan),
            note=note.strip()[:200],
            created_by=by,
        )
        audit.record(by, via, "prices.reprice", made, _told(plan, made))
    return made


def _check(plan: Plan, digest: str) -> None:
    if not plan.hours:
        raise Refused("No hour of this range is priced yet, so there is nothing to price again.")
    if plan.digest != digest:
        raise Refused(HAS_CHANGED)
    if plan.changes_nothing:
        raise Refused(
            f"These hours have version {plan.book.version} already, and pricing them again"
            " would change nothing."
        )


def _hold(owners: dict[str, list[int]]) -> None:
    """The locks of whoever prices these owners: no hour may move between the look and the move.

    Facts may still arrive; an hour that is priced later has all of them, as ever.
    """
    with connection.cursor() as cursor:
        for kind, ids in sorted(owners.items()):
            for owner in ids:
                cursor.execute(
                    "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
                    [f"price:{kind}:{owner}"],
                )


def _totals(plan: Plan) -> dict[str, list[str]]:
    return {total.currency: [plain(total.before), plain(total.after)] for total in plan.totals}


def _told(plan: Plan, made: Repricing) -> dict[str, object]:
    return {
        "version": plan.book.version,
        "from": made.start.isoformat(),
        "to": made.end.isoformat(),
        "projects": made.project_ids if made.project_ids is not None else "all",
        "hours": made.hours,
        "cost": {
            currency: f"{before} to {after}" for currency, (before, after) in made.totals.items()
        },
        "plan": made.plan,
        "note": made.note,
    }
