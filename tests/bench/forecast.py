"""Forecast accuracy, interval coverage and speed on real daily series, and the alarms on them.

`python -m tests.bench.forecast --data nn5_daily.csv.gz`: NN5, 56 cash machines over two years with
a strong weekly rhythm and 2 % missing days, the public set closest in shape to daily cloud cost.
Columns unique_id, t, y (NaN is missing), part. Each row is a ratio to last week's same weekday,
forecast in the same run.
"""

from __future__ import annotations

import csv
import gzip
import math
import random
import statistics
import time
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

from finops.series import anomalies, forecast
from finops.series.daily import WEEK, fill_gaps
from tests.bench.common import arguments, report

FIRST = date(2026, 1, 1)
HORIZON = 28
ORIGINS = (0, 28)
"""Days before the end of the training part from which to forecast."""
HISTORIES = (400, 180, 90, 56, 35, 28, 21, 17)
MONTH = 30.4

Values = dict[date, float | None]


def read(path: Path) -> dict[str, tuple[list[float | None], int]]:
    """Series → values and the length of its training part."""
    rows: dict[str, list[float | None]] = defaultdict(list)
    trained: dict[str, int] = defaultdict(int)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value = float(row["y"] or "nan")
            rows[row["unique_id"]].append(None if math.isnan(value) else value)
            trained[row["unique_id"]] += row["part"] == "train"
    return {name: (values, trained[name]) for name, values in rows.items()}


def dated(values: list[float | None]) -> Values:
    return {FIRST + timedelta(days=n): value for n, value in enumerate(values)}


def score(series: dict, history: int) -> dict[str, float]:
    """Means over series and origins, for models that saw `history` days."""
    inside80 = inside95 = points = refused = 0
    mase, naive_mase, smape, naive_smape, took = [], [], [], [], []
    for values, trained in series.values():
        for origin in (trained - back for back in ORIGINS):
            seen = values[origin - history : origin]
            days = {
                n: actual
                for n, actual in enumerate(values[origin : origin + HORIZON])
                if actual is not None
            }
            start = time.perf_counter()
            result = forecast.forecast_daily(dated(seen), HORIZON)
            took.append(time.perf_counter() - start)
            if not result.points:
                refused += 1
                continue
            # The last observed day may lie before the last day shown.
            shift = (FIRST + timedelta(days=history - 1) - result.as_of).days
            usual = seasonal_change(values[origin - 400 : origin])
            naive = seasonal_naive(seen)
            for n, actual in days.items():
                if n + shift >= HORIZON:
                    continue
                point = result.points[n + shift]
                points += 1
                inside80 += point.low80 <= actual <= point.high80
                inside95 += point.low95 <= actual <= point.high95
                mase.append(abs(actual - point.mean) / usual)
                naive_mase.append(abs(actual - naive[n]) / usual)
                smape.append(relative(actual, point.mean))
                naive_smape.append(relative(actual, naive[n]))
    mean = statistics.fmean
    return {
        "coverage80": inside80 / points,
        "coverage95": inside95 / points,
        "mase": mean(mase),
        "ratio_to_seasonal_naive": (mean(mase) / mean(naive_mase) + mean(smape) / mean(naive_smape))
        / 2,
        "ms_per_series": statistics.median(took) * 1000,
        "refused": refused,
    }


def seasonal_naive(seen: list[float | None]) -> list[float]:
    import numpy as np

    filled = fill_gaps(np.array([math.nan if v is None else v for v in seen]))
    return [float(filled[len(filled) - WEEK + n % WEEK]) for n in range(HORIZON)]


def seasonal_change(values: list[float | None]) -> float:
    pairs = zip(values[WEEK:], values[:-WEEK], strict=True)
    return statistics.fmean(abs(b - a) for b, a in pairs if a is not None and b is not None)


def relative(actual: float, predicted: float) -> float:
    size = abs(actual) + abs(predicted)
    return 2 * abs(actual - predicted) / size if size else 0.0


def alarms(series: dict, dice: random.Random) -> dict[str, float]:
    """Marks a month on the series as they are, and the share of doubled days that is marked."""
    marks = months = hits = planted = 0
    took = []
    for values, _ in series.values():
        recent = dated(values[-400:])
        start = time.perf_counter()
        marked = anomalies.find_anomalies(recent)
        took.append(time.perf_counter() - start)
        marks += len(marked)
        months += (len(recent) - anomalies.WARM_UP_DAYS) / MONTH
        already = {mark.day for mark in marked}
        typical = statistics.median(value for value in recent.values() if value is not None)
        judged = sorted(recent)[anomalies.WARM_UP_DAYS :]
        for day in dice.sample([d for d in judged if recent[d] and d not in already], 3):
            spiked = {**recent, day: recent[day] + typical}
            planted += 1
            hits += day in {mark.day for mark in anomalies.find_anomalies(spiked)}
    return {
        "marks_per_series_month": marks / months,
        "recall_of_spikes_of_one_typical_day": hits / planted,
        "anomaly_ms_per_series": statistics.median(took) * 1000,
    }


def main() -> None:
    parser = arguments(__doc__.split("\n")[0])
    asked = parser.parse_args()
    if asked.data is None:
        parser.error("give --data: NN5 as a gzipped CSV with unique_id, t, y, part")
    series = read(asked.data)
    forecast.forecast_daily(dated(next(iter(series.values()))[0][:60]), 7)  # imports, untimed
    scores = {history: score(series, history) for history in HISTORIES}
    names = list(scores[HISTORIES[0]])
    report(
        f"{len(series)} series, {len(ORIGINS)} origins, {HORIZON} days ahead, by days of history",
        ["days", "method", *names],
        [
            [
                history,
                forecast.ETS
                if history >= forecast.FEWEST_DAYS_FOR_ETS
                else forecast.SEASONAL_NAIVE,
                *(f"{value:.3f}" for value in row.values()),
            ]
            for history, row in scores.items()
        ],
        {
            "bench": "forecast",
            "method": forecast.ETS,
            "version": forecast.VERSION,
            **{name: round(value, 4) for name, value in scores[HISTORIES[0]].items()},
            "by_days_of_history": {
                str(history): {name: round(value, 4) for name, value in row.items()}
                for history, row in scores.items()
            },
            **{name: round(value, 4) for name, value in alarms(series, random.Random(1)).items()},
        },
        asked.out,
    )


if __name__ == "__main__":
    main()
