"""What rules move of requests: to the last digit, by what each asked, and never twice."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from finops.actions.allocation import chargebacks, landing
from finops.actions.allocation import rules as actions
from finops.actions.allocation.rules import Draft
from finops.actions.price_book import OwnPrice, set_own_prices
from finops.actions.pricing import price_hours, reprice
from finops.costing.allocating import Condition
from finops.models import BillMatch, CostDay, LandedUsage
from finops.queries import spend
from finops.queries.allocation import requests
from finops.queries.allocation.chargebacks import lines_of
from finops.queries.allocation.preview import previewed
from finops.queries.allocation.rules import in_force
from finops.queries.allocation.showback import showback
from finops.queries.allocation.weights import UsageWeights
from ingest import labels, store
from ingest.models import Project, SealedDay
from ingest.models.rollups import DIMENSIONS
from ingest.rollup import roll_up
from tests.factories.finops import billed, person
from tests.factories.ingest import ProjectFactory, SourceFactory
from tests.finops.actions.conftest import book, few, few_models
from tests.ingest.make import NOON, span

__all__ = ["book", "few", "few_models"]

pytestmark = pytest.mark.django_db

WINDOW = "from=2026-11-01&to=2026-12-01"
MAY = "from=2026-05-01&to=2026-06-01"
DAY = NOON.date()
MILLION = {"input_tokens": 1_000_000, "output_tokens": 0}
"""Of gpt-4o-mini: $0.15."""


def is_(field: str, *values: str) -> Condition:
    return Condition(field, "is", values)


@pytest.fixture
def gateway(db):
    return ProjectFactory(slug="gateway", name="Gateway", team__name="Platform")


@pytest.fixture
def source(gateway, book):
    return SourceFactory(project=gateway, name="Gateway traffic")


@pytest.fixture
def rule(asha):
    def made(name="To Search", *conditions, to=("search",), split="one", **more):
        targets = tuple(one if isinstance(one, tuple) else (one, None) for one in to)
        draft = Draft(
            name=name, origin="requests", conditions=conditions, split=split, targets=targets,
            **more,
        )  # fmt: skip
        return actions.add(draft, by=asha, via="page")

    return made


def come(source, *records):
    store.spans(source, records)
    roll_up()
    price_hours()


def land():
    while landing.land(looks_at_usage=True):
        pass


@pytest.fixture
def by_project(ask):
    def costs(query: str = "", user=None, group: str = "project") -> dict[str, Decimal]:
        land()
        query = query if query.startswith("from") else f"{WINDOW}{query}"
        table = spend.spend_by(ask(f"{query}&group_by={group}", user))
        total = spend.spend_total(ask(query, user)).cost
        assert sum(row.cost for row in table.rows) == total == table.total.cost
        return {row.keys[0]: row.cost for row in table.rows if row.cost}

    return costs


CENTS = Decimal("0.15")


def test_conditions_look_at_the_requests_themselves(source, search, rule, by_project):
    come(
        source,
        span(1, service="api", user_id="ada", **MILLION),
        span(2, service="api", attributes={"team": "search 50%", "it's": "so"}, **MILLION),
        span(
            3,
            service="jobs",
            attributes={
                "metadata.user_api_key_alias": "Batch",
                "tenant.id": "Acme",
            },
            **MILLION,
        ),
        span(4, kind="tool", input_tokens=None, output_tokens=None),
    )

    def taken(*conditions) -> int:
        draft = Draft(name="x", origin="requests", conditions=conditions,
                      targets=(("search", None),))  # fmt: skip
        actions.checked(draft)
        start, end = DAY - timedelta(days=5), DAY + timedelta(days=5)
        return previewed(actions.rule_of(draft), None, start, end).lines

    wanted = [
        (is_("project", "GATEWAY"), 3),
        (is_("project", "Gateway"), 3),
        (Condition("project", "is_not", ("gateway",)), 0),
        (is_("service", "api"), 2),
        (Condition("service", "is_not", ("api",)), 1),
        (is_("provider", "openai"), 3),
        (Condition("model", "starts_with", ("gpt-4o",)), 3),
        (is_("user", "ada"), 1),
        (Condition("user", "missing"), 2),
        (is_("label:team", "Search 50%"), 1),
        (Condition("label:team", "contains", ("h_50%",)), 0),
        (Condition("label:it's", "present"), 1),
        (is_("label:x') or true --", "so"), 0),
        (is_("key", "batch"), 1),
        (is_("label:customer", "acme"), 0),
    ]
    assert [taken(condition) for condition, _ in wanted] == [n for _, n in wanted]
    assert taken(is_("service", "api"), is_("user", "ada")) == 1
    # A label that is kept is read where it says, and one that is changed is read anew.
    by_label = rule("Acme", is_("label:customer", "acme"))
    assert by_project() == {"gateway": 3 * CENTS}
    labels.keep(source.project, "customer", ["tenant.id"], DAY, "Asha")
    assert (taken(is_("label:customer", "acme")), landing.waiting()) == (0, 1)
    assert by_project() == {"gateway": 2 * CENTS, "search": CENTS}
    assert actions.draft_of(by_label).conditions == (is_("label:customer", "acme"),)


def test_first_rule_takes_a_request_and_the_preview_is_what_lands(
    source, search, chat, rule, by_project
):
    come(
        source,
        *(span(n, service="api", user_id="ada" if n % 2 else "bo", **MILLION) for n in range(1, 8)),
        span(9, started_at=NOON - timedelta(days=1), service="api", user_id="ada", **MILLION),
        span(10, provider="nobody", model="dear", service="api", user_id="ada"),
    )
    assert by_project() == {"gateway": 8 * CENTS}
    shares = (("chat", Decimal("33.333333")), ("gateway", Decimal("66.666667")))
    rule("Ada", is_("user", "ada"), valid_from=DAY)
    even = rule("Rest", is_("service", "api"), to=shares, split="share", last_day=DAY)
    chats = 3 * CENTS * Decimal("0.33333333") + CENTS * Decimal("0.33333333")
    assert by_project() == {
        "search": 4 * CENTS, "chat": chats, "gateway": 4 * CENTS - chats,
    }  # fmt: skip
    assert by_project("&f.project=search", group="service") == {"api": 4 * CENTS}
    assert by_project("&f.team=Platform", group="team") == {"Platform": 4 * CENTS - chats}
    # As they were used, they stay the sender's; and nothing that is landed lands again.
    assert by_project("&basis=usage") == {"gateway": 8 * CENTS}
    assert (landing.land(looks_at_usage=True), landing.waiting()) == (0, 0)
    # What is tried of a change is what it then is; requests without a price move nothing.
    even = actions.place(even, 1, by=even.created_by, via="page")
    wanted = actions.rule_of(replace(actions.draft_of(even), split="one",
                                     targets=(("chat", None),)), even.pk)  # fmt: skip
    land()
    found = previewed(wanted, even, DAY - timedelta(days=3), DAY + timedelta(days=1))
    assert found.sentences == ("This would move $0.80 from Gateway to Chat.",)
    assert [(one.service, one.sku, one.lines, one.cost, one.why) for one in found.met] == [
        ("Gateway", "gpt-4o-mini", 8, 8 * CENTS, ""),
        ("Gateway", "dear", 1, 0, "These requests have no price of their own."),
    ]  # fmt: skip
    actions.change(
        even, replace(actions.draft_of(even), split="one", targets=(("chat", None),)),
        by=even.created_by, via="page",
    )  # fmt: skip
    after = by_project()
    assert after == {"chat": 8 * CENTS}
    assert {one.project.slug: one.after for one in found.moved}["chat"] == after["chat"]


def test_what_landed_follows_prices_requests_and_rules(
    source, search, rule, by_project, asha, settings
):
    come(source, span(1, **MILLION))
    one = rule("All", is_("project", "gateway"))
    assert by_project() == {"search": CENTS}
    # A request that comes later is moved with its day, when requests are looked at again.
    come(source, span(2, **MILLION))
    assert (landing.land(), landing.waiting()) == (0, 0)
    assert landing.due_before(DAY) == 0 < landing.due_before(DAY + timedelta(days=1))
    assert by_project() == {"search": 2 * CENTS}
    # Requests that are not priced yet leave the day as it was, and due.
    store.spans(source, [span(3, started_at=NOON - timedelta(hours=1), **MILLION)])
    roll_up()
    actions.switch(one, False, by=asha, via="page")
    assert (landing.land(), landing.waiting()) == (0, 1)
    actions.switch(one, True, by=asha, via="page")
    price_hours()
    assert by_project() == {"search": 3 * CENTS}
    set_own_prices([OwnPrice("openai", "gpt-4o-mini", "input", Decimal(2))])
    hour = NOON.replace(minute=0)
    reprice("project", [source.project_id], hour - timedelta(hours=1), hour + timedelta(hours=1))
    price_hours()
    assert by_project() == {"search": 6}
    # When the requests are gone, what landed stays, whatever the rules say then.
    SealedDay.objects.create(table="ingest_span", day=DAY)
    actions.remove(one, by=asha, via="page")
    assert by_project() == {"search": 6}
    assert (landing.waiting(), landing.due_before(DAY + timedelta(days=1))) == (0, 0)
    gone = previewed(actions.rule_of(actions.draft_of(one)), None, DAY, DAY + timedelta(days=1))
    assert (gone.moved, gone.gone) == ((), 1)
    assert requests.reach() == DAY + timedelta(days=1)
    SealedDay.objects.all().delete()
    assert by_project() == {"gateway": 6}
    assert not LandedUsage.objects.exists()


def test_moves_of_a_closed_day_are_never_more_than_it_costs(source, search, chat, rule, by_project):
    """Two rules moved four fifths of a day whose requests are gone; then it is priced down."""
    come(source, *(span(n, user_id="ada", **MILLION) for n in (1, 2, 3)),
         span(4, user_id="bo", **MILLION), span(5, **MILLION))  # fmt: skip
    rule("Ada", is_("user", "ada"))
    rule("Bo", is_("user", "bo"), to=("chat",))
    assert by_project() == {"search": 3 * CENTS, "chat": CENTS, "gateway": CENTS}
    SealedDay.objects.create(table="ingest_span", day=DAY)

    def priced(cost: str) -> None:
        CostDay.objects.update(cost=Decimal(cost), list_cost=Decimal(cost))

    priced("0.7")  # still more than what was moved
    assert by_project() == {"search": 3 * CENTS, "chat": CENTS, "gateway": Decimal("0.1")}
    priced("0.2")
    assert by_project() == {"search": Decimal("0.15"), "chat": Decimal("0.05")}
    assert by_project("&metric=list") == {"search": Decimal("0.15"), "chat": Decimal("0.05")}
    assert by_project("&f.project=gateway") == {}
    # A bill that is split by usage is split by what counts.
    weights = UsageWeights(DAY, DAY).of(DAY, DAY, frozenset({"openai"}), "USD").of
    assert {pk: cost for pk, cost in weights.items() if cost} == {
        search.pk: Decimal("0.15"), chat.pk: Decimal("0.05"),
    }  # fmt: skip
    priced("0.1000000000000000001")
    assert sum(by_project().values()) == Decimal("0.1000000000000000001")
    assert min(by_project().values()) >= 0
    CostDay.objects.update(currency="EUR")
    assert by_project() == {}
    CostDay.objects.update(currency="USD", cost=5 * CENTS, list_cost=5 * CENTS)
    assert by_project() == {"search": 3 * CENTS, "chat": CENTS, "gateway": CENTS}


def test_bill_takes_the_place_of_what_was_moved_and_is_split_alike(
    source, search, bills, rule, by_project, asha, ask, settings
):
    """The bill ends at midnight of UTC, which is 01:00 here: the rest of that day is usage."""
    settings.ACCOUNTING_TIME_ZONE = "Europe/Berlin"
    BillMatch.objects.create(usage_provider="openai", bill_provider="OpenAI", bill_service="API")
    night = NOON.replace(hour=23, minute=20)
    come(
        source,
        *(span(n, user_id="ada", **MILLION) for n in (1, 2)),
        span(3, **MILLION),
        # After the end of the bill, on the same day of Berlin as before it.
        span(4, started_at=night + timedelta(hours=1), user_id="ada", **MILLION),
        span(5, started_at=night, **MILLION),
        span(6, started_at=night + timedelta(days=2), user_id="ada", **MILLION),
    )
    rule("Ada", is_("user", "ada"))
    everything = by_project()
    assert everything == {"search": 4 * CENTS, "gateway": 2 * CENTS}
    billed(bills, date(2026, 11, 1), range(1, 11), "1")
    actions.add(
        Draft(name="By use", origin="bill", conditions=(is_("service", "api"),), split="usage"),
        by=asha, via="page",
    )  # fmt: skip
    # A line charges for the two days of Berlin that it meets; before the 9th nothing was used.
    thirds, fifths = Decimal("0.66666666666666666667"), Decimal("0.6")
    assert by_project("&basis=bill") == {
        "unallocated": 8, "search": thirds + fifths, "gateway": 2 - thirds - fifths,
    }  # fmt: skip
    # What the bill leaves of its last day is moved as the whole day was: here by half.
    whole = by_project()
    assert whole == {
        "unallocated": 8,
        "search": thirds + fifths + CENTS / 2 + CENTS,
        "gateway": 2 - thirds - fifths + CENTS / 2,
    }
    series = spend.spend_series(ask(f"{WINDOW}&group_by=project"))
    assert sum(sum(filter(None, line.values)) for line in series.lines) == sum(whole.values())


def test_every_dollar_lands_once_whatever_the_rules(
    source, search, chat, pool, bills, rule, by_project, ask, settings
):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kathmandu"
    dice = random.Random(7)
    BillMatch.objects.create(usage_provider="azure", bill_provider="OpenAI", bill_service="API")
    own = SourceFactory(project=chat)
    for at, sender in enumerate((source, own)):
        come(sender, *(
            span(
                100 * at + n, started_at=NOON + timedelta(minutes=dice.randrange(-4000, 4000)),
                user_id=dice.choice(("ada", "bo", "")), service=dice.choice(("api", "jobs")),
                provider=dice.choice(("openai", "azure", "triton")),
                model=dice.choice(("gpt-4o", "gpt-4o-mini", "dear")),
                attributes={"team": dice.choice(("a", "b"))},
                input_tokens=dice.randrange(1, 10**6), output_tokens=dice.randrange(10**5),
            ) for n in range(1, 40)
        ))  # fmt: skip
    billed(bills, date(2026, 11, 1), range(9, 11), "5")
    before = {group: by_project(group=group) for group in ("provider", "model", "origin")}
    used = by_project("&basis=usage")
    thirds = (("search", Decimal("12.345678")), ("chat", Decimal("87.654322")))
    rule("A", is_("label:team", "a"), is_("user", "ada"))
    rule("B", is_("service", "jobs"), to=thirds, split="share", valid_from=DAY)
    rule("C", Condition("user", "present"), to=("search", "gateway", "chat"), split="even")
    landed = by_project()
    assert set(landed) == {"search", "chat", "gateway", "unallocated"}
    assert {group: by_project(group=group) for group in before} == before
    assert by_project("&basis=usage") == used
    users = spend.spend_by(ask(f"{WINDOW}&group_by=project,user"))
    assert users.total.cost == sum(row.cost for row in users.rows) == sum(landed.values())
    assert "Moved by rules" in {row.labels[1] for row in users.rows}
    # Each row of a day gives no more than it has.
    moved: dict[tuple, Decimal] = {}
    names = ("sender_id", "day", *DIMENSIONS, "currency")
    for *key, cost in LandedUsage.objects.values_list(*names, "cost"):
        assert cost > 0
        moved[tuple(key)] = moved.get(tuple(key), Decimal(0)) + cost
    own_costs = {
        tuple(key): cost
        for *key, cost in CostDay.objects.values_list("project_id", *names[1:], "cost")
    }
    assert moved
    assert all(cost <= own_costs[key] for key, cost in moved.items())


def test_test_reads_the_newest_requests_and_says_what_it_left_out(
    source, search, rule, monkeypatch
):
    come(source, *(span(n, started_at=NOON - timedelta(days=n), **MILLION) for n in range(1, 5)))
    monkeypatch.setattr(requests, "MOST_READ", 2)
    rule("All", is_("project", "gateway"))
    [wanted] = in_force()
    found = previewed(wanted, None, DAY - timedelta(days=10), DAY)
    assert (found.lines, found.unread, found.gone) == (2, 8, 0)


def test_requests_that_name_no_project_are_given_to_one(book, search, rule, by_project):
    come(SourceFactory(project=Project.objects.unallocated()), span(1, service="api", **MILLION))
    assert by_project() == {"unallocated": CENTS}
    draft = Draft(name="x", origin="requests", conditions=(is_("project", "unallocated"),),
                  targets=(("search", None),))  # fmt: skip
    found = previewed(actions.rule_of(draft), None, DAY, DAY + timedelta(days=1))
    assert found.sentences == ("This would move $0.15 from Unallocated to Search.",)
    rule("Api", is_("project", "unallocated"), is_("service", "api"))
    assert by_project() == {"search": CENTS}


def test_list_price_that_is_unknown_is_counted_where_it_lands(source, search, rule, ask):
    set_own_prices([OwnPrice("house", "ours", "input", Decimal(2))])
    come(source, span(1, provider="house", model="ours", **MILLION), span(2, **MILLION))
    rule("All", is_("project", "gateway"))
    land()
    table = spend.spend_by(ask(f"{WINDOW}&metric=list&group_by=project"))
    assert {row.keys[0]: (row.cost, row.unknown_bill_lines) for row in table.rows} == {
        "search": (CENTS, 1), "gateway": (0, 1),
    }  # fmt: skip


def test_sender_and_receiver_see_their_own_side_and_nobody_elses(
    source, gateway, search, chat, rule, by_project, cleo, asha
):
    month = date(2026, 5, 1)
    may = datetime(2026, 5, 3, 12, tzinfo=UTC)
    come(source, *(span(n, started_at=may, **MILLION) for n in range(1, 5)))
    rule("Shared", is_("service", "search"), split="even", to=("chat", "search"))
    assert by_project(MAY) == {"chat": 2 * CENTS, "search": 2 * CENTS}
    gina = person("gina", "viewer", project=gateway)
    for reader, slug, own, part in ((cleo, "chat", 0, 2), (gina, "gateway", 4, -4)):
        # Who sees no bills has the costs as they were used; the book of a month is the showback.
        assert by_project(MAY, user=reader) == ({slug: own * CENTS} if own else {})
        shown = showback(reader, month)
        assert [(row.project.slug, row.total) for row in shown.rows] == [
            (slug, (own + part) * CENTS)
        ]
        assert [(line.part, line.rule and line.rule.name, line.amount) for line in shown.lines] == [
            one for one in (("usage", None, own * CENTS), ("requests", "Shared", part * CENTS))
            if one[2]
        ]  # fmt: skip
    # A statement keeps both sides of the move, and each reads its own.
    closed = chargebacks.close(month, by=asha, via="page")
    lines = [(one.project.slug, one.part, one.amount) for one in closed.lines.all()]
    assert sorted(lines) == [
        ("chat", "requests", 2 * CENTS), ("gateway", "requests", -4 * CENTS),
        ("gateway", "usage", 4 * CENTS), ("search", "requests", 2 * CENTS),
    ]  # fmt: skip
    assert [one.amount for one in lines_of(cleo, closed)] == [2 * CENTS]


def test_without_such_rules_no_page_asks_the_database_more(source, ask, rule, search):
    come(source, span(1, **MILLION))
    filters = ask(f"{WINDOW}&group_by=project")
    with CaptureQueriesContext(connection) as without:
        spend.spend_by(filters)
    rule("All", is_("project", "gateway"))
    land()
    with CaptureQueriesContext(connection) as with_rules:
        spend.spend_by(filters)
    assert len(with_rules) == len(without)
