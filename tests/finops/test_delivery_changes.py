"""The page of what changed between two deliveries, and that its CSV says the same."""

import csv
import io
from decimal import Decimal

import pytest

from ingest import store
from ingest.models import Delivery, Source
from tests.finops.reading import Page
from tests.ingest.make import bill_line

pytestmark = pytest.mark.usefixtures("estate", "plain_static")


@pytest.fixture
def second(db):
    bills = Source.objects.create(kind="bill_file", name="Restated bills")
    store.bill(
        bills,
        name="draft.csv",
        sha256=b"1",
        complete=True,
        rows=[
            bill_line(1, sku_id="=1+1"),
            bill_line(2, billed_cost=Decimal("1.000000000000000001")),
        ],
    )
    return store.bill(bills, name="final.csv", sha256=b"2", complete=True, rows=[
        bill_line(1, sku_id="=1+1", billed_cost=Decimal("20"), effective_cost=Decimal("20"),
                  content_hash=b"x"),
        bill_line(2, billed_cost=Decimal("1.000000000000000001"))]).delivery  # fmt: skip


def test_page_shows_what_changed_and_its_csv_every_digit(sign_in, second):
    client = sign_in("asha")
    page = Page(client.get(f"/deliveries/{second.pk}/changes").text)
    told = client.get(f"/deliveries/{second.pk}/changes.csv").text

    _, row = page.tables["changes"]
    assert row == ["Amazon EC2", "=1+1", "Usage", "12.5", "20", "7.5", "1", "1", "0", "0", "1"]
    assert "1 group of lines is as before." in page.words
    [written] = csv.DictReader(io.StringIO(told))
    assert written["SKU"] == "'=1+1"
    assert (written["Billed: before"], written["Billed: difference"]) == ("12.5", "7.5")
    assert (written["Currency"], written["Changed"]) == ("USD", "1")


def test_totals_hold_all_four_costs(sign_in, second):
    page = Page(sign_in("asha").get(f"/deliveries/{second.pk}/changes?cost=billed").text)

    billed = next(row for row in page.tables["change-totals"] if row[0] == "Billed")
    assert billed[:5] == [
        "Billed", "USD", "13.500000000000000001", "21.000000000000000001", "7.5",
    ]  # fmt: skip


def test_files_of_a_source_lead_there(sign_in, second):
    html = sign_in("asha").get(f"/sources/{second.source_id}").text

    assert f"/deliveries/{second.pk}/changes?" in html
    assert "account=account-1&amp;month=2026-10" in (
        sign_in("asha").get(f"/deliveries/{second.pk}").text
    )


def test_api_says_the_same(sign_in, second):
    answer = sign_in("asha").get(f"/api/v1/deliveries/{second.pk}/changes").json()

    [row] = answer["rows"]
    assert row["costs"]["billed"] == {"old": "12.5", "new": "20", "difference": "7.5"}
    assert (answer["old"]["name"], answer["new"]["name"]) == ("draft.csv", "final.csv")


@pytest.mark.parametrize(
    "query", ["month=2026-13", "against=999999", "against=x", "account=nobody", "month=2020-01"]
)
def test_what_is_not_there_is_not_found(sign_in, second, query):
    assert sign_in("asha").get(f"/deliveries/{second.pk}/changes?{query}").status_code == 404


def test_bills_are_for_the_organisation(sign_in, second):
    for name in ("changes", "changes.csv"):
        assert sign_in("cleo").get(f"/deliveries/{second.pk}/{name}").status_code == 404


def test_doubts_about_figures_stand_on_the_page_of_the_delivery(sign_in, second):
    Delivery.objects.filter(pk=second.pk).update(warnings=["AWS rounds <b>all</b> of it."])

    html = sign_in("asha").get(f"/deliveries/{second.pk}").text

    assert "AWS rounds &lt;b&gt;all&lt;/b&gt; of it." in html
    assert "1 doubt about its figures." in sign_in("asha").get(f"/sources/{second.source_id}").text
