"""Matches usage of a provider with the bill service that is the book for it, and takes it back.

Each act is audited in its own transaction. Facts stay as they are: spend is read anew with the
matches that hold. Refuses names that no usage and no complete bill knows.
"""

from __future__ import annotations

from django.db import IntegrityError, transaction

from finops import audit
from finops.models import BillMatch, User
from finops.queries import bill_matches

MANAGE = "finops.import_bills"
"""Who brings in bills says what they are about: analysts and admins of the organisation."""


class Refused(ValueError):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def add(
    usage_provider: str, bill_provider: str, bill_service: str, *, by: User, via: str
) -> BillMatch:
    _check(usage_provider, bill_provider, bill_service)
    match = BillMatch(
        usage_provider=usage_provider, bill_provider=bill_provider, bill_service=bill_service
    )
    try:
        with transaction.atomic():
            match.save(force_insert=True)
            audit.record(by, via, "bill_match.add", match, _told(match))
    except IntegrityError as error:
        message = f"“{usage_provider}” is matched already; remove that match first."
        raise Refused("", message) from error
    return match


def remove(pk: int, *, by: User, via: str) -> bool:
    """False when it is gone already."""
    with transaction.atomic():
        match = BillMatch.objects.select_for_update().filter(pk=pk).first()
        if match is None:
            return False
        audit.record(by, via, "bill_match.remove", match, _told(match))
        match.delete()
    return True


def _check(usage_provider: str, bill_provider: str, bill_service: str) -> None:
    if usage_provider not in bill_matches.providers():
        raise Refused(
            "usage_provider",
            f"No usage and no hardware names the provider “{usage_provider}”; use the name that"
            " stands on the costs page.",
        )
    if (bill_provider, bill_service) not in bill_matches.services():
        raise Refused(
            "bill_service",
            f"No complete bill charges for “{bill_service}” of “{bill_provider}”; bring the bill"
            " in first, and write both as it does.",
        )


def _told(match: BillMatch) -> dict[str, str]:
    return {
        "usage_provider": match.usage_provider,
        "bill_provider": match.bill_provider,
        "bill_service": match.bill_service,
    }
