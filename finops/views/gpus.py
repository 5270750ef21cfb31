"""What the hardware did and what stood idle: pools, the models they serve, and each GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from finops import charts
from finops.queries.gpus import GpuRow, PoolRow, PoolTable, UtilizationSeries, utilization_series
from finops.queries.gpus import pools as pools_of
from finops.templatetags import words

from .currencies import convert_choices, said
from .event_marks import marked, marks_of
from .figures import Chart, Figure, money_figure, point_label, stamped, unit_figure
from .gpus_health import health_table, users_table
from .page import Action, View, csv_action, needs, page
from .tables import (
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    csv_response,
    money_cell,
    share_cell,
    unit_cell,
    unknown_cell,
    words_cell,
)


@dataclass(frozen=True, slots=True)
class PoolPanel:
    """One pool as the page shows it."""

    pool: PoolRow
    subtitle: str
    figures: list[Figure]
    models: Table
    gpus: Table
    more: list[tuple[Table, Action]]
    """How its GPUs are and who uses them, each with its CSV."""


@needs("finops.view_bills")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    table = pools_of(view.filters)
    series = utilization_series(view.filters)
    has_gpus = any(pool.gpus for pool in table.pools)
    return page(
        view,
        "finops/gpus.html",
        "GPUs & models",
        lead="What hardware was paid for, how busy it was, and which models kept it busy.",
        actions=[csv_action(view, "gpus-csv")] if has_gpus else [],
        as_of=table.as_of,
        is_sample=table.is_sample,
        converts=convert_choices(view, {pool.currency for pool in table.pools}),
        conversion=said(view, {}, table.conversion, where="stands in its own currency")
        if table.conversion
        else None,
        has_charts=bool(series.lines),
        panels=[panel(pool, table, view) for pool in table.pools],
        chart=marked(utilization_chart(series), series.points, marks_of(view.filters))
        if series.lines
        else None,
        has_gpus=has_gpus,
        may_connect=request.user.has_perm("finops.manage_sources"),
    )


@needs("finops.view_bills")
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """Every GPU of every pool, one table; or the one of a pool that `of` names."""
    view = View.of(request, "of")
    found = pools_of(view.filters)
    pools = found.pools
    rows = [row for pool in pools for row in gpu_table(pool).rows]
    whole = Table("gpus", "GPUs", GPU_COLUMNS, tuple(rows))
    others = {table.id: table for pool in pools for table in more_tables(pool)}
    table = others.get(view.extra.get("of", ""), whole)
    name = f"{table.id}-{view.filters.start}-{view.filters.end}.csv"
    return csv_response(table, name, view.filters, found)


def more_tables(pool: PoolRow) -> tuple[Table, ...]:
    return (health_table(pool), users_table(pool)) if pool.gpus else ()


def panel(pool: PoolRow, table: PoolTable, view: View) -> PoolPanel:
    hardware = pool.hardware or "hardware not named"
    counted = f"{pool.gpu_count} × " if pool.gpu_count else ""
    subtitle = f"{counted}{hardware}, serving as {pool.provider or 'no provider name'}"
    return PoolPanel(
        pool,
        subtitle,
        pool_figures(pool, table),
        model_table(pool),
        gpu_table(pool),
        [(more, csv_action(view, "gpus-csv", of=more.id)) for more in more_tables(pool)],
    )


def pool_figures(pool: PoolRow, table: PoolTable) -> list[Figure]:
    origin = stamped(table)
    slug = f"pool-{pool.id}"
    missing = "Give the pool a GPU count and its hardware a price." if not pool.allocated else ""
    silent = "No GPU telemetry in this period."
    return [
        money_figure(
            f"{slug}-paid",
            "Paid",
            pool.allocated,
            pool.currency,
            reason=missing,
            definition="GPUs × hours × the price of the hardware, for the period so far.",
            **origin,
        ),
        money_figure(
            f"{slug}-used",
            "Used",
            pool.used,
            pool.currency,
            reason=missing or silent,
            note=f"{words.percent(pool.utilization)} of observed time."
            if pool.utilization is not None
            else "",
            definition="The share of what was paid in which the hardware was busy.",
            **origin,
        ),
        money_figure(
            f"{slug}-idle",
            "Idle",
            pool.idle,
            pool.currency,
            reason=missing or silent,
            definition="Paid and observed, but not busy.",
            **origin,
        ),
        money_figure(
            f"{slug}-unobserved",
            "Not observed",
            pool.unobserved,
            pool.currency,
            reason=missing or silent,
            note=f"Telemetry covers {words.percent(pool.coverage)} of the period.",
            definition="Paid while no telemetry arrived: neither used nor idle is known.",
            badge=f"{pool.unpriced_hours:,.1f} GPU-hours without a price"
            if pool.unpriced_hours
            else "",
            tone="warn",
            **origin,
        ),
        held_back_figure(pool, f"{slug}-held", missing or silent, origin),
        request_figure(pool, f"{slug}-request", origin),
    ]


def held_back_figure(pool: PoolRow, id: str, reason: str, origin: dict[str, Any]) -> Figure:
    share = pool.held_back_share
    return money_figure(
        id,
        "Held back",
        pool.held_back,
        pool.currency,
        reason=reason if share is not None else "No GPU said what holds its clocks back.",
        note=f"{words.percent(share)} of the time that its GPUs told of."
        if share is not None
        else "",
        definition="Paid and observed while heat, the power brake or the hardware held clocks back:"
        " paid, not fully delivered. Being at the power limit is normal and not part of it.",
        **origin,
    )


def request_figure(pool: PoolRow, id: str, origin: dict[str, Any]) -> Figure:
    """The two bases of a self-hosted unit cost: everything paid, and the busy share of it."""
    used = words.rate(pool.used_per_thousand, pool.currency)
    return unit_figure(
        id,
        "Per 1,000 requests",
        pool.per_thousand,
        pool.currency,
        reason="No requests were counted, or the price is unknown.",
        note=f"{used} of it for busy time.",
        definition="Everything paid divided by the requests answered. To compare with an API, take "
        "this one; the busy share alone is what it could come to with no idle time.",
        **origin,
    )


def model_table(pool: PoolRow) -> Table:
    columns = (
        Column("Model"),
        Column("Requests", number=True),
        Column("Busy", number=True),
        Column("Used", number=True),
        Column("Share of paid", number=True),
        Column("Per 1,000 requests, used", number=True),
    )
    rows = tuple(Row(model_cells(row, pool)) for row in pool.models)
    return Table(
        f"models-{pool.id}",
        f"Models of {pool.name}",
        columns,
        rows,
        empty="No served model reported how busy it was.",
    )


def model_cells(row, pool: PoolRow) -> tuple[Cell, ...]:
    share = row.used / pool.allocated if row.used is not None and pool.allocated else None
    busy = (
        unknown_cell()
        if row.busy_s is None
        else Cell(words.seconds(row.busy_s), f"{row.busy_s:.1f}", row.busy_s)
    )
    return (
        words_cell(row.model),
        count_cell(row.requests),
        busy,
        money_cell(row.used, pool.currency),
        share_cell(share, meter=share),
        unit_cell(row.used_per_thousand, pool.currency),
    )


GPU_COLUMNS = (
    Column("GPU"),
    Column("Pool"),
    Column("Utilisation", number=True),
    Column("Memory, most", number=True),
    Column("Power, mean", number=True),
    Column("Energy, kWh", number=True),
    Column("Held back", number=True, help="Share of time in which its clock was held back"),
    Column("Observed", number=True, help="Share of the period with telemetry"),
    Column("Last seen"),
)


def gpu_table(pool: PoolRow) -> Table:
    rows = tuple(Row(gpu_cells(gpu)) for gpu in pool.gpus)
    return Table(
        f"gpus-{pool.id}",
        f"GPUs of {pool.name}",
        GPU_COLUMNS,
        rows,
        empty="No GPU of this pool has reported. Run the probe on its hosts.",
    )


def gpu_cells(gpu: GpuRow) -> tuple[Cell, ...]:
    name = f"{gpu.host} #{gpu.index}"
    note = f"{gpu.name}, simulated" if gpu.simulated else gpu.name
    busy = None if gpu.utilization_pct is None else gpu.utilization_pct / 100
    return (
        words_cell(name, note=note),
        words_cell(gpu.pool),
        share_cell(busy, meter=busy),
        memory_cell(gpu),
        reading_cell(gpu.power_w, words.watts, limit_note(gpu)),
        kwh_cell(gpu.energy_kwh),
        share_cell(gpu.health.throttled_share, note=held_back_note(gpu)),
        share_cell(gpu.coverage),
        Cell(words.ago_text(gpu.last_seen_at), gpu.last_seen_at.isoformat(), gpu.last_seen_at),
    )


def memory_cell(gpu: GpuRow) -> Cell:
    used, whole = gpu.memory_used_bytes_max, gpu.memory_total_bytes
    if used is None:
        return unknown_cell()
    notes = [f"of {words.size(whole)}"] if whole else []
    if gpu.memory_reserved_bytes:
        notes.append(f"{words.size(gpu.memory_reserved_bytes)} kept by the driver")
    return Cell(words.size(used), str(used), used, note=", ".join(notes))


def reading_cell(value: float | None, say, note: str = "") -> Cell:
    if value is None:
        return unknown_cell(note=note)
    return Cell(say(value), f"{value:.3f}", value, note=note)


def limit_note(gpu: GpuRow) -> str:
    return f"limit {words.watts(gpu.power_limit_w)}" if gpu.power_limit_w else ""


def kwh_cell(value: float | None) -> Cell:
    if value is None:
        return unknown_cell()
    text = f"{value:,.1f}" if value >= 10 else f"{value:.3g}"
    return Cell(text, f"{value:.6f}", value)


def held_back_note(gpu: GpuRow) -> str:
    reasons = (
        ("thermal", gpu.health.thermal_share),
        ("power brake", gpu.health.power_brake_share),
        ("power cap", gpu.health.power_cap_share),
    )
    return ", ".join(f"{name} {words.percent(share)}" for name, share in reasons if share)


def utilization_chart(series: UtilizationSeries) -> Chart:
    lines = [
        charts.Curve(line.label, line.values, [percent_said(value) for value in line.values])
        for line in series.lines
    ]
    drawing = charts.curves(series.points, lines, utilization_said(series), percent=True)
    columns = (Column("When"), *(Column(line.label, number=True) for line in series.lines))
    rows = tuple(
        Row(
            (
                words_cell(point_label(point)),
                *(
                    share_cell(None if line.values[at] is None else line.values[at] / 100)
                    for line in series.lines
                ),
            )
        )
        for at, point in enumerate(series.points)
    )
    table = Table("gpu-series", "GPU utilisation over time", columns, rows)
    return Chart("utilisation", "GPU utilisation", drawing, table)


def percent_said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f}%"


def utilization_said(series: UtilizationSeries) -> str:
    means = []
    for line in series.lines:
        known = [value for value in line.values if value is not None]
        if known:
            means.append((sum(known) / len(known), line.label))
    if not means:
        return "No GPU reported its utilisation in this period."
    (high, busiest), (low, calmest) = max(means), min(means)
    if len(means) == 1:
        return f"{busiest} was {high:.0f}% busy on average. Gaps are times without telemetry."
    return (
        f"{busiest} was busiest with {high:.0f}% on average, {calmest} least with {low:.0f}%. "
        "Gaps are times without telemetry."
    )
