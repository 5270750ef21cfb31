"""Costs split by a label of requests: the same total to the last digit, and no other's values."""

import json
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.http import QueryDict
from django.utils import timezone

from finops.actions.price_book import OwnPrice, set_own_prices
from finops.actions.pricing import price_hours, reprice
from finops.actions.user_costs import price_user_days
from finops.models import BillMatch
from finops.queries import dearest
from finops.queries.filters import Filters
from finops.queries.spend import NoSuchSeries, spend_by, spend_series, spend_total
from ingest import labels, store
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
BY_CUSTOMER = f"{WINDOW}&group_by=label:customer"
MILLION = {"input_tokens": 1_000_000, "output_tokens": 0}
ACME, BETA, NOBODY = Decimal("0.30"), Decimal("0.60"), Decimal("0.15")


def keep(name="customer", project=None):
    return labels.keep(project, name, [name], date(2026, 1, 1), "asha")


def come(source, *records):
    store.spans(source, records)
    roll_up()
    price_hours()
    UserDayState.objects.update(not_before=None)
    sum_users(timezone.now())
    return price_user_days()


def of(number, customer="", **changes):
    said = {"region": "eu"} | ({"customer": customer} if customer else {})
    return span(number, attributes=said, **{**MILLION, **changes})


def by(table):
    return {row.labels: (row.cost, row.requests) for row in table.rows}


@pytest.fixture
def ask(asha):
    def asked(query, user=None):
        filters, errors = Filters.parse(QueryDict(query), user or asha, by_label=True)
        assert not errors
        return filters

    return asked


@pytest.fixture
def source(chat, book):
    return SourceFactory(project=chat, name="Chat traffic")


@pytest.fixture
def used(source):
    keep()
    come(
        source,
        of(1, "acme"),
        of(2, "acme"),
        of(3, "beta", input_tokens=0, output_tokens=1_000_000),
        of(4),
    )
    return source


def test_values_cost_what_their_own_requests_cost(used, ask):
    table = spend_by(ask(BY_CUSTOMER))
    assert by(table) == {
        ("beta",): (BETA, 1),
        ("acme",): (ACME, 2),
        ("No customer",): (NOBODY, 1),
    }
    assert table.total.cost == spend_total(ask(WINDOW)).cost


@pytest.mark.parametrize(
    "groups", ["label:customer", "label:customer,model", "project,label:customer"]
)
def test_rows_add_up_with_bills_and_hardware_beside_the_values(
    used, ask, pool, bills, search, groups
):
    BillMatch.objects.create(usage_provider="azure", bill_provider="Azure", bill_service="OpenAI")
    come(SourceFactory(project=search), of(5, "acme", provider="azure"))
    paid(pool, NOON.replace(minute=0), idle="3", bert="1")
    billed(bills, date(2026, 11, 1), range(9, 11), "5")
    filters = ask(f"{WINDOW}&group_by={groups}")
    table, total = spend_by(filters), spend_total(filters)
    assert table.total.cost == sum(row.cost for row in table.rows) == total.cost
    assert table.total.requests == sum(row.requests or 0 for row in table.rows) == total.requests
    assert table.total.tokens == total.tokens
    series = spend_series(filters)
    assert sum(sum(filter(None, line.values)) for line in series.lines) == total.cost


def test_no_customer_and_other_values_are_rows_beside_the_dearest(used, ask, monkeypatch):
    monkeypatch.setattr("ingest.rollup.users.MOST_VALUES", 2)
    monkeypatch.setattr(dearest, "MOST_NAMED", 1)
    come(used, of(5, "small", input_tokens=1000), of(6, "small too", input_tokens=1000))
    assert by(spend_by(ask(BY_CUSTOMER))) == {
        ("beta",): (BETA, 1),
        ("Everybody else",): (ACME, 2),
        ("No customer",): (NOBODY, 1),
        ("Other values",): (Decimal("0.0003"), 2),
    }


def test_what_was_not_split_yet_is_with_everybody_else(used, ask):
    store.spans(used, [of(9, "acme")])
    roll_up()
    price_hours()
    table = spend_by(ask(BY_CUSTOMER))
    assert by(table)[("Everybody else",)] == (Decimal("0.15"), 1)
    assert table.total.cost == sum(row.cost for row in table.rows)


def test_filter_by_values_narrows_every_figure_to_them(used, ask, pool):
    paid(pool, NOON.replace(minute=0), idle="3")
    acme = ask(f"{WINDOW}&f.label:customer=acme&group_by=model")
    assert acme.basis == "usage"
    assert by(spend_by(acme)) == {("gpt-4o-mini",): (ACME, 2)}
    assert (spend_total(acme).cost, spend_total(acme).requests) == (ACME, 2)
    both = "f.label:customer=acme&f.label:customer=&group_by=label:customer"
    assert set(by(spend_by(ask(f"{WINDOW}&{both}")))) == {
        ("acme",), ("No customer",),
    }  # fmt: skip
    assert ask(acme.to_query()) == acme


def test_values_follow_a_repricing_and_a_new_price_within_the_day_is_shared(used, ask):
    noon = NOON.replace(minute=0)
    set_own_prices([OwnPrice("openai", "gpt-4o-mini", unit, Decimal(2)) for unit in
                    ("input", "output")])  # fmt: skip
    reprice("project", [used.project_id], noon, noon + timedelta(hours=1))
    price_hours()
    assert price_user_days() == 1
    assert by(spend_by(ask(BY_CUSTOMER)))[("acme",)] == (Decimal(4), 2)
    # Another book's hour makes two cards of the day: each label is shared for itself.
    keep("region")
    come(used, of(7, "acme", started_at=noon - timedelta(hours=2)))
    for group in ("customer", "region"):
        table = spend_by(ask(f"{WINDOW}&group_by=label:{group}"))
        assert table.total.cost == sum(row.cost for row in table.rows)


def test_label_that_is_kept_later_splits_the_days_before(source, ask):
    come(source, of(1, "acme"))
    keep()
    assert by(spend_by(ask(BY_CUSTOMER))) == {("Everybody else",): (Decimal("0.15"), 1)}
    come(source)
    assert by(spend_by(ask(BY_CUSTOMER))) == {("acme",): (Decimal("0.15"), 1)}


def test_reader_of_one_project_sees_its_values_and_its_labels_alone(used, ask, search, cleo):
    keep("secret", project=search)
    come(SourceFactory(project=search), of(5, "zoe"))
    assert ("zoe",) in by(spend_by(ask(BY_CUSTOMER)))
    assert set(by(spend_by(ask(BY_CUSTOMER, cleo)))) == {("acme",), ("beta",), ("No customer",)}
    from django.http import QueryDict

    from finops.queries.filters import Filters

    _, errors = Filters.parse(QueryDict("group_by=label:secret"), cleo)
    assert [(one.field, one.message) for one in errors] == [
        ("group_by", "No label “secret” is kept; there are customer.")
    ]


def test_labels_have_no_hours(used, ask):
    filters = ask("from=2026-11-10&to=2026-11-11&group_by=label:customer&basis=usage")
    with pytest.raises(NoSuchSeries, match="step=day"):
        spend_series(filters, step="hour")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=label:nothing", "group_by"),
        ("group_by=label:customer,label:region", "group_by"),
        ("group_by=user,label:customer", "group_by"),
        ("f.label:nothing=x", "f.label:nothing"),
        ("f.label:customer=x&group_by=user", "f.label:customer"),
        ("f.label:customer=x&group_by=label:region", "f.label:customer"),
        ("f.label:customer=x&f.label:region=y", "f.label:region"),
        ("f.label:customer=x&basis=bill", "basis"),
    ],
)
def test_what_labels_cannot_do_is_refused_by_its_field(used, asha, client, query, field):
    keep("region")
    client.force_login(asha)
    answer = client.get(f"/api/v1/spend/by?{WINDOW}&{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_page_csv_and_api_tell_the_same_values(used, asha, client):
    client.force_login(asha)
    page = Page(client.get(f"/costs?{BY_CUSTOMER}").content.decode())
    csv = client.get(f"/costs.csv?{BY_CUSTOMER}").content.decode().splitlines()
    api = json.loads(client.get(f"/api/v1/spend/by?{BY_CUSTOMER}").content)
    names = ["beta", "acme", "No customer", "Total"]
    assert page.tables["costs"][0][0] == "Label customer"
    assert [row[0] for row in page.tables["costs"][1:]] == names
    assert [line.split(",")[0] for line in csv[1:]] == names
    costs = [row["cost"] for row in (*api["data"], api["total"])]
    assert [line.split(",")[1] for line in csv[1:]] == costs
    down = f"{WINDOW}&group_by=model&f.label:customer=acme&basis=usage"
    narrowed = Page(client.get(f"/costs?{down}").content.decode())
    assert [row[0] for row in narrowed.tables["costs"][1:]] == ["gpt-4o-mini", "Total"]
    total = client.get(f"/api/v1/spend?{WINDOW}&f.label:customer=acme").json()
    assert Decimal(total["cost"]) == ACME


def test_pages_that_know_no_labels_say_so_and_links_do_not_take_them_along(used, asha, client):
    client.force_login(asha)
    told = client.get(f"/costs?{WINDOW}&f.label:customer=acme&group_by=model").content.decode()
    links = [part.split('"')[0] for part in told.split('href="')[1:]]
    assert not [
        at for at in links if "label%3A" in at and not at.startswith(("/costs?", "/costs."))
    ]
    for address in ("/requests", "/costs?chart=month", "/unit-costs"):
        joint = "&" if "?" in address else "?"
        said = client.get(f"{address}{joint}f.label:customer=acme")
        assert "Only costs per day are known by label" in said.content.decode(), address
    for path in ("requests", "requests/recent", "requests/slowest", "requests/errors"):
        api = client.get(f"/api/v1/{path}?f.label:customer=acme")
        assert [error["field"] for error in api.json()["errors"]] == ["f.label:customer"]
