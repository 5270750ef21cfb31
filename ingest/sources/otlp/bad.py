"""One span that cannot be taken, and what quarantine keeps of it."""

from __future__ import annotations

from typing import Any

from ingest import quarantine
from ingest.records import Reject


class BadSpan(ValueError):
    """One span that cannot be taken; its neighbours can."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.field = field
        self.detail = detail

    def reject(self, trace_id: str, span_id: str, row: dict[str, Any]) -> Reject:
        return Reject(
            self.reason,
            self.field,
            self.detail,
            external_id=f"{trace_id}/{span_id}",
            payload=quarantine.payload(row),
        )
