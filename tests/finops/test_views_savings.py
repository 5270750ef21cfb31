"""The savings page: what it says with an empty ledger, with entries, and to whom."""

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from finops.models import Audit, LedgerEntry
from finops.queries.filters import midnight, today
from ingest.models import Pool, Project
from tests.factories.finops import booked
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

DAY = timedelta(days=1)


@pytest.fixture
def ledger(db):
    """A change with its estimate, two realised days and a correction; another project's change."""
    chat = Project.objects.get(slug="support-chat")
    search = Project.objects.get(slug="product-search")
    pool = Pool.objects.get()
    start = midnight(today() - 5 * DAY, "UTC")
    booked(
        chat,
        start,
        counts_as="estimate",
        freed=108_000.0,
        lasts=30 * DAY,
        pool=pool,
        measured_s=None,
    )
    old = booked(chat, start, provisional=True, pool=pool)
    booked(chat, start, supersedes=old, freed=7200.0, pool=pool)
    booked(chat, start + DAY, provisional=True, pool=pool)
    booked(search, start, change_ref="77", title="Tier search", cash="12.5", billed_by="use")
    booked(Project.objects.unallocated(), start, counts_as="programme_cost", cash="1200")


def page_of(client, query=""):
    return Page(client.get(f"/savings{query}").text)


def test_empty_ledger_says_what_to_do(sign_in):
    words = page_of(sign_in("asha")).words
    assert "Nothing is booked yet" in words
    assert "Let Breakeven read Triton's statistics at least once a minute" in words
    assert "GPU-seconds freed" not in words


def test_estimated_and_realised_are_rows_of_their_own(sign_in, ledger):
    rows = page_of(sign_in("asha")).tables["savings"]
    what = {(row[0], row[1]): row[2] for row in rows[1:]}
    assert what == {
        ("Batch bert", "Estimated"): "108000.000",
        ("Batch bert", "Realised"): "10800.000",
        ("Tier search", "Realised"): "3600.000",
    }
    (promised,) = [row for row in rows if row[1] == "Estimated"]
    assert promised[3] == "29.90 GPU-h to 30.10 GPU-h"


def test_cards_keep_estimate_and_realised_and_capacity_and_cash_apart(sign_in, ledger):
    html = sign_in("asha").get("/savings").text
    shown = dict(
        re.findall(
            r'figure-label">\s*<span>([^<]+)</span>.*?figure-value[^>]*>([^<]+?)\s*<', html, re.S
        )
    )
    assert shown == {
        "Capacity freed, realised": "4.00 GPU-h",
        "Cash saved, realised": "$12.50",
        "Capacity to be freed, estimated": "30.00 GPU-h",
        "Cash to be saved, estimated": "$0.00",
        "Programme cost": "$1,200.00",
        "Payback": "Not paid back yet",
    }


def test_page_says_why_freed_capacity_is_no_cash(sign_in, ledger):
    pool = Pool.objects.get().name
    assert (
        f"The pool {pool} is paid by the hour, busy or not: what was freed there is capacity, and"
        " no cash is saved until the pool is made smaller."
    ) in page_of(sign_in("asha")).words


def test_superseded_entries_stay_in_the_ledger(sign_in, ledger):
    rows = page_of(sign_in("asha"), "?change=1").tables["ledger"]
    states = [row[7] for row in rows[1:]]
    new = LedgerEntry.objects.get(supersedes__isnull=False)
    assert sorted(states) == ["counts", "counts", "provisional", f"superseded by #{new.pk}"]


def csv_of(client, path):
    response = client.get(path)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(response.text)))


@pytest.mark.parametrize("query", ["", "?range=7d", "?f.project=support-chat", "?currency=EUR"])
def test_csv_holds_exactly_the_rows_of_the_screen(sign_in, ledger, query):
    client = sign_in("asha")
    page = page_of(client, query)
    assert csv_of(client, f"/savings.csv{query}") == page.tables["savings"]
    whole = f"/savings.csv{query or '?'}&what=ledger"
    assert csv_of(client, whole) == page.tables["ledger"]


def test_csv_links_keep_the_filters(sign_in, ledger):
    client = sign_in("asha")
    page = page_of(client, "?range=7d&f.project=support-chat")
    changes, whole = (href for href in page.hrefs if href.startswith("/savings.csv"))
    assert csv_of(client, changes) == page.tables["savings"]
    assert csv_of(client, whole) == page.tables["ledger"]


def test_cleo_sees_the_savings_of_her_project_alone(sign_in, ledger):
    page = page_of(sign_in("cleo"))
    assert {row[0] for row in page.tables["savings"][1:]} == {"Batch bert"}
    assert "Tier search" not in page.words
    assert "$1,200" not in page.words
    assert "Enter a programme cost" not in page.words


@pytest.mark.parametrize("name", ["ben", "cleo", "dev", "ada"])
def test_only_an_analyst_may_enter_a_cost(sign_in, ledger, name):
    assert sign_in(name).post("/savings", entered()).status_code == 403
    assert LedgerEntry.objects.filter(counts_as="programme_cost").count() == 1


def entered(**changes):
    usual = {
        "on": str(today() - DAY),
        "amount": "250.75",
        "currency": "usd",
        "note": "Load tests",
        "project": "support-chat",
        "corrects": "",
    }
    return {**usual, **changes}


def test_analyst_enters_a_cost_with_its_audit_record(sign_in):
    client = sign_in("asha")
    response = client.post("/savings", entered())
    assert response.status_code == 302
    entry = LedgerEntry.objects.get()
    assert (entry.cash, entry.currency, entry.project.slug) == (
        Decimal("250.75"),
        "USD",
        "support-chat",
    )
    record = Audit.objects.get(action="ledger.programme_cost")
    assert (record.actor_name, record.via, record.object_id) == ("asha", "page", str(entry.pk))
    assert "$250.75 is in the ledger: Load tests." in Page(client.get(response.url).text).words


def test_analyst_corrects_a_cost_with_a_new_entry(sign_in, ledger):
    old = LedgerEntry.objects.get(counts_as="programme_cost")
    response = sign_in("asha").post("/savings", entered(amount="1000", corrects=str(old.pk)))
    assert response.status_code == 302
    assert LedgerEntry.objects.get(supersedes=old).cash == 1000
    again = sign_in("asha").post("/savings", entered(amount="900", corrects=str(old.pk)))
    assert again.status_code == 422


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": "0"}, "Give what it cost, as a number above 0."),
        ({"amount": "-1"}, "greater than or equal to 0"),
        ({"amount": "NaN"}, "Enter a number."),
        ({"amount": "1e13"}, "no more than 12 digits before the decimal point"),
        ({"note": ""}, "This field is required."),
        ({"on": "2999-01-01"}, "Give a day that has come."),
        ({"project": "no-such"}, "Select a valid choice."),
    ],
)
def test_bad_cost_is_refused_beside_its_field(sign_in, changes, said):
    response = sign_in("asha").post("/savings", entered(**changes))
    assert response.status_code == 422
    assert said in Page(response.text).words
    assert not LedgerEntry.objects.exists()


def test_paid_back_is_told_in_months(sign_in):
    chat = Project.objects.get(slug="support-chat")
    now = timezone.now()
    booked(chat, now - 70 * DAY, counts_as="programme_cost", cash="10")
    booked(chat, now - 9 * DAY, cash="11", billed_by="use")
    assert "2.0 months" in page_of(sign_in("asha")).words


def test_page_has_no_slip_and_nothing_that_a_strict_policy_refuses(sign_in, ledger):
    html = sign_in("asha").get("/savings?change=1").text
    assert Page(html).refused == []
    for slip in ("{{", "{%", "None", "nan", "Decimal("):
        assert not re.search(rf"(?<!\w){re.escape(slip)}(?!\w)", Page(html).words), slip
