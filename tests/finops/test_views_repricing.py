"""Pricing a range again on its page, through the API and by the command."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError

from finops.actions.price_book import OwnPrice, set_own_price
from finops.actions.pricing import price_hours
from finops.models import Audit, CostQuarter, PoolQuarter, PriceBook, PricedHour, Repricing
from finops.queries.filters import today
from tests.finops.api.conftest import anybody, by_token
from tests.finops.reading import Page
from tests.finops.test_price_update import prices

__all__ = ["anybody", "by_token"]

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

RANGE = "range=14d"
PAGE = f"/prices/reprice?{RANGE}"


@pytest.fixture
def newer(db):
    return set_own_price(OwnPrice("openai", "gpt-house-tuned", "input", Decimal("0.35")))


def shown(client):
    response = client.get(f"{PAGE}&show=1")
    return Page(response.text), re.search(r'name="plan" value="(\w+)"', response.text)[1]


def test_page_asks_before_it_computes_anything(sign_in, newer):
    response = sign_in("asha").get(PAGE)
    assert "Show the difference" in response.text
    assert 'name="plan"' not in response.text


def test_page_shows_the_difference_and_confirms_it(sign_in, newer):
    client = sign_in("asha")
    page, plan = shown(client)
    [total] = page.tables["totals"][1:]
    assert (total[0], Decimal(total[2]) - Decimal(total[1])) == ("USD", Decimal(total[3]))
    assert "Newly priced" in page.words
    response = client.post(f"{PAGE}&show=1", {"plan": plan, "note": "Contract"}, follow=True)
    made = Repricing.objects.get()
    assert f"{made.hours:,} hours move to version {newer.version}" in response.text
    assert f"0 of {made.hours:,} hours are priced again." in response.text
    while price_hours():
        pass
    usage = CostQuarter.objects.filter(at__lt=made.end, currency="USD")
    hardware = PoolQuarter.objects.filter(at__lt=made.end).exclude(allocated=None)
    costs = [quarter.cost for quarter in usage]
    assert sum(costs) + sum(row.allocated for row in hardware) == Decimal(total[2])
    assert f"All {made.hours:,} hours are priced again." in client.get("/prices/reprice").text
    assert Audit.objects.get(action="prices.reprice").via == "page"
    back = client.get(f"{PAGE}&show=1&version={newer.version - 1}").text
    assert "would lose their price and be in no cost" in Page(back).words


def test_csv_is_the_table_of_the_screen(sign_in, newer):
    client = sign_in("asha")
    page, _ = shown(client)
    lines = client.get(f"/prices/reprice.csv?{RANGE}").text.splitlines()
    assert len(lines) == len(page.tables["changes"])
    assert lines[1].split(",")[-2] == page.tables["changes"][1][5]


def test_changed_plan_is_refused_and_shown_anew(sign_in, newer):
    client = sign_in("asha")
    response = client.post(f"{PAGE}&show=1", {"plan": "0" * 64})
    assert response.status_code == 409
    assert "has changed since the preview" in response.text
    assert re.search(r'name="plan" value="[0-9a-f]{64}"', response.text)
    assert not Repricing.objects.exists()


def test_filter_that_does_not_count_is_told(sign_in, newer):
    assert "Hours are priced again as a whole" in sign_in("asha").get(f"{PAGE}&f.model=gpt-4o").text


@pytest.mark.parametrize("name", ["ben", "cleo", "dev", "ada"])
def test_only_analysts_price_again(sign_in, newer, name):
    client = sign_in(name)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"plan": ""}).status_code == 403
    assert client.get(f"/prices/reprice.csv?{RANGE}").status_code == 403


def test_api_previews_confirms_and_tells_how_far_it_is(by_token, newer):
    asha = by_token("asha", "write")
    plan = asha.get("/api/v1/repricings/preview", range="14d").json()
    assert plan["version"] == newer.version
    assert plan["newly_priced"]["tokens"] > 0 == plan["newly_unpriced"]["tokens"]
    body = json.dumps({"plan": plan["plan"], "note": "Contract"})
    answer = asha.post("/api/v1/repricings?range=14d", body)
    assert (answer.status_code, answer.json()["done"]) == (201, 0)
    again = asha.post("/api/v1/repricings?range=14d", body)
    assert (again.status_code, "has changed since" in again.json()["detail"]) == (409, True)
    while price_hours():
        pass
    found = by_token("ben").get(f"/api/v1/repricings/{answer.json()['id']}").json()
    assert found["done"] == found["hours"] == plan["hours"]
    assert found["totals"] == plan["totals"]


def test_api_refuses_filters_that_do_not_count(by_token, newer):
    answer = by_token("asha").get("/api/v1/repricings/preview", **{"f.model": "gpt-4o"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "f.model")


def run(*more: str) -> str:
    out = io.StringIO()
    first, last = today() - timedelta(days=13), today() + timedelta(days=1)
    call_command("reprice", "--from", str(first), "--to", str(last), *more, stdout=out)
    return out.getvalue()


def test_command_shows_first_and_confirms_by_the_plan(newer):
    told = run()
    assert "Nothing was written" in told
    plan = told.strip().rpartition(" ")[2]
    assert f"hours move to version {newer.version}" in run("--confirm", plan)
    assert (
        PricedHour.objects.filter(book=newer, revision=-1).count() == Repricing.objects.get().hours
    )


def test_command_for_one_project_leaves_the_others(newer):
    told = run("--project", "support-chat")
    run("--project", "support-chat", "--confirm", told.strip().rpartition(" ")[2])
    owners = PricedHour.objects.filter(book=newer).values_list("owner_kind", "owner_id").distinct()
    assert list(owners) == [("project", Repricing.objects.get().project_ids[0])]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--book", "999"), "no such version"),
        (("--project", "nobody"), "There is no project nobody"),
        (("--confirm", "x"), "has changed since"),
    ],
)
def test_command_refuses_with_the_reason(newer, given, message):
    with pytest.raises(CommandError, match=message):
        run(*given)


# A newer list, and usage without a price


def test_newer_list_is_read_by_everybody_and_confirmed_by_analysts(sign_in):
    response = sign_in("ben").get("/prices/update")
    assert "Nothing changes until it is confirmed" in response.text
    assert 'name="review"' in sign_in("asha").get("/prices/update").text
    assert 'name="review"' not in response.text


def test_file_is_compared_and_taken_only_when_confirmed(sign_in):
    client, before = sign_in("asha"), PriceBook.objects.count()
    content = json.dumps(prices(input_mtok=0.3)).encode()
    file = SimpleUploadedFile("data.json", content)
    response = client.post("/prices/update", {"file": file}, follow=True)
    page = Page(response.text)
    assert (
        "gpt-9-tomorrow"
        in client.get(
            f"{response.request['PATH_INFO']}?{response.request['QUERY_STRING']}&what=added"
        ).text
    )
    assert PriceBook.objects.count() == before
    review = re.search(r'name="review" value="(\w+)"', response.text)[1]
    address = f"/prices/update?{response.request['QUERY_STRING']}"
    wrong = client.post(address, {"review": "0" * 64})
    assert (wrong.status_code, "have changed since you looked" in wrong.text) == (409, True)
    client.post(address, {"review": review})
    assert PriceBook.objects.latest().source.startswith("data.json")
    assert {row[1] for row in page.tables["diff"][1:]} == {"added", "changed", "removed"}


def test_file_that_is_no_list_is_refused_on_the_page(sign_in):
    file = SimpleUploadedFile("data.json", b"{}")
    response = sign_in("asha").post("/prices/update", {"file": file})
    assert (response.status_code, "This is no data file" in response.text) == (422, True)


@pytest.mark.parametrize("name", ["ben", "cleo", "dev", "ada"])
def test_only_analysts_take_a_newer_list(sign_in, name):
    assert sign_in(name).post("/prices/update", {"review": "x"}).status_code == 403


def test_unpriced_usage_is_the_same_on_the_page_in_the_csv_and_the_api(sign_in, by_token):
    client = sign_in("asha")
    table = Page(client.get("/prices").text).tables["unpriced"]
    lines = list(csv.reader(io.StringIO(client.get("/prices/unpriced.csv").text)))
    assert [row[:7] for row in table] == lines
    data = by_token("asha").get("/api/v1/unpriced").json()["data"]
    assert [(one["model"], one["token_class"], str(one["amount"])) for one in data] == [
        (row[0], row[2].replace(" ", "_"), row[3]) for row in lines[1:]
    ]
    assert "unit=input" in client.get("/prices").text


def test_unpriced_usage_is_that_of_the_projects_one_may_see(by_token, sign_in):
    own = by_token("cleo").get("/api/v1/unpriced").json()
    asha = by_token("asha")
    assert own == asha.get("/api/v1/unpriced", **{"f.project": "support-chat"}).json()
    others = asha.get("/api/v1/unpriced", **{"f.project": "product-search"}).json()
    assert own["data"] != others["data"]


def test_amounts_of_every_project_are_not_told_to_who_sees_one(sign_in, newer):
    client = sign_in("asha")
    client.post(f"{PAGE}&show=1", {"plan": shown(client)[1]})
    assert "Ranges priced again" in sign_in("ben").get("/prices").text
    assert "Ranges priced again" not in sign_in("cleo").get("/prices").text
    assert sign_in("cleo").get("/prices/reprice/progress").status_code == 403
