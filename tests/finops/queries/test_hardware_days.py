"""Hardware by the day costs what its quarter hours cost, for whoever it landed on."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from finops.actions.allocation import landing, rules
from finops.actions.hardware_sums import hardware_of
from finops.costing.allocating import Condition
from finops.models import LandedHardware, LandedHardwareDay, PoolDay, PoolQuarter, PricedHour
from finops.queries import book, book_columns, book_moved, hardware_days
from finops.queries.filters import today
from finops.queries.spend import spend_by, spend_page
from tests.factories.finops import paid

pytestmark = pytest.mark.django_db

START = datetime(2026, 5, 3, 22, 45, tzinfo=UTC)
WINDOW = "from=2026-05-03&to=2026-05-05&basis=book"


@pytest.fixture
def landed(chat, search, pool, asha):
    """Three hours over a midnight; split between two projects; one has no price."""
    for n in range(12):
        at = START + timedelta(minutes=15 * n)
        paid(pool, at, idle=None if n == 7 else "3.1", bert="1.7", llama="0.3")
        PricedHour.objects.update_or_create(
            owner_kind="pool", owner_id=pool.pk, hour=at.replace(minute=0),
            defaults={"revision": 1, "book": PoolQuarter.objects.first().book,
                      "priced_at": timezone.now()},
        )  # fmt: skip
    draft = rules.Draft(
        name="GPUs", origin="hardware", split="share",
        conditions=(Condition("pool", "is", ("h100",)),),
        targets=(("chat", Decimal(70)), ("search", Decimal(30))),
    )  # fmt: skip
    rules.add(draft, by=asha, via="page")
    while landing.land():
        pass
    assert LandedHardware.objects.exists()


def test_days_are_their_quarter_hours_added_up(landed):
    for days, quarters in ((PoolDay, PoolQuarter), (LandedHardwareDay, LandedHardware)):
        own = ["pool_id", "model", "currency"]
        own += ["project_id", "rule_id"] if quarters is LandedHardware else []
        wanted = {}
        for row in quarters.objects.all():
            key = (row.at.date(), *(getattr(row, name) for name in own))
            cost, requests = wanted.get(key, (None, 0.0))
            if row.allocated is not None:
                cost = (cost or 0) + row.allocated
            wanted[key] = (cost, requests + (row.requests or 0))
        assert {
            (row.day, *(getattr(row, name) for name in own)): (
                row.allocated,
                pytest.approx(row.requests),
            )
            for row in days.objects.all()
        } == wanted
    assert sum(PoolDay.objects.values_list("unpriced_quarters", flat=True)) == 1


@pytest.mark.parametrize("query", ["", "&f.project=chat", "&f.provider=triton"])
@pytest.mark.parametrize("group", ["project", "model", "team", "sku"])
def test_figures_are_those_of_the_quarter_hours(landed, ask, monkeypatch, query, group):
    filters = ask(f"{WINDOW}{query}&group_by={group}")
    by_day = spend_page(filters, "day", 7), spend_by(filters)

    def quarters(step, is_covered):
        return book_columns.hardware_source(step, True)

    monkeypatch.setattr(book, "hardware_source", quarters)
    monkeypatch.setattr(book_moved, "hardware_source", quarters)
    assert by_day == (spend_page(filters, "day", 7), spend_by(filters))
    assert by_day[1].total.cost > 0


def test_what_was_observed_of_days_is_that_of_their_quarter_hours(landed, pool, ask):
    """Of the quarter that is running only what was observed of it has been paid."""
    paid(pool, START + timedelta(hours=3), idle="2", covered_s=300, bert="1")
    paid(pool, START + timedelta(hours=4), idle="2", covered_s=0)
    running = timezone.now().replace(second=0, microsecond=0)
    running -= timedelta(minutes=running.minute % 15)
    paid(pool, running, idle="1.1", covered_s=120, bert="0.2")
    paid(pool, running - timedelta(days=1), idle="1.3", covered_s=600, bert="0.2")
    filters = ask(f"from=2026-05-03&to={today() + timedelta(days=1)}")
    given = hardware_days.values(filters)
    given["start_at"] = filters.start_at
    whole = hardware_of("at >= %(start_at)s AND at < %(end_at)s", hardware_days.ELAPSED)
    order = "ORDER BY pool_id, day, currency"

    by_day = book.rows(f"SELECT * FROM {hardware_days.HARDWARE_DAYS} AS d {order}", given)
    by_quarter = book.rows(f"SELECT * FROM ({whole}) AS d {order}", given)

    assert len(by_day) == len(by_quarter) == 4
    for found, wanted in zip(by_day, by_quarter, strict=True):
        assert found[:4] == wanted[:4]
        assert list(map(_number, found[4:])) == pytest.approx(list(map(_number, wanted[4:])))
    elapsed = {row[1]: row[8] for row in by_day}
    assert elapsed[today()] == 120
    assert elapsed[today() - timedelta(days=1)] == 900


def _number(value):
    return None if value is None else float(value)
