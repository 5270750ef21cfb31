"""What was allocated, in one currency: each day at its rate, and what has none in its own."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils import timezone

from finops.actions import exchange
from finops.actions.allocation import landing
from finops.actions.allocation import rules as actions
from finops.actions.allocation.rules import Draft
from finops.costing.allocating import Condition
from finops.models import Chargeback, ChargebackLine
from finops.queries import spend
from finops.queries.allocation import bucket as buckets
from finops.queries.allocation.showback import showback
from finops.queries.allocation.statement_conversion import in_one
from tests.factories.finops import billed, paid, spent
from tests.finops.queries.test_allocation import pinned

MAY = date(2026, 5, 1)
ASKED = "from=2026-05-01&to=2026-06-01&basis=book&convert=EUR"


def at(day: int) -> datetime:
    return datetime(2026, 5, day, 12, tzinfo=UTC)


@pytest.fixture
def estate(asha, chat, search, pool, bills):
    """Dollars at 2 and 1.25 to the euro, euros, and credits that nothing converts."""
    text = "Date,USD,\n2026-05-01,2,\n2026-05-03,1.25,\n2026-05-28,1.6,\n2026-05-10,1.25,\n"
    exchange.import_file(text.encode(), by=None, via="command")
    billed(bills, MAY, range(2, 4), "4", provider="AWS", tags={"team": "search"})
    billed(
        bills, MAY, range(4, 5), "8", provider="GCP", billing_account_id="b", name="gcp",
        billing_currency="EUR",
    )  # fmt: skip
    spent(chat, at(2), "6")
    spent(chat, at(4), "1", currency="EUR", model="mistral")
    spent(chat, at(4), "9", currency="Credits", model="flux")
    paid(pool, at(2), idle="10")
    pinned(pool, at(2))
    even = Draft(name="Evenly", origin="bill", conditions=(Condition("provider", "is", ("aws",)),),
                 split="even", targets=(("chat", None), ("search", None)))  # fmt: skip
    held = Draft(name="By requests", origin="hardware", split="telemetry", targets=(),
                 conditions=(Condition("pool", "is", ("h100",)),))  # fmt: skip
    for draft in (even, held):
        actions.add(draft, by=asha, via="page")
    while landing.land():
        pass


def test_showback_is_the_costs_page_in_one_currency(estate, asha, ask):
    found = showback(asha, MAY, convert="EUR")

    rows = {(row.project.slug, row.currency): row.total for row in found.rows}
    # The bill of four dollars is two euros on the 2nd and 3.20 on the 3rd, half of it each one's.
    assert rows == {
        ("chat", "EUR"): Decimal("2.6") + 3 + 1,
        ("chat", "Credits"): Decimal(9),
        ("search", "EUR"): Decimal("2.6"),
        ("unallocated", "EUR"): Decimal(8) + 5,
    }
    table = spend.spend_by(ask(f"{ASKED}&group_by=project"))
    assert {row.keys[0]: row.cost for row in table.rows} == {
        slug: total for (slug, code), total in rows.items() if code == "EUR"
    }
    assert sum(line.amount for line in found.lines if line.currency == "EUR") == table.total.cost
    assert [part.currency for part in found.conversion.parts] == ["USD"]
    assert [one.currency for one in found.conversion.missing] == ["Credits"]
    assert showback(asha, MAY).conversion is None


def test_reader_of_a_project_gets_its_part_alone(estate, cleo):
    found = showback(cleo, MAY, convert="EUR")
    assert {row.project.slug for row in found.rows} == {"chat"}
    assert [part.days for part in found.conversion.parts] == [2]


def test_bucket_and_what_was_held_are_in_one_currency(estate, ask):
    filters = ask(ASKED)
    covered = buckets.coverage(filters)

    assert (covered.table.currency, covered.unallocated) == ("EUR", 13)
    assert sum(row.cost for row in buckets.bucket(filters).rows) == 13
    [held] = buckets.held(filters)
    assert (held.origin, held.currency, held.amount) == ("hardware", "EUR", 5)
    [recorded] = buckets.held(ask(ASKED.replace("&convert=EUR", "")))
    assert (recorded.currency, recorded.amount) == ("USD", 10)
    [tagged] = buckets.tags(filters)
    assert (tagged.key, tagged.currency, tagged.cost) == ("", "EUR", 8)


def test_statement_keeps_its_currency_and_is_converted_at_the_last_day(estate, asha, chat):
    statement = Chargeback.objects.create(
        month=MAY, number=1, rules_digest="", rules=[], closed_by=asha, closed_at=timezone.now()
    )
    amounts = {"USD": "16", "EUR": "3", "Credits": "7"}
    for code, amount in amounts.items():
        ChargebackLine.objects.create(
            chargeback=statement, project=chat, project_name="Chat", part="usage",
            currency=code, amount=Decimal(amount), reconciled=0,
        )  # fmt: skip
    lines = list(ChargebackLine.objects.order_by("pk"))

    found = in_one(lines, MAY, "EUR")

    assert found.day == date(2026, 5, 31)
    assert [
        (one.amount, one.rate_day) if (one := found.lines.get(line.pk)) else None for line in lines
    ] == [(10, date(2026, 5, 28)), (3, date(2026, 5, 31)), None]
    assert found.total == 13
    assert [one.currency for one in found.conversion.missing] == ["Credits"]
    assert sum(ChargebackLine.objects.values_list("amount", flat=True)) == 26
