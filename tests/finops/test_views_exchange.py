"""The page of exchange rates, and pages of figures that are converted with them."""

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.utils import timezone

from finops.actions import budget_watch
from finops.actions.exchange import import_file
from finops.models import Audit, Budget, Chargeback, ExchangeRate
from finops.queries.filters import today
from tests.e2e import estate
from tests.finops.reading import Page, number_text

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

PAGE = "/settings/exchange-rates"
DAY = timedelta(days=1)


def a_file(text: str, name: str = "eurofxref-hist.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def history(rate: str = "1.25", days: int = 40) -> str:
    lines = [f"{today() - back * DAY},{rate},160," for back in range(days)]
    return "\n".join(["Date,USD,JPY,", *lines, ""])


@pytest.fixture
def rates(db):
    import_file(history().encode(), by=None, via="command")


def csv_of(client, path: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(client.get(path).text)))


def test_analyst_brings_a_file_in_and_sees_what_came_of_it(sign_in):
    asha = sign_in("asha")
    assert "No rates yet" in Page(asha.get(PAGE).text).words

    answer = asha.post(PAGE, {"file": a_file(history())}, follow=True)

    page = Page(answer.text)
    assert "80 rates of" in page.words
    assert page.tables["rates"][1][1:5] == ["EUR", "160", "JPY", "ECB"]
    assert [row[:2] for row in page.tables["coverage"][1:]] == [["EUR", "JPY"], ["EUR", "USD"]]
    assert page.tables["imports"][1][1:4] == ["ECB", "eurofxref-hist.csv", "asha"]
    assert Audit.objects.latest("id").action == "exchange_rates.import"
    again = Page(asha.post(PAGE, {"file": a_file(history())}, follow=True).text)
    assert "80 rates of" in again.words
    assert "nothing changed" in again.words


def test_wrong_file_is_refused_with_line_and_field(sign_in):
    answer = sign_in("asha").post(PAGE, {"file": a_file(f"Date,USD,\n{today()},x,\n")})

    assert answer.status_code == 422
    assert "Line 2, rate of USD: “x” is no rate" in Page(answer.text).words
    assert not ExchangeRate.objects.exists()
    assert sign_in("asha").post(PAGE).status_code == 422


@pytest.mark.parametrize("name", ["ben", "cleo", "dev", "ada"])
def test_only_analysts_bring_rates_in(sign_in, name):
    assert sign_in(name).post(PAGE, {"file": a_file(history())}).status_code == 403
    assert "Bring in rates" not in Page(sign_in(name).get(PAGE).text).words


def test_rates_are_narrowed_paged_and_the_same_in_the_csv(sign_in, rates):
    import_file(
        f"day,base,quote,rate\n{today()},EUR,USD,1.3\n".encode(), source="Treasury",
        by=None, via="command",
    )  # fmt: skip
    asha = sign_in("asha")
    query = f"from={today() - 2 * DAY}&of=USD"

    page = Page(asha.get(f"{PAGE}?{query}").text)
    every = Page(asha.get(f"{PAGE}?{query}&versions=all").text)

    assert [row[2] for row in page.tables["rates"][1:]] == ["1.3", "1.25", "1.25"]
    assert [row[2] for row in every.tables["rates"][1:]] == ["1.3", "1.25", "1.25", "1.25"]
    assert every.tables["rates"][1][4] == "Treasury"
    rows = csv_of(asha, f"{PAGE}.csv?{query}&versions=all")
    assert [row[2] for row in rows] == [row[2] for row in every.tables["rates"]]
    assert asha.get(f"{PAGE}?cursor=nonsense").status_code == 400


def test_long_list_has_pages(sign_in, rates):
    asha = sign_in("asha")
    first = Page(asha.get(f"{PAGE}?from={today() - 60 * DAY}&of=USD&versions=all").text)
    assert len(first.tables["rates"]) == 41
    whole = Page(asha.get(f"{PAGE}?from={today() - 60 * DAY}").text)
    assert len(whole.tables["rates"]) == 81


def test_rates_used_say_which_day_they_are_of(sign_in):
    import_file(
        f"Date,USD,\n{today() - DAY},1.25,\n{today() - 12 * DAY},1.6,\n".encode(),
        by=None, via="command",
    )  # fmt: skip
    asha = sign_in("asha")
    query = f"from={today() - 6 * DAY}&to={today() + DAY}&of=USD&convert=EUR"

    used = Page(asha.get(f"{PAGE}?{query}").text).tables["used"][1:]

    assert [row[1] for row in used] == ["0.8", "0.8", *["not converted"] * 3, "0.625", "0.625"]
    assert used[0][2] == str(today() - DAY)
    assert used[1][2] == "the day itself"
    rows = csv_of(asha, f"{PAGE}.csv?{query}&table=used")
    assert [row[1] for row in rows[1:]] == [row[1] for row in used]


@pytest.mark.parametrize(
    ("path", "table", "api"),
    [
        ("/costs?group_by=model", "costs", "spend/by?group_by=model"),
        ("/costs?group_by=user&basis=usage", "costs", "spend/by?group_by=user&basis=usage"),
        ("/unit-costs?group_by=model", "unit-costs", "unit-costs?group_by=model"),
    ],
)
def test_page_csv_and_api_are_one_number_when_converted(sign_in, rates, path, table, api):
    asha = sign_in("asha")
    query = "&range=30d&convert=EUR"
    page = Page(asha.get(path + query).text)
    name, _, rest = path.partition("?")

    rows = csv_of(asha, f"{name}.csv?{rest}{query}")
    told = asha.get(f"/api/v1/{api}{query}").json()

    shown = page.tables[table]
    at = next(at for at, head in enumerate(shown[0]) if re.match("(Cost|Spend), EUR", head))
    assert [row[at] for row in rows[1:]] == [row[at] for row in shown[1:]]
    costs = {number_text(Decimal(row["cost"])) for row in (*told["data"], told["total"])}
    assert {number_text(Decimal(row[at])) for row in shown[1:] if row[at]} <= costs
    assert "Converted to EUR with rates of the day from ECB. USD at 0.8, of" in page.words
    assert f"{PAGE}?" in " ".join(page.hrefs)
    assert any(f"{name}?" in href and "convert" not in href for href in page.hrefs)


def test_overview_is_converted_and_says_what_is_not(sign_in, rates):
    asha = sign_in("asha")
    plain = Page(asha.get("/?range=30d").text)
    page = Page(asha.get("/?range=30d&convert=EUR").text)

    assert "Converted to EUR" in page.words
    expected = "What is expected: USD at 0.8, the newest rate, of"
    assert expected in page.words
    assert expected in Page(asha.get("/costs?range=7d&chart=month&convert=EUR").text).words
    assert expected not in Page(asha.get("/costs?range=7d&convert=EUR").text).words
    recorded = [row[1] for row in plain.tables["top-model"][1:] if row[1]]
    euros = [row[1] for row in page.tables["top-model"][1:] if row[1]]
    assert [number_text(Decimal(one)) for one in euros] == [
        number_text(Decimal(one) * Decimal("0.8")) for one in recorded
    ]


def test_budgets_stand_in_another_currency_beside_their_own(sign_in, rates):
    estate.watch()
    budget_watch.evaluate(Budget.objects.get().pk, timezone.now())
    asha = sign_in("asha")
    own = Page(asha.get("/budgets").text).tables["budgets"]

    page = Page(asha.get("/budgets?convert=EUR").text)
    rows = csv_of(asha, "/budgets.csv?convert=EUR")
    [told] = asha.get("/api/v1/budgets?convert=EUR").json()["data"]

    shown = page.tables["budgets"]
    assert shown[0][7:9] == rows[0][7:9] == ["Spent, EUR", "Amount, EUR"]
    assert [[*row[:7], *row[9:]] for row in shown] == own
    assert shown[1][7:9] == rows[1][7:9]
    assert Decimal(shown[1][7]) == Decimal(own[1][3]) * Decimal("0.8")
    assert told["converted"]["rate"] == "0.8"
    assert [Decimal(told["converted"][name]) for name in ("spent", "amount")] == [
        Decimal(one) for one in shown[1][7:9]
    ]
    assert "Also in EUR, at the rate of the day each was computed" in page.words
    assert asha.get("/api/v1/budgets").json()["data"][0]["converted"] is None
    assert asha.get("/api/v1/budgets?convert=XTS").status_code == 400
    assert (
        "There is no exchange rate of XTS yet" in Page(asha.get("/budgets?convert=XTS").text).words
    )


def test_converted_pages_hold_nothing_a_strict_policy_refuses(sign_in, rates):
    asha = sign_in("asha")
    for path in (
        "/", "/costs", "/costs?chart=month", "/costs/lines", "/unit-costs", "/savings", "/showback",
        "/allocation", "/allocation/unallocated?tags=yes", "/requests", "/gpus", PAGE,
    ):  # fmt: skip
        mark = "&" if "?" in path else "?"
        answer = asha.get(f"{path}{mark}range=30d&convert=EUR&of=USD")
        assert (path, answer.status_code, Page(answer.text).refused) == (path, 200, [])


def test_page_that_converts_nothing_says_so(sign_in, rates):
    asha = sign_in("asha")
    for path in ("/requests", "/hosts"):
        page = Page(asha.get(f"{path}?range=30d&convert=EUR").text)
        assert "Not converted to EUR." in page.words, path
        assert "Not converted" not in Page(asha.get(f"{path}?range=30d").text).words
    assert "Not converted" not in Page(asha.get("/costs?range=30d&convert=EUR").text).words


def test_showback_and_its_statement_are_converted_the_statement_beside_its_own(sign_in, rates):
    import_file(history(days=70).encode(), by=None, via="command")
    asha = sign_in("asha")
    month = (today().replace(day=1) - DAY).strftime("%Y-%m")
    asha.post("/showback/close", {"month": month})
    statement = Chargeback.objects.get()

    page = Page(asha.get(f"/showback?month={month}&convert=EUR").text)
    told = asha.get(f"/api/v1/showback?month={month}&convert=EUR").json()
    plain = Page(asha.get(f"/showback?month={month}").text).tables["showback"]

    shown = page.tables["showback"]
    at = shown[0].index("Total")
    assert {row[at + 1] for row in shown[1:]} == {"EUR"}
    assert sum(Decimal(row[at]) for row in shown[1:]) == Decimal("0.8") * sum(
        Decimal(row[at]) for row in plain[1:] if row[at + 1] == "USD"
    )
    assert [Decimal(row["total"]) for row in told["rows"]] == [
        Decimal(row[at]) for row in shown[1:]
    ]
    assert told["conversion"]["to"] == "EUR"
    rows = csv_of(asha, f"/showback.csv?month={month}&convert=EUR")
    assert [row[at] for row in rows[1:]] == [row[at] for row in shown[1:]]

    own = Page(asha.get(f"/chargebacks/{statement.pk}?convert=EUR").text)
    lines = own.tables["lines"]
    assert lines[0][-3:] == ["Currency", "Counted", "Amount, EUR"]
    assert all(Decimal(row[-1]) == Decimal(row[4]) * Decimal("0.8") for row in lines[1:])
    assert "a statement keeps its own currency" in own.words
    rows = csv_of(asha, f"/chargebacks/{statement.pk}.csv?convert=EUR")
    assert [row[-1] for row in rows] == [row[-1] for row in lines]
    answer = asha.get(f"/api/v1/chargebacks/{statement.pk}?convert=EUR").json()
    assert [Decimal(line["converted"]["amount"]) for line in answer["lines"]] == [
        Decimal(row[-1]) for row in lines[1:]
    ]
    totals = own.tables["projects"]
    assert totals[0][-2:] == ["Counted", "Total, EUR"]
    assert all(Decimal(row[-1]) == Decimal(row[2]) * Decimal("0.8") for row in totals[1:])
    assert [Decimal(one["converted"]["amount"]) for one in answer["by_project"]] == [
        Decimal(row[-1]) for row in totals[1:]
    ]
    assert asha.get(f"/api/v1/chargebacks/{statement.pk}?convert=XTS").status_code == 400


def test_ledger_stands_in_another_currency_beside_its_own(sign_in, rates):
    asha = sign_in("asha")
    asha.post("/savings", {"on": str(today()), "amount": "16", "currency": "USD", "note": "Tests"})
    query = "range=7d&convert=EUR"

    ledger = Page(asha.get(f"/savings?{query}").text).tables["ledger"]
    rows = csv_of(asha, f"/savings.csv?{query}&what=ledger")
    told = asha.get(f"/api/v1/savings/entries?{query}").json()["data"]

    at = ledger[0].index("Cash, EUR")
    assert [row[at] for row in ledger[1:]] == [row[at] for row in rows[1:]]
    [cost] = [row for row in told if row["title"] == "Tests"]
    assert (cost["cash"], cost["currency"]) == ("16", "USD")
    assert (cost["converted"]["cash"], cost["converted"]["rate"]) == ("12.8", "0.8")
    assert "12.8" in {row[at] for row in rows}


def test_currency_without_rates_is_named_and_figures_stay(sign_in):
    page = Page(sign_in("asha").get("/costs?convert=EUR").text)

    assert "There is no exchange rate of EUR yet" in page.words
    assert "Cost, USD" in page.tables["costs"][0]


def test_nothing_that_can_be_converted_is_unknown_and_not_zero(sign_in):
    import_file(b"Date,USD,\n2001-01-05,1.25,\n", by=None, via="command")

    html = sign_in("asha").get("/costs?range=30d&convert=EUR").text

    assert "Nothing in this period could be converted to EUR." in Page(html).words
    assert "is not converted and in no figure" in Page(html).words


def test_command_brings_in_and_lists(db, tmp_path, capsys):
    call_command("exchange_rates", "list")
    path = tmp_path / "eurofxref.csv"
    path.write_text(history(days=2))
    call_command("exchange_rates", "import", str(path))
    call_command("exchange_rates", "list")

    first, last = today() - DAY, today()
    assert capsys.readouterr().out.splitlines() == [
        "There are no exchange rates yet.",
        f"4 rates added, 0 replaced, 0 known already, from {first} to {last}.",
        f"EUR in JPY: {first} to {last}, 2 days",
        f"EUR in USD: {first} to {last}, 2 days",
    ]
    path.write_text("Date,USD,\nsoon,1,\n")
    with pytest.raises(CommandError, match=r"Nothing was taken\. Line 2, Date"):
        call_command("exchange_rates", "import", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("exchange_rates", "import", str(tmp_path / "none.csv"))
