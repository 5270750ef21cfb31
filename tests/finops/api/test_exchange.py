"""Exchange rates through the API, and figures converted with them."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import resolve

from finops.actions.exchange import import_file
from finops.models import ExchangeRate
from finops.queries.filters import today
from tests.finops.api.test_matrix import addresses

pytestmark = pytest.mark.usefixtures("estate")

RATES = "/api/v1/exchange-rates"
USED = "/api/v1/exchange-rates/used"
DAY = timedelta(days=1)


def body(**more) -> str:
    return json.dumps(more)


def one(day, rate="1.25", base="EUR", quote="USD"):
    return {"day": str(day), "base": base, "quote": quote, "rate": rate}


def test_rates_are_brought_in_read_page_by_page_and_replaced(by_token):
    asha, yesterday = by_token("asha", "write"), today() - DAY
    sent = body(source="Treasury", rates=[one(yesterday), one(yesterday, "161.270", quote="JPY")])

    first, again = asha.post(RATES, sent), asha.post(RATES, sent)
    asha.post(RATES, body(rates=[one(yesterday, "1.3")]))

    assert (first.status_code, first.json()) == (200, {
        "rates": 2, "added": 2, "replaced": 0, "unchanged": 0,
        "first_day": str(yesterday), "last_day": str(yesterday),
    })  # fmt: skip
    assert (again.json()["added"], again.json()["unchanged"]) == (0, 2)
    page = asha.get(RATES, limit=1).json()
    rest = asha.get(RATES, limit=1, cursor=page["next"]).json()
    assert rest["next"] is None
    assert [(row["quote"], row["rate"], row["version"], row["in_force"], row["source"])
            for row in (*page["data"], *rest["data"])] == [
        ("USD", "1.3", 2, True, "Own rates"), ("JPY", "161.27", 1, True, "Treasury"),
    ]  # fmt: skip
    every = asha.get(RATES, currency="USD", versions="all").json()["data"]
    assert [(row["rate"], row["in_force"]) for row in every] == [("1.3", True), ("1.25", False)]
    assert every[0]["brought_by"] == "asha"


def test_file_of_the_bank_is_taken_as_text(by_token):
    text = f"Date,USD,\n{today()},1.25,\n{today() - 3 * DAY},1.6,\n"

    assert by_token("asha", "write").post(RATES, body(content=text)).json()["added"] == 2
    used = by_token("cleo").get(USED, **{"from": str(today() - 5 * DAY)}).json()
    assert (used["currency"], used["to"]) == ("USD", "EUR")
    assert [(row["rate"], row["rate_day"], row["sources"]) for row in used["data"]] == [
        (None, None, []), (None, None, []),
        ("0.625", str(today() - 3 * DAY), ["ECB"]), ("0.625", str(today() - 3 * DAY), ["ECB"]),
        ("0.625", str(today() - 3 * DAY), ["ECB"]), ("0.8", str(today()), ["ECB"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({}, ["rates"]),
        ({"content": "x", "rates": [one("2026-01-05")]}, ["rates"]),
        ({"content": "day,base,quote,rate\nsoon,EUR,USD,1\n"}, ["content"]),
        ({"rates": [one("2026-01-05"), one("2026-01-05", quote="EUR")]}, ["rates.1.quote"]),
        ({"rates": [one("2999-01-05")]}, ["rates"]),
        ({"rates": [one("2026-01-05", "0")]}, ["rates.0.rate"]),
        ({"rates": [one("2026-01-05", "NaN")]}, ["rates.0.rate"]),
    ],
)
def test_wrong_rates_are_refused_whole_with_the_field(by_token, sent, fields):
    answer = by_token("asha", "write").post(RATES, body(**sent))

    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (400, fields)
    assert not ExchangeRate.objects.exists()


def test_spend_is_converted_as_the_parameter_asks_and_refused_elsewhere(by_token):
    asha = by_token("asha")
    unknown = asha.get("/api/v1/spend", convert="EUR")
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (400, "convert")
    first = today() - 40 * DAY
    import_file(f"day,base,quote,rate\n{first},EUR,USD,1\n".encode(), by=None, via="command")
    for back in range(35, -1, -7):
        text = f"day,base,quote,rate\n{today() - back * DAY},EUR,USD,1.25\n"
        import_file(text.encode(), by=None, via="command")

    plain = asha.get("/api/v1/spend", range="30d").json()
    euros = asha.get("/api/v1/spend", range="30d", convert="EUR").json()
    table = asha.get("/api/v1/spend/by", range="30d", convert="EUR", group_by="model").json()

    assert plain["conversion"] is None
    assert Decimal(euros["cost"]) == Decimal(plain["cost"]) * Decimal("0.8")
    assert (euros["currency"], euros["others"]) == ("EUR", [])
    [part] = euros["conversion"]["parts"]
    assert (part["currency"], part["lowest"], part["highest"]) == ("USD", "0.8", "0.8")
    assert sum(Decimal(row["cost"]) for row in table["data"]) == Decimal(euros["cost"])
    refused = asha.get("/api/v1/requests", convert="EUR")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "convert")


def test_every_address_converts_or_says_why_not(by_token):
    asha = by_token("asha", "write")
    assert asha.post(RATES, body(rates=[one(today() - back * DAY) for back in range(70)])).json()
    told = set()
    for name, path in addresses().items():
        if "{" in path or name in ("schema", "alerts-stream"):
            continue
        if "GET" not in resolve(path).func.view_class.permissions:
            continue
        answer = asha.get(path, convert="EUR")
        if answer.status_code == 200:
            told.add(name)
            found = answer.json()
            ways = ("conversion", "to")
            if not any(found.get(way) for way in ways):
                assert all("converted" in row for row in found["data"]), name
        elif answer.status_code == 400:
            [message] = [
                error["message"] for error in answer.json()["errors"] if error["field"] == "convert"
            ]
            assert message.startswith("Does not apply here"), name
        else:
            assert answer.status_code in (403, 404), name
    assert told == {
        "spend", "spend-by", "spend-series", "spend-month", "spend-lines", "unit-costs",
        "unit-costs-series", "unit-costs-comparison", "unit-costs-what-if", "savings",
        "savings-entries", "showback", "allocation-unallocated", "budgets", "exchange-rates-used",
        "forecasts", "anomalies", "gpus",
    }  # fmt: skip
