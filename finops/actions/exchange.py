"""Bringing in exchange rates: all of a file or none of it, with an audit record.

Refuses rates of days to come. A rate that is known already is left alone; a different one for its
pair and day is kept as a new version and holds from now on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from finops import audit
from finops.costing.exchange import DayRate
from finops.costing.exchange_files import CODE, BadRates, Wrong, read
from finops.models import ExchangeImport, User
from finops.queries.filters import today

MANAGE = "finops.manage_prices"
OWN = "Own rates"
"""The source of a table that names none."""

MOST_IN_A_REQUEST = 5_000
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a file came to. `brought` is None when everything in it was known."""

    rates: int
    added: int
    replaced: int
    first_day: date
    last_day: date
    brought: ExchangeImport | None

    @property
    def unchanged(self) -> int:
        return self.rates - self.added - self.replaced


def import_file(
    content: bytes, *, name: str = "", source: str = "", by: User | None, via: str
) -> Outcome:
    """`source` names a plain table; files of the central bank name themselves."""
    return keep(read(content, _source(source)), name=name, by=by, via=via)


def keep(rates: Sequence[DayRate], *, name: str = "", by: User | None, via: str) -> Outcome:
    """`rates` of one source, each pair and day once."""
    _of_the_past(rates)
    first, last = min(one.day for one in rates), max(one.day for one in rates)
    with transaction.atomic(), connection.cursor() as cursor:
        # Two imports at once would both find the same rate missing.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('exchange rates', 0))")
        cursor.execute(STAGING)
        with cursor.copy("COPY exchange_staging (day, base, quote, rate) FROM STDIN") as copy:
            for one in rates:
                copy.write_row((one.day, one.base, one.quote, one.rate))
        cursor.execute(COUNTED)
        added, replaced = cursor.fetchone()
        brought = None
        if added or replaced:
            brought = ExchangeImport.objects.create(
                source=rates[0].source,
                file_name=name[:LONGEST_NAME],
                added=added,
                replaced=replaced,
                unchanged=len(rates) - added - replaced,
                first_day=first,
                last_day=last,
                created_by=by,
                created_at=timezone.now(),
            )
            given = {"brought_by": brought.pk, "now": brought.created_at}
            cursor.execute(REPLACED, given)
            cursor.execute(INSERTED, given)
            audit.record(by, via, "exchange_rates.import", brought, _said(brought))
        cursor.execute("DROP TABLE exchange_staging")
    return Outcome(len(rates), added, replaced, first, last, brought)


def _source(text: str) -> str:
    name = text.strip() or OWN
    if len(name) > 50 or not name.isprintable():
        raise BadRates([Wrong(0, "source", "give a name of at most 50 plain characters.")])
    return name


def from_parts(parts: Sequence[dict[str, Any]], source: str) -> list[DayRate]:
    """Rates as a request gives them; `line` in a refusal is the place in the list, from 1."""
    made: dict[tuple[date, str, str], DayRate] = {}
    wrong = []
    for line, part in enumerate(parts, start=1):
        one = DayRate(**part, source=_source(source))
        for name in ("base", "quote"):
            if not CODE.fullmatch(getattr(one, name)):
                wrong.append(Wrong(line, name, "use a currency code such as USD."))
        if one.rate <= 0:
            wrong.append(Wrong(line, "rate", "use a number above zero, such as 1.0956."))
        if one.base == one.quote:
            wrong.append(Wrong(line, "quote", "a currency has no rate in itself; leave it out."))
        if made.setdefault((one.day, one.base, one.quote), one).rate != one.rate:
            said = f"{one.base} in {one.quote} has two rates on {one.day}; keep one of them."
            wrong.append(Wrong(line, "rate", said))
    if wrong:
        raise BadRates(wrong[:20], len(wrong[20:]))
    return list(made.values())


def _of_the_past(rates: Sequence[DayRate]) -> None:
    # A day later than here: the bank's day may have begun already.
    latest = today() + timedelta(days=1)
    ahead = sorted({one.day for one in rates if one.day > latest})
    if ahead:
        message = f"{ahead[0]} is still to come; a rate is known on its day."
        raise BadRates([Wrong(0, "day", message)])


def _said(brought: ExchangeImport) -> dict[str, object]:
    return {
        "source": brought.source,
        "file": brought.file_name,
        "added": brought.added,
        "replaced": brought.replaced,
        "unchanged": brought.unchanged,
        "from": brought.first_day.isoformat(),
        "to": brought.last_day.isoformat(),
    }


STAGING = """
CREATE TEMP TABLE exchange_staging (day date, base text, quote text, rate numeric(38, 20))
ON COMMIT DROP"""

COUNTED = """
SELECT count(*) FILTER (WHERE r.id IS NULL), count(*) FILTER (WHERE r.rate <> s.rate)
FROM exchange_staging s LEFT JOIN finops_exchangerate r
    ON r.base = s.base AND r.quote = s.quote AND r.day = s.day AND r.replaced_at IS NULL"""

REPLACED = """
UPDATE finops_exchangerate r SET replaced_at = %(now)s FROM exchange_staging s
WHERE r.base = s.base AND r.quote = s.quote AND r.day = s.day AND r.replaced_at IS NULL
    AND r.rate <> s.rate"""

INSERTED = """
INSERT INTO finops_exchangerate (day, base, quote, rate, version, brought_by_id)
SELECT s.day, s.base, s.quote, s.rate, coalesce(known.version, 0) + 1, %(brought_by)s
FROM exchange_staging s LEFT JOIN LATERAL (
    SELECT max(r.version) AS version, bool_or(r.replaced_at IS NULL) AS is_current
    FROM finops_exchangerate r
    WHERE r.base = s.base AND r.quote = s.quote AND r.day = s.day
) AS known ON true
WHERE known.is_current IS NOT TRUE
ORDER BY s.day, s.base DESC, s.quote DESC"""
