from datetime import date
from decimal import Decimal

import pytest

from finops.queries import bill_changes
from finops.queries.bill_changes import Cost
from ingest import store
from tests.ingest.make import bill_line

pytestmark = pytest.mark.django_db
OCTOBER = date(2026, 10, 1)


def deliver(bills, lines, name, complete=True):
    return store.bill(
        bills, name=name, sha256=name.encode(), complete=complete, rows=lines
    ).delivery


def changes(asha, delivery, **more):
    return bill_changes.delivery_changes(asha, delivery.pk, **more)


@pytest.fixture
def restated(bills):
    """EC2 gets dearer and one line comes and one goes; S3 stays; a credit appears."""
    first = deliver(bills, [
        bill_line(1, resource_id="a"),
        bill_line(2, resource_id="b"),
        bill_line(3, resource_id="c", service_name="Amazon S3", billed_cost=Decimal("1")),
    ], "first")  # fmt: skip
    second = deliver(bills, [
        bill_line(1, resource_id="a", billed_cost=Decimal("20"), content_hash=b"restated"),
        bill_line(3, resource_id="c", service_name="Amazon S3", billed_cost=Decimal("1")),
        bill_line(4, resource_id="d", effective_cost=None),
        bill_line(5, charge_category="Credit", billed_cost=Decimal("-3"),
                  effective_cost=Decimal("-3"), list_cost=None, contracted_cost=None),
    ], "second")  # fmt: skip
    return first, second


def test_differences_by_service_and_kind_of_charge(asha, restated):
    found = changes(asha, restated[1])

    usage, credit = sorted(found.rows, key=lambda row: row.charge_category, reverse=True)
    assert (usage.service, usage.charge_category, usage.currency) == ("Amazon EC2", "Usage", "USD")
    assert usage.costs["billed"] == Cost(Decimal("25"), Decimal("32.5"))
    assert usage.costs["billed"].difference == Decimal("7.5")
    assert (usage.lines_old, usage.lines_new) == (2, 2)
    assert (usage.added, usage.removed, usage.changed) == (1, 1, 1)
    assert credit.costs["billed"] == Cost(Decimal(0), Decimal("-3"))
    assert credit.costs["list"] == Cost(Decimal(0), None)
    assert credit.costs["list"].difference is None
    assert (credit.added, found.unchanged_groups) == (1, 1)


def test_totals_are_over_everything(asha, restated):
    [total] = changes(asha, restated[1]).totals

    assert total.costs["billed"] == Cost(Decimal("26"), Decimal("30.5"))
    assert (total.lines_old, total.lines_new) == (3, 4)
    assert total.lines_new - total.lines_old == total.added - total.removed


def test_first_delivery_is_all_new(asha, restated):
    found = changes(asha, restated[0])

    assert found.old is None
    assert sum(row.added for row in found.rows) == 3
    assert found.unchanged_groups == 0


def test_the_same_delivery_against_itself_changes_nothing(asha, restated):
    found = changes(asha, restated[1], against=restated[1].pk)

    assert (found.rows, found.unchanged_groups) == ((), 3)


def test_older_one_can_be_compared_backwards(asha, restated):
    first, second = restated
    forward = changes(asha, second).totals[0]
    [backward] = changes(asha, first, against=second.pk).totals

    assert backward.costs["billed"].difference == -forward.costs["billed"].difference
    assert (backward.added, backward.removed) == (forward.removed, forward.added)


def test_incomplete_delivery_is_compared_with_what_was_believed_then(asha, bills, restated):
    part = deliver(bills, [bill_line(1, resource_id="a")], "part", complete=False)
    third = deliver(bills, [bill_line(1, resource_id="a")], "third")

    assert changes(asha, part).old.name == "second"
    assert changes(asha, third).old.name == "second"


def test_currencies_have_totals_of_their_own(asha, bills):
    both = [bill_line(1), bill_line(2, billing_currency="EUR")]

    found = changes(asha, deliver(bills, both, "both"))

    assert [total.currency for total in found.totals] == ["EUR", "USD"]


def test_account_and_month_choose_the_scope(asha, bills):
    lines = [bill_line(1), bill_line(2, billing_account_id="account-2")]
    delivery = deliver(bills, lines, "two accounts")

    found = changes(asha, delivery, account="account-2", month=OCTOBER)

    assert found.billing_account_id == "account-2"
    assert found.scopes == (("account-1", OCTOBER), ("account-2", OCTOBER))
    assert changes(asha, delivery, account="account-3") is None
    assert changes(asha, delivery, against=999_999) is None


def test_who_may_not_see_bills_sees_no_changes(cleo, restated):
    assert changes(cleo, restated[1]) is None


def test_queries_do_not_grow_with_the_lines(asha, bills, restated, django_assert_num_queries):
    many = deliver(bills, [bill_line(n, sku_id=f"sku {n}") for n in range(1, 40)], "many")
    asha.has_perm("finops.view_bills")
    with django_assert_num_queries(5):
        changes(asha, many)
