"""What the hardware did and what it cost while idle. A gap in telemetry is unknown, never idle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from finops.money import CONTEXT
from ingest.models import Gpu, Pool

from . import book
from .book import rows
from .filters import Filters, midnight
from .gpu_conversion import PoolCosts, pool_costs
from .gpu_health import GpuHealth, GpuUse, health, use
from .hardware_days import values as hardware_values
from .stamp import Stamped, newest, notes

JOULES_PER_KWH = 3_600_000
STEPS = (
    (2, "15 minutes", timedelta(minutes=15)),
    (8, "hour", timedelta(hours=1)),
    (31, "6 hours", timedelta(hours=6)),
)
"""Up to how many days, in which steps a line is drawn; beyond, it has a point a day."""

SERIES = """
SELECT gpu_id, date_bin(%(width)s, at, %(start)s),
    sum(utilization_pct * covered_s) / nullif(sum(covered_s) FILTER (
        WHERE utilization_pct IS NOT NULL), 0)
FROM ingest_gpu_quarter WHERE at >= %(start)s AND at < %(end_at)s GROUP BY 1, 2"""

DAYS_OF_SERIES = """
SELECT gpu_id, day::timestamp AT TIME ZONE %(zone)s,
    sum(utilization_s) / nullif(sum(utilization_known_s), 0)
FROM ingest_gpu_day WHERE day BETWEEN %(first_day)s AND %(last_day)s GROUP BY 1, 2"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRow:
    id: int
    pool: str
    host: str
    index: int
    name: str
    simulated: bool
    """A made-up GPU of the demo; always shown as such."""
    last_seen_at: datetime
    utilization_pct: float | None
    memory_used_bytes_max: int | None
    memory_total_bytes: int | None
    memory_reserved_bytes: int | None
    """Kept by the driver: neither used nor to be had."""
    power_w: float | None
    power_limit_w: float | None
    """The lowest that was in force."""
    energy_j: float | None
    throttled_samples: int
    coverage: float
    """Observed share of the window so far, 0 to 1."""
    health: GpuHealth
    use: GpuUse

    @property
    def energy_kwh(self) -> float | None:
        return None if self.energy_j is None else self.energy_j / JOULES_PER_KWH


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One served model of a pool; the empty model is not a row but the pool's idle rest."""

    model: str
    requests: float | None
    busy_s: float | None
    used: Decimal | None
    allocated: Decimal | None

    @property
    def used_per_thousand(self) -> Decimal | None:
        return _per_thousand(self.used, self.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    id: int
    name: str
    provider: str
    hardware: str
    gpu_count: int | None
    simulated: bool
    currency: str
    allocated: Decimal | None
    """What was paid for the window so far; None when price or GPU count is unknown."""
    used: Decimal | None
    idle: Decimal | None
    """Paid, observed, and not busy."""
    unobserved: Decimal | None
    """Paid while nothing was observed: neither used nor idle."""
    held_back: Decimal | None
    """Paid and observed while something held the clocks back: paid, not fully delivered."""
    held_back_share: float | None
    utilization: float | None
    """used / (used + idle), 0 to 1."""
    coverage: float
    unpriced_hours: float
    models: tuple[ModelRow, ...]
    gpus: tuple[GpuRow, ...]

    @property
    def requests(self) -> float:
        return sum(row.requests or 0 for row in self.models)

    @property
    def per_thousand(self) -> Decimal | None:
        """Everything paid by the requests answered: what to compare with an API."""
        return _per_thousand(self.allocated, self.requests)

    @property
    def used_per_thousand(self) -> Decimal | None:
        """The busy share of it."""
        return _per_thousand(self.used, self.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTable(Stamped):
    pools: tuple[PoolRow, ...]


@dataclass(frozen=True, slots=True)
class GpuLine:
    label: str
    values: tuple[float | None, ...]
    """None where nothing was observed: a gap in the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilizationSeries(Stamped):
    step: str
    points: tuple[datetime, ...]
    lines: tuple[GpuLine, ...]


def _per_thousand(amount: Decimal | None, requests: float | None) -> Decimal | None:
    return amount * 1000 / Decimal(requests) if amount is not None and requests else None


def pools(filters: Filters) -> PoolTable:
    """Every pool with its GPUs and models, for members of the organisation.

    Pools are shared, so filters by project or team leave them as they are.
    """
    sources = notes(filters, hardware=True) if filters.bills else ()
    found = list(Pool.objects.order_by("name", "pk")) if filters.bills else []
    given = _given(filters)
    gpus = _gpus(found, given)
    costs = pool_costs(filters) if found else PoolCosts()
    paid = _paid(given, costs) if found else {}
    models = _models(given, costs) if found else {}
    return PoolTable(
        pools=tuple(
            _pool(pool, paid.get(pool.pk), models.get(pool.pk, ()), gpus.get(pool.pk, ()))
            for pool in found
        ),
        as_of=newest(filters, sources),
        provisional=True,
        sources=sources,
        conversion=costs.told,
    )


def utilization_series(filters: Filters) -> UtilizationSeries:
    """Percent per GPU: quarter hours up to 2 days, hours up to 8, 6 hours up to 31, else days."""
    fitting = ((name, width) for most, name, width in STEPS if filters.days <= most)
    step, width = next(fitting, ("day", None))
    sources = notes(filters, hardware=True) if filters.bills else ()
    given = _given(filters) | {"width": width}
    points = _points(given, width)
    found = rows(SERIES if width else DAYS_OF_SERIES, given) if filters.bills else []
    place = {point: at for at, point in enumerate(points)}
    values: dict[int, list[float | None]] = {}
    for gpu, point, percent in found:
        if point in place:
            values.setdefault(gpu, [None] * len(points))[place[point]] = percent
    gpus = Gpu.objects.select_related("pool").order_by("pool__name", "host", "index")
    return UtilizationSeries(
        step=step,
        points=tuple(points),
        lines=tuple(
            GpuLine(f"{gpu.pool.name} · {gpu.host} · GPU {gpu.index}", tuple(values[gpu.pk]))
            for gpu in (gpus if filters.bills else ())
            if gpu.pk in values
        ),
        as_of=newest(filters, sources),
        provisional=False,
        sources=sources,
    )


def _points(given: dict[str, Any], width: timedelta | None) -> list[datetime]:
    """The steps up to now; days are those of the accounting zone, not always of 24 hours."""
    if width is None:
        days = book.days(given["first_day"], given["last_day"] + timedelta(days=1))
        starts = (midnight(day, given["zone"]).astimezone(UTC) for day in days)
        return [start for start in starts if start < given["now"]]
    count = max(0, -((given["start"] - given["now"]) // width))
    return [given["start"].astimezone(UTC) + width * place for place in range(count)]


def _given(filters: Filters) -> dict[str, Any]:
    return {"start": filters.start_at, **hardware_values(filters)}


GPUS = """
WITH since AS (
    SELECT pool_id, min(at) AS first FROM (
        SELECT pool_id, first_at AS at FROM finops_hardwareday
        WHERE day BETWEEN %(first_day)s AND %(last_day)s
        UNION ALL
        SELECT pool_id, first_at FROM ingest_gpu_day
        WHERE day BETWEEN %(first_day)s AND %(last_day)s
    ) AS firsts GROUP BY 1
)
SELECT d.gpu_id,
    sum(d.utilization_s) / nullif(sum(d.utilization_known_s), 0),
    max(d.memory_used_bytes_max),
    sum(d.power_ws) / nullif(sum(d.power_known_s), 0),
    sum(d.energy_j), sum(d.throttled_samples),
    max(d.memory_reserved_bytes_max), min(d.power_limit_w),
    sum(d.covered_s) / greatest(extract(epoch FROM %(now)s - s.first)::float8, 1)
FROM ingest_gpu_day d JOIN since s ON s.pool_id = d.pool_id
WHERE d.day BETWEEN %(first_day)s AND %(last_day)s GROUP BY d.gpu_id, s.first"""


def _gpus(found: list[Pool], given: dict[str, Any]) -> dict[int, tuple[GpuRow, ...]]:
    if not found:
        return {}
    figures = {row[0]: row[1:] for row in rows(GPUS, given)}
    well, listed = health(given), Gpu.objects.select_related("pool").order_by("host", "index", "pk")
    users = use(listed)
    grouped: dict[int, tuple[GpuRow, ...]] = {}
    for gpu in listed:
        percent, memory, power, energy, throttled, reserved, limit, coverage = figures.get(
            gpu.pk, (None,) * 8
        )
        row = GpuRow(
            id=gpu.pk,
            pool=gpu.pool.name,
            host=gpu.host,
            index=gpu.index,
            name=gpu.name,
            simulated=gpu.simulated,
            last_seen_at=gpu.last_seen_at,
            utilization_pct=percent,
            memory_used_bytes_max=memory,
            memory_total_bytes=gpu.memory_total_bytes,
            memory_reserved_bytes=reserved,
            power_w=power,
            power_limit_w=limit,
            energy_j=energy,
            throttled_samples=int(throttled or 0),
            coverage=min(1.0, coverage or 0.0),
            health=well.get(gpu.pk, GpuHealth()),
            use=users[gpu.pk],
        )
        grouped[gpu.pool_id] = (*grouped.get(gpu.pool_id, ()), row)
    return grouped


PAID = """
SELECT pool_id, max(currency), sum(paid), sum(used), sum(unobserved),
    sum(covered_s) / nullif(sum(elapsed_s), 0), sum(unpriced_s) / 3600
FROM {costs} AS days GROUP BY pool_id"""


def _paid(given: dict[str, Any], costs: PoolCosts) -> dict[int, tuple[Any, ...]]:
    found = rows(PAID.format(costs=costs.hardware), given | dict(costs.values))
    return {row[0]: row[1:] for row in found}


MODELS = """
SELECT pool_id, model, CASE WHEN sum(counted_quarters) > 0 THEN sum(requests) END, sum(busy_s),
    sum(used), sum(allocated)
FROM {costs} AS days
WHERE day BETWEEN %(first_day)s AND %(last_day)s AND model <> ''
GROUP BY 1, 2 ORDER BY 1, sum(busy_s) DESC NULLS LAST, 2"""


def _models(given: dict[str, Any], costs: PoolCosts) -> dict[int, tuple[ModelRow, ...]]:
    grouped: dict[int, tuple[ModelRow, ...]] = {}
    found = rows(MODELS.format(costs=costs.models), given | dict(costs.values))
    for pool, model, requests, busy_s, used, allocated in found:
        row = ModelRow(
            model=model, requests=requests, busy_s=busy_s, used=used, allocated=allocated
        )
        grouped[pool] = (*grouped.get(pool, ()), row)
    return grouped


def _pool(
    pool: Pool,
    paid: tuple[Any, ...] | None,
    models: tuple[ModelRow, ...],
    gpus: tuple[GpuRow, ...],
) -> PoolRow:
    currency, allocated, used, unobserved, coverage, unpriced = paid or ("", *(None,) * 5)
    idle = None
    if allocated is not None and unobserved is not None:
        used = used or Decimal(0)
        idle = CONTEXT.subtract(CONTEXT.subtract(allocated, used), unobserved)
    observed = None if idle is None else CONTEXT.add(used, idle)
    share = _held_back_share(gpus)
    return PoolRow(
        id=pool.pk,
        name=pool.name,
        provider=pool.provider,
        hardware=pool.hardware,
        gpu_count=pool.gpu_count,
        simulated=any(gpu.simulated for gpu in gpus),
        currency=currency,
        allocated=allocated,
        used=used if idle is not None else None,
        idle=idle,
        unobserved=unobserved,
        held_back=None
        if observed is None or share is None
        else CONTEXT.multiply(observed, Decimal(repr(share))),
        held_back_share=share,
        utilization=float(used / observed) if observed else None,
        coverage=coverage or 0.0,
        unpriced_hours=(unpriced or 0.0) * (pool.gpu_count or 1),
        models=models,
        gpus=gpus,
    )


def _held_back_share(gpus: tuple[GpuRow, ...]) -> float | None:
    """Of the time in which the pool's GPUs told what holds their clocks."""
    told_s = sum(gpu.health.reasons_s or 0.0 for gpu in gpus)
    held_s = sum(gpu.health.throttled_s or 0.0 for gpu in gpus)
    return held_s / told_s if told_s else None
