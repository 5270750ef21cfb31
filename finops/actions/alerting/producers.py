"""Looks for usage without a price, silent sources and unexpected days; raises and resolves.

Each producer looks at everything of its kind and resolves what it no longer finds. Refuses to stop
the others when one fails: they all run, and then what failed is raised together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse

from finops.actions.in_turn import in_turn
from finops.actions.watch_rules import watch_thresholds
from finops.models import Alert
from finops.models.alerts import ANOMALY, CRITICAL, SOURCE_LAG, UNPRICED, VERDICT
from finops.queries import watched
from finops.queries.watched import MOST_MODELS, Silent, Unexpected, Unpriced
from finops.templatetags import words

from .due import attend
from .findings import Finding, default_severity
from .lifecycle import raise_, resolve, resolve_all_but

VERDICTS_HOLD = timedelta(days=7)


def watch(now: datetime) -> int:
    """Everything that is done each minute; how much moved or was seen."""
    work = ((job.__name__, partial(job, now)) for job in JOBS)
    return in_turn(work, "Some of what looks for alerts failed; the rest ran.")


def _tell_of(kind: str, findings: Iterable[Finding], over: str, now: datetime) -> int:
    keys = []
    for finding in findings:
        raise_(finding, now)
        keys.append(finding.key)
    return len(keys) + resolve_all_but(kind, keys, over, now)


def _at(page: str, query: dict[str, str]) -> str:
    return f"{reverse(f'finops:{page}')}?{urlencode(query)}"


# Usage without a price


def watch_unpriced(now: datetime) -> int:
    severity = default_severity(UNPRICED)
    findings = [unpriced_finding(found, severity) for found in watched.unpriced(now)]
    over = "All usage of the last 24 hours has a price."
    return _tell_of(UNPRICED, findings, over, now)


def unpriced_finding(found: Unpriced, severity: str) -> Finding:
    named = ", ".join(found.models[:MOST_MODELS])
    more = len(found.models) - MOST_MODELS
    models = f"{named} and {more} more" if more > 0 else named
    return Finding(
        kind=UNPRICED,
        key=f"project:{found.project.pk}",
        severity=severity,
        title=f"Usage of {found.project.name} without a price",
        text=f"In the last 24 hours {words.percent(found.share)} of its usage had no price and is"
        f" in no cost: {models}. Enter a price for it, or map the name to a known model.",
        path=_at("prices", {"range": "7d", "f.project": found.project.slug}),
        project_id=found.project.pk,
        figures={
            "Requests without a price": _of(found.unpriced_spans, found.spans),
            "Tokens without a price": _of(found.unpriced_tokens, found.tokens),
            "Models": models,
        },
    )


def _of(part: int, whole: int) -> str:
    return f"{words.count(part)} of {words.count(whole)}"


# Silent sources


def watch_sources(now: datetime) -> int:
    severity = default_severity(SOURCE_LAG)
    findings = [silent_finding(found, severity, now) for found in watched.silent_sources(now)]
    return _tell_of(SOURCE_LAG, findings, "It brings data again, or is switched off.", now)


def silent_finding(found: Silent, severity: str, now: datetime) -> Finding:
    source = found.source
    silent_s = (now - found.since).total_seconds()
    return Finding(
        kind=SOURCE_LAG,
        key=f"source:{source.pk}",
        severity=severity,
        title=f"{source.name} is silent",
        text=f"{found.note} What is shown of it ends there.",
        path=reverse("finops:source", args=[source.pk]),
        project_id=source.project_id,
        figures={
            "Silent for": words.duration(silent_s * 1000),
            "Allowed": words.duration(found.allowed.total_seconds() * 1000),
            "Last brought something": words.when_text(source.last_success_at)
            if source.last_success_at
            else "never",
        },
    )


# Unexpected days


def watch_anomalies(now: datetime) -> int:
    severity = default_severity(ANOMALY)
    today = now.astimezone(ZoneInfo(settings.ACCOUNTING_TIME_ZONE)).date()
    findings = [unexpected_finding(found, severity) for found in watched.unexpected_days(today)]
    return _tell_of(ANOMALY, findings, "The newest complete day is as expected.", now)


def unexpected_finding(found: Unexpected, severity: str) -> Finding:
    mark = found.mark
    who = found.project.name if found.project else "the whole estate"
    actual, expected, low, high = (
        words.money(amount, mark.currency)
        for amount in (mark.actual, mark.expected, mark.low, mark.high)
    )
    return Finding(
        kind=ANOMALY,
        key=f"{mark.scope}:{mark.currency}",
        severity=severity,
        title=f"Spend of {who} was {'higher' if found.is_high else 'lower'} than expected",
        text=f"{words.day(mark.day)} cost {actual}; {expected} was expected, from {low} to {high}.",
        path=_at("costs", _costs_of(found)),
        project_id=found.project.pk if found.project else None,
        figures={
            "Day": words.day(mark.day),
            "Cost": actual,
            "Expected": expected,
            "Expected from–to": f"{low} – {high}",
        },
    )


def _costs_of(found: Unexpected) -> dict[str, str]:
    """The two weeks that the day ends, as the mark's scope counts them."""
    query = {"range": "14d", "currency": found.mark.currency}
    if found.project:
        query |= {"f.project": found.project.slug, "basis": "usage"}
    return query


# Verdicts, which other rooms raise


def end_verdicts(now: datetime) -> int:
    """They are news: after a week they are over. What cannot be rolled back stays."""
    old = Alert.objects.filter(kind=VERDICT, holds=True, last_seen_at__lt=now - VERDICTS_HOLD)
    keys = list(old.exclude(severity=CRITICAL).order_by("pk").values_list("key", flat=True))
    return sum(resolve(VERDICT, key, "A week has passed.", now) for key in keys)


JOBS: tuple[Callable[[datetime], int], ...] = (
    watch_unpriced,
    watch_sources,
    watch_anomalies,
    watch_thresholds,
    end_verdicts,
    attend,
)
