"""What the ledger adds up to: sorts, currencies and unknowns apart, for whoever may see it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from finops.actions.exchange import import_file
from finops.queries.cursors import BadCursor
from finops.queries.savings import Capacity, CashSum, entries, entries_of, savings
from ingest.models import Project
from tests.factories.finops import booked

pytestmark = pytest.mark.django_db

FIRST = datetime(2026, 11, 2, tzinfo=UTC)
DAY = timedelta(days=1)
NOVEMBER = "from=2026-11-01&to=2026-12-01"


def test_promised_and_realised_are_sums_of_their_own(ask, chat):
    booked(chat, FIRST, counts_as="estimate", freed=90_000.0, lasts=30 * DAY)
    booked(chat, FIRST)
    booked(chat, FIRST + DAY, freed=1800.0)
    found = savings(ask(NOVEMBER))
    assert found.estimated.capacity == Capacity(90_000, 89_640, 90_360)
    assert found.realised.capacity == Capacity(5400, 4680, 6120)
    (row,) = found.changes
    assert (row.estimated.entries, row.realised.entries) == (1, 2)
    assert (row.realised.start, row.realised.end) == (FIRST, FIRST + 2 * DAY)
    assert (row.realised.requests, row.realised.measured_s) == (2000, 6000)


def test_superseded_entry_counts_no_more(ask, chat):
    old = booked(chat, FIRST, provisional=True)
    booked(chat, FIRST, supersedes=old, freed=1800.0)
    found = savings(ask(NOVEMBER))
    assert (found.realised.capacity.gpu_seconds, found.provisional) == (1800, False)


def test_unknown_cash_is_counted_and_not_added(ask, chat):
    booked(chat, FIRST, cash="2")
    booked(chat, FIRST + DAY, cash=None)
    found = savings(ask(NOVEMBER)).realised
    assert (found.cash, found.unknown_cash, found.entries) == (
        CashSum(Decimal(2), Decimal(2), Decimal(2)),
        1,
        2,
    )


def test_all_unknown_is_unknown_and_no_zero(ask, chat):
    booked(chat, FIRST, cash=None, freed=None)
    found = savings(ask(NOVEMBER)).realised
    assert (found.cash, found.capacity, found.unknown_cash) == (None, None, 1)


def test_other_currencies_are_told_and_never_added(ask, chat):
    booked(chat, FIRST, cash="2")
    booked(chat, FIRST + DAY, cash="5", currency="EUR")
    found = savings(ask(NOVEMBER))
    assert (found.realised.cash.amount, found.realised.others) == (2, (("EUR", Decimal(5)),))
    assert found.currencies == ("EUR", "USD")
    assert savings(ask(f"{NOVEMBER}&currency=EUR")).realised.cash.amount == 5


def test_ratios_of_several_days_weigh_their_requests(ask, chat):
    booked(chat, FIRST, requests=3000, gpu_seconds_per_request=0.1)
    booked(chat, FIRST + DAY, requests=1000, gpu_seconds_per_request=0.3)
    (row,) = savings(ask(NOVEMBER)).changes
    assert row.realised.gpu_seconds_now == pytest.approx(0.15)
    assert row.realised.gpu_seconds_before == pytest.approx(0.5)


def test_period_holds_what_begins_in_it_and_the_estimates_that_belong(ask, chat):
    booked(chat, FIRST, counts_as="estimate", lasts=30 * DAY)
    booked(chat, FIRST - 3 * DAY)
    booked(chat, FIRST + DAY, change_ref="2")
    booked(chat, FIRST - 90 * DAY, counts_as="estimate", change_ref="2")
    booked(chat, FIRST - 90 * DAY, counts_as="estimate", change_ref="3")
    found = savings(ask(NOVEMBER))
    assert {(row.change_ref, bool(row.estimated), bool(row.realised)) for row in found.changes} == {
        ("1", True, False),
        ("2", True, True),
    }


# Who sees what


def test_reader_of_one_project_sees_its_entries_alone(ask, chat, search, cleo):
    booked(chat, FIRST)
    booked(search, FIRST, change_ref="2")
    booked(Project.objects.unallocated(), FIRST, counts_as="programme_cost", cash="9")
    found = savings(ask(NOVEMBER, cleo))
    assert [row.change_ref for row in found.changes] == ["1"]
    assert (found.programme_cost, found.payback.state) == (None, "no_cost")
    assert len(entries(ask(NOVEMBER, cleo)).rows) == 1
    assert len(entries(ask(NOVEMBER)).rows) == 3


def test_filter_by_project_narrows(ask, chat, search):
    booked(chat, FIRST)
    booked(search, FIRST, change_ref="2")
    found = savings(ask(f"{NOVEMBER}&f.project=search"))
    assert [row.project_slug for row in found.changes] == ["search"]


# Payback


def cost(project, at, amount):
    return booked(project, at, counts_as="programme_cost", cash=amount)


def payback(ask, query=NOVEMBER):
    return savings(ask(query)).payback


def test_without_a_cost_there_is_nothing_to_pay_back(ask, chat):
    booked(chat, FIRST, cash="3")
    assert (payback(ask).state, payback(ask).cash) == ("no_cost", 3)


def test_freed_capacity_pays_nothing_back(ask, chat):
    cost(chat, FIRST, "100")
    booked(chat, FIRST)
    assert (payback(ask).state, payback(ask).cost) == ("no_cash", 100)


def test_estimate_pays_nothing_back(ask, chat):
    cost(chat, FIRST, "100")
    booked(chat, FIRST, counts_as="estimate", cash="5000")
    assert payback(ask).state == "no_cash"


def test_less_cash_than_cost_is_not_yet_paid_back(ask, chat):
    cost(chat, FIRST, "100")
    booked(chat, FIRST, cash="99.99")
    assert (payback(ask).state, payback(ask).months) == ("not_yet", None)


def test_payback_is_counted_from_the_first_cost_over_all_time(ask, chat):
    cost(chat, FIRST - 60 * DAY, "100")
    booked(chat, FIRST - 40 * DAY, cash="60")
    booked(chat, FIRST + DAY, cash="60")
    found = payback(ask)
    assert (found.state, found.at) == ("paid_back", FIRST + 2 * DAY)
    assert found.months == pytest.approx(62 / (365.25 / 12))


def test_later_cost_must_be_paid_back_too(ask, chat):
    cost(chat, FIRST, "10")
    booked(chat, FIRST, cash="10")
    cost(chat, FIRST + 5 * DAY, "10")
    assert payback(ask).state == "not_yet"
    booked(chat, FIRST + 9 * DAY, cash="10")
    assert (payback(ask).state, payback(ask).at) == ("paid_back", FIRST + 10 * DAY)


def test_what_comes_after_the_period_is_not_known_in_it(ask, chat):
    cost(chat, FIRST, "100")
    booked(chat, FIRST + 40 * DAY, cash="500")
    assert payback(ask).state == "no_cash"


def test_other_currency_pays_nothing_back(ask, chat):
    cost(chat, FIRST, "10")
    booked(chat, FIRST, cash="50", currency="EUR")
    assert payback(ask).state == "no_cash"


def test_curves_start_with_what_was_there_before(ask, chat):
    cost(chat, FIRST - 60 * DAY, "100")
    booked(chat, FIRST, cash="5")
    days = savings(ask(NOVEMBER)).days
    assert [(one.cash, one.cost) for one in days[:3]] == [(0, 100), (5, 100), (5, 100)]
    assert len(days) == 30


def test_empty_ledger_has_no_curves_and_no_sums(ask):
    found = savings(ask(NOVEMBER))
    assert (found.changes, found.days, found.programme_cost) == ((), (), None)
    assert (found.realised.capacity, found.realised.cash) == (None, None)


# Entries


def test_pages_of_entries_hold_each_once(ask, chat):
    made = [booked(chat, FIRST + n * DAY, change_ref=str(n)).pk for n in range(7)]
    found, cursor = [], None
    while True:
        page = entries(ask(NOVEMBER), limit=3, cursor=cursor)
        found += [row.pk for row in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert found == made[::-1]


def test_entries_of_one_change_hold_what_was_superseded(ask, chat):
    old = booked(chat, FIRST)
    new = booked(chat, FIRST, supersedes=old)
    booked(chat, FIRST, change_ref="2")
    found = entries(ask(NOVEMBER), change="1").rows
    assert [row.pk for row in found] == [new.pk, old.pk]
    assert entries_of("1") == found


def test_forged_cursor_is_refused(ask, chat):
    with pytest.raises(BadCursor):
        entries(ask(NOVEMBER), cursor="bm9wZQ")


def test_number_of_queries_does_not_grow_with_the_ledger(ask, chat):
    filters = ask(NOVEMBER)

    def asked():
        with CaptureQueriesContext(connection) as queries:
            savings(filters)
            assert len({row.project.slug for row in entries(filters).rows}) == 1
        return len(queries)

    booked(chat, FIRST)
    few = asked()
    for n in range(1, 6):
        booked(chat, FIRST + n * DAY, change_ref=str(n))
    assert asked() == few


RATES = b"""Date,USD,
2026-11-20,1.6,
2026-11-03,1.25,
2026-11-02,2,
"""


def test_cash_is_converted_at_the_last_day_of_its_period_and_a_cost_at_its_own(ask, chat):
    import_file(RATES, by=None, via="command")
    booked(chat, FIRST, cash="10")  # 2 November, at 2
    booked(chat, FIRST, cash="10", lasts=2 * DAY, change_ref="2")  # to the end of the 3rd, at 1.25
    booked(chat, FIRST + 2 * DAY, cash="7", currency="EUR", change_ref="3")
    booked(chat, FIRST + DAY, cash="4", currency="XTS", change_ref="4")
    booked(chat, FIRST + 18 * DAY, counts_as="programme_cost", cash="16")  # at 1.6

    found = savings(ask(f"{NOVEMBER}&convert=EUR"))

    assert (found.currency, found.realised.cash.amount) == ("EUR", Decimal(5 + 8 + 7))
    assert found.realised.others == (("XTS", Decimal(4)),)
    assert (found.programme_cost, found.other_costs) == (Decimal(10), ())
    assert (found.payback.cash, found.payback.cost) == (Decimal(20), Decimal(10))
    assert [(part.currency, part.days) for part in found.conversion.parts] == [("USD", 3)]
    assert [one.currency for one in found.conversion.missing] == ["XTS"]
    assert savings(ask(NOVEMBER)).realised.cash.amount == 20  # as booked, in dollars


def test_promise_is_converted_at_the_day_it_was_made(ask, chat):
    import_file(RATES, by=None, via="command")
    made = booked(chat, FIRST + 40 * DAY, counts_as="estimate", cash="8", lasts=30 * DAY)
    made_on = made.created_at.date()
    import_file(f"day,base,quote,rate\n{made_on},EUR,USD,4\n".encode(), by=None, via="command")

    found = savings(ask("from=2026-12-01&to=2027-02-01&convert=EUR"))

    assert found.estimated.cash == CashSum(Decimal(2), Decimal(2), Decimal(2))


def test_entries_are_converted_beside_what_is_booked_at_the_rate_of_their_day(ask, chat):
    import_file(RATES, by=None, via="command")
    saved = booked(chat, FIRST, cash="10")  # 2 November, at 2
    cost = booked(chat, FIRST + 18 * DAY, counts_as="programme_cost", cash="16")  # at 1.6
    strange = booked(chat, FIRST + DAY, cash="4", currency="XTS", change_ref="4")

    found = entries(ask(f"{NOVEMBER}&convert=EUR"))

    amounts = {pk: (one.cash, one.currency) for pk, one in found.converted.items()}
    assert amounts == {saved.pk: (5, "EUR"), cost.pk: (10, "EUR")}
    assert {row.pk: (row.cash, row.currency) for row in found.rows} == {
        saved.pk: (10, "USD"), cost.pk: (16, "USD"), strange.pk: (4, "XTS"),
    }  # fmt: skip
    assert entries(ask(NOVEMBER)).converted == {}
