"""Stores what daily spend is expected to be, and which days were not expected.

Knows scopes and the one query for spend. Refuses to look at a day that is not over, and to compute
again what the same input has given before. A day without spend in that query is missing, not 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal

from django.db import connection, transaction

from finops.models import AnomalyMark, CostDay, Forecast, PoolQuarter
from finops.money import plain
from finops.queries.spend import daily_spend
from finops.series import anomalies, forecast
from finops.series.daily import MOST_DAYS
from ingest.models import BillDay

HORIZON_DAYS = 45
"""To the end of the month from any day of it, even when the newest facts are two weeks old."""

History = Mapping[date, Decimal]


def refresh_forecasts(today: date) -> int:
    """Forecast and marks of every scope and currency up to yesterday; how many were new."""
    start = today - timedelta(days=MOST_DAYS)
    return sum(
        _refresh(scope, currency, dict(daily_spend(scope, currency, start, today)), today)
        for scope, currency in sorted(set(_scopes(start)))
    )


def _scopes(start: date) -> Iterator[tuple[str, str]]:
    """`all` in every currency that something was paid in, each project in those of its usage."""
    usage = CostDay.objects.filter(day__gte=start).exclude(currency="")
    for project, currency in usage.values_list("project_id", "currency").distinct():
        yield f"project:{project}", currency
        yield "all", currency
    paid = PoolQuarter.objects.filter(at__date__gte=start).exclude(currency="")
    for table in (paid, BillDay.objects.filter(day__gte=start)):
        for currency in table.values_list("currency", flat=True).distinct():
            yield "all", currency


def _refresh(scope: str, currency: str, history: History, today: date) -> bool:
    digest = _digest(history)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"forecast:{scope}:{currency}"],
        )
        made = Forecast.objects.filter(
            scope=scope, currency=currency, method_version=forecast.VERSION
        )
        if bytes(getattr(made.order_by("made_at").last(), "input_sha256", b"")) == digest:
            return False
        # A cost that was changed and changed back: the same result, but made now.
        made.filter(input_sha256=digest).delete()
        _store(scope, currency, history, digest, today)
    return True


def _store(scope: str, currency: str, history: History, digest: bytes, today: date) -> None:
    values = {day: float(cost) for day, cost in history.items()}
    # Credits may make a day negative; then a negative future cannot be excluded either.
    non_negative = all(cost >= 0 for cost in history.values())
    made = forecast.forecast_daily(values, HORIZON_DAYS, non_negative=non_negative)
    Forecast.objects.create(
        scope=scope,
        currency=currency,
        as_of=made.as_of or today - timedelta(days=1),
        method=made.method,
        method_version=made.version,
        input_sha256=digest,
        points=[
            {name: _text(value) for name, value in asdict(point).items()} for point in made.points
        ],
        backtest=asdict(made.backtest) if made.backtest else {},
        reason=made.reason,
    )
    AnomalyMark.objects.filter(scope=scope, currency=currency).delete()
    AnomalyMark.objects.bulk_create(
        AnomalyMark(
            scope=scope,
            currency=currency,
            day=mark.day,
            actual=history[mark.day],
            expected=Decimal(_text(mark.expected)),
            low=Decimal(_text(mark.low)),
            high=Decimal(_text(mark.high)),
            score=mark.score,
            method_version=anomalies.VERSION,
        )
        for mark in anomalies.find_anomalies(values, non_negative=non_negative)
    )


def _text(value: date | float) -> str:
    """Estimates are not exact; six decimals outlast what anybody can see of them."""
    return value.isoformat() if isinstance(value, date) else f"{value:.6f}"


def _digest(history: History) -> bytes:
    """Of everything the result depends on but the method's version, which is a column."""
    lines = [f"{HORIZON_DAYS} {anomalies.VERSION}"]
    lines += [f"{day.isoformat()} {plain(cost)}" for day, cost in sorted(history.items())]
    return hashlib.sha256("\n".join(lines).encode()).digest()
