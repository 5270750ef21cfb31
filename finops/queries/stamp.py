"""What every result carries: as of when, from where, provisional or not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Q

from finops.costing.exchange import Conversion
from ingest.models import Source
from ingest.sources import REGISTRY

if TYPE_CHECKING:
    from .filters import Filters

BILL_KINDS = tuple(kind for kind, adapter in REGISTRY.items() if adapter.owner == "organisation")

ERROR_KINDS = tuple(kind for kind, adapter in REGISTRY.items() if adapter.brings_errors)


@dataclass(frozen=True, slots=True)
class SourceNote:
    """One source behind a figure."""

    id: int
    name: str
    kind: str
    last_fact_at: datetime | None
    is_sample: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """Base of every result."""

    as_of: datetime | None
    """Time of the newest fact in it; None when there is none yet."""
    provisional: bool
    """True while any part of it is priced usage that no complete bill covers."""
    sources: tuple[SourceNote, ...]
    conversion: Conversion | None = None
    """How its amounts came to be in one currency; None: they are as they were recorded."""

    @property
    def is_sample(self) -> bool:
        """True when any source behind it holds made-up data."""
        return any(source.is_sample for source in self.sources)


def notes(
    filters: Filters, *, usage: bool = False, hardware: bool = False, bills: bool = False
) -> tuple[SourceNote, ...]:
    """The sources that may stand behind a figure of this scope, of the wanted sorts."""
    wanted = Q(pk__in=())
    if usage:
        wanted |= Q(pool=None) & ~Q(kind__in=(*BILL_KINDS, *ERROR_KINDS))
    if hardware:
        wanted |= Q(pool__isnull=False)
    if bills:
        wanted |= Q(kind__in=BILL_KINDS)
    sources = Source.objects.filter(wanted)
    if filters.project_ids is not None:
        reach = Q(project__in=filters.project_ids)
        sources = sources.filter(reach | Q(project=None) if filters.bills else reach)
    fields = ("pk", "name", "kind", "last_fact_at", "is_sample")
    return tuple(SourceNote(*row) for row in sources.values_list(*fields))


def newest(filters: Filters, sources: Iterable[SourceNote]) -> datetime | None:
    """As of when the window is known: never later than its own end."""
    times = [source.last_fact_at for source in sources if source.last_fact_at is not None]
    return min(max(times), filters.end_at) if times else None
