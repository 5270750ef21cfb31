"""Tries refused rows again, and has on record who asked for it and what came of it.

The wish is audited before the first row is tried, so that none moves unseen; the outcome after the
last. Each row is a transaction of its own.
"""

from __future__ import annotations

from django.db import transaction

from finops import audit
from finops.models import User
from ingest import again
from ingest.again import Tally
from ingest.models import Source


def replay(
    source: Source,
    *,
    reject_id: int | None = None,
    reason: str = "",
    after: int = 0,
    by: User | None,
    via: str,
) -> Tally:
    """Up to `again.MOST_AT_ONCE` rows; go on after `Tally.last_id` while some are left."""
    meant = {"row": reject_id, "reason": reason, "after": after}
    asked = {"name": source.name, **{name: value for name, value in meant.items() if value}}
    with transaction.atomic():
        audit.record(by, via, "source.replay", source, asked)
    tally = again.some(source, reject_id=reject_id, reason=reason, after=after)
    came = {
        "taken": tally.taken,
        "refused": tally.refused,
        "nothing_kept": tally.nothing_kept,
        "left": tally.left,
    }
    with transaction.atomic():
        audit.record(by, via, "source.replayed", source, {**asked, "rows": came})
    return tally
