"""Which days a preset means, and which ones came before a period.

Plain days in, plain days out. Refuses the clock: who asks says which day it is.
"""

from __future__ import annotations

from datetime import date, timedelta

PRESETS = ("today", "7d", "14d", "30d", "60d", "90d", "mtd", "last-month")
DEFAULT_PRESET = "30d"


def preset_days(preset: str, day: date) -> tuple[date, date]:
    """`[start, end)` of a preset as seen on `day`; today is included."""
    tomorrow = day + timedelta(days=1)
    if preset == "today":
        return day, tomorrow
    if preset == "mtd":
        return day.replace(day=1), tomorrow
    if preset == "last-month":
        first = day.replace(day=1)
        return _month_before(first), first
    return tomorrow - timedelta(days=int(preset.removesuffix("d"))), tomorrow


def _month_before(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)


def period_before(start: date, end: date, preset: str) -> tuple[date, date]:
    length = end - start
    if preset in ("mtd", "last-month"):
        before = _month_before(start)
        last = start if preset == "last-month" else min(before + length, start)
        return before, last
    return start - length, start
