"""How numbers, times and shares are written for people.

Knows formats, the accounting zone and the icons. Refuses arithmetic on money beyond rounding for
display; unknown is written as the word, never as 0.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from finops.money import UNKNOWN, Money, format_amount, format_card, format_unit_price
from finops.money import exact as exact_money

register = template.Library()

ICONS = {
    "overview": "M2.5 2.5h4.5v5h-4.5zM9 2.5h4.5v3H9zM9 8.5h4.5v5H9zM2.5 10.5H7v3H2.5z",
    "costs": "M2.5 13.5h11M4 11V7.5M8 11V2.5M12 11V5.5",
    "alerts": "M8 1.5v1.5M4 11.5V7a4 4 0 0 1 8 0v4.5l1.5 1h-11zM6.5 14h3",
    "reconciliation": "M8 2v11.5M5 13.5h6M3 4.5h10M3 4.5l-1.5 5h3zM13 4.5l-1.5 5h3z",
    "unit-costs": "M3 13L13 3M3.5 4.5a1.5 1.5 0 1 0 3 0 1.5 1.5 0 0 0-3 0zM9.5 11.5a1.5 1.5 0 1 0 3"
    " 0 1.5 1.5 0 0 0-3 0z",
    "requests": "M1.5 8.5h3l2-5.5 3 10 2-4.5h3",
    "gpus": "M4.5 4.5h7v7h-7zM6 1.5v3M10 1.5v3M6 11.5v3M10 11.5v3M1.5 6h3M1.5 10h3M11.5 6h3"
    "M11.5 10h3",
    "hosts": "M2.5 2.5h11v7.5h-11zM8 10v3.5M5 13.5h6M5 7.5V6M8 7.5V4.5M11 7.5V5.5",
    "budgets": "M8 2a6 6 0 1 0 6 6H8zM10.5 1.5a5 5 0 0 1 4 4h-4z",
    "slos": "M2 11.5a6 6 0 0 1 12 0M8 11.5L10.5 6.5M2 13.5h12",
    "allocation": "M8 2v3.5M8 5.5C8 9 3.5 7.5 3.5 11M8 5.5c0 3.5 4.5 2 4.5 5.5M8 5.5V11"
    "M2 11.5h3v2H2zM6.5 11.5h3v2h-3zM11 11.5h3v2h-3z",
    "showback": "M3.5 1.5h9v13l-1.5-1-1.5 1-1.5-1-1.5 1-1.5-1-1.5 1zM6 5h4M6 7.5h4M6 10h2.5",
    "events": "M4 14.5V2M4 2.5h8.5l-2 3 2 3H4",
    "advice": "M8 1.5a4.5 4.5 0 0 0-2.5 8.2v1.8h5V9.7A4.5 4.5 0 0 0 8 1.5zM6 14h4",
    "changes": "M4 5.5v5M4 5.5a1.75 1.75 0 1 0 0-3.5 1.75 1.75 0 0 0 0 3.5z"
    "M4 14a1.75 1.75 0 1 0 0-3.5"
    "A1.75 1.75 0 0 0 4 14zM12 10.5V6.5a2 2 0 0 0-2-2H7.5M12 14a1.75 1.75 0 1 0 0-3.5"
    "A1.75 1.75 0 0 0 12 14z",
    "savings": "M2.5 5.5l4 4 2.5-2.5 4.5 4.5M13.5 8v3.5H10M2.5 13.5h11",
    "targets": "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
    "undo": "M5.5 3L2.5 6l3 3M2.5 6h7a4 4 0 0 1 0 8H6",
    "edit": "M2.5 13.5l.8-3.2L10.8 2.8l2.4 2.4-7.5 7.5z",
    "sources": "M8 10.5V14M4.5 6.5h7v1a3.5 3.5 0 0 1-7 0zM6 2.5v4M10 2.5v4",
    "prices": "M2.5 2.5h5.5l5.5 5.5-5.5 5.5L2.5 8zM5.5 5.5h.01",
    "labels": "M6 2.5 4.5 13.5M11.5 2.5 10 13.5M2.5 6h11.5M2 10h11.5",
    "exchange": "M3 5.5h9M9.5 3 12 5.5 9.5 8M13 10.5H4M6.5 8 4 10.5 6.5 13",
    "tokens": "M9.5 6.5a3 3 0 1 0-2.6 2.97L8 8.5l1.5 1.5H11V11.5H12.5V13h2v-2l-4.6-4.2",
    "channels": "M2.5 6.5v3h2.5l5.5 3.5V3L5 6.5zM13 6a2.5 2.5 0 0 1 0 4M5 9.5v4h1.5",
    "settings": "M2 4.5h3M8 4.5h6M6.5 3a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zM2 11.5h6M11 11.5h3"
    "M9.5 10a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3z",
    "audit": "M3.5 1.5h9v13h-9zM5.5 5h5M5.5 8h5M5.5 11h3",
    "menu": "M2 4.5h12M2 8h12M2 11.5h12",
    "calendar": "M2.5 3.5h11v10h-11zM2.5 6.5h11M5.5 1.5v3M10.5 1.5v3",
    "filter": "M1.5 3h13L9.5 8.5v5l-3-1.5V8.5z",
    "link": "M6.5 9.5l3-3M7 4.5l1.7-1.7a3 3 0 0 1 4.3 4.3L11.5 8.8"
    "M9 11.5l-1.7 1.7A3 3 0 0 1 3 8.9l1.5-1.7",
    "theme": "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
    "person": "M8 8a2.75 2.75 0 1 0 0-5.5A2.75 2.75 0 0 0 8 8zM2.5 14a5.5 5.5 0 0 1 11 0",
    "down": "M4 6.5l4 4 4-4",
    "right": "M6 4l4 4-4 4",
    "sort-up": "M8 13V3M4 7l4-4 4 4",
    "sort-down": "M8 3v10M4 9l4 4 4-4",
    "check": "M3 8.5l3.5 3.5L13 4.5",
    "close": "M4 4l8 8M12 4l-8 8",
    "info": "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.5V11M8 5.2v.01",
    "warning": "M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.7v.01",
    "download": "M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11",
    "upload": "M8 10.5v-8M4.5 6L8 2.5 11.5 6M2.5 13.5h11",
    "copy": "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
    "plus": "M8 3v10M3 8h10",
    "dot": "M8 9.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3z",
}
"""Paths of a 16-unit grid; drawn as lines in the colour of their text."""

COMPACT_FROM = 10_000
LETTERS = "KMBT"
BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
SOON = timedelta(seconds=90)
ID = re.compile(r"[0-9a-f]{16,}")


@register.simple_tag
@lru_cache(maxsize=256)
def icon(name: str, kind: str = "") -> SafeString:
    """Decoration beside a word; screen readers skip it."""
    return format_html(
        '<svg class="icon {}" viewBox="0 0 16 16" aria-hidden="true"><path d="{}"/></svg>',
        kind,
        ICONS[name],
    )


@register.filter
def money(amount: Decimal | None, currency: str) -> str:
    return UNKNOWN if amount is None else format_amount(amount, currency)


@register.filter
def card_money(amount: Decimal | None, currency: str) -> str:
    return format_card(_money(amount, currency))


@register.filter
def unit_price(amount: Decimal | None, currency: str) -> str:
    return format_unit_price(_money(amount, currency))


@register.filter
def rate(amount: Decimal | None, currency: str) -> str:
    """A price per unit where exactness stands in the title: `$2.55`, `$0.0144`, `$0.000375`."""
    if amount is None:
        return UNKNOWN
    if amount and abs(amount) < 1:
        return unit_price(amount.quantize(Decimal(1).scaleb(amount.adjusted() - 2)), currency)
    return money(amount, currency)


@register.filter
def exact(amount: Decimal | None, currency: str) -> str:
    return exact_money(_money(amount, currency))


@register.filter
def count(number: float | None) -> str:
    return UNKNOWN if number is None else f"{number:,.0f}"


@register.filter
def compact(number: float | None) -> str:
    """`9,312`, `12.3K`, `4.56M`: for cards; the exact number goes into a title."""
    if number is None:
        return UNKNOWN
    if abs(number) < COMPACT_FROM:
        return count(number)
    size, steps = float(number) / 1000, 0
    while abs(size) >= 999.5 and steps < len(LETTERS) - 1:
        size, steps = size / 1000, steps + 1
    digits = 0 if abs(size) >= 99.95 else 1 if abs(size) >= 9.995 else 2
    return f"{size:,.{digits}f}{LETTERS[steps]}"


@register.filter
def percent(share: float | Decimal | None) -> str:
    """`61%`, `4.2%`, `<0.1%`; one decimal below ten. What is not all is never 100%: `>99.9%`."""
    if share is None:
        return UNKNOWN
    value = float(share) * 100
    if 0 < abs(value) < 0.1:
        return "<0.1%"
    if 99.5 <= abs(value) < 100:
        said = f"{value:.1f}%" if abs(value) < 99.95 else f"{'>' if value > 0 else '<−'}99.9%"
        return said.replace("-", "−")
    digits = 0 if abs(value) >= 9.95 or value == 0 else 1
    return f"{value:,.{digits}f}%".replace("-", "−")


def compared(share: float | None, before: str) -> str:
    """`12% more than in the 30 days before`; nothing to compare with is said, not hidden."""
    if share is None:
        return f"no cost is known of {before}"
    if abs(share) < 0.0005:
        return f"the same as {before}"
    return f"{percent(abs(share))} {'more' if share > 0 else 'less'} than {before}"


@register.filter
def duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < 9.95:
        return f"{milliseconds:.2g} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.{2 if milliseconds < 9_995 else 1}f} s"
    return _span(timedelta(milliseconds=milliseconds))


@register.filter
def seconds(value: float | None) -> str:
    return UNKNOWN if value is None else _span(timedelta(seconds=value))


@register.filter
def size(number: int | None) -> str:
    """Bytes in powers of 1,024, as GPU vendors state memory."""
    if number is None:
        return UNKNOWN
    steps = 0
    value = float(number)
    while abs(value) >= 1024 and steps < len(BYTE_UNITS) - 1:
        value, steps = value / 1024, steps + 1
    return f"{value:.3g} {BYTE_UNITS[steps]}"


@register.filter
def energy(joules: float | None) -> str:
    if joules is None:
        return UNKNOWN
    hours, unit = joules / 3600, "Wh"
    if hours >= 1000:
        hours, unit = hours / 1000, "kWh"
    return f"{hours:,.0f} {unit}" if hours >= 100 else f"{hours:.3g} {unit}"


@register.filter
def watts(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f} W"


@register.filter
def local(instant: datetime) -> datetime:
    return instant.astimezone(ZoneInfo(settings.ACCOUNTING_TIME_ZONE))


def when_text(instant: datetime | None) -> str:
    """`20 Nov 2026, 10:05 UTC`, in the accounting zone."""
    if instant is None:
        return "never"
    there = local(instant)
    return f"{there.day} {there:%b %Y, %H:%M %Z}"


@register.filter
def when(instant: datetime | None) -> SafeString | str:
    if instant is None:
        return "never"
    return format_html(
        '<time datetime="{}">{}</time>', instant.isoformat(timespec="seconds"), when_text(instant)
    )


@register.filter
def ago(instant: datetime | None) -> SafeString | str:
    """`3 min ago`, with the exact time as its title."""
    if instant is None:
        return "never"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        instant.isoformat(timespec="seconds"),
        when_text(instant),
        ago_text(instant),
    )


def ago_text(instant: datetime | None) -> str:
    if instant is None:
        return "never"
    passed = timezone.now() - instant
    return "just now" if abs(passed) < SOON else f"{_span(passed)} ago"


@register.filter
def day(value: date | None) -> str:
    return UNKNOWN if value is None else f"{value.day} {value:%b %Y}"


@register.filter
def short_day(value: date) -> str:
    return f"{value.day} {value:%b}"


@register.filter
def month(value: date) -> str:
    """`November 2026`."""
    return f"{value:%B %Y}"


def days_text(start: date, end: date) -> str:
    """The half-open `[start, end)` as people say it: `22 Oct – 20 Nov 2026`."""
    last = end - timedelta(days=1)
    if start == last:
        return day(start)
    first = short_day(start) if start.year == last.year else day(start)
    return f"{first} – {day(last)}"


@register.filter
def days(filters) -> str:
    return days_text(filters.start, filters.end)


@register.filter
def ticks(text: str) -> SafeString:
    """Words between backticks as code, everything else as plain text."""
    parts = str(text).split("`")
    pieces = (("<code>{}</code>" if at % 2 else "{}", part) for at, part in enumerate(parts))
    return format_html_join("", "{}", ((format_html(form, part),) for form, part in pieces))


@register.filter
def is_id(value: object) -> bool:
    """An id or a fingerprint, which is compared sign by sign and not read."""
    return isinstance(value, str) and ID.fullmatch(value) is not None


@register.simple_tag
def meter(share: float | None, label: str = "", mark: float | None = None) -> SafeString | str:
    """A small bar beside the number that says the same; `mark` is where it might be."""
    if share is None:
        return ""
    return format_html(
        '<svg class="meter" viewBox="0 0 64 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="64" height="6" rx="3"/><rect class="fill" width="{}" height="6" rx="3"/>{}'
        "</svg>",
        _along(share, 64),
        "" if mark is None else format_html(METER_MARK, _along(mark, 62)),
    )


METER_MARK = '<rect class="mark" x="{}" width="2" height="6"/>'


def _along(share: float, width: int) -> float:
    return round(max(0.0, min(1.0, float(share))) * width, 1)


@register.simple_tag
def mark() -> SafeString:
    """The sign of the house: what is spent, and the saving that crosses it."""
    return mark_safe(
        '<svg viewBox="0 0 24 24" aria-hidden="true">'
        '<path class="cost" d="M3 6.5c6 0 8.5 11 18 11"/>'
        '<path class="saving" d="M3 20C9 20 12 4 21 4"/></svg>'
    )


def sentence(text: str) -> str:
    """With a capital and a full stop, the rest untouched."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _money(amount: Decimal | None, currency: str) -> Money | None:
    return None if amount is None else Money(amount, currency)


def _span(passed: timedelta) -> str:
    total = max(0, int(passed.total_seconds()))
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min"
    if total < 48 * 3600:
        hours, minutes = total // 3600, total % 3600 // 60
        return f"{hours} h {minutes} min" if minutes and hours < 10 else f"{hours} h"
    return f"{total // 86400} days"
