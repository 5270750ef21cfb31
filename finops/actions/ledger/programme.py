"""Books what the programme itself took: work, licences, load tests. Entered by people.

Knows days, amounts and notes. Refuses a cost without a note, and to change one: it is corrected by
a new entry.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from finops import audit
from finops.costing.savings import Cash
from finops.models import LedgerEntry, User
from finops.models.ledger import PROGRAMME_COST
from finops.money import Money
from finops.queries.filters import midnight, today
from ingest.models import Project

from .entries import add, hash_of, is_current_cost, lock
from .figures import cash_fields

MOST = Decimal(10**12)


class BadCost(ValueError):
    """Says in one sentence what is wrong with a programme cost: `field` is the one to mend."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def book_programme_cost(
    on: date,
    cost: Money,
    note: str,
    *,
    project: Project | None = None,
    corrects: LedgerEntry | None = None,
    by: User,
    via: str,
) -> LedgerEntry:
    """What the programme itself took, as in days of work; of no project: the whole organisation's.

    To correct one, book what it should have been; 0 takes it back. Raises BadCost.
    """
    if cost.amount < 0 or (cost.amount == 0 and corrects is None):
        raise BadCost("amount", "Give what it cost, as a number above 0.")
    if cost.amount >= MOST:
        raise BadCost("amount", "Give an amount below a million millions.")
    if not note.strip():
        raise BadCost("note", "Say what it was for, as in: two days of load tests.")
    if on > today():
        raise BadCost("on", "Give a day that has come.")
    start = midnight(on, settings.ACCOUNTING_TIME_ZONE)
    end = midnight(on + timedelta(days=1), settings.ACCOUNTING_TIME_ZONE)
    owner = project or Project.objects.unallocated()
    amount = Cash(cost.amount, cost.amount, cost.amount, cost.currency)
    told = {"on": on.isoformat(), "cost": str(cost), "note": note, "project": owner.pk}
    with transaction.atomic():
        lock("")
        if corrects is not None and not is_current_cost(corrects):
            raise BadCost("corrects", "That entry is no programme cost, or is corrected already.")
        entry = add(
            PROGRAMME_COST,
            "",
            start,
            end,
            {
                "title": note.strip(),
                "project_id": owner.pk,
                "basis": f"Entered by {by.get_username()}.",
                "facts_hash": hash_of(told),
                **cash_fields(amount),
            },
            corrects,
            by,
        )
        audit.record(by, via, "ledger.programme_cost", entry, told)
    return entry
