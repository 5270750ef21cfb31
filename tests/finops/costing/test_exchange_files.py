"""Files of rates: the central bank's own shapes, and each fault by line and field."""

import io
import zipfile
from datetime import date
from decimal import Decimal

import pytest

from finops.costing.exchange import DayRate
from finops.costing.exchange_files import MOST_BYTES, BadRates, Wrong, read

HISTORY = """Date,USD,JPY,CYP,
2026-11-20,1.0956,161.27,N/A,
2026-11-19,1.0871,160.9,,
"""
DAILY = "Date, USD, JPY, \n20 November 2026, 1.0956, 161.27, \n"
XML = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
    xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <gesmes:subject>Reference rates</gesmes:subject>
  <Cube>
    <Cube time="2026-11-20">
      <Cube currency="USD" rate="1.0956"/>
      <Cube currency="JPY" rate="161.27"/></Cube>
    <Cube time="2026-11-19"><Cube currency="USD" rate="1.0871"/></Cube>
  </Cube>
</gesmes:Envelope>"""


def ecb(day: int, code: str, rate: str) -> DayRate:
    return DayRate(date(2026, 11, day), "EUR", code, Decimal(rate), "ECB")


def wrong(text: str | bytes) -> list[Wrong]:
    with pytest.raises(BadRates) as raised:
        read(text.encode() if isinstance(text, str) else text)
    return list(raised.value.wrong)


def packed(text: str, *more: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("eurofxref-hist.csv", text)
        for name in more:
            archive.writestr(name, text)
    return made.getvalue()


def test_every_shape_of_the_bank_is_read():
    friday = (ecb(20, "USD", "1.0956"), ecb(20, "JPY", "161.27"))
    history = (*friday, ecb(19, "USD", "1.0871"), ecb(19, "JPY", "160.9"))

    assert read(HISTORY.encode()) == history
    assert read(b"\xef\xbb\xbf" + HISTORY.encode()) == history
    assert read(packed(HISTORY)) == history
    assert read(DAILY.encode()) == friday
    assert read(XML.encode()) == (*friday, ecb(19, "USD", "1.0871"))


def test_plain_table_is_read_with_its_source():
    found = read(b"day,base,quote,rate\n2026-11-20,AI credits,USD,0.0004\n\n", "contract 17")

    assert found == (
        DayRate(date(2026, 11, 20), "AI credits", "USD", Decimal("0.0004"), "contract 17"),
    )


def test_everything_wrong_is_named_by_line_and_field():
    found = wrong(
        "day,base,quote,rate\n"
        "2026-02-30,EUR,USD,1.1\n"
        "2026-11-20,EUR,USD,0\n"
        "2026-11-20,EUR,€,1.1\n"
        "2026-11-20,USD,USD,1\n"
        "2026-11-20,EUR,USD\n"
        "2026-11-20,EUR,JPY,160\n"
        '2026-11-20,EUR,JPY,"161,5"\n'
        "2026-11-20,EUR,JPY,161\n"
    )

    assert [(one.line, one.field) for one in found] == [
        (2, "day"),
        (3, "rate of USD"),
        (4, "quote"),
        (5, "quote"),
        (6, "line"),
        (8, "rate of JPY"),
        (9, "rate of JPY"),
    ]
    assert found[-1].message == "JPY has two rates on 2026-11-20, 160 and 161; keep one of them."


def test_fault_of_the_bank_is_named_too():
    assert [(one.line, one.field) for one in wrong("Date,USD,\nsoon,1.1,\n2026-11-20,x,\n")] == [
        (2, "Date"),
        (3, "rate of USD"),
    ]
    assert [(one.line, one.field) for one in wrong(XML.replace('"161.27"', '"?"'))] == [
        (8, "rate of JPY")
    ]
    assert wrong("Date,USD,JPY,\n2026-11-20,1.1\n")[0].field == "line"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "header"),
        (b"time,usd\n", "header"),
        (b"day,base,quote,rate\n", "file"),
        (b"\xff\xfe", "file"),
        (packed(HISTORY, "two.csv"), "file"),
        (b"PK\x03\x04broken", "file"),
        (b"<Cube>", "XML"),
        (b"<Envelope/>", "file"),
        (b" " * (MOST_BYTES + 1), "file"),
    ],
)
def test_what_is_no_file_of_rates_is_refused(content, field):
    assert [one.field for one in wrong(content)] == [field]


def test_document_type_and_entities_are_refused_unread():
    bomb = '<!DOCTYPE x [<!ENTITY a "1"><!ENTITY b "&a;&a;">]><Cube time="2026-11-20">&b;</Cube>'

    assert [one.field for one in wrong(bomb)] == ["document type"]


def test_packed_file_that_grows_without_end_is_refused():
    assert wrong(packed("0" * (MOST_BYTES + 1)))[0].message == (
        "unpacked it has more than 16,777,216 bytes."
    )


def test_only_the_first_faults_are_listed_and_the_rest_counted():
    lines = "".join("2026-11-20,EUR,USD,x\n" for _ in range(25))
    with pytest.raises(BadRates) as raised:
        read(f"day,base,quote,rate\n{lines}".encode())

    assert (len(raised.value.wrong), raised.value.more) == (20, 5)
    assert str(raised.value).endswith("such as 1.0956. And 5 more.")
