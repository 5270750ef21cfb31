"""One number with everything that makes it believable, and one chart with its table.

Knows how a figure is worded. Refuses queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from finops.charts import Drawing
from finops.queries.amounts import Amounts, Spend
from finops.queries.stamp import Stamped
from finops.templatetags import words

from .tables import Table

SHOWN_SOURCES = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A number on a card: what it is, what it means, from where, as of when."""

    id: str
    label: str
    text: str
    exact: str = ""
    unit: str = ""
    note: str = ""
    href: str = ""
    definition: str = ""
    sources: str = ""
    as_of: datetime | None = None
    badge: str = ""
    tone: str = ""
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    id: str
    title: str
    drawing: Drawing
    table: Table
    badge: str = ""
    small: bool = False

    @property
    def figure(self) -> dict[str, Any]:
        return self.drawing.figure

    @property
    def legend(self):
        return self.drawing.legend

    @property
    def summary(self) -> str:
        return self.drawing.summary

    @property
    def marks(self) -> tuple[str, ...]:
        return self.drawing.marks

    @property
    def figure_id(self) -> str:
        return f"{self.id}-figure"


def stamped(result: Stamped) -> dict[str, Any]:
    """What a figure says of its origin."""
    return {"sources": sources_said(result), "as_of": result.as_of}


def sources_said(result: Stamped) -> str:
    names = [source.name for source in result.sources]
    if not names:
        return ""
    rest = len(names) - SHOWN_SOURCES
    said = ", ".join(names[:SHOWN_SOURCES])
    return f"{said} and {rest} more" if rest > 0 else said


def money_figure(
    id: str, label: str, amount: Decimal | None, currency: str, *, reason: str = "", **more: Any
) -> Figure:
    if amount is None:
        return unknown_figure(id, label, reason, **more)
    text = words.card_money(amount, currency)
    return Figure(id, label, text, exact=words.exact(amount, currency), unit=currency, **more)


def unit_figure(
    id: str, label: str, amount: Decimal | None, currency: str, *, reason: str = "", **more: Any
) -> Figure:
    if amount is None:
        return unknown_figure(id, label, reason, **more)
    text, exact = words.rate(amount, currency), words.exact(amount, currency)
    return Figure(id, label, text, exact=exact, unit=currency, **more)


def count_figure(id: str, label: str, number: float | None, **more: Any) -> Figure:
    if number is None:
        return unknown_figure(id, label, more.pop("reason", ""), **more)
    more.pop("reason", None)
    return Figure(id, label, words.compact(number), exact=words.count(number), **more)


def unknown_figure(id: str, label: str, reason: str, **more: Any) -> Figure:
    more["note"] = reason
    return Figure(id, label, "Unknown", is_unknown=True, **more)


def known_cost(row: Amounts, total: Amounts) -> Decimal | None:
    """None when all there is has no price: a zero would say that it was free."""
    if row.cost or row.usage_cost or not row.requests:
        return row.cost
    all_unpriced = (row.unpriced_spans or 0) + (row.unknown_spans or 0) >= row.requests
    # A model of a pool has no spans to miss a price; what is missing is that of the hardware.
    return None if all_unpriced or total.unpriced_gpu_hours else row.cost


def known_total(spend: Spend) -> Decimal | None:
    """As `known_cost`, and None where there are costs of which none could be converted."""
    if spend.conversion and spend.others and not (spend.cost or spend.usage_cost):
        return None
    return known_cost(spend, spend)


def why_no_total(spend: Spend) -> str:
    if spend.conversion and spend.others:
        return f"Nothing in this period could be converted to {spend.currency}."
    return "Nothing in this period has a price."


def late_said(requests: int) -> str:
    """Nothing when none came late; else a sentence to put behind another."""
    if not requests:
        return ""
    noun = "request" if requests == 1 else "requests"
    return f" Includes {words.count(requests)} late {noun} for days whose details are gone."


def provisional_badge(share: float) -> tuple[str, str]:
    """How much of a cost no complete bill covers yet."""
    if share <= 0:
        return "Reconciled with bills", "good"
    if share >= 1:
        return "Provisional", ""
    return f"{words.percent(share)} provisional", ""


def point_label(point: date | datetime) -> str:
    return words.when_text(point) if isinstance(point, datetime) else words.day(point)
