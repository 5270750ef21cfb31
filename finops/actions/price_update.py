"""Takes a newer price list as the next version of the book, once its differences were looked at.

Knows the fingerprint of a review. Refuses another list than the one that was looked at, and to
take it over a book that has changed since.
"""

from __future__ import annotations

import hashlib

from django.db import transaction

from finops import audit
from finops.actions import price_book
from finops.costing.rates import BadPriceList
from finops.models import PriceBook, PriceList, User
from finops.queries import price_update as queries

MANAGE = "finops.manage_prices"
MOST_BYTES = 20_000_000
"""Of a file; the release of today has three million."""


class Refused(ValueError):
    """Says in one sentence why no version was made."""


def keep_list(name: str, content: bytes, *, by: User | None, via: str) -> PriceList:
    """Keep a data file for its review; it changes no price. Raises BadPriceList."""
    if len(content) > MOST_BYTES:
        raise BadPriceList(f"The file has more than {MOST_BYTES:,} bytes; a price list has less.")
    digest = hashlib.sha256(content).hexdigest()
    clean = "".join(sign for sign in name if sign.isprintable())[-100:] or "prices.json"
    wanted = PriceList(name=clean, digest=digest, content=content, created_by=by)
    queries.read(wanted)
    with transaction.atomic():
        kept: PriceList
        kept, created = PriceList.objects.get_or_create(
            digest=digest, defaults={"name": clean, "content": content, "created_by": by}
        )
        if created:
            audit.record(by, via, "price_list.add", kept, {"name": clean, "digest": digest})
    return kept


def take(wanted: PriceList | None, digest: str, *, by: User | None, via: str) -> price_book.Seeded:
    """Make the reviewed list the next version of the book. Raises Refused."""
    read = queries.read(wanted)
    with transaction.atomic():
        price_book.lock()
        diff = queries.diff_of(read, PriceBook.objects.first())
        if not diff.changes:
            raise Refused(diff.said)
        if diff.digest != digest:
            raise Refused(
                "The differences have changed since you looked: the book or the list is another"
                " one now. Look at them again, then confirm."
            )
        seeded = price_book.take_snapshot(read)
        detail = {
            "source": diff.source,
            "added": diff.count(queries.ADDED),
            "removed": diff.count(queries.REMOVED),
            "changed": diff.count(queries.CHANGED),
            "own_kept": diff.own,
            "review": digest,
        }
        audit.record(by, via, "price_book.update", seeded.book, detail)
    return seeded
