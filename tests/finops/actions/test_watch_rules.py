"""Watch rules: the usual five, as people change them, and the alerts they raise and end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions import watch_rules as actions
from finops.actions.alerting.producers import JOBS
from finops.actions.watch_rules import WatchDraft, watch_thresholds
from finops.models import Alert, Audit, WatchRule
from finops.queries import watch_rules as queries
from finops.queries.watch_measures import subjects
from ingest.models import GpuQuarter, SpanDay, SpanQuarter
from tests.factories.finops import person, spent
from tests.factories.ingest import PoolFactory, ProjectFactory
from tests.finops.actions.test_slos import traffic

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 10, 12, 5, tzinfo=UTC)
FAILS = WatchDraft(
    name="Chat fails", metric="error_rate", comparison="above", threshold=Decimal(5),
    project="chat", urgency="high", action="Look at the errors.", path="/requests/errors",
    least_requests=10,
)  # fmt: skip


@pytest.fixture
def chat(db):
    return ProjectFactory(slug="chat", name="Chat", team__name="Support")


@pytest.fixture
def asha(chat):
    return person("asha", "analyst")


def quarters(chat, *error_counts, of=100, **changes):
    """The newest complete quarter hour first."""
    for back, errors in enumerate(error_counts, 1):
        at = NOW - timedelta(minutes=5 + 15 * back)
        if errors is not None:
            traffic(chat, at, *[100] * of, errors=errors, **changes)


def test_a_new_installation_has_the_usual_five():
    found = {
        rule.metric: (rule.comparison, rule.threshold, rule.urgency, rule.is_on)
        for rule in WatchRule.objects.all()
    }
    assert found == {
        "cache_hit": ("below", 60, "medium", True),
        "latency_mean": ("above", 200, "high", True),
        "cost_per_request": ("above", None, "medium", False),
        "error_rate": ("above", 1, "critical", True),
        "gpu_utilization": ("below", 85, "low", True),
    }
    assert watch_thresholds in JOBS


def test_alert_opens_with_its_action_stays_through_one_good_quarter_and_ends(chat, asha):
    WatchRule.objects.update(is_on=False)
    rule = actions.add(FAILS, by=asha, via="page")
    quarters(chat, 8, 9, 0)
    assert watch_thresholds(NOW) == 1
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.project, alert.title) == (
        "threshold", "critical", chat, "Chat fails: Chat",
    )  # fmt: skip
    assert alert.text == (
        "Failed requests was above 5% in 2 of the last 3 measured windows of 15 minutes."
        " Look at the errors."
    )
    assert alert.path == "/requests/errors?range=today&f.project=chat"
    assert sum(row.alerts for row in queries.rules(asha)) == 1
    later = NOW + timedelta(minutes=15)
    traffic(chat, NOW - timedelta(minutes=5), *[100] * 100)
    assert watch_thresholds(later) == 1
    traffic(chat, NOW + timedelta(minutes=10), *[100] * 100)
    watch_thresholds(later + timedelta(minutes=15))
    alert.refresh_from_db()
    assert (alert.state, alert.why) == ("resolved", actions.OVER)
    assert rule.revision == 1


def test_few_requests_and_gaps_say_nothing(chat, asha):
    WatchRule.objects.update(is_on=False)
    actions.add(FAILS, by=asha, via="page")
    quarters(chat, 4, 4, 4, of=9)
    assert watch_thresholds(NOW) == 0
    SpanQuarter.objects.all().delete()
    quarters(chat, 9, None, 0, None, 9)
    assert watch_thresholds(NOW) == 1


def test_every_measure_is_what_its_name_says(chat, asha):
    other = ProjectFactory(slug="plain", name="Plain")
    pool = PoolFactory()
    tokens = {"input_tokens": 100, "cache_read_tokens": 60, "cache_write_5m_tokens": 40}
    traffic(chat, NOW - timedelta(minutes=20), *[100] * 50, *[300] * 50, errors=3)
    traffic(other, NOW - timedelta(minutes=20), *[100] * 100)
    for rows in (SpanQuarter, SpanDay):
        rows.objects.filter(project_id=chat.pk).update(**tokens)
    spent(chat, NOW - timedelta(minutes=20), "5", spans=100)
    spent(other, NOW - timedelta(minutes=20), "5", spans=100, unpriced_spans=1)
    for gpu, (pct, covered) in enumerate(((90.0, 900), (30.0, 300), (None, 900))):
        GpuQuarter.objects.create(
            pool_id=pool.pk, at=NOW - timedelta(minutes=20), gpu_id=gpu, samples=9,
            covered_s=covered, utilization_pct=pct,
        )  # fmt: skip

    def newest(metric, **changes):
        currency = "USD" if metric == "cost_per_request" else ""
        rule = WatchRule(metric=metric, least_requests=10, currency=currency, **changes)
        return {one.key: one.values[0] for one in subjects(rule, NOW)}

    chats, others = f"project:{chat.pk}", f"project:{other.pk}"
    assert newest("error_rate") == {chats: 3.0, others: 0.0}
    assert newest("latency_mean") == {chats: 200.0, others: 100.0}
    assert newest("latency_p95")[chats] == pytest.approx(300, rel=0.01)
    # Who never cached has no hit rate; who has unpriced usage has no known cost.
    assert newest("cache_hit") == {chats: 30.0}
    assert newest("cost_per_request") == {chats: 0.05, others: None}
    assert newest("gpu_utilization") == {f"pool:{pool.pk}": 75.0}
    assert newest("error_rate", only_models=["other"]) == {}
    assert newest("error_rate", project=other) == {others: 0.0}


def test_gpus_of_a_pool_are_told_to_the_organisation_alone(chat):
    pool = PoolFactory(name="big-gpus")
    for back in (1, 2):
        GpuQuarter.objects.create(
            pool_id=pool.pk, at=NOW - timedelta(minutes=5 + 15 * back), gpu_id=1, samples=9,
            covered_s=900, utilization_pct=20,
        )  # fmt: skip
    assert watch_thresholds(NOW) == 1
    alert = Alert.objects.get()
    assert (alert.project, alert.severity, alert.title) == (None, "info", "GPUs are idle: big-gpus")


def test_changes_are_audited_and_end_the_alerts_of_before(chat, asha):
    WatchRule.objects.update(is_on=False)
    rule = actions.add(FAILS, by=asha, via="page")
    quarters(chat, 8, 9)
    watch_thresholds(NOW)
    looser = replace(FAILS, threshold=Decimal(50))
    with pytest.raises(actions.Refused, match="Somebody has changed it"):
        actions.change(rule, looser, by=asha, via="page", revision=2)
    rule = actions.change(rule, looser, by=asha, via="page", revision=1)
    assert Alert.objects.get().why == "The rule was changed."
    actions.remove(rule, by=asha, via="api")
    assert [row.rule.name for row in queries.rules(asha)].count("Chat fails") == 0
    told = Audit.objects.filter(action__startswith="watch_rule").order_by("id")
    assert list(told.values_list("action", "detail__moved")) == [
        ("watch_rule.add", None),
        ("watch_rule.change", {"threshold": ["5", "50"]}),
        ("watch_rule.remove", None),
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"metric": "mood"}, "metric"),
        ({"threshold": None}, "threshold"),
        ({"threshold": Decimal(101)}, "threshold"),
        ({"threshold": Decimal("NaN")}, "threshold"),
        ({"metric": "cost_per_request"}, "currency"),
        ({"currency": "USD"}, "currency"),
        ({"needed": 4}, "needed"),
        ({"of_last": 13}, "of_last"),
        ({"window_minutes": 20}, "window_minutes"),
        ({"path": "//elsewhere"}, "path"),
        ({"path": "https://elsewhere"}, "path"),
        ({"action": " "}, "action"),
        ({"metric": "gpu_utilization"}, "project"),
        ({"project": "nobodys"}, "project"),
    ],
)
def test_what_is_wrong_with_a_rule_is_named(asha, changes, field):
    with pytest.raises(actions.Refused) as refused:
        actions.add(replace(FAILS, **changes), by=asha, via="page")
    assert refused.value.field == field


def test_rules_are_of_ones_own_projects(chat, asha):
    other = ProjectFactory(slug="search", name="Search")
    own = person("eve", "analyst", project=other)
    rule = actions.add(FAILS, by=asha, via="page")
    assert (queries.rules(own), queries.one(own, rule.pk)) == ([], None)
    with pytest.raises(actions.Refused, match="needs a role over the whole organisation"):
        actions.add(replace(FAILS, project=""), by=own, via="page")
    with pytest.raises(actions.Refused, match="no project “chat” that you may see"):
        actions.add(replace(FAILS, name="Mine"), by=own, via="page")
    mine = replace(FAILS, name="Mine", project="search")
    assert actions.add(mine, by=own, via="page").project == other
    with pytest.raises(actions.Refused, match="does not manage the alerts of this rule"):
        actions.change(rule, mine, by=own, via="page", revision=1)
