"""How the sources do: state, lag, counts, deliveries, rejects. Never shows a payload."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from finops import access
from ingest.models import BillDay, Delivery, DeliveryPeriod, LateSpan, Pull, Reject, Source
from ingest.sources import REGISTRY

from . import cursors, pulling
from .filters import Filters

STATES = ("ok", "delayed", "late", "error", "never", "off")

SILENT_FOR = {"gpu": timedelta(minutes=5)}
PUSH_SILENT_FOR = timedelta(hours=1)
"""How long a source that pushes may be silent before it is late."""
MISSED_PULLS = 3
LEAST_LATE = timedelta(minutes=1)
DAY = timedelta(hours=24)
COUNTS = ("rows_in", "inserted", "updated", "unchanged", "stale", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """rows_in = inserted + updated + unchanged + stale + rejected, always."""

    rows_in: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    source: Source
    """With `project` and `pool` fetched."""
    state: str
    """One of `STATES`."""
    state_note: str
    """One sentence: why, and what to do."""
    lag_s: float | None
    """Seconds since its newest fact; None when it brought none."""
    completeness: float | None
    """Share of the pulls due in the last 24 hours that came, 0 to 1; None where none were due."""
    budgets: tuple[pulling.Budget, ...]
    """The requests it allows itself, and what is spent of them; empty where none are counted."""
    last_24h: Counted
    quarantined: int
    """Rejects kept now, of the last 7 days."""
    late: int
    """Spans it brought after their day was closed, each once; they are in the sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodRow:
    """One billing account and month of a delivery, and whether it is believed."""

    billing_account_id: str
    billing_month: date
    line_count: int
    last_charge_at: datetime
    known_from: datetime
    known_to: datetime | None
    superseded_by: int | None
    """Id of the delivery that replaced it."""
    superseded: int | None
    """Id of the delivery that it replaced."""
    costs: tuple[tuple[str, Decimal | None], ...] = ()
    """(currency, effective cost) as this delivery tells it; only in `delivery_detail`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    id: int
    source_id: int
    source: str
    name: str
    sha256: str
    received_at: datetime
    complete: bool
    note: str
    """Why it is not complete."""
    warnings: tuple[str, ...]
    """What is doubtful about its figures."""
    counts: Counted
    periods: tuple[PeriodRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRow:
    window_from: datetime
    window_to: datetime
    state: str
    started_at: datetime
    finished_at: datetime | None
    error: str
    counts: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectRow:
    id: int
    received_at: datetime
    reason: str
    field: str
    detail: str
    external_id: str
    line: int | None
    delivery_id: int | None
    state: str
    """refused or taken."""
    can_be_tried: bool
    """Whether enough was kept of it to try it again."""
    tries: int
    tried_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows, newest first."""

    rows: tuple[Any, ...]
    next: str | None


def source_list(user: Any) -> tuple[SourceRow, ...]:
    """The sources a reader may see: those of their projects, or all."""
    return _rows(_visible(user))


def source_health(filters: Filters) -> tuple[SourceRow, ...]:
    """The sources of the projects in scope, with the organisation's own for its members."""
    sources = Source.objects.select_related("project", "pool").order_by("name", "pk")
    if filters.project_ids is not None:
        reach = Q(project__in=filters.project_ids)
        sources = sources.filter(reach | Q(project=None) if filters.bills else reach)
    return _rows(sources)


def source_detail(user: Any, pk: int) -> SourceRow | None:
    """None when there is none that this reader may see."""
    return next(iter(_rows(_visible(user).filter(pk=pk))), None)


def visible_source(user: Any, pk: int) -> Source | None:
    """The source itself, for the lists below."""
    return _visible(user).filter(pk=pk).first()


def deliveries(source: Source, limit: int = 50, cursor: str | None = None) -> Page:
    """`DeliveryRow`s of a billing source. Bills are for the organisation: ask `sees_organisation`
    first."""
    found = source.deliveries.select_related("source").order_by("-received_at", "-id")
    page, following = _page(found, "received_at", limit, cursor)
    periods = _periods(page)
    return Page(tuple(_delivery(row, periods.get(row.pk, ())) for row in page), following)


def delivery_detail(user: Any, pk: int) -> DeliveryRow | None:
    """None unless the reader may see bills."""
    if not access.sees_organisation(user):
        return None
    delivery = Delivery.objects.select_related("source").filter(pk=pk).first()
    if delivery is None:
        return None
    return _delivery(delivery, _periods([delivery], with_costs=True).get(pk, ()))


def pulls(source: Source, limit: int = 50, cursor: str | None = None) -> Page:
    """`PullRow`s, newest first; for a source that pushes, one an hour."""
    found = source.pulls.order_by("-started_at", "-id")
    page, following = _page(found, "started_at", limit, cursor)
    return Page(
        tuple(
            PullRow(
                window_from=row.window_from,
                window_to=row.window_to,
                state=row.state,
                started_at=row.started_at,
                finished_at=row.finished_at,
                error=row.error,
                counts=_counted(row),
            )
            for row in page
        ),
        following,
    )


def rejects(
    source: Source, limit: int = 50, cursor: str | None = None, delivery_id: int | None = None
) -> Page:
    """`RejectRow`s of the last 7 days, newest first."""
    found = source.rejects.defer("payload").order_by("-received_at", "-id")
    if delivery_id is not None:
        found = found.filter(delivery_id=delivery_id)
    page, following = _page(found, "received_at", limit, cursor)
    return Page(
        tuple(
            RejectRow(
                id=row.pk,
                received_at=row.received_at,
                reason=row.reason,
                field=row.field,
                detail=row.detail,
                external_id=row.external_id,
                line=row.line,
                delivery_id=row.delivery_id,
                state=row.state,
                can_be_tried=row.state == "refused" and row.form != "",
                tries=row.tries,
                tried_at=row.tried_at,
            )
            for row in page
        ),
        following,
    )


def _visible(user: Any) -> QuerySet[Source]:
    """Sources of a pool or of nobody belong to the organisation."""
    sources = Source.objects.select_related("project", "pool").order_by("name", "pk")
    visible = access.visible_projects(user, "finops.view_sources")
    return sources if visible.everything else sources.filter(project__in=visible.ids)


def _rows(sources: QuerySet[Source]) -> tuple[SourceRow, ...]:
    now = timezone.now()
    found = list(sources)
    ids = [source.pk for source in found]
    counted = _last_day(ids, now)
    complete = pulling.completeness(found, now)
    quarantined = dict(
        Reject.objects.filter(source__in=ids, state="refused")
        .order_by()
        .values_list("source")
        .annotate(Count("pk"))
    )
    late = dict(
        LateSpan.objects.filter(source_id__in=ids)
        .values_list("source_id")
        .annotate(Count("key", distinct=True))
    )
    rows = []
    for source in found:
        state, note = state_of(source, now)
        lag = source.last_fact_at and (now - source.last_fact_at).total_seconds()
        rows.append(
            SourceRow(
                source=source,
                state=state,
                state_note=note,
                lag_s=lag and max(0.0, lag),
                completeness=complete.get(source.pk),
                budgets=pulling.budgets(source, now),
                last_24h=counted.get(source.pk, Counted()),
                quarantined=quarantined.get(source.pk, 0),
                late=late.get(source.pk, 0),
            )
        )
    return tuple(rows)


def state_of(source: Source, now: datetime) -> tuple[str, str]:
    """One of `STATES`, and why in a sentence."""
    if not source.enabled:
        return "off", "Switched off; it takes nothing in."
    if source.delayed_until is not None and source.delayed_until > now:
        until = f"{source.delayed_until:%Y-%m-%d %H:%M} UTC"
        return (
            "delayed",
            f"Its server, or its own budget, allows nothing before {until}; it goes on.",
        )
    failed, worked = source.last_error_at, source.last_success_at
    if failed is not None and (worked is None or failed > worked):
        return "error", source.last_error
    if worked is None:
        return "never", "Nothing has come in yet."
    allowed = silence_allowed(source)
    if allowed is not None and now - worked > allowed:
        sender = "check its sender" if source.interval_s is None else "check the workers"
        return "late", f"Silent since {worked:%Y-%m-%d %H:%M} UTC; {sender}."
    return "ok", ""


def silence_allowed(source: Source) -> timedelta | None:
    """None for files, which people bring when they have them."""
    if source.interval_s is not None:
        return max(MISSED_PULLS * timedelta(seconds=source.interval_s), LEAST_LATE)
    adapter = REGISTRY.get(source.kind)
    if adapter is None or not adapter.pushes:
        return None
    return SILENT_FOR.get(source.kind, PUSH_SILENT_FOR)


def _last_day(ids: list[int], now: datetime) -> dict[int, Counted]:
    """Pulls and pushes by when they began, files by when they arrived."""
    sums = {name: Sum(name) for name in COUNTS}
    totals: dict[int, dict[str, int]] = {}
    for model, moment in ((Pull, "started_at"), (Delivery, "received_at")):
        found = model.objects.filter(**{"source__in": ids, f"{moment}__gte": now - DAY})
        for row in found.order_by().values("source").annotate(**sums):
            held = totals.setdefault(row["source"], dict.fromkeys(COUNTS, 0))
            for name in COUNTS:
                held[name] += row[name]
    return {source: Counted(**counts) for source, counts in totals.items()}


def _page(
    rows: QuerySet[Any], moment: str, limit: int, cursor: str | None
) -> tuple[list[Any], str | None]:
    """One page of rows ordered by `moment` and id, both descending."""
    if cursor:
        at, pk = cursors.decode(cursor, cursors.instant, cursors.identity)
        rows = rows.filter(Q(**{f"{moment}__lt": at}) | Q(**{moment: at, "pk__lt": pk}))
    found = list(rows[: limit + 1])
    page = found[:limit]
    if len(found) <= limit:
        return page, None
    return page, cursors.encode(getattr(page[-1], moment).isoformat(), page[-1].pk)


def _counted(row: Any) -> Counted:
    return Counted(**{name: getattr(row, name) for name in COUNTS})


def _delivery(delivery: Delivery, periods: tuple[PeriodRow, ...]) -> DeliveryRow:
    return DeliveryRow(
        id=delivery.pk,
        source_id=delivery.source_id,
        source=delivery.source.name,
        name=delivery.name,
        sha256=bytes(delivery.sha256).hex(),
        received_at=delivery.received_at,
        complete=delivery.complete,
        note=delivery.note,
        warnings=tuple(delivery.warnings),
        counts=_counted(delivery),
        periods=periods,
    )


def _periods(
    found: list[Delivery], *, with_costs: bool = False
) -> dict[int, tuple[PeriodRow, ...]]:
    """Delivery → its periods, each with what it replaced and what replaced it."""
    own = list(
        DeliveryPeriod.objects.filter(delivery__in=found).order_by(
            "billing_month", "billing_account_id"
        )
    )
    neighbours = DeliveryPeriod.objects.filter(
        source_id__in={period.source_id for period in own},
        billing_month__in={period.billing_month for period in own},
        delivery__complete=True,
    )
    began = {(*_scope(period), period.known_from): period.delivery_id for period in neighbours}
    ended = {(*_scope(period), period.known_to): period.delivery_id for period in neighbours}
    costs = _costs(own) if with_costs else {}
    rows: dict[int, tuple[PeriodRow, ...]] = {}
    for period in own:
        believed = period.known_to is None or period.known_from < period.known_to
        row = PeriodRow(
            billing_account_id=period.billing_account_id,
            billing_month=period.billing_month,
            line_count=period.line_count,
            last_charge_at=period.last_charge_at,
            known_from=period.known_from,
            known_to=period.known_to,
            superseded_by=began.get((*_scope(period), period.known_to)) if believed else None,
            superseded=ended.get((*_scope(period), period.known_from)) if believed else None,
            costs=costs.get(period.pk, ()),
        )
        rows[period.delivery_id] = (*rows.get(period.delivery_id, ()), row)
    return rows


def _scope(period: DeliveryPeriod) -> tuple[int, str, date]:
    return period.source_id, period.billing_account_id, period.billing_month


def _costs(periods: list[DeliveryPeriod]) -> dict[int, tuple[tuple[str, Decimal | None], ...]]:
    found = BillDay.objects.filter(period__in=periods).order_by("currency")
    costs: dict[int, tuple[tuple[str, Decimal | None], ...]] = {}
    for period, currency, cost in found.values_list("period", "currency").annotate(
        cost=Sum("effective_cost")
    ):
        costs[period] = (*costs.get(period, ()), (currency, cost))
    return costs
