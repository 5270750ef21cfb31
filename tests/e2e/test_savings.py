"""The savings page in a browser: whole in any size, and a cost entered and corrected on it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finops.models import LedgerEntry
from finops.queries.filters import midnight, today
from ingest.models import Pool, Project
from tests.e2e.test_pages import seen_wrong
from tests.factories.finops import booked

pytestmark = [pytest.mark.e2e, pytest.mark.django_db]

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def ledger(site, django_db_blocker):
    """A change promised and realised on a pool paid by the hour, another one paid by use.

    Committed, as all that the server shall see.
    """
    with django_db_blocker.unblock():
        book()


def book() -> None:
    chat, pool = Project.objects.get(slug="support-chat"), Pool.objects.first()
    start = midnight(today() - 4 * DAY, "UTC")
    booked(chat, start, counts_as="estimate", freed=108_000.0, lasts=30 * DAY, pool=pool)
    old = booked(chat, start, provisional=True, pool=pool)
    booked(chat, start, supersedes=old, freed=4100.0, pool=pool)
    for n in range(1, 4):
        booked(chat, start + n * DAY, freed=3900.0 + n, pool=pool, provisional=n == 3)
    search = Project.objects.get(slug="product-search")
    booked(search, start, change_ref="77", title="Tier search", cash="12.5", billed_by="use")


def test_analyst_reads_savings_and_enters_and_corrects_a_cost(tab, ledger):
    tab.sign_in("asha")
    assert tab.open("/savings").status == 200
    tab.page.get_by_text("Enter a programme cost").click()
    tab.page.get_by_label("Day").fill(str(today() - DAY))
    tab.page.get_by_label("Cost", exact=True).fill("1200")
    tab.page.get_by_label("What for").fill("Two days of load tests")
    tab.page.get_by_role("button", name="Book it").click()
    tab.page.get_by_text("$1,200.00 is in the ledger").wait_for()
    tab.page.get_by_text("Not paid back yet").wait_for()
    cost = LedgerEntry.objects.get(counts_as="programme_cost")

    tab.page.get_by_text("Enter a programme cost").click()
    tab.page.get_by_label("Day").fill(str(today() - DAY))
    tab.page.get_by_label("Cost", exact=True).fill("10")
    tab.page.get_by_label("What for").fill("Two hours, not days")
    tab.page.get_by_label("Corrects").select_option(str(cost.pk))
    tab.page.get_by_role("button", name="Book it").click()
    tab.page.get_by_text("Within a month").wait_for()
    tab.page.get_by_text(f"superseded by #{cost.superseded_by.pk}").wait_for()
    assert "\n".join(seen_wrong(tab, "/savings")) == ""


def test_empty_page_says_what_to_do_in_any_size(tab):
    tab.sign_in("cleo")
    assert tab.open("/savings?from=2026-01-01&to=2026-01-02").status == 200
    tab.page.get_by_role("heading", name="Nothing is booked yet").wait_for()
    assert "\n".join(seen_wrong(tab, "/savings, empty")) == ""
