"""Costs split by user: the same total, to the last digit, and nobody sees another's project."""

import json
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from finops.actions.price_book import OwnPrice, set_own_prices
from finops.actions.pricing import price_hours, reprice
from finops.actions.user_costs import price_user_days
from finops.models import BillMatch, PricedUserDay, UserCostDay
from finops.queries import dearest
from finops.queries.spend import NoSuchSeries, spend_by, spend_page, spend_series, spend_total
from ingest import store
from ingest.models import UserDayState
from ingest.rollup import roll_up, sum_users
from tests.factories.finops import billed, paid
from tests.factories.ingest import SourceFactory
from tests.finops.actions.conftest import book, few, few_models
from tests.finops.reading import Page
from tests.ingest.make import NOON, span

__all__ = ["book", "few", "few_models"]

pytestmark = pytest.mark.django_db

WINDOW = "from=2026-11-01&to=2026-11-15"
BY_USER = f"{WINDOW}&group_by=user"


@pytest.fixture
def source(chat, book):
    return SourceFactory(project=chat, name="Chat traffic")


def come(source, *records):
    store.spans(source, records)
    roll_up()
    price_hours()
    UserDayState.objects.update(not_before=None)
    sum_users(timezone.now())
    return price_user_days()


def by(table):
    return {row.labels: (row.cost, row.requests) for row in table.rows}


ADA = Decimal("0.15") + Decimal("0.60")
BO = Decimal("0.30")


@pytest.fixture
def used(source):
    million = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
    come(
        source,
        span(1, user_id="ada", **million),
        span(2, user_id="bo", input_tokens=2_000_000, output_tokens=0),
        span(3, user_id="bo", kind="tool", input_tokens=None, output_tokens=None),
        span(4, input_tokens=1_000_000, output_tokens=0),
    )
    return source


def test_users_cost_what_their_own_usage_costs(used, ask):
    table = spend_by(ask(BY_USER))
    assert by(table) == {
        ("ada",): (ADA, 1),
        ("bo",): (BO, 1),
        ("No user named",): (Decimal("0.15"), 1),
    }
    assert (table.total.cost, table.total.requests) == (ADA + BO + Decimal("0.15"), 3)


def test_priced_day_of_users_is_not_priced_again(used):
    assert price_user_days() == 0


def test_what_was_not_split_yet_is_with_everybody_else(used, ask):
    store.spans(used, [span(9, user_id="ada", input_tokens=1_000_000, output_tokens=0)])
    roll_up()
    price_hours()
    table = spend_by(ask(BY_USER))
    assert by(table)[("Everybody else",)] == (Decimal("0.15"), 1)
    assert table.total.cost == spend_total(ask(WINDOW)).cost == sum(r.cost for r in table.rows)


@pytest.mark.parametrize("groups", ["user", "user,model", "project,user", "user,tier"])
def test_rows_add_up_with_bills_and_hardware_beside_the_users(
    used, ask, pool, bills, search, groups
):
    BillMatch.objects.create(usage_provider="azure", bill_provider="Azure", bill_service="OpenAI")
    come(SourceFactory(project=search), span(5, user_id="ada", provider="azure"))
    paid(pool, NOON.replace(minute=0), idle="3", bert="1")
    billed(bills, date(2026, 11, 1), range(9, 11), "5")
    filters = ask(f"{WINDOW}&group_by={groups}")
    table, total = spend_by(filters), spend_total(filters)
    assert table.total.cost == sum(row.cost for row in table.rows) == total.cost
    assert table.total.requests == sum(row.requests or 0 for row in table.rows) == total.requests
    assert table.total.tokens == total.tokens
    series = spend_series(filters)
    assert sum(sum(filter(None, line.values)) for line in series.lines) == total.cost
    assert spend_page(filters, "day", 8) == (total, table, series)
    _, _, few = spend_page(filters, "day", 1)
    assert (len(few.lines), few.lines[0]) == (2, series.lines[0])
    assert sum(sum(filter(None, line.values)) for line in few.lines) == total.cost


def test_only_the_dearest_are_named_and_everybody_else_is_one_row(used, ask, monkeypatch):
    monkeypatch.setattr(dearest, "MOST_NAMED", 1)
    assert by(spend_by(ask(BY_USER))) == {
        ("ada",): (ADA, 1),
        ("Everybody else",): (BO + Decimal("0.15"), 2),
    }


def test_user_before_is_compared_with_the_same_user_now(used, ask, monkeypatch):
    monkeypatch.setattr(dearest, "MOST_NAMED", 1)
    before = NOON - timedelta(days=14)
    million = {"started_at": before, "input_tokens": 1_000_000, "output_tokens": 0}
    come(used, *(span(n, user_id="bo", **million) for n in (10, 11)),
         span(12, user_id="ada", **million))  # fmt: skip
    table = spend_by(ask(f"{BY_USER}&compare=previous"))
    assert {row.labels[0]: row.previous for row in table.rows} == {
        "ada": Decimal("0.15"),
        "Everybody else": Decimal("0.30"),
    }


def test_reader_of_one_project_sees_its_users_alone(used, ask, search, cleo):
    come(SourceFactory(project=search), span(5, user_id="zoe"))
    assert ("zoe",) in by(spend_by(ask(BY_USER)))
    assert set(by(spend_by(ask(BY_USER, cleo)))) == {("ada",), ("bo",), ("No user named",)}


def test_filters_narrow_the_users_too(used, ask):
    come(used, span(6, user_id="cy", model="gpt-4o"))
    assert set(by(spend_by(ask(f"{BY_USER}&f.model=gpt-4o")))) == {("cy",)}


def test_price_that_changed_within_the_day_is_shared_in_proportion(source, ask):
    """The morning costs one, the afternoon ten: together they cost what the quarter hours did."""
    noon = NOON.replace(minute=0)
    set_own_prices([
        OwnPrice("openai", "gpt-4o-mini", unit, amount, valid_from=start)
        for unit in ("input", "output")
        for start, amount in ((None, Decimal(1)), (noon, Decimal(10)))
    ])  # fmt: skip
    usual = {"input_tokens": 1_000_000, "output_tokens": 0}
    come(
        source,
        span(1, user_id="ada", started_at=noon - timedelta(hours=2), **usual),
        span(2, user_id="bo", **usual),
        span(3, user_id="cy", **usual),
    )
    table = spend_by(ask(BY_USER))
    assert table.total.cost == sum(row.cost for row in table.rows) == 21
    assert {cost for cost, _ in by(table).values()} <= {Decimal(7), *_around(Decimal(7))}
    assert set(by(table)) == {("ada",), ("bo",), ("cy",)}


def _around(amount):
    digit = Decimal(1).scaleb(-19)
    return (amount + digit * n / 10 for n in range(-10, 11))


def test_users_follow_a_repricing(used, ask):
    set_own_prices([OwnPrice("openai", "gpt-4o-mini", unit, Decimal(2)) for unit in
                    ("input", "output")])  # fmt: skip
    hour = NOON.replace(minute=0)
    reprice("project", [used.project_id], hour, hour + timedelta(hours=1))
    assert price_user_days() == 0  # its hours come first
    price_hours()
    assert not PricedUserDay.objects.exists()
    assert price_user_days() == 1
    assert by(spend_by(ask(BY_USER)))[("ada",)] == (Decimal(4), 1)


def test_hours_of_a_pool_have_no_cost_of_their_own_for_a_user(used, ask, pool):
    come(used, span(7, user_id="ada", provider="triton", model="bert"))
    row = UserCostDay.objects.get(provider="triton")
    assert (row.currency, row.tokens, row.unpriced_spans) == ("", 120, 0)


def test_users_have_no_hours(used, ask):
    filters = ask("from=2026-11-10&to=2026-11-11&group_by=user&basis=usage")
    with pytest.raises(NoSuchSeries, match="step=day"):
        spend_series(filters, step="hour")
    assert spend_series(filters).step == "day"


def test_usage_cost_stands_beside_what_no_bill_covers(used, ask, asha, client, bills):
    """Else a user who is on the bill would cost nothing, and something per request."""
    BillMatch.objects.create(usage_provider="openai", bill_provider="OpenAI", bill_service="API")
    billed(bills, date(2026, 11, 1), range(9, 12), "5")
    client.force_login(asha)
    heads, *rows = Page(client.get(f"/costs?{BY_USER}").content.decode()).tables["costs"]
    at = [heads.index(name) for name in
          ("Cost, USD", "Usage cost, USD", "Requests", "Per 1,000 requests")]  # fmt: skip
    told = {row[0]: [row[place] for place in at] for row in rows}
    assert told["ada"] == ["0", "0.75", "1", "750"]
    assert told["bo"] == ["0", "0.3", "1", "300"]
    assert told["Unknown to bills"] == ["15", "", "", ""]
    assert told["Total"] == ["15", "1.2", "3", "400"]
    as_used = Page(client.get(f"/costs?{BY_USER}&basis=usage").content.decode()).tables["costs"]
    assert "Usage cost, USD" not in as_used[0]
    assert {row[0]: row[1] for row in as_used[1:]} == {
        row[0]: row[at[1]] for row in rows if row[0] != "Unknown to bills"
    }


def test_page_csv_and_api_tell_the_same_users(used, asha, client):
    client.force_login(asha)
    page = Page(client.get(f"/costs?{BY_USER}").content.decode())
    csv = client.get(f"/costs.csv?{BY_USER}").content.decode().splitlines()
    api = json.loads(client.get(f"/api/v1/spend/by?{BY_USER}").content)
    names = ["ada", "bo", "No user named", "Total"]
    assert [row[0] for row in page.tables["costs"][1:]] == names
    assert [line.split(",")[0] for line in csv[1:]] == names
    costs = [row["cost"] for row in (*api["data"], api["total"])]
    assert [line.split(",")[1] for line in csv[1:]] == costs
    assert Page(client.get("/costs?from=2026-11-10&to=2026-11-11&group_by=user").content.decode())
