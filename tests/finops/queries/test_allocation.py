"""What rules land where: no dollar is lost or doubled, and none shown to whom it is not."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from finops.actions.allocation import landing
from finops.actions.allocation import rules as actions
from finops.actions.allocation.rules import Draft
from finops.costing.allocating import Condition
from finops.models import (
    AllocationRule,
    BillMatch,
    LandedBill,
    LandedHardware,
    Landing,
    PoolQuarter,
    PriceBook,
    PricedHour,
)  # fmt: skip
from finops.queries import spend
from finops.queries.allocation import bucket
from ingest.models import DeliveryPeriod
from tests.factories.finops import billed, hardware_by_day, paid, spent

MAY = date(2026, 5, 1)
ASKED = "from=2026-05-01&to=2026-06-01&basis=book"
NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)


def is_(field: str, *values: str) -> Condition:
    return Condition(field, "is", values)


@pytest.fixture
def rule(asha):
    def made(name="To Search", *conditions, origin="bill", to=("search",), split="one", **more):
        targets = tuple(one if isinstance(one, tuple) else (one, None) for one in to)
        draft = Draft(
            name=name, origin=origin, conditions=conditions or (is_("provider", "aws"),),
            split=split, targets=targets, **more,
        )  # fmt: skip
        return actions.add(draft, by=asha, via="page")

    return made


@pytest.fixture
def by_project(ask):
    """What each project costs, after everything due was landed."""

    def costs(query: str = "", user=None, group: str = "project") -> dict[str, Decimal]:
        while landing.land():
            pass
        table = spend.spend_by(ask(f"{ASKED}{query}&group_by={group}", user))
        total = spend.spend_total(ask(f"{ASKED}{query}", user)).cost
        assert sum(row.cost for row in table.rows) == total == table.total.cost
        return {row.keys[0]: row.cost for row in table.rows if row.cost}

    return costs


def pinned(pool, at):
    """As pricing leaves an hour of a pool behind."""
    PricedHour.objects.update_or_create(
        owner_kind="pool", owner_id=pool.pk, hour=at.replace(minute=0),
        defaults={
            "revision": 1, "book": PriceBook.objects.first(), "priced_at": timezone.now(),
        },
    )  # fmt: skip


def test_first_rule_that_holds_takes_a_bill_line_within_its_days(
    chat, search, bills, rule, by_project
):
    billed(bills, MAY, range(1, 11), "1.1", provider="AWS", tags={"team": "Search"})
    billed(bills, date(2026, 4, 1), range(1, 3), "5", provider="Azure", name="old.csv")
    before = by_project()
    rule("Tagged", is_("tag:team", "search"), valid_from=date(2026, 5, 4))
    rule("All of it", is_("provider", "aws"), to=("chat",), last_day=date(2026, 5, 8))
    assert before == {"unallocated": Decimal("11")}
    assert by_project() == {
        "search": Decimal("7.7"), "chat": Decimal("3.3"),
    }  # fmt: skip
    assert by_project("&f.project=search", group="service") == {"API": Decimal("7.7")}
    assert by_project("&f.team=Support", group="team") == {"Support": Decimal("3.3")}
    assert by_project("&f.project=unallocated") == {}
    assert by_project("&metric=billed")["search"] == Decimal("14.7")


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        (Condition("service", "is", ("api",)), 4),
        (Condition("service", "is_not", ("API",)), 0),
        (Condition("service", "starts_with", ("ap",)), 4),
        (Condition("resource", "contains", ("prod_50%",)), 4),
        (Condition("resource", "contains", ("prod550",)), 0),
        (Condition("sub_account", "is", ("1234", "x")), 4),
        (Condition("region", "missing"), 4),
        (Condition("region", "present"), 0),
        (Condition("tag:team", "missing"), 4),
        (Condition("tag:it's", "present"), 4),
    ],
)
def test_conditions_say_what_they_mean(chat, search, bills, rule, by_project, condition, days):
    billed(
        bills, MAY, range(1, 5), "2", provider="AWS", region_id="", tags={"it's": "so"},
        resource_id="r/prod_50%/1", sub_account_id="1234",
    )  # fmt: skip
    rule("It", condition)
    assert by_project().get("search", 0) == 2 * days


def test_shared_charge_is_split_to_the_last_digit(chat, search, bills, rule, by_project):
    billed(bills, MAY, range(1, 3), "10.00000000000000000001", provider="AWS")
    billed(bills, MAY, range(3, 4), "-1", provider="Azure", name="credit.csv",
           billing_account_id="b2")  # fmt: skip
    shares = (("chat", Decimal("66.666666")), ("search", Decimal("33.333334")))
    rule("Shared", split="share", to=shares)
    rule("Even", is_("provider", "azure"), split="even", to=("chat", "search"))
    found = by_project()
    chat_part = 2 * Decimal("6.66666660000000000000") - Decimal("0.5")
    assert found == {
        "chat": chat_part, "search": Decimal("20.00000000000000000002") - 1 - chat_part,
    }  # fmt: skip


def test_bill_is_split_by_the_usage_it_charges_for(chat, search, bills, rule, by_project):
    for day in (2, 3):
        billed(bills, MAY, range(day, day + 1), "9", name=f"{day}", billing_account_id=str(day))
    spent(chat, NOON, "1")
    spent(search, NOON, "2")
    spent(search, NOON, "500", provider="anthropic")
    BillMatch.objects.create(usage_provider="openai", bill_provider="OpenAI", bill_service="API")
    rule("By use", is_("service", "api"), split="usage", to=())
    found = by_project("&basis=bill")
    # On the second of May nobody used anything: it stays, and says why.
    assert found == {"chat": 3, "search": 6, "unallocated": 9}
    held = LandedBill.objects.get(why__gt="")
    assert (held.day, held.effective_cost) == (date(2026, 5, 2), 9)
    assert held.why == "Nothing was used that has a price."
    # The bill covers the usage, so in the book each pays the bill and not the usage.
    assert by_project() == {"chat": 3, "search": 506, "unallocated": 9}
    # Late usage moves the split, when it is looked at.
    spent(chat, NOON + timedelta(hours=1), "3")
    assert (landing.land(), landing.land(looks_at_usage=True)) == (0, 2)
    assert by_project("&basis=bill") == {"chat": 6, "search": 3, "unallocated": 9}
    # Two currencies are not added to make a weight.
    spent(chat, NOON - timedelta(days=1), "3", currency="EUR")
    spent(search, NOON - timedelta(days=1), "3", currency="GBP")
    landing.land(looks_at_usage=True)
    held = LandedBill.objects.get(why__gt="")
    assert held.why == "Its use is priced in EUR and GBP: two units."


def test_hardware_lands_by_the_requests_it_answered(
    chat, search, pool, bills, rule, by_project, ask, asha
):
    usual = {"provider": "triton", "model": "bert", "currency": ""}
    spent(chat, NOON, None, unpriced_spans=0, **usual)
    spent(search, NOON, None, unpriced_spans=0, **usual | {"spans": 30})
    paid(pool, NOON, idle="3", bert="1", llama="2")
    pinned(pool, NOON)
    rule("GPUs", is_("pool", "h100"), origin="hardware", split="telemetry", to=())
    # Nobody's request for llama was seen, so nobody pays for it.
    assert by_project() == {"chat": 1, "search": 3, "unallocated": 2}
    assert by_project("&f.project=chat", group="model") == {
        "bert": Decimal("0.25"), "(idle)": Decimal("0.75"),
    }  # fmt: skip
    [daily] = spend.spend_series(ask(f"{ASKED}&f.project=chat&group_by=project")).lines
    assert daily.values[2] == sum(value for value in daily.values if value) == 1
    held = LandedHardware.objects.get(why__gt="")
    assert held.why == "No project's request for the model llama was seen in its days."
    assert [(one.why, one.amount) for one in bucket.held(ask(ASKED))] == [(held.why, 2)]
    # A bill of the same hardware is split by the same requests, once it is matched.
    billed(bills, MAY, range(3, 4), "8", provider="Cloud", service="GPUs")
    rule("GPU bill", is_("service", "gpus"), split="telemetry", to=())
    assert by_project("&basis=bill") == {"unallocated": 8}
    held = LandedBill.objects.get(rule__isnull=False)
    assert held.why == "Its service is matched with no provider, so no request is its."
    BillMatch.objects.create(usage_provider="triton", bill_provider="Cloud", bill_service="GPUs")
    assert by_project("&basis=bill") == {"chat": 2, "search": 6}
    # What the bill covers is no longer in the bucket: neither as its total nor as what is held.
    assert (by_project("&f.project=unallocated"), bucket.held(ask(ASKED))) == ({}, [])
    BillMatch.objects.all().delete()
    actions.remove(AllocationRule.objects.get(name="GPU bill"), by=asha, via="page")
    DeliveryPeriod.objects.all().delete()
    # Priced anew, it is landed anew.
    PoolQuarter.objects.filter(model="llama").delete()
    hardware_by_day()
    pinned(pool, NOON)
    assert by_project() == {"chat": 1, "search": 3}


def test_hours_that_come_in_leave_the_rules_applied_and_only_their_own_month_open(
    pool, chat, search, bills, rule, by_project
):
    paid(pool, NOON, idle="3")
    pinned(pool, NOON)
    rule("GPUs", is_("pool", pool.name), origin="hardware")
    june = date(2026, 6, 1)
    assert (landing.waiting(), landing.due_before(june)) == (1, 1)
    by_project()
    assert (landing.waiting(), landing.due_before(june)) == (0, 0)
    pinned(pool, NOON)
    assert (landing.waiting(), landing.due_before(june), landing.due_before(MAY)) == (0, 1, 0)


def test_what_is_landed_follows_the_rules_and_the_bills(
    chat, search, bills, rule, by_project, asha
):
    billed(bills, MAY, range(1, 3), "4", provider="AWS")
    assert (landing.land(), Landing.objects.count()) == (0, 0)
    one = rule()
    other = rule("To Chat", to=("chat",))
    assert by_project() == {"search": 8}
    assert landing.land() == 0
    actions.place(other, 1, by=asha, via="page")
    assert by_project() == {"chat": 8}
    actions.switch(other, False, by=asha, via="page")
    assert by_project() == {"search": 8}
    # A restated bill takes the place of the other, and what was known stays readable.
    known = timezone.now()
    billed(bills, MAY, range(1, 3), "5", provider="AWS", name="restated.csv")
    assert by_project() == {"search": 10}
    tomorrow = f"&known_on={known + timedelta(days=1):%F}"
    assert by_project(tomorrow) == {"search": 10}
    actions.remove(one, by=asha, via="page")
    assert by_project() == {"unallocated": 10}
    current = LandedBill.objects.filter(period__known_to=None)
    assert not current.exists()


def test_lines_without_a_cost_are_counted_where_they_land(chat, search, bills, rule, ask):
    billed(bills, MAY, range(1, 3), "4", provider="AWS", list_cost=None)
    rule()
    while landing.land():
        pass
    asked = ask(f"{ASKED}&metric=list&group_by=project")
    table = spend.spend_by(asked)
    assert {row.keys[0]: row.unknown_bill_lines for row in table.rows} == {
        "search": 2, "unallocated": 0,
    }  # fmt: skip
    assert spend.spend_total(asked).unknown_bill_lines == 2


def test_reader_of_a_project_is_shown_no_landed_bill(chat, search, bills, rule, ask, cleo):
    billed(bills, MAY, range(1, 3), "4", provider="AWS")
    spent(chat, NOON, "1")
    rule("Shared", split="even", to=("chat", "search"))
    while landing.land():
        pass
    table = spend.spend_by(ask("from=2026-05-01&to=2026-06-01&group_by=project", cleo))
    assert [(row.keys, row.cost) for row in table.rows] == [(("chat",), 1)]
