"""The reconciliation page: what it shows, that its CSV says the same, and its empty states."""

import csv
import io
import json
from decimal import Decimal

import pytest
from django.db.models import F

from finops.models import Audit, BillMatch
from finops.queries.reconciliation import recent_months
from ingest.models import BillDay, Delivery, SpanDay
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")
PATH = "/costs/reconciliation"
SERVICE = json.dumps(["Azure", "Azure OpenAI"])


def one_month() -> str:
    return f"?month={recent_months(2)[1]:%Y-%m}&provider=openai"


def csv_of(client, path):
    return list(csv.reader(io.StringIO(client.get(path).text)))


def test_months_are_listed_with_what_is_unexplained_and_the_badge(sign_in):
    page = Page(sign_in("asha").get(PATH).text)
    rows = page.tables["reconciliation"]
    assert rows[0][:3] == ["Month", "Usage of", "Bill"]
    states = {row[0]: row[-1] for row in rows[1:]}
    now, before = (f"{month:%Y-%m}" for month in recent_months(2))
    assert (states[now], states[before]) == ("no_bill", "reconciled")
    assert f"{PATH}?" in " ".join(page.hrefs)


def test_one_month_goes_from_usage_to_the_bill_by_class(sign_in):
    page = Page(sign_in("asha").get(PATH + one_month()).text)
    bridge = {row[0]: Decimal(row[1]) for row in page.tables["bridge"][1:]}
    bill = bridge.pop("The bill")
    assert sum(bridge.values()) == bill > 0
    assert next(iter(bridge)) == "Our priced usage"
    assert list(bridge)[-1] == "Unexplained"
    items = page.tables["items"][1:]
    assert sum(Decimal(row[4]) for row in items) == bill
    days = page.tables["reconciliation-days"][1:]
    assert sum(Decimal(row[2] or 0) for row in days) == bill
    assert "Reconciled with bills" in page.words


@pytest.mark.parametrize(
    ("query", "what", "table"),
    [
        ("?sort=-bill", "", "reconciliation"),
        ("month", "", "reconciliation"),
        ("month", "models", "items"),
        ("month", "days", "reconciliation-days"),
        ("", "source-costs", "source-costs"),
    ],
)
def test_csv_is_what_the_screen_shows(sign_in, query, what, table):
    client = sign_in("asha")
    SpanDay.objects.update(source_cost_usd=1, source_cost_spans=F("spans"))
    query = one_month() if query == "month" else query or "?"
    page = Page(client.get(PATH + query).text)
    rows = csv_of(client, f"/costs/reconciliation.csv{query}&what={what}")
    if table == "reconciliation" and "month" in query:  # on screen its cards and bridge tell it
        [row] = rows[1:]
        assert row[4] == page.tables["bridge"][-1][1]
    else:
        assert rows == page.tables[table]
        assert len(rows) > 1


def test_csv_of_something_else_is_not_found(sign_in):
    assert sign_in("asha").get("/costs/reconciliation.csv?what=all").status_code == 404


def test_bad_month_is_said_with_the_fix_and_the_default_is_shown(sign_in):
    answer = sign_in("asha").get(f"{PATH}?month=May")
    page = Page(answer.text)
    assert answer.status_code == 200
    assert "Month: use YYYY-MM, such as 2026-05. Shown are the last three." in page.words
    assert len(page.tables["reconciliation"]) > 1


def test_costs_and_the_navigation_lead_there_for_who_sees_bills(sign_in):
    hrefs = Page(sign_in("asha").get("/costs").text).hrefs
    assert len([href for href in hrefs if href.startswith(PATH)]) == 2
    hrefs = Page(sign_in("cleo").get("/costs").text).hrefs
    assert [href for href in hrefs if href.startswith(PATH)] == []


def test_without_a_bill_the_page_says_how_to_get_one(sign_in):
    BillDay.objects.all().delete()
    Delivery.objects.update(complete=False)
    words = Page(sign_in("asha").get(PATH).text).words
    assert "No bill is here yet" in words
    assert "match the bill's service with the provider" in words


def test_without_a_match_the_page_says_how_to_make_one(sign_in):
    BillMatch.objects.all().delete()
    page = Page(sign_in("asha").get(PATH).text)
    assert "No usage is matched with a bill yet" in page.words
    assert "Choose both in the form below." in page.words
    assert "Matched with no usage: Azure OpenAI of Azure." in page.words
    dev = Page(sign_in("dev").get(PATH).text).words
    assert "Ask an analyst or an admin to match them on this page." in dev
    assert "Match them" not in dev


def test_analyst_matches_and_takes_it_back(sign_in):
    client = sign_in("asha")
    answer = client.post(PATH, {"usage_provider": "anthropic", "service": SERVICE}, follow=True)
    assert "Matched: anthropic ↔ Azure Azure OpenAI." in Page(answer.text).words
    match = BillMatch.objects.get(usage_provider="anthropic")
    client.post(f"{PATH}/matches/{match.pk}/remove")
    assert not BillMatch.objects.filter(usage_provider="anthropic").exists()
    acts = Audit.objects.filter(action__startswith="bill_match.").order_by("pk")
    assert [(act.action, act.via) for act in acts] == [
        ("bill_match.add", "page"),
        ("bill_match.remove", "page"),
    ]


def test_choice_that_is_not_offered_is_refused(sign_in):
    answer = sign_in("asha").post(PATH, {"usage_provider": "openai", "service": SERVICE})
    assert answer.status_code == 422
    assert "Select a valid choice" in Page(answer.text).words


@pytest.mark.parametrize(
    ("name", "expected"), [("ben", 403), ("cleo", 403), ("dev", 403), ("ada", 302)]
)
def test_matching_is_for_those_who_bring_in_bills(sign_in, name, expected):
    client = sign_in(name)
    match = BillMatch.objects.get(usage_provider="openai")
    assert client.post(f"{PATH}/matches/{match.pk}/remove").status_code == expected
    posted = client.post(PATH, {"usage_provider": "anthropic", "service": SERVICE})
    assert posted.status_code == expected
