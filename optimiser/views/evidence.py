"""The evidence behind a recommendation, drawn and told: figures, curves and how to do it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finops.templatetags import words
from finops.views.figures import Chart
from finops.views.tables import (
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    duration_cell,
    share_cell,
    words_cell,
)
from optimiser.models import Evidence, Recommendation

from . import labels
from .drawings import Series, by_category, over_numbers

GPU = "gpu_seconds_per_request"


def effect_table(effect: Mapping[str, Any]) -> Table:
    """Before and after, and the change with its interval, metric by metric."""
    columns = (
        Column("Metric"),
        Column("Now", number=True),
        Column("Expected", number=True),
        Column("Better by", number=True, help="A minus says worse"),
        Column("Interval", number=True),
    )
    rows = tuple(
        Row(effect_cells(name, effect[name])) for name in labels.METRICS if effect.get(name)
    )
    return Table("effect", "Expected effect, metric by metric", columns, rows)


def effect_cells(name: str, figure: Mapping[str, Any]) -> tuple[Cell, ...]:
    before, after, change = figure["before"], figure["after"], figure["change"]
    return (
        words_cell(labels.METRICS[name][0]),
        Cell(labels.measure(name, before), repr(before), before),
        Cell(labels.measure(name, after), repr(after), after),
        Cell(words.percent(change), repr(change), change),
        Cell(labels.interval(figure["low"], figure["high"]), ""),
    )


def charts_of(advice: Recommendation) -> list[Chart]:
    """Whatever of it can be drawn; each chart has its table."""
    results = advice.evidence.results if advice.evidence else {}
    found = [
        grid_chart(results) if results.get("grid") else None,
        percentile_chart(effect_of(advice) or {}),
        service_chart(results["service_curve"]) if results.get("service_curve") else None,
    ]
    return [chart for chart in found if chart is not None]


def effect_of(advice: Recommendation) -> Mapping[str, Any] | None:
    """What was worked out, also where it was too little to recommend anything."""
    told = advice.evidence.results.get("effect") if advice.evidence else None
    return advice.effect or told


PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")


def percentile_chart(effect: Mapping[str, Any]) -> Chart | None:
    """Latencies now and expected, each with its interval."""
    known = {name: effect[name] for name in PERCENTILES if effect.get(name)}
    if not known:
        return None
    names = [labels.METRICS[name][0].removesuffix(" latency") for name in known]
    series = [
        Series(
            label,
            names,
            [figure[part] for figure in known.values()],
            [
                f"{label}, {name}: {words.duration(figure[part])} ({spread(figure, part)})"
                for name, figure in zip(names, known.values(), strict=True)
            ],
            colour,
            mode="markers",
            low=[figure[f"{part}_low"] for figure in known.values()],
            high=[figure[f"{part}_high"] for figure in known.values()],
            size=9,
        )
        for label, part, colour in (("Now", "before", 7), ("Expected", "after", 1))
    ]
    columns = (
        Column("Latency"),
        Column("Now", number=True),
        Column("Expected", number=True),
    )
    rows = tuple(
        Row((words_cell(name), *(latency_cell(figure, part) for part in ("before", "after"))))
        for name, figure in zip(names, known.values(), strict=True)
    )
    table = Table("percentiles", "Latency now and expected", columns, rows)
    said = "; ".join(labels.metric_line(name, figure) for name, figure in known.items())
    drawing = by_category(series, words.sentence(said), y_suffix=" ms")
    return Chart("percentiles-chart", "Latency, now and expected", drawing, table, small=True)


def spread(figure: Mapping[str, Any], part: str) -> str:
    low, high = figure[f"{part}_low"], figure[f"{part}_high"]
    return f"{words.duration(low)} to {words.duration(high)}"


def latency_cell(figure: Mapping[str, Any], part: str) -> Cell:
    value = figure[part]
    return Cell(words.duration(value), f"{value:.3f}", value, note=spread(figure, part))


def service_chart(points: Sequence[Mapping[str, Any]]) -> Chart:
    """How long a batch takes, and what that is for each request in it."""
    sizes = [point["batch_size"] for point in points]
    series = [
        Series(
            "A batch, mean and range",
            sizes,
            [point["mean_ms"] for point in points],
            [
                f"Batch of {point['batch_size']}: {words.duration(point['mean_ms'])} "
                f"({words.duration(point['low_ms'])} to {words.duration(point['high_ms'])})"
                for point in points
            ],
            1,
            low=[point["low_ms"] for point in points],
            high=[point["high_ms"] for point in points],
        ),
        Series(
            "Each request of it",
            sizes,
            [point["ms_per_request"] for point in points],
            [
                f"Batch of {point['batch_size']}: "
                f"{words.duration(point['ms_per_request'])} a request"
                for point in points
            ],
            2,
        ),
    ]
    columns = tuple(
        Column(label, number=True)
        for label in ("Batch of", "Executions", "Mean", "Shortest", "Longest", "Each request")
    )
    rows = tuple(Row(service_cells(point)) for point in points)
    table = Table("service-times", "Service time by size of the batch", columns, rows)
    first, last = points[0], points[-1]
    said = (
        f"A batch of {last['batch_size']} takes {words.duration(last['mean_ms'])}, which is "
        f"{words.duration(last['ms_per_request'])} for each request; one alone takes "
        f"{words.duration(first['mean_ms'])}."
    )
    drawing = over_numbers(series, said, x_title="Requests in the batch", y_suffix=" ms")
    return Chart("service-chart", "Service time, as calibrated", drawing, table, small=True)


def service_cells(point: Mapping[str, Any]) -> tuple[Cell, ...]:
    times = ("mean_ms", "low_ms", "high_ms", "ms_per_request")
    counts = (point["batch_size"], point["executions"])
    return (*map(count_cell, counts), *(duration_cell(point[name]) for name in times))


# The grid of settings


def grid_chart(results: Mapping[str, Any]) -> Chart:
    """What each setting that was tried would cost and how long answers would take."""
    grid, now, chosen = results["grid"], results["current"], results.get("candidate")
    limit_ms = now["p95_ms"] * (1 + results["limits"]["p95_may_be_worse"])
    groups = (
        ("Within the limit", [point for point in grid if point["within_limit"]], 1, "circle", 7),
        ("Too slow", [point for point in grid if not point["within_limit"]], 7, "x", 7),
        ("Now", [now], 2, "diamond", 13),
        ("Best" if chosen else "", [chosen] if chosen else [], 4, "star", 15),
    )
    series = [
        Series(
            label,
            [point[GPU] * 1000 for point in points],
            [point["p95_ms"] for point in points],
            [f"{label}: {setting_said(point)}" for point in points],
            colour,
            mode="markers",
            symbol=symbol,
            size=size,
        )
        for label, points, colour, symbol, size in groups
        if points
    ]
    fit = sum(point["within_limit"] for point in grid)
    said = (
        f"{fit} of {len(grid)} settings keep P95 within {words.duration(limit_ms)}, the limit. "
        f"Now: {setting_said(now)}."
    )
    if chosen:
        said += f" Best: {setting_said(chosen)}."
    drawing = over_numbers(
        series,
        said,
        x_title="GPU time per request, in thousandths of a GPU-second",
        y_suffix=" ms",
    )
    return Chart("grid-chart", "P95 and GPU time, setting by setting", drawing, grid_table(results))


def setting_said(point: Mapping[str, Any]) -> str:
    gpu = labels.measure(GPU, point[GPU])
    return f"{point['summary']}, {gpu} a request, P95 {words.duration(point['p95_ms'])}"


def grid_table(results: Mapping[str, Any]) -> Table:
    columns = (
        Column("Setting"),
        Column("GPU time per request", number=True),
        Column("P50", number=True),
        Column("P95", number=True),
        Column("P99", number=True),
        Column("Requests in a batch", number=True),
        Column("Busy", number=True),
        Column("P95 within the limit"),
    )
    points = sorted(results["grid"], key=lambda point: point[GPU])
    rows = [Row(setting_cells(results["current"], "as it is now"))]
    rows += [
        Row(setting_cells(point, "yes" if point["within_limit"] else "no")) for point in points
    ]
    return Table("grid", "Every setting that was tried, the cheapest first", columns, tuple(rows))


def setting_cells(point: Mapping[str, Any], fits: str) -> tuple[Cell, ...]:
    batch = point["mean_batch"]
    return (
        words_cell(point["summary"]),
        Cell(labels.measure(GPU, point[GPU]), repr(point[GPU]), point[GPU]),
        *(duration_cell(point[name]) for name in PERCENTILES),
        Cell(f"{batch:.1f}", repr(batch), batch),
        share_cell(point["busy_share"]),
        words_cell(fits),
    )


# How it was worked out


def evidence_facts(evidence: Evidence) -> list[tuple[str, str]]:
    facts = [
        ("Kind", evidence.kind.capitalize()),
        (
            "Traffic from",
            f"{words.when_text(evidence.window_from)} to {words.when_text(evidence.window_to)}",
        ),
        ("Requests", words.count(evidence.requests)),
        ("Seed", str(evidence.seed)),
        ("Hash of the inputs", evidence.input_hash),
        *(
            (f"Version of the {name.replace('_', ' ')}", str(version))
            for name, version in sorted(evidence.versions.items())
        ),
    ]
    calibration = evidence.calibration
    if calibration is not None:
        facts.append(("Calibrated", words.when_text(calibration.finished_at)))
    drawn = evidence.results.get("bootstrap")
    if drawn:
        said = f"hold {words.percent(drawn['confidence'])}, {drawn['repetitions']} repetitions"
        facts.append(("Intervals", f"{said}, blocks of {words.seconds(drawn['block_s'])}"))
    return facts


def traffic_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """The figures that decide whether there is anything to gain, recommended or not."""
    traffic = evidence.results.get("traffic")
    if not traffic:
        return []
    facts = [
        ("Requests recorded", words.count(traffic["requests"])),
        ("In", labels.lasting(traffic["window_s"])),
        ("A second", f"{traffic['rate_rps']:.3g}"),
    ]
    if "met_others" in traffic:
        latency = traffic["latency_ms"]
        facts += [
            ("Began while another was under way", words.percent(traffic["met_others"])),
            ("Under way at once, on average", f"{traffic['under_way_mean']:.3g}"),
            ("P50 as recorded", words.duration(latency["p50"])),
            ("P95 as recorded", words.duration(latency["p95"])),
        ]
    return facts


def steps_of(evidence: Evidence) -> list[str]:
    """What was assumed, in the simulator's own words."""
    return [str(one) for one in evidence.results.get("assumptions", ())]
