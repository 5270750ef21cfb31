"""Takes the deliveries that a source of bills has ready, each once and each whole.

Knows which deliveries a source's cursor remembers, as taken or as unreadable. Refuses to let one
bad file stop the others: it is told until it is replaced, and the rest comes in.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from ingest import store
from ingest.jobs import Lease
from ingest.models import Source
from ingest.sources.base import BadFile, BillPage, BillPullSource, FetchError


def fetch(
    adapter: BillPullSource, source: Source, config: dict[str, Any], lease: Lease | None
) -> None:
    """Take what is new. Raises FetchError, also for deliveries that cannot be read."""
    known = source.cursor
    taken, refused = set(known.get("taken", ())), dict(known.get("refused", {}))
    ready: set[str] = set()
    for page in adapter.fetch_bills(config, timezone.now()):
        ready.add(page.mark)
        if page.mark in taken or page.mark in refused:
            continue
        if lease is not None:
            lease.renew()
        try:
            _take(source, page, lease, _cursor(taken | {page.mark}, refused))
            taken.add(page.mark)
        except BadFile as bad:
            refused[page.mark] = str(bad)
    # What is gone needs no remembering, and an unreadable file that is gone no alarm.
    cursor = _cursor(taken & ready, {mark: refused[mark] for mark in refused if mark in ready})
    _remember(source, cursor, lease)
    if cursor["refused"]:
        raise FetchError(_said(list(cursor["refused"].values())))


def _take(source: Source, page: BillPage, lease: Lease | None, cursor: dict[str, Any]) -> None:
    with page.open() as reading:
        if lease is not None:
            # Fetching may have taken a while; storing has a whole lease to itself.
            lease.renew()
        store.bill(
            source,
            name=page.name,
            sha256=page.sha256,
            complete=page.complete,
            note=page.note,
            rows=reading,
            lease=lease,
            position=cursor,
        )


def _cursor(taken: set[str], refused: dict[str, str]) -> dict[str, Any]:
    return {"taken": sorted(taken), "refused": refused}


def _remember(source: Source, cursor: dict[str, Any], lease: Lease | None) -> None:
    with store.counting.delivery_transaction(lease) as db:
        store.counting.note_success(db, source, None, cursor)


def _said(sentences: list[str]) -> str:
    more = len(sentences) - 1
    return sentences[0] + (f" {more} more cannot be read either." if more else "")
