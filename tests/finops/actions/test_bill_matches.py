"""Matching usage with its bill: only what was seen, once, and with a record of who did it."""

from datetime import UTC, date, datetime

import pytest

from finops.actions import bill_matches
from finops.models import Audit, BillMatch
from tests.factories.finops import billed, person, spent
from tests.factories.ingest import ProjectFactory, SourceFactory

DETAIL = {"usage_provider": "openai", "bill_provider": "OpenAI", "bill_service": "API"}


@pytest.fixture
def asha(db):
    return person("asha", "analyst")


@pytest.fixture
def seen(db):
    """Usage of one provider, and one complete bill."""
    spent(ProjectFactory(), datetime.now(UTC), "1")
    billed(SourceFactory(kind="focus_csv", project=None), date(2025, 10, 1), range(1, 2))


def acts():
    return list(Audit.objects.order_by("pk").values_list("action", "actor_name", "via", "detail"))


def test_match_is_made_and_taken_back_with_a_record_of_each(asha, seen):
    match = bill_matches.add(*DETAIL.values(), by=asha, via="page")
    assert BillMatch.objects.get() == match
    assert bill_matches.remove(match.pk, by=asha, via="api")
    assert not BillMatch.objects.exists()
    assert acts() == [
        ("bill_match.add", "asha", "page", DETAIL),
        ("bill_match.remove", "asha", "api", DETAIL),
    ]


def test_provider_is_matched_once_and_a_refusal_leaves_no_record(asha, seen):
    bill_matches.add(*DETAIL.values(), by=asha, via="page")
    with pytest.raises(bill_matches.Refused, match="“openai” is matched already; remove"):
        bill_matches.add(*DETAIL.values(), by=asha, via="page")
    assert (BillMatch.objects.count(), len(acts())) == (1, 1)


@pytest.mark.parametrize(
    ("names", "field"),
    [
        (("opneai", "OpenAI", "API"), "usage_provider"),
        (("openai", "OpenAI", "Apis"), "bill_service"),
        (("openai", "API", "OpenAI"), "bill_service"),
    ],
)
def test_name_that_nobody_ever_wrote_is_refused(asha, seen, names, field):
    with pytest.raises(bill_matches.Refused) as refused:
        bill_matches.add(*names, by=asha, via="page")
    assert refused.value.field == field
    assert (BillMatch.objects.exists(), acts()) == (False, [])


def test_taking_back_what_is_gone_does_nothing(asha):
    assert bill_matches.remove(12345, by=asha, via="page") is False
    assert acts() == []
