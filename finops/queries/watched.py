"""What is looked at each minute to find what deserves an alert: usage without a price, silent
sources, days that were not expected.

Knows the same rules as the pages that show these. Refuses to decide who hears of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Q, Sum

from finops.models import AnomalyMark, CostQuarter, Forecast
from ingest.models import Project, Source

from .book import REQUEST_KINDS
from .sources import silence_allowed, state_of

UNPRICED_WITHIN = timedelta(hours=24)
OLDEST_DAY = timedelta(days=2)
"""A day without any cost is no newest day; one older than this says nothing of now."""
MOST_MODELS = 5


Sums = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Usage of one project in the last 24 hours that is in no amount."""

    project: Project
    spans: int
    unpriced_spans: int
    tokens: int
    unpriced_tokens: int
    models: tuple[str, ...]
    """Those without a price, the most used first; `provider/model`."""

    @property
    def share(self) -> float:
        """Of the tokens where there are any, else of the requests."""
        if self.tokens:
            return self.unpriced_tokens / self.tokens
        return self.unpriced_spans / self.spans if self.spans else 0.0


@dataclass(frozen=True, slots=True)
class Silent:
    """A source that should have spoken by now."""

    source: Source
    since: datetime
    """When it last brought something; when it was made if it never did."""
    allowed: timedelta
    note: str


@dataclass(frozen=True, slots=True)
class Unexpected:
    """The newest complete day of a scope, which was not expected."""

    mark: AnomalyMark
    project: Project | None
    """None: everything together."""

    @property
    def is_high(self) -> bool:
        return bool(self.mark.actual > self.mark.high)


def unpriced(now: datetime) -> list[Unpriced]:
    found = CostQuarter.objects.filter(at__gte=now - UNPRICED_WITHIN, at__lte=now)
    sums = found.order_by().values("project_id", "provider", "model")
    rows = sums.annotate(
        all_spans=Sum("spans", filter=Q(kind__in=REQUEST_KINDS), default=0),
        spans_without=Sum("unpriced_spans"),
        all_tokens=Sum("tokens"),
        tokens_without=Sum("unpriced_tokens"),
    )
    by_project: dict[int, list[Sums]] = {}
    for row in rows:
        by_project.setdefault(row["project_id"], []).append(row)
    projects = Project.objects.in_bulk(by_project)
    return [
        made
        for pk, project in sorted(projects.items())
        if (made := _unpriced_of(project, by_project[pk])).models
    ]


def _unpriced_of(project: Project, rows: Iterable[Sums]) -> Unpriced:
    rows = sorted(rows, key=lambda row: (-row["tokens_without"], -row["spans_without"]))
    without = [row for row in rows if row["tokens_without"] or row["spans_without"]]
    return Unpriced(
        project,
        spans=sum(row["all_spans"] for row in rows),
        unpriced_spans=sum(row["spans_without"] for row in rows),
        tokens=sum(row["all_tokens"] for row in rows),
        unpriced_tokens=sum(row["tokens_without"] for row in rows),
        models=tuple(_named(row) for row in without),
    )


def _named(row: Sums) -> str:
    return f"{row['provider'] or 'no provider'}/{row['model'] or 'no model'}"


def silent_sources(now: datetime) -> list[Silent]:
    """By the rule of the sources page. A source that pushes and never did is still being set up."""
    found = []
    for source in Source.objects.filter(enabled=True).select_related("project").order_by("pk"):
        state, note = state_of(source, now)
        allowed = silence_allowed(source)
        if state not in ("late", "error", "never") or allowed is None:
            continue
        if state == "never" and source.interval_s is None:
            continue
        since = source.last_success_at or source.created_at
        if now - since > allowed:
            found.append(Silent(source, since, allowed, note))
    return found


def unexpected_days(today: date) -> list[Unexpected]:
    """Only of scopes whose newest judged day is the newest there is: no guess while it is made."""
    newest = Forecast.objects.filter(as_of__gte=today - OLDEST_DAY)
    latest = newest.order_by("scope", "currency", "-as_of", "-made_at")
    ends = latest.distinct("scope", "currency").values_list("scope", "currency", "as_of")
    wanted = Q(pk=None)
    for scope, currency, day in ends:
        wanted |= Q(scope=scope, currency=currency, day=day)
    marks = list(AnomalyMark.objects.filter(wanted).order_by("scope", "currency"))
    projects = Project.objects.in_bulk({_project_id(mark) for mark in marks} - {0})
    return [
        Unexpected(mark, projects.get(_project_id(mark)))
        for mark in marks
        if not _project_id(mark) or _project_id(mark) in projects
    ]


def _project_id(mark: AnomalyMark) -> int:
    return int(mark.scope.partition(":")[2] or 0)
