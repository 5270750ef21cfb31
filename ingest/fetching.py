"""What every run over a source's address has in common, whether it pulls or back-fills.

Knows the source's secrets, its budget of requests, and how a page of facts is stored together with
the place that was reached. Refuses to know any server, and to hold a worker that must wait.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from ingest import encryption, failpoints, privacy, source_secrets, store
from ingest.jobs import Lease
from ingest.models import Source
from ingest.records import MetricRecord, ScoreRecord, SpanRecord
from ingest.sources import REGISTRY
from ingest.sources.base import Delayed, FetchError, Page, PullSource, Terms
from ingest.store import Counts
from ingest.store.counting import project_of

MOST_AT_ONCE = timedelta(minutes=2)
RENEW_EVERY = timedelta(seconds=30)
MINUTE_S, DAY_S = 60, 86_400


def adapter_of(source: Source) -> PullSource:
    adapter = REGISTRY[source.kind]
    if not isinstance(adapter, PullSource):
        raise FetchError(f"{source} is not fetched by us; choose a source that is.")
    return adapter


def config_of(source: Source) -> dict[str, Any]:
    """Its settings with its secrets, for a request that is about to be made. Raises FetchError."""
    try:
        return source_secrets.opened(source)
    except encryption.CannotDecrypt as closed:
        raise FetchError(f"Its keys cannot be read. {closed}") from None


def check(source: Source) -> str:
    """Try a connected source out: what was found, in a sentence. Raises FetchError."""
    return adapter_of(source).check(config_of(source))


def terms_of(source: Source, config: dict[str, Any], lease: Lease | None) -> Terms:
    project = source.project
    return Terms(
        key=privacy.project_key(project_of(source)),
        keeps_text=project is not None and project.keeps_text,
        before_request=_gate(source, config, lease),
    )


def store_page(
    source: Source,
    page: Page,
    *,
    lease: Lease | None,
    position: dict[str, Any] | None,
    also: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """A page's facts and what else must be true with them, in one transaction or not at all."""
    failpoints.hit("pull.before_rows")
    with transaction.atomic():
        counts = _store(source, page, lease, position)
        failpoints.hit("pull.after_rows")
        also(counts)
        failpoints.hit("pull.before_commit")
    failpoints.hit("pull.after_commit")
    return counts


def yield_turn(began: datetime) -> None:
    """Raises Delayed when a run has had its worker for long enough; it goes on at once."""
    now = timezone.now()
    if now - began > MOST_AT_ONCE:
        raise Delayed(now, "other work has its turn.", is_asked=False)


def note_failure(source: Source, failure: FetchError) -> None:
    """Say at the source why it stands still; waiting by our own budget is no failure."""
    now = timezone.now()
    changes: dict[str, Any] = {"last_error": str(failure), "last_error_at": now}
    if isinstance(failure, Delayed):
        changes = {**(changes if failure.is_asked else {}), "delayed_until": failure.until}
    Source.objects.filter(pk=source.pk).update(**changes)


def _store(
    source: Source, page: Page, lease: Lease | None, position: dict[str, Any] | None
) -> Counts:
    if page.errors:
        return store.errors.settle(
            source, page.errors, page.rejects, lease=lease, position=position
        )
    metrics = [record for record in page.records if isinstance(record, MetricRecord)]
    spans = [record for record in page.records if isinstance(record, SpanRecord)]
    scores = [record for record in page.records if isinstance(record, ScoreRecord)]
    if metrics or source.pool_id is not None:
        return store.metrics(
            source, metrics, page.rejects, gpus=page.gpus, lease=lease, position=position
        )
    if scores:
        counts = store.spans(source, spans, lease=lease) if spans else Counts()
        return counts + store.scores(source, scores, page.rejects, lease=lease, position=position)
    return store.spans(source, spans, page.rejects, lease=lease, position=position)


# ---- the budget ------------------------------------------------------------------------------


def _gate(source: Source, config: dict[str, Any], lease: Lease | None) -> Callable[[], None]:
    """What each request passes: the budget is shared by all runs of the source."""
    renewed_at = timezone.now()

    def before_request() -> None:
        nonlocal renewed_at
        now = timezone.now()
        _spend(source.pk, config, now)
        if lease is not None and now - renewed_at > RENEW_EVERY:
            lease.renew()
            renewed_at = now

    return before_request


def _spend(source_id: int, config: dict[str, Any], now: datetime) -> None:
    """Count one request, or raise Delayed."""
    with transaction.atomic():
        source = Source.objects.select_for_update().only("spent", "delayed_until").get(pk=source_id)
        if source.delayed_until is not None and source.delayed_until > now:
            why = "its server, or the budget of requests, allows none before; it goes on by itself."
            raise Delayed(source.delayed_until, why, is_asked=False)
        seconds = int(now.timestamp())
        spent = {}
        for name, length_s in (("requests_per_minute", MINUTE_S), ("requests_per_day", DAY_S)):
            window = seconds // length_s
            begun, count = source.spent.get(name, (window, 0))
            count = count if begun == window else 0
            if count >= config.get(name, count + 1):
                until = datetime.fromtimestamp((window + 1) * length_s, UTC)
                why = f"its {name.replace('_', ' ')} are used up; it goes on by itself."
                raise Delayed(until, why, is_asked=False)
            spent[name] = (window, count + 1)
        Source.objects.filter(pk=source_id).update(spent=spent)
