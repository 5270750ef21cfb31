from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from finops.actions import alerting
from finops.actions.alerting import producers
from finops.models import Alert, AnomalyMark, Forecast
from ingest.models import Source
from tests.factories.finops import spent

from .make import NOON, finding, rule

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def open_ones() -> list[tuple[str, str]]:
    found = Alert.objects.exclude(state="resolved").order_by("key")
    return list(found.values_list("kind", "key"))


def test_unpriced_usage_raises_one_alert_a_project_with_the_models_named(chat):
    spent(chat, NOON - HOUR, "5", spans=90, tokens=9_000)
    spent(chat, NOON - HOUR, None, provider="acme", model="new-1", spans=10, tokens=1_000)
    spent(chat, NOON - HOUR, None, provider="", model="", spans=2, tokens=0)
    producers.watch_unpriced(NOON)
    [alert] = Alert.objects.all()
    assert (alert.kind, alert.key, alert.project, alert.severity) == (
        "unpriced", f"project:{chat.pk}", chat, "warning",
    )  # fmt: skip
    assert alert.title == "Usage of Chat without a price"
    assert alert.figures == {
        "Requests without a price": "12 of 102",
        "Tokens without a price": "1,000 of 10,000",
        "Models": "acme/new-1, no provider/no model",
    }
    assert "10% of its usage had no price" in alert.text
    assert alert.path == "/prices?range=7d&f.project=chat"


def test_unpriced_usage_ends_when_a_day_went_by_without(chat):
    spent(chat, NOON, None)
    producers.watch_unpriced(NOON + HOUR)
    producers.watch_unpriced(NOON + 25 * HOUR)
    [alert] = Alert.objects.all()
    assert (alert.state, alert.why) == (
        "resolved", "All usage of the last 24 hours has a price.",
    )  # fmt: skip


def test_priced_usage_raises_nothing(chat):
    spent(chat, NOON - HOUR, "5")
    producers.watch_unpriced(NOON)
    assert open_ones() == []


def a_source(**changes) -> Source:
    usual = {"kind": "langfuse", "name": "Langfuse", "interval_s": 300}
    return Source.objects.create(**{**usual, **changes})


def test_silent_source_raises_and_ends_when_it_speaks(chat):
    now = timezone.now()
    source = a_source(project=chat, last_success_at=now - HOUR)
    producers.watch_sources(now)
    [alert] = Alert.objects.all()
    assert (alert.key, alert.project, alert.title) == (
        f"source:{source.pk}", chat, "Langfuse is silent",
    )  # fmt: skip
    assert alert.figures["Silent for"] == "1 h"
    assert alert.path == f"/sources/{source.pk}"
    Source.objects.update(last_success_at=now)
    producers.watch_sources(now + timedelta(minutes=1))
    assert open_ones() == []


def test_sources_that_need_not_speak_raise_nothing():
    now, long_ago = timezone.now(), timezone.now() - timedelta(days=9)
    a_source(name="off", enabled=False, last_success_at=long_ago)
    a_source(name="file", kind="focus_csv", interval_s=None, last_success_at=long_ago)
    a_source(name="delayed", last_success_at=long_ago, delayed_until=now + HOUR)
    a_source(name="failed once", last_success_at=now - timedelta(minutes=6), last_error="503",
             last_error_at=now)  # fmt: skip
    a_source(name="new")
    producers.watch_sources(now)
    assert open_ones() == []


def test_source_that_fails_for_long_says_its_error():
    now = timezone.now()
    a_source(last_success_at=now - HOUR, last_error="It answered 503.", last_error_at=now)
    producers.watch_sources(now)
    assert Alert.objects.get().text.startswith("It answered 503.")


def a_mark(scope: str, day: date, **changes) -> None:
    Forecast.objects.get_or_create(
        scope=scope, currency="USD", as_of=day, method="m", method_version=1,
        input_sha256=str(day).encode(), defaults={"points": [], "backtest": {}},
    )  # fmt: skip
    if changes.pop("unexpected", True):
        usual = {"actual": 120, "expected": 40, "low": 30, "high": 50, "score": 9.0}
        amounts = {name: Decimal(value) for name, value in {**usual, **changes}.items()}
        AnomalyMark.objects.create(
            scope=scope, currency="USD", day=day, method_version=1, **amounts
        )


YESTERDAY = NOON.date() - timedelta(days=1)


def test_unexpected_day_raises_for_its_project(chat):
    a_mark(f"project:{chat.pk}", YESTERDAY)
    producers.watch_anomalies(NOON)
    [alert] = Alert.objects.all()
    assert (alert.key, alert.project) == (f"project:{chat.pk}:USD", chat)
    assert alert.title == "Spend of Chat was higher than expected"
    assert alert.figures["Cost"] == "$120.00"
    assert alert.path == "/costs?range=14d&currency=USD&f.project=chat&basis=usage"


def test_unexpected_day_of_everything_is_for_the_organisation():
    a_mark("all", YESTERDAY, actual=10)
    producers.watch_anomalies(NOON)
    [alert] = Alert.objects.all()
    assert (alert.project, alert.title) == (
        None, "Spend of the whole estate was lower than expected",
    )  # fmt: skip


def test_unexpected_day_ends_with_a_newer_day_as_expected(chat):
    a_mark("all", YESTERDAY - timedelta(days=1))
    producers.watch_anomalies(NOON)
    assert open_ones() == [("anomaly", "all:USD")]
    a_mark("all", YESTERDAY, unexpected=False)
    producers.watch_anomalies(NOON)
    assert open_ones() == []


def test_old_day_raises_nothing():
    a_mark("all", YESTERDAY - timedelta(days=5))
    producers.watch_anomalies(NOON)
    assert open_ones() == []


def test_severity_is_the_one_of_the_rule(chat):
    rule("unpriced", severity="critical")
    spent(chat, NOON - HOUR, None)
    producers.watch_unpriced(NOON)
    assert Alert.objects.get().severity == "critical"


def test_one_job_that_fails_does_not_stop_the_others(chat, monkeypatch):
    def broken(now):
        raise RuntimeError("broken")

    spent(chat, NOON - HOUR, None)
    monkeypatch.setattr(producers, "JOBS", (broken, *producers.JOBS))
    with pytest.raises(ExceptionGroup) as raised:
        producers.watch(NOON)
    assert [str(problem) for problem in raised.value.exceptions] == ["broken"]
    assert open_ones() == [("unpriced", f"project:{chat.pk}")]


def test_watch_a_second_time_opens_nothing_more(chat):
    spent(chat, NOON - HOUR, None)
    producers.watch(NOON)
    producers.watch(NOON + timedelta(minutes=1))
    assert Alert.objects.get().times_seen == 2
    assert alerting.attend(NOON + timedelta(minutes=1)) == 0


def test_verdict_is_over_after_a_week_unless_it_is_critical():
    for key, severity in (("rollout:1", "warning"), ("rollback:1", "critical")):
        found = finding(kind="verdict", key=key, severity=severity)
        alerting.raise_(found, NOON - timedelta(days=7))
    assert producers.end_verdicts(NOON) == 0
    assert producers.end_verdicts(NOON + timedelta(seconds=1)) == 1
    assert open_ones() == [("verdict", "rollback:1")]
