"""Exchange rates brought in: whole or not at all, the same again changes nothing."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from finops.actions import exchange
from finops.costing.exchange_files import BadRates
from finops.models import Audit, ExchangeImport, ExchangeRate
from finops.queries.filters import today
from tests.factories.finops import UserFactory

pytestmark = pytest.mark.django_db

FILE = b"Date,USD,JPY,\n2026-11-20,1.0956,161.27,\n2026-11-19,1.0871,N/A,\n"


@pytest.fixture
def asha(db):
    return UserFactory(username="asha")


def rates() -> list[tuple[str, str, int, bool]]:
    found = ExchangeRate.objects.order_by("day", "quote", "version")
    return [(f"{one.day} {one.quote}", f"{one.rate:f}".rstrip("0"), one.version,
             one.replaced_at is None) for one in found]  # fmt: skip


def test_import_keeps_every_rate_with_its_audit_record(asha):
    outcome = exchange.import_file(FILE, name="eurofxref-hist.csv", by=asha, via="page")

    assert (outcome.added, outcome.replaced, outcome.unchanged) == (3, 0, 0)
    assert rates() == [
        ("2026-11-19 USD", "1.0871", 1, True),
        ("2026-11-20 JPY", "161.27", 1, True),
        ("2026-11-20 USD", "1.0956", 1, True),
    ]
    audited = Audit.objects.get(action="exchange_rates.import")
    assert (audited.actor, audited.via, audited.object_id) == (
        asha,
        "page",
        str(outcome.brought.pk),
    )
    assert audited.detail == {
        "source": "ECB", "file": "eurofxref-hist.csv", "added": 3, "replaced": 0, "unchanged": 0,
        "from": "2026-11-19", "to": "2026-11-20",
    }  # fmt: skip


def test_same_file_again_changes_nothing(asha):
    exchange.import_file(FILE, by=asha, via="page")
    before = list(ExchangeRate.objects.values())

    outcome = exchange.import_file(FILE, by=asha, via="page")

    assert (outcome.unchanged, outcome.brought) == (3, None)
    assert list(ExchangeRate.objects.values()) == before
    assert ExchangeImport.objects.count() == 1
    assert Audit.objects.filter(action="exchange_rates.import").count() == 1


def test_other_rate_of_a_known_day_is_a_version_beside_the_old(asha):
    exchange.import_file(FILE, by=asha, via="page")
    table = b"day,base,quote,rate\n2026-11-20,EUR,USD,1.1\n2026-11-20,EUR,JPY,161.270\n"

    second = exchange.import_file(table, source="treasury", by=asha, via="api")
    third = exchange.import_file(FILE, by=None, via="command")

    assert (second.added, second.replaced, second.unchanged) == (0, 1, 1)
    assert (third.added, third.replaced, third.unchanged) == (0, 1, 2)
    assert [one for one in rates() if "11-20 USD" in one[0]] == [
        ("2026-11-20 USD", "1.0956", 1, False),
        ("2026-11-20 USD", "1.1", 2, False),
        ("2026-11-20 USD", "1.0956", 3, True),
    ]
    assert [one.source for one in ExchangeImport.objects.all()] == ["ECB", "treasury", "ECB"]


def test_file_with_one_fault_brings_nothing(asha):
    with pytest.raises(BadRates):
        exchange.import_file(FILE + b"2026-11-18,x,1,\n", by=asha, via="page")

    assert not ExchangeRate.objects.exists()
    assert not Audit.objects.filter(action="exchange_rates.import").exists()


def test_rate_of_a_day_to_come_is_refused(asha):
    ahead = today() + timedelta(days=2)
    with pytest.raises(BadRates, match=f"{ahead} is still to come"):
        exchange.import_file(
            f"day,base,quote,rate\n{ahead},EUR,USD,1.1\n".encode(), by=asha, via="page"
        )


def test_rates_of_a_request_are_checked_by_place_and_field(asha):
    def part(**more):
        return {
            "day": date(2026, 11, 20),
            "base": "EUR",
            "quote": "USD",
            "rate": Decimal(1),
            **more,
        }

    with pytest.raises(BadRates) as raised:
        exchange.from_parts([part(), part(rate=Decimal(2)), part(base="USD"), part(quote="€")], "")

    assert [(one.line, one.field) for one in raised.value.wrong] == [
        (2, "rate"), (3, "quote"), (4, "quote"),
    ]  # fmt: skip
    [made] = exchange.from_parts([part()], "")
    assert made.source == "Own rates"
    with pytest.raises(BadRates, match="Source: give a name"):
        exchange.from_parts([part()], "x" * 51)
