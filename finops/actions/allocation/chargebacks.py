"""Closes a month: its figures are kept as they are now, for good.

A month that is closed again gets an adjustment of what has changed since, and the statement before
stays as it was. Refuses a month that is not over, and one whose rules are still being applied.
"""

from __future__ import annotations

from datetime import date, timedelta

from django.db import connection, transaction
from django.utils import timezone

from finops import audit
from finops.costing.allocating import digest
from finops.models import Chargeback, ChargebackLine, PriceBook, User
from finops.queries.allocation.chargebacks import Difference, differences, whole_month
from finops.queries.allocation.rules import in_force, standing
from finops.queries.filters import today

from .landing import due_before
from .rules import Refused


def close(month: date, *, by: User, via: str, note: str = "") -> Chargeback:
    """The statement of a month; when there is one, an adjustment with the differences."""
    if month != month.replace(day=1):
        raise Refused("month", "Name a month by its first day.")
    if month >= today().replace(day=1):
        raise Refused("month", "This month is not over yet; close it when it is.")
    if len(note) > 300 or not note.isprintable():
        raise Refused("note", "Give a note of at most 300 characters on one line.")
    if due_before((month + timedelta(days=32)).replace(day=1)):
        raise Refused("", "Rules are being applied to this month; try again in a few minutes.")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('chargeback', 0))")
        found = [one for one in differences(month) if one.amount or one.reconciled]
        held = Chargeback.objects.filter(month=month).count()
        if not found:
            said = "Nothing has changed since its last statement." if held else "It has no costs."
            raise Refused("", said)
        newest = PriceBook.objects.order_by("-version").first()
        made = Chargeback(
            month=month,
            number=held + 1,
            as_of=whole_month(month).as_of,
            rules=[
                {"id": rule.pk, "name": rule.name, "revision": rule.revision}
                for rule in standing()
                if rule.is_on
            ],
            rules_digest=digest(in_force()),
            book_version=newest.version if newest else None,
            note=note,
            closed_at=timezone.now(),
            closed_by=by,
        )
        made.save()
        ChargebackLine.objects.bulk_create(_line(made, one) for one in found)
        detail = {"month": f"{month:%Y-%m}", "number": made.number, "lines": len(found)}
        audit.record(by, via, "chargeback.close", made, detail)
    return made


def _line(made: Chargeback, one: Difference) -> ChargebackLine:
    return ChargebackLine(
        chargeback=made,
        project=one.project,
        project_name=one.project.name,
        team=one.project.team.name if one.project.team else "",
        part=one.part,
        rule=one.rule,
        rule_name=one.rule.name if one.rule else "",
        amount=one.amount,
        reconciled=one.reconciled,
        currency=one.currency,
    )
