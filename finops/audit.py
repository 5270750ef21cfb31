"""The audit chain: who did what, each record sealed with the hash of the one before.

Knows how to add and how to check. Refuses to act without a record: `record` works only inside the
transaction of the action itself, so either both are kept or neither is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection, models, transaction
from django.utils import timezone

from finops.models import Audit, User

GENESIS = bytes(32)
DOORS = frozenset({"page", "api", "admin", "command", "slack", "system"})


@dataclass(frozen=True)
class Check:
    """The outcome of walking the chain. `broken_at` is the first record that does not fit."""

    records: int
    head: bytes
    broken_at: int | None = None
    reason: str = ""

    @property
    def is_whole(self) -> bool:
        return self.broken_at is None


def record(
    actor: User | None,
    via: str,
    action: str,
    obj: models.Model,
    detail: Mapping[str, Any] | None = None,
) -> Audit:
    """Add one record in the caller's transaction; raises outside of one.

    `detail` must be plain JSON and hold no secret. The request id comes from the log context.
    """
    if via not in DOORS:
        raise ValueError(f"{via!r} is no door; use one of {', '.join(sorted(DOORS))}.")
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "An audit record belongs in the transaction of what it records."
        )
    take_turn()
    last = Audit.objects.order_by("-id").values_list("hash", flat=True).first()
    entry = Audit(
        at=timezone.now(),
        actor=actor,
        actor_name=actor.get_username() if actor else "system",
        via=via,
        action=action,
        object_type=obj._meta.label_lower,
        object_id=str(obj.pk),
        detail=dict(detail or {}),
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
        previous_hash=bytes(last) if last is not None else GENESIS,
    )
    entry.hash = seal(entry)
    entry.save(force_insert=True)
    return entry


def take_turn() -> None:
    """One writer at a time until the transaction ends, or two records would follow the same one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('audit', 0))")


def seal(entry: Audit) -> bytes:
    """SHA-256 over the previous hash and the canonical JSON of everything the record says."""
    said = {
        "at": entry.at.isoformat(timespec="microseconds"),
        "actor": entry.actor_id,
        "actor_name": entry.actor_name,
        "via": entry.via,
        "action": entry.action,
        "object_type": entry.object_type,
        "object_id": entry.object_id,
        "detail": entry.detail,
        "request_id": entry.request_id,
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(bytes(entry.previous_hash) + text.encode()).digest()


def verify() -> Check:
    """Walk the whole chain. A superuser can edit rows behind the trigger; the hashes then tell."""
    previous, count = GENESIS, 0
    for entry in _in_order():
        if bytes(entry.previous_hash) != previous:
            return Check(count, previous, entry.pk, "does not follow the record before it")
        if bytes(entry.hash) != seal(entry):
            return Check(count, previous, entry.pk, "was changed after it was written")
        previous, count = bytes(entry.hash), count + 1
    return Check(count, previous)


def _in_order() -> Iterator[Audit]:
    yield from Audit.objects.order_by("id").iterator(chunk_size=2000)
