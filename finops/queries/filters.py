"""What a reader asked for, and what they may see of it.

Knows the names of the URL's parameters, the accounting zone and the reader's projects. Refuses
guessing: a bad value is an error that names the field, what is allowed and what was done instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone

from finops import access
from finops.models import ExchangeRate

PRESETS = ("today", "7d", "14d", "30d", "60d", "90d", "mtd", "last-month")
DEFAULT_PRESET = "30d"
GROUPS = (
    "project", "team", "provider", "model", "service", "user", "kind", "tier", "sku", "origin",
)  # fmt: skip
"""What rows may be grouped by. `origin` is bill, usage or hardware."""
BASES = ("book", "usage", "bill")
METRICS = ("effective", "billed", "list", "contracted")
"""Which cost column of a bill is meant."""
FIELDS = ("project", "team", "provider", "model", "service")
"""What rows may be filtered by, as in `f.project=support-chat`, repeatable."""

MAX_DAYS = 1100
MAX_VALUES = 50
MAX_LENGTH = 300
PLAIN_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
CURRENCY = re.compile(r"[A-Za-z0-9 _.-]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FilterError:
    """One bad parameter: its name, and a sentence with the fix."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Filters:
    """A window of whole accounting days `[start, end)`, narrowed and grouped."""

    zone: str
    start: date
    end: date
    preset: str = ""
    """The preset the dates came from; empty for absolute dates."""
    group_by: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    """Slugs, as in the URL."""
    teams: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    basis: str = "book"
    metric: str = "effective"
    currency: str = "USD"
    convert: str = ""
    """Every currency's amounts in this one, at the rates of their days; empty: as recorded."""
    compare: bool = False
    known_on: date | None = None
    """Bills as known at the end of this day; None: as known now."""
    project_ids: tuple[int, ...] | None = None
    """What access and the filters leave of all projects; None means every one."""
    bills: bool = False
    """May see what belongs to the organisation as a whole: bills and shared hardware."""

    @classmethod
    def parse(cls, query: QueryDict, user: Any) -> tuple[Filters, list[FilterError]]:
        """The filters a query string means for this reader, and what was wrong with it.

        With errors, the filters hold the default for each bad value: a page shows both, the API
        refuses.
        """
        return _Parser(query, user).parse()

    @property
    def shown(self) -> str:
        """The currency that amounts are told in."""
        return self.convert or self.currency

    @property
    def start_at(self) -> datetime:
        return midnight(self.start, self.zone)

    @property
    def end_at(self) -> datetime:
        return midnight(self.end, self.zone)

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def to_query(self, **changes: Any) -> str:
        """The query string that parses to these filters, with some of them changed.

        `filters.to_query(group_by=("model",))`, `filters.to_query(preset="7d")`,
        `filters.to_query(start=…, end=…)`.
        """
        if {"start", "end"} & set(changes):
            changes.setdefault("preset", "")
        return urlencode(list(replace(self, **changes)._pairs()))

    def drill(self, group: str, key: str) -> Filters:
        """These filters, narrowed to one row of a table grouped by `group`, for a link to it.

        Groups that cannot be filtered by (kind, tier, sku, origin) leave them as they are.
        """
        rest = tuple(name for name in self.group_by if name != group)
        if group not in FIELDS:
            return replace(self, group_by=rest)
        narrowed: dict[str, Any] = {"group_by": rest, f"{group}s": (key,)}
        return replace(self, **narrowed)

    def previous(self) -> Filters:
        """The same filters over the period before, of equal length.

        Month to date is compared with the same days of the month before, a month with a month.
        """
        start, end = _period_before(self.start, self.end, self.preset)
        return replace(self, start=start, end=end, preset="", compare=False)

    def _pairs(self) -> Iterable[tuple[str, str]]:
        if self.preset:
            yield "range", self.preset
        else:
            yield "from", self.start.isoformat()
            yield "to", self.end.isoformat()
        if self.group_by:
            yield "group_by", ",".join(self.group_by)
        for name in FIELDS:
            for value in getattr(self, f"{name}s"):
                yield f"f.{name}", value
        yield "basis", self.basis
        if self.metric != "effective":
            yield "metric", self.metric
        yield "currency", self.currency
        if self.convert:
            yield "convert", self.convert
        if self.known_on:
            yield "known_on", self.known_on.isoformat()
        if self.compare:
            yield "compare", "previous"


def midnight(day: date, zone: str) -> datetime:
    """The instant an accounting day begins."""
    return datetime.combine(day, time(), ZoneInfo(zone))


def today() -> date:
    return timezone.now().astimezone(ZoneInfo(settings.ACCOUNTING_TIME_ZONE)).date()


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


def _period_before(start: date, end: date, preset: str) -> tuple[date, date]:
    length = end - start
    if preset in ("mtd", "last-month"):
        before = _month_before(start)
        last = start if preset == "last-month" else min(before + length, start)
        return before, last
    return start - length, start


def _has_rates(code: str) -> bool:
    of_it = Q(base=code) | Q(quote=code)
    return ExchangeRate.objects.filter(of_it, replaced_at=None).exists()


class _Parser:
    """One pass over a query string; collects errors instead of stopping at the first."""

    def __init__(self, query: QueryDict, user: Any):
        self.query = query
        self.user = user
        self.errors: list[FilterError] = []

    def parse(self) -> tuple[Filters, list[FilterError]]:
        self._known_names()
        start, end, preset = self._window()
        visible = access.visible_projects(self.user)
        sees_bills = access.sees_organisation(self.user)
        chosen = {name: self._values(f"f.{name}") for name in FIELDS}
        filters = Filters(
            zone=settings.ACCOUNTING_TIME_ZONE,
            start=start,
            end=end,
            preset=preset,
            group_by=self._group_by(),
            projects=chosen["project"],
            teams=chosen["team"],
            providers=chosen["provider"],
            models=chosen["model"],
            services=chosen["service"],
            basis=self._basis(sees_bills),
            metric=self._one_of("metric", METRICS, "effective"),
            currency=self._currency(),
            convert=self._convert(),
            compare=self._one_of("compare", ("previous", "none"), "none") == "previous",
            known_on=self._day("known_on"),
            project_ids=self._project_ids(visible, chosen["project"], chosen["team"]),
            bills=sees_bills,
        )
        return filters, self.errors

    def _bad(self, field: str, message: str) -> None:
        self.errors.append(FilterError(field, message))

    def _known_names(self) -> None:
        allowed = ", ".join(f"f.{name}" for name in FIELDS)
        for name in self.query:
            if name.startswith("f.") and name[2:] not in FIELDS:
                self._bad(name[:40], f"Not a filter; use {allowed}.")

    def _text(self, name: str) -> str:
        """The last value of a parameter, as every browser and framework takes it."""
        values = self._values(name)
        return values[-1] if values else ""

    def _values(self, name: str) -> tuple[str, ...]:
        values = [value for value in self.query.getlist(name) if value or name == "f.model"]
        if len(values) > MAX_VALUES:
            self._bad(name, f"{len(values)} values; give at most {MAX_VALUES}.")
            return ()
        if any("\0" in value or len(value) > MAX_LENGTH for value in values):
            self._bad(name, f"Give plain text of at most {MAX_LENGTH} characters.")
            return ()
        return tuple(dict.fromkeys(values))

    def _one_of(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        text = self._text(name)
        if text in allowed:
            return text
        if text:
            self._bad(name, f"Use one of {', '.join(allowed)}.")
        return default

    def _window(self) -> tuple[date, date, str]:
        start, end = self._day("from"), self._day("to")
        if start is None and end is None:
            preset = self._one_of("range", PRESETS, DEFAULT_PRESET)
            return *preset_days(preset, today()), preset
        if self._text("range"):
            self._bad("range", "Give either range, or from and to.")
        fallback = preset_days(DEFAULT_PRESET, today())
        if start is None:
            self._missing("from")
            return *fallback, DEFAULT_PRESET
        end = end or today() + timedelta(days=1)
        if start >= end:
            self._bad("to", "The day after the last one wanted; it must be later than from.")
            return *fallback, DEFAULT_PRESET
        if (end - start).days > MAX_DAYS:
            self._bad("from", f"Ask for at most {MAX_DAYS} days at once.")
            return *fallback, DEFAULT_PRESET
        return start, end, ""

    def _missing(self, name: str) -> None:
        if not any(error.field == name for error in self.errors):
            self._bad(name, "Give from as well as to, as in from=2026-01-01.")

    def _day(self, name: str) -> date | None:
        text = self._text(name)
        if not text:
            return None
        if PLAIN_DATE.fullmatch(text):
            try:
                day = date.fromisoformat(text)
            except ValueError:
                pass
            else:
                if 2000 <= day.year < 2100:
                    return day
        self._bad(name, "Use a date such as 2026-01-31, from the year 2000 to 2099.")
        return None

    def _group_by(self) -> tuple[str, ...]:
        words = ",".join(self._values("group_by")).split(",")
        groups = tuple(dict.fromkeys(word for word in words if word))
        if any(group not in GROUPS for group in groups):
            self._bad("group_by", f"Use one or two of {', '.join(GROUPS)}.")
            return ()
        if len(groups) > 2:
            self._bad("group_by", "Group by at most two things.")
            return groups[:2]
        return groups

    def _basis(self, sees_bills: bool) -> str:
        """Bills have no project, so who sees only projects is shown priced usage."""
        if sees_bills:
            return self._one_of("basis", BASES, "book")
        if self._one_of("basis", BASES, "usage") != "usage":
            self._bad("basis", "Bills are for members of the organisation; use basis=usage.")
        return "usage"

    def _currency(self) -> str:
        text = self._text("currency")
        if not text:
            return settings.REPORTING_CURRENCY
        if not CURRENCY.fullmatch(text):
            self._bad("currency", "Use a currency code such as USD.")
            return settings.REPORTING_CURRENCY
        return text

    def _convert(self) -> str:
        text = self._text("convert")
        if text and not CURRENCY.fullmatch(text):
            self._bad("convert", "Use a currency code such as EUR.")
            return ""
        if text and not _has_rates(text):
            self._bad(
                "convert",
                f"There is no exchange rate of {text} yet; an analyst can bring some in under"
                " Exchange rates.",
            )
            return ""
        return text

    def _project_ids(
        self, visible: access.Projects, slugs: tuple[str, ...], teams: tuple[str, ...]
    ) -> tuple[int, ...] | None:
        """A project the reader may not see is answered like one that does not exist."""
        for slug in slugs:
            if slug not in visible.by_slug:
                self._bad("f.project", f"There is no project “{slug}” that you may see.")
        for team in teams:
            if team not in visible.by_team:
                self._bad("f.team", f"There is no team “{team}” that you may see.")
        if not slugs and not teams:
            return None if visible.everything else tuple(sorted(visible.ids))
        ids = set(visible.ids)
        if slugs:
            ids &= {visible.by_slug[slug] for slug in slugs if slug in visible.by_slug}
        if teams:
            ids &= {pk for team in teams for pk in visible.by_team.get(team, ())}
        return tuple(sorted(ids))
