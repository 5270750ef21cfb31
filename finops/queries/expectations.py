"""Stored forecasts and the days that were not expected. Knows scopes; computes no forecast."""

from __future__ import annotations

from collections.abc import Iterable

from finops.models import AnomalyMark, Forecast

from .filters import Filters

ALL = "all"
MOST_ANOMALIES = 200


def forecast_scope(filters: Filters) -> str:
    """Which stored forecast speaks of exactly this scope; empty when none does."""
    narrowed = filters.providers or filters.models or filters.services
    if narrowed or filters.known_on or filters.metric != "effective":
        return ""
    if filters.project_ids is None and filters.basis == "book":
        return ALL
    if len(filters.project_ids or ()) == 1 and filters.basis == "usage":
        return project_scope((filters.project_ids or ())[0])
    return ""


def project_scope(project_id: int) -> str:
    return f"project:{project_id}"


def latest_forecast(scope: str, currency: str) -> Forecast | None:
    return next(iter(_latest([scope], currency)), None) if scope else None


def forecasts_of(scope: str) -> list[Forecast]:
    """The newest of one scope in each currency."""
    found = Forecast.objects.filter(scope=scope)
    return list(found.order_by("currency", "-as_of", "-made_at").distinct("currency"))


def forecasts(filters: Filters, project_ids: Iterable[int]) -> list[Forecast]:
    """The newest of each scope: these projects, and everything for who sees everything."""
    return _latest(_scopes(filters, project_ids), filters.currency)


def all_anomalies(filters: Filters, project_ids: Iterable[int]) -> list[AnomalyMark]:
    return anomalies(filters, _scopes(filters, project_ids))


def anomalies(filters: Filters, scopes: Iterable[str]) -> list[AnomalyMark]:
    """Newest first, inside the window; of every currency where they are to be converted."""
    found = AnomalyMark.objects.filter(
        scope__in=list(scopes), day__gte=filters.start, day__lt=filters.end
    )
    if not filters.convert:
        found = found.filter(currency=filters.currency)
    return list(found.order_by("-day", "scope")[:MOST_ANOMALIES])


def _latest(scopes: Iterable[str], currency: str) -> list[Forecast]:
    found = Forecast.objects.filter(scope__in=list(scopes), currency=currency)
    return list(found.order_by("scope", "-as_of", "-made_at").distinct("scope"))


def _scopes(filters: Filters, project_ids: Iterable[int]) -> list[str]:
    everything = [ALL] if filters.bills and filters.project_ids is None else []
    return [*everything, *(project_scope(pk) for pk in sorted(project_ids))]
