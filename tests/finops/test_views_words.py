"""How numbers, shares and times are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from finops.templatetags import words
from finops.views import audit_words


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, "unknown"),
        (0, "0"),
        (9_999, "9,999"),
        (12_345, "12.3K"),
        (999_499, "999K"),
        (999_500, "1.00M"),
        (1_386_716_497, "1.39B"),
        (7e15, "7,000T"),
    ],
)
def test_compact_keeps_three_digits(number, said):
    assert words.compact(number) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "unknown"),
        (0.0, "0%"),
        (0.0004, "<0.1%"),
        (0.042, "4.2%"),
        (0.0996, "10%"),
        (1.486, "149%"),
        (0.9949, "99%"),
        (0.9951, "99.5%"),
        (0.9997, ">99.9%"),
        (-0.9997, "<−99.9%"),
        (1.0, "100%"),
        (-0.031, "−3.1%"),
    ],
)
def test_percent_has_a_decimal_below_ten(share, said):
    assert words.percent(share) == said


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (None, "unknown"),
        (0.42, "0.42 ms"),
        (312.4, "312 ms"),
        (999.6, "1.00 s"),
        (8_000, "8.00 s"),
        (12_340, "12.3 s"),
        (61_000, "1 min"),
    ],
)
def test_duration_grows_with_its_unit(milliseconds, said):
    assert words.duration(milliseconds) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (None, "unknown"),
        ("0", "$0.00"),
        ("2.552083", "$2.55"),
        ("0.0144321", "$0.0144"),
        ("0.000375", "$0.000375"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_rate_keeps_three_digits_of_a_small_price(amount, said):
    assert words.rate(None if amount is None else Decimal(amount), "USD") == said


def test_change_against_nothing_is_said_to_be_unknown():
    assert words.compared(None, "1 Oct – 31 Oct") == "no cost is known of 1 Oct – 31 Oct"
    assert words.compared(0.0, "October") == "the same as October"
    assert words.compared(-0.2, "October") == "20% less than October"


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (date(2026, 11, 1), date(2026, 11, 2), "1 Nov 2026"),
        (date(2026, 10, 22), date(2026, 11, 21), "22 Oct – 20 Nov 2026"),
        (date(2025, 12, 30), date(2026, 1, 2), "30 Dec 2025 – 1 Jan 2026"),
    ],
)
def test_days_name_the_last_day_that_is_included(start, end, said):
    assert words.days_text(start, end) == said


def test_times_stand_in_the_accounting_zone_and_name_it(settings):
    settings.ACCOUNTING_TIME_ZONE = "Europe/Berlin"
    at = datetime(2026, 6, 30, 22, 5, tzinfo=UTC)
    assert words.when_text(at) == "1 Jul 2026, 00:05 CEST"
    assert 'datetime="2026-06-30T22:05:00+00:00"' in words.when(at)
    assert words.when(None) == "never"


def test_ago_is_rough_and_carries_the_exact_time():
    said = words.ago(timezone.now() - timedelta(hours=3, minutes=20))
    assert ">3 h 20 min ago</time>" in said
    assert 'title="' in said
    assert words.ago_text(timezone.now()) == "just now"


def test_sizes_and_energy_take_the_unit_that_fits():
    assert [words.size(number) for number in (None, 512, 80 * 2**30)] == [
        "unknown",
        "512 B",
        "80 GiB",
    ]
    assert [words.energy(joules) for joules in (None, 3600, 36_519_000, 3.6e9)] == [
        "unknown",
        "1 Wh",
        "10.1 kWh",
        "1,000 kWh",
    ]


@pytest.mark.parametrize(
    ("value", "is_id"),
    [
        ("392f0e982e63e9e0fc5a06eee50bba95", True),
        ("0d64d004aeceeed8", True),
        ("facade", False),
        ("support-chat", False),
        (12, False),
    ],
)
def test_ids_are_told_from_words(value, is_id):
    assert words.is_id(value) is is_id


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ({"name": "Probe", "gpu_count": 4, "note": ""}, "name: Probe; gpu count: 4"),
        ({"complete": True, "sha256": "ab" * 32}, "complete: yes; sha256: abababababab…"),
        (
            {"prices": 8634, "left_out": {"a_b": 2, "c": 30, "d": 4, "e": 1, "f": 1}},
            "prices: 8,634; left out: 38 in all (most: c 30, d 4, a b 2; 2 more)",
        ),
        ({"was": {"rate": "0.5", "gone": None}}, "was: (rate 0.5, gone none)"),
        ({"fields": list("abcdefg")}, "fields: a, b, c, d, e and 2 more"),
        ({}, ""),
    ],
)
def test_detail_of_an_audit_record_is_read_and_not_parsed(detail, said):
    assert audit_words.detail_said(detail) == said


def test_endless_detail_is_cut():
    assert audit_words.detail_said({"text": "x " * 500}).endswith("x…")
    assert len(audit_words.detail_said({"text": "x" * 500})) == audit_words.MAX_SHOWN


def test_object_of_a_model_that_is_gone_keeps_its_name():
    assert audit_words.object_said("finops.pricebook", "2") == "price book 2"
    assert audit_words.object_said("finops.gone", "2") == "finops.gone 2"


def test_code_between_ticks_is_marked_and_everything_is_escaped():
    said = words.ticks("Run `python <x>` & wait")
    assert said == "Run <code>python &lt;x&gt;</code> &amp; wait"
