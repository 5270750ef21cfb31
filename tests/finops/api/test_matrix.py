"""Every endpoint × every role: who may ask, and that nobody sees what belongs to others."""

import functools
import json
import re
from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.urls import get_resolver
from django.utils import timezone

from finops.actions import alerting, channels, slos
from finops.actions.alerting import Finding
from finops.actions.allocation import rules as allocation
from finops.actions.allocation.rules import Draft
from finops.actions.channels import managing
from finops.actions.channels.managing import NewChannel
from finops.actions.connections import issue_push_token
from finops.costing.allocating import Condition
from finops.costing.objectives import Definition
from finops.models import (
    AccessToken,
    Alert,
    AllocationRule,
    BillMatch,
    Budget,
    BuyingRegion,
    Chargeback,
    ChargebackLine,
    Message,
    PriceBook,
    PriceTerm,
    Repricing,
    SavedView,
    Silence,
    SlackLink,
    Slo,
    SloProposal,
    User,
    WatchRule,
)
from finops.queries.filters import today
from ingest import backfill
from ingest.labels import keep as keep_label
from ingest.models import Delivery, Event, KeptLabel, Project, Source, Span
from tests.factories.finops import person as somebody

pytestmark = pytest.mark.usefixtures("estate")

PEOPLE = ("asha", "ben", "cleo", "dev", "ada")
EVERYBODY, NOBODY = set(PEOPLE), set()
MEMBERS = EVERYBODY - {"cleo"}

MAY_READ = {
    "me": EVERYBODY,
    "projects": EVERYBODY,
    "spend": EVERYBODY,
    "spend-by": EVERYBODY,
    "spend-series": EVERYBODY,
    "spend-month": EVERYBODY,
    "spend-lines": EVERYBODY,
    "reconciliation": MEMBERS,
    "source-costs": EVERYBODY,
    "bill-matches": MEMBERS,
    "unit-costs": EVERYBODY,
    "unit-costs-series": EVERYBODY,
    "unit-costs-comparison": EVERYBODY,
    "unit-costs-what-if": EVERYBODY,
    "requests": EVERYBODY,
    "requests-series": EVERYBODY,
    "requests-concurrency": EVERYBODY,
    "requests-servers": MEMBERS,
    "requests-recent": EVERYBODY,
    "requests-slowest": EVERYBODY,
    "requests-errors": EVERYBODY,
    "errors": EVERYBODY,
    "gpus": MEMBERS,
    "gpus-series": MEMBERS,
    "loads": MEMBERS,
    "sources": EVERYBODY,
    "source": EVERYBODY,
    "source-deliveries": MEMBERS,
    "source-pulls": EVERYBODY,
    "source-rejects": EVERYBODY,
    "source-backfills": EVERYBODY,
    "push-tokens": {"ada"},
    "delivery": MEMBERS,
    "delivery-changes": MEMBERS,
    "prices": EVERYBODY,
    "price-books": EVERYBODY,
    "exchange-rates": EVERYBODY,
    "exchange-rates-used": EVERYBODY,
    "price-explained": EVERYBODY,
    "price-terms": EVERYBODY,
    "price-term": EVERYBODY,
    "buying-regions": EVERYBODY,
    "buying-region": EVERYBODY,
    "price-update": EVERYBODY,
    "unpriced": EVERYBODY,
    "repricings": MEMBERS,
    "repricings-preview": {"asha"},
    "repricing": MEMBERS,
    "forecasts": EVERYBODY,
    "anomalies": EVERYBODY,
    "labels": EVERYBODY,
    "label": EVERYBODY,
    "label-keys": {"asha", "ada"},
    "events": EVERYBODY,
    "event": EVERYBODY,
    "alerts": EVERYBODY,
    "alert": EVERYBODY,
    "alerts-stream": EVERYBODY,
    "alert-rules": EVERYBODY,
    "silences": EVERYBODY,
    "allocation-rules": MEMBERS,
    "allocation-rule": MEMBERS,
    "allocation-unallocated": MEMBERS,
    "showback": EVERYBODY,
    "chargebacks": EVERYBODY,
    "chargeback": EVERYBODY,
    "budgets": EVERYBODY,
    "budget": EVERYBODY,
    "budget-status": EVERYBODY,
    "limits": EVERYBODY,
    "slos": EVERYBODY,
    "slo": EVERYBODY,
    "slo-course": EVERYBODY,
    "slo-versions": EVERYBODY,
    "slo-proposals": EVERYBODY,
    "slo-proposal": EVERYBODY,
    "watch-rules": EVERYBODY,
    "watch-rule": MEMBERS,
    "channels": {"ada"},
    "channel": {"ada"},
    "channel-messages": {"ada"},
    "channel-message": {"ada"},
    "saved-views": EVERYBODY,
    "saved-view": EVERYBODY,
    "savings": EVERYBODY,
    "savings-entries": EVERYBODY,
    "tokens": EVERYBODY,
    "slack-users": EVERYBODY,
    "audit": {"ben", "ada"},
}
MAY_WRITE = {
    ("POST", "sources"): {"ada"},
    ("PATCH", "source"): {"ada"},
    ("POST", "sources-test"): {"ada"},
    ("POST", "source-test"): {"ada"},
    ("POST", "source-backfills"): {"ada"},
    ("DELETE", "source-backfill"): {"ada"},
    ("POST", "source-replay"): {"ada"},
    ("POST", "push-tokens"): {"ada"},
    ("DELETE", "push-token"): {"ada"},
    ("POST", "programme-costs"): {"asha"},
    ("POST", "bill-matches"): {"asha", "ada"},
    ("DELETE", "bill-match"): {"asha", "ada"},
    ("POST", "labels"): {"asha", "ada"},
    ("DELETE", "label"): {"asha", "ada"},
    ("POST", "events"): {"asha", "dev", "ada"},
    ("POST", "event-end"): {"asha", "dev", "ada"},
    ("DELETE", "event"): {"asha", "dev", "ada"},
    ("POST", "alert-acknowledge"): {"asha", "ben", "dev"},
    ("POST", "alert-snooze"): {"asha", "ben", "dev"},
    ("POST", "alert-resolve"): {"asha", "ben", "dev"},
    ("PUT", "alert-rule"): {"asha", "ada"},
    ("POST", "silences"): {"asha", "ada"},
    ("DELETE", "silence"): {"asha", "ada"},
    ("POST", "allocation-rules"): {"asha"},
    ("POST", "allocation-rules-preview"): {"asha"},
    ("PATCH", "allocation-rule"): {"asha"},
    ("DELETE", "allocation-rule"): {"asha"},
    ("POST", "chargebacks"): {"asha"},
    ("POST", "budgets"): {"asha"},
    ("PATCH", "budget"): {"asha"},
    ("DELETE", "budget"): {"asha"},
    ("POST", "slo-proposals"): {"asha", "dev"},
    ("PATCH", "slo-proposal"): {"asha", "dev"},
    ("POST", "slo-change"): {"asha", "dev"},
    ("POST", "slo-approve"): {"ben"},
    ("POST", "slo-reject"): {"ben"},
    ("POST", "slo-ask"): {"ben"},
    ("POST", "slo-withdraw"): {"asha", "dev"},
    ("POST", "watch-rules"): {"asha", "ada"},
    ("PATCH", "watch-rule"): {"asha", "ada"},
    ("DELETE", "watch-rule"): {"asha", "ada"},
    ("POST", "saved-views"): EVERYBODY,
    ("PATCH", "saved-view"): {"asha"},
    ("DELETE", "saved-view"): {"asha", "ada"},
    ("POST", "repricings"): {"asha"},
    ("POST", "price-update"): {"asha"},
    ("POST", "exchange-rates"): {"asha"},
    ("POST", "price-terms"): {"asha"},
    ("POST", "price-terms-preview"): {"asha"},
    ("PATCH", "price-term"): {"asha"},
    ("DELETE", "price-term"): {"asha"},
    ("POST", "buying-regions"): {"asha"},
    ("PATCH", "buying-region"): {"asha"},
    ("DELETE", "buying-region"): {"asha"},
    ("POST", "channels"): {"ada"},
    ("PATCH", "channel"): {"ada"},
    ("DELETE", "channel"): {"ada"},
    ("POST", "channel-test"): {"ada"},
    ("POST", "channel-rotate"): {"ada"},
    ("POST", "channel-redeliver"): {"ada"},
    ("POST", "tokens"): EVERYBODY,
    ("DELETE", "token"): EVERYBODY,
    ("DELETE", "slack-user"): EVERYBODY,
}
BODIES = {
    "sources": '{"kind": "otlp", "name": "By API", "project": "Search"}',
    "source": '{"name": "Renamed"}',
    "sources-test": (
        '{"kind": "prometheus_text", "config": {"url": "http://metrics.invalid/metrics"}}'
    ),
    "source-replay": '{"reason": "bad_tokens"}',
    "source-backfills": '{"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}',
    "programme-costs": (
        '{"on": "2026-01-05", "amount": "900", "currency": "USD", "note": "Load tests"}'
    ),
}
BODIES |= {"labels": '{"name": "customer", "attributes": ["customer"], "since": "2026-01-01"}'}
BODIES |= {"events": '{"kind": "release", "version": "1.4.2"}', "event-end": "{}"}
BODIES |= {
    "bill-matches": (
        '{"usage_provider": "anthropic", "bill_provider": "Azure", "bill_service": "Azure OpenAI"}'
    )
}
A_RULE = json.dumps({
    "name": "By API", "conditions": [{"field": "tag:team", "values": ["chat"]}],
    "targets": [{"project": "support-chat"}],
})  # fmt: skip
BODIES |= {
    "allocation-rules": A_RULE,
    "allocation-rules-preview": A_RULE,
    "allocation-rule": '{"name": "Renamed", "revision": 1}',
    "chargebacks": '{"month": "2020-01"}',
}
BODIES |= {
    "budgets": '{"name": "Estate", "amount": "100"}',
    "budget": '{"name": "Renamed", "revision": 1}',
}
BODIES |= {
    "alert-acknowledge": "",
    "alert-snooze": json.dumps({"until": str(timezone.now() + timedelta(days=1))}),
    "alert-resolve": '{"why": "Planned move."}',
    "silences": json.dumps({"why": "Move", "ends_at": str(timezone.now() + timedelta(days=1))}),
    "alert-rule": json.dumps({
        "enabled": True, "severity": "info", "channel_ids": [], "remind_every_s": None,
        "escalate_after_s": None, "escalation_channel_ids": [], "quiet_s": None,
    }),
}  # fmt: skip
BODIES |= {
    "price-terms": '{"contract": "C-1", "provider": "openai", "percent": "10"}',
    "price-terms-preview": '{"contract": "C-1", "provider": "openai", "percent": "10"}',
    "price-term": '{"note": "Read before", "revision": 0}',
    "buying-regions": '{"provider": "openai", "region": "eu"}',
    "buying-region": '{"note": "Read before", "revision": 0}',
}
BODIES |= {
    "exchange-rates": (
        '{"rates": [{"day": "2026-01-05", "base": "EUR", "quote": "USD", "rate": "1.1"}]}'
    )
}
BODIES |= {"repricings": '{"plan": "seen before"}', "price-update": '{"review": "seen before"}'}
BODIES |= {
    "channels": '{"kind": "email", "name": "By API", "config": {"to": ["asha@example.com"]}}',
    "channel": '{"enabled": false, "why": "Moving."}',
    "channel-rotate": "{}",
}
BODIES |= {
    "slo-proposals": json.dumps({
        "project": "support-chat", "name": "By API", "indicator": "availability",
        "objective": "99",
    }),
    "slo-proposal": '{"objective": "97", "plan_hash": "read long ago"}',
    "slo-change": '{"objective": "97", "version": 7}',
    "slo-approve": '{"plan_hash": "read long ago"}',
    "slo-reject": '{"plan_hash": "read long ago", "comment": "No."}',
    "slo-ask": '{"plan_hash": "read long ago", "comment": "Why?"}',
    "slo-withdraw": '{"plan_hash": "read long ago"}',
    "watch-rules": json.dumps({
        "name": "By API", "metric": "error_rate", "comparison": "above", "threshold": "2",
        "urgency": "low", "action": "Look.",
    }),
    "watch-rule": '{"threshold": "2", "revision": 99}',
}  # fmt: skip
BODIES |= {
    "saved-views": '{"page": "costs", "name": "By API", "query": "range=7d"}',
    "saved-view": '{"name": "Renamed"}',
}
PUBLIC = {"schema"}
"""A new address without a line here fails below."""


@functools.cache
def addresses() -> dict[str, str]:
    """Name → path with `{pk}` and `{token}`."""
    [api] = [one for one in get_resolver().url_patterns if getattr(one, "namespace", None) == "api"]
    found = {}
    for pattern in api.url_patterns:
        text = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", str(pattern.pattern))
        found[pattern.name] = "/api/" + text.strip("^$")
    return found


QUERIES = {"price-explained": "?provider=openai&model=gpt-4o"}
"""Of addresses that say nothing without one."""


def path_of(name: str) -> str:
    source = Source.objects.get(project__slug="support-chat")
    metrics = Source.objects.get(kind="prometheus_text")
    delivery = Delivery.objects.order_by("pk").first()
    deliveries = dict.fromkeys(("delivery", "delivery-changes"), delivery.pk)
    pk = {**deliveries, "source-test": metrics.pk, "token": "0" * 12}.get(name, source.pk)
    if name in ("event", "event-end"):
        pk = an_incident().pk
    if name in ("label", "labels"):
        pk = a_label().pk
    if name.startswith("alert-") or name == "alert":
        pk = an_alert().pk
    if name == "silence":
        pk = a_silence().pk
    if name == "repricing":
        pk = a_repricing().pk
    if name in ("budget", "budget-status"):
        pk = a_budget().pk
    if name == "allocation-rule":
        pk = a_rule().pk
    if name == "chargeback":
        pk = a_statement().pk
    uid = an_agreement(name) if name in ("price-term", "buying-region") else None
    if name.startswith("slo"):
        pk = a_slo().pk if name in SLO_ITSELF else a_proposal().pk
    if name == "watch-rules":
        # The name is free for whoever comes next.
        WatchRule.objects.filter(name="By API").delete()
    if name == "saved-views":
        # Each has names of their own, and the same person is asked twice.
        SavedView.objects.filter(name="By API").delete()
    if name == "saved-view":
        owner = User.objects.get(username="asha")
        view = {"owner": owner, "page": "costs", "query": "range=7d", "is_shared": True}
        pk = SavedView.objects.get_or_create(**view, defaults={"name": "Week"})[0].pk
    if name == "watch-rule":
        pk = WatchRule.objects.filter(removed_at=None).first().pk
    address, message = addresses()[name], None
    if name.startswith("channel") or "{message}" in address:
        message = a_message()
        pk = message.channel_id
    found = address.format(
        pk=pk, token="{token}", job="{job}", kind="budget", message=message and message.pk, uid=uid
    )
    return found + QUERIES.get(name, "")


def a_label() -> KeptLabel:
    """The name that is asked for is free for whoever comes next."""
    KeptLabel.objects.filter(name="customer").delete()
    known = KeptLabel.objects.filter(name="feature").first()
    return known or keep_label(None, "feature", ["feature"], date(2026, 1, 1), "asha")


def a_match() -> BillMatch:
    return BillMatch.objects.create(
        usage_provider=str(uuid4()), bill_provider="Azure", bill_service="Azure OpenAI"
    )


def a_slack_user(person: str) -> SlackLink:
    return SlackLink.objects.create(
        user=User.objects.get(username=person), team_id="T0ACME", slack_user_id=uuid4().hex[:20],
        slack_name=person, linked_at=timezone.now(),
    )  # fmt: skip


def a_repricing() -> Repricing:
    now = timezone.now()
    return Repricing.objects.create(
        book=PriceBook.objects.latest(), start=now - timedelta(days=1), end=now, hours=1,
        plan="", totals={},
    )  # fmt: skip


def an_agreement(name: str) -> str:
    """In the newest version of the book, for every project."""
    book = PriceBook.objects.latest()
    known = {"book": book, "since": book.version, "provider": "openai"}
    if name == "price-term":
        return PriceTerm.objects.create(contract="C-0", percent=10, unit="input", **known).uid
    return BuyingRegion.objects.create(region="us", valid_from=timezone.now(), **known).uid


def an_incident() -> Event:
    """Of the whole estate, so that everybody may see it."""
    return Event.objects.create(
        kind="incident", title="GPU host down", origin="api", happened_at=timezone.now(),
        external_id=str(uuid4()),
    )  # fmt: skip


SLO_ITSELF = ("slo", "slo-course", "slo-versions", "slo-change")


def a_proposal() -> SloProposal:
    """By somebody who asks for nothing here, of the project that everybody may see."""
    definition = Definition(
        name=str(uuid4()), indicator="availability", objective=Decimal(99), window_days=7,
        least_events=20,
    )  # fmt: skip
    eve = User.objects.filter(username="eve").first() or somebody("eve", "engineer")
    chat = Project.objects.get(slug="support-chat")
    return slos.propose(chat, definition, by=eve, via="page")


def a_slo() -> Slo:
    found = Slo.objects.first()
    if found is None:
        proposal = a_proposal()
        ben = User.objects.get(username="ben")
        seal = proposal.plan_hash
        found = slos.approve(proposal, by=ben, via="page", plan_hash=seal).slo
    return found


def a_budget() -> Budget:
    """Of Cleo's own project, so that everybody may see it."""
    found, _ = Budget.objects.get_or_create(
        name="Support chat", owner=User.objects.get(username="asha"),
        scope={"project": ["support-chat"]}, basis="usage", currency="USD", period="monthly",
        starts_on=today().replace(day=1), amount_kind="fixed", amount=100, removed_at=None,
    )  # fmt: skip
    return found


def a_rule() -> AllocationRule:
    draft = Draft(
        name=str(uuid4()), origin="bill", conditions=(Condition("service", "is", ("none",)),),
        targets=(("support-chat", None),),
    )  # fmt: skip
    return allocation.add(draft, by=User.objects.get(username="asha"), via="command")


def a_statement() -> Chargeback:
    """With a line of the one project that everybody may see."""
    made, _ = Chargeback.objects.get_or_create(
        month=date(2020, 1, 1), number=1, rules=[], rules_digest="", closed_at=timezone.now(),
        closed_by=User.objects.get(username="asha"),
    )  # fmt: skip
    ChargebackLine.objects.get_or_create(
        chargeback=made, project=Project.objects.get(slug="support-chat"), amount=1, reconciled=0,
        project_name="Support chat", part="usage", currency="USD",
    )  # fmt: skip
    return made


def an_alert() -> Alert:
    """Of the one project that everybody may see; a new one for each who handles it."""
    chat = Project.objects.get(slug="support-chat")
    found = Finding("slo", str(uuid4()), "warning", "Slow", "Slow.", "/", project_id=chat.pk)
    return alerting.raise_(found, timezone.now())


def a_message() -> Message:
    """In the outbox of a channel that nothing can reach."""
    made = NewChannel(kind="webhook", name=str(uuid4()), config={"url": "http://bot.invalid/hook"})
    channel, _ = managing.add(made, by=None, via="command")
    notice = channels.Notice(
        str(uuid4()), "opened", "info", "Slow", "Slow.", "/", "", {}, timezone.now()
    )
    channels.enqueue(notice, [channel.pk])
    return Message.objects.get(channel=channel)


def a_silence() -> Silence:
    return Silence.objects.create(
        why="Move", created_at=timezone.now(), starts_at=timezone.now(),
        ends_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip


def test_every_address_has_a_line_in_the_table():
    written = {name for _, name in MAY_WRITE}
    assert set(addresses()) == set(MAY_READ) | written | PUBLIC


@pytest.mark.parametrize("name", MAY_READ)
def test_reading_is_for_those_in_the_table(by_token, name):
    path = path_of(name)
    allowed = {person for person in PEOPLE if by_token(person).get(path).status_code == 200}
    assert allowed == MAY_READ[name]


@pytest.mark.parametrize("name", [*MAY_READ, *(name for _, name in MAY_WRITE)])
def test_stranger_is_told_to_sign_in(db, anybody, name):
    path = path_of(name).format(token="0" * 16, job=1)
    answer = anybody.get(path) if name in MAY_READ else anybody.delete(path)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="Breakeven"'
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("name", sorted({name for _, name in MAY_WRITE}))
def test_writing_is_for_those_in_the_table(by_token, name):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        if (method, name) not in MAY_WRITE:
            continue
        allowed = set()
        for person in PEOPLE:
            caller = by_token(person, "admin")
            if method == "DELETE":
                answer = caller.delete(own_token(name, person))
            else:
                send = {"POST": caller.post, "PUT": caller.put, "PATCH": caller.patch}[method]
                answer = send(path_of(name), BODIES.get(name, '{"name": "mine"}'))
            # Who may, and asks a source that cannot, reads so.
            if answer.status_code in (200, 201, 204, 409):
                allowed.add(person)
            else:
                assert answer.status_code == 403
        assert allowed == MAY_WRITE[method, name]


def own_token(name: str, person: str) -> str:
    if name == "slack-user":
        return f"/api/v1/slack-users/{a_slack_user(person).pk}"
    if name == "token":
        pk = AccessToken.objects.filter(user__username=person).latest("created_at").pk
        return f"/api/v1/tokens/{pk}"
    if name == "bill-match":
        return addresses()[name].format(pk=a_match().pk)
    own = ("budget", "channel", "silence", "price-term", "buying-region", "allocation-rule")
    if name in (*own, "watch-rule", "label"):
        return path_of(name)
    if name == "event":
        return addresses()[name].format(pk=an_incident().pk)
    source = Source.objects.get(kind="otlp", project__slug="support-chat")
    if name == "source-backfill":
        pulled, _ = Source.objects.get_or_create(
            kind="langfuse", name="Langfuse", project=source.project
        )
        now = timezone.now()
        if not backfill.progress(pulled):
            backfill.start(pulled, now - timedelta(days=1), now)
        return f"/api/v1/sources/{pulled.pk}/backfills/{backfill.progress(pulled)[0].job_id}"
    ada = User.objects.get(username="ada")
    token, _ = issue_push_token(source, "test", by=ada, via="page")
    return path_of(name).format(token=token.pk)


@pytest.mark.parametrize("scope", ["read", "write"])
def test_token_without_its_scope_changes_nothing(by_token, scope):
    caller = by_token("ada", scope)
    for path in (path_of("tokens"), path_of("push-tokens")):
        answer = caller.post(path, '{"name": "more"}')
        assert answer.status_code == 403
        assert answer.json()["detail"] == f"This token may only {scope}; this needs scope admin."


def hidden_words() -> list[str]:
    """What stands in the data of projects that Cleo must not see, and nowhere in her own."""
    others = Project.objects.exclude(slug="support-chat")
    words = [word for project in others for word in (project.slug, project.name)]
    words += Source.objects.exclude(project__slug="support-chat").values_list("name", flat=True)
    own = Project.objects.get(slug="support-chat").pk
    words += Span.objects.exclude(project_id=own).values_list("key", flat=True)
    return [str(word) for word in words if word]


@pytest.mark.parametrize(
    "query",
    ["", "range=90d", "group_by=project", "group_by=team,model", "f.project=product-search",
     "basis=book", "basis=bill", "f.provider=triton"],
)  # fmt: skip
def test_cleo_sees_nothing_of_others_projects(by_token, query):
    hidden, cleo = hidden_words(), by_token("cleo")
    asked = dict(pair.split("=") for pair in query.split("&") if pair)
    filtered = [name for name in MAY_READ if name.startswith(("spend", "request", "unit"))]
    plain = ["me", "projects", "sources", "forecasts", "anomalies", "savings", "tokens"]
    plain.append("source-costs")
    for name in filtered + plain:
        answer = cleo.get(path_of(name), **(asked if name in filtered else {}))
        text = answer.content.decode()
        found = [word for word in hidden if f'"{word}"' in text]
        assert (name, found) == (name, [])


def test_others_objects_are_answered_like_those_that_do_not_exist(by_token):
    cleo = by_token("cleo")
    missing = cleo.get("/api/v1/sources/999999").json()["detail"]
    for source in Source.objects.exclude(project__slug="support-chat"):
        for rest in ("", "/pulls", "/rejects"):
            answer = cleo.get(f"/api/v1/sources/{source.pk}{rest}")
            assert (answer.status_code, answer.json()["detail"]) == (404, missing)


def test_nobody_revokes_a_token_of_somebody_else(by_token):
    asha = by_token("asha", "admin")
    theirs = AccessToken.objects.filter(user__username="asha").get()
    cleo = by_token("cleo", "admin")
    assert cleo.delete(f"/api/v1/tokens/{theirs.pk}").status_code == 404
    assert asha.get("/api/v1/me").status_code == 200


def test_totals_of_cleo_are_those_of_her_project(by_token):
    asked = {"range": "30d", "basis": "usage"}
    own = by_token("cleo").get("/api/v1/spend", **asked).json()
    same = by_token("asha").get("/api/v1/spend", **asked, **{"f.project": "support-chat"}).json()
    assert own["cost"] == same["cost"] != "0"
    assert json.dumps(own["others"]) == "[]"
