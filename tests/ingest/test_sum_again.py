from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from ingest import store
from ingest.models import ConcurrencyQuarter, SealedDay, SpanDay
from ingest.rollup import roll_up
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db


def again(*options):
    out = StringIO()
    call_command("sum_again", *options, stdout=out)
    return out.getvalue()


@pytest.fixture
def summed_before(source):
    """Two days as an older version left them."""
    days = (NOON, NOON + timedelta(days=1))
    store.spans(source, [span(n, started_at=at, ttft_ms=50.0) for n, at in enumerate(days)])
    roll_up()
    SpanDay.objects.update(tpot_count=0, tpot_ms_sum=0, tpot_keys=[], tpot_counts=[])
    ConcurrencyQuarter.objects.all().delete()


def counts():
    return list(SpanDay.objects.order_by("day").values_list("tpot_count", flat=True))


def test_sums_are_made_again_from_the_facts(summed_before):
    assert again() == "2 hours will be summed again by the workers.\n"
    roll_up()
    assert counts() == [1, 1]
    assert ConcurrencyQuarter.objects.filter(whole=True).count() == 2


def test_closed_days_and_days_outside_stay_as_they_are(summed_before):
    SealedDay.objects.create(table="ingest_span", day=NOON.date())
    assert again("--before", "2026-11-11") == "0 hours will be summed again by the workers.\n"
    assert again("--since", "2026-11-11") == "1 hours will be summed again by the workers.\n"
    roll_up()
    assert counts() == [0, 1]
