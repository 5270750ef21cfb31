"""What a reader asked for, and what they may see of it.

Knows the names of the URL's parameters, the accounting zone and the reader's projects. Refuses
guessing: a bad value is an error that names the field, what is allowed and what was done instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone

from finops import access
from finops.models import ExchangeRate

from . import kept_labels
from .periods import DEFAULT_PRESET, PRESETS, period_before
from .periods import preset_days as preset_days

GROUPS = (
    "project", "team", "provider", "model", "service", "user", "kind", "tier", "sku", "origin",
)  # fmt: skip
"""What rows may be grouped by. `origin` is bill, usage or hardware."""
LABEL = "label:"
"""Before the name of a label that is kept, as in `group_by=label:customer`; see `kept_labels`."""
BASES = ("book", "usage", "bill")
METRICS = ("effective", "billed", "list", "contracted")
"""Which cost column of a bill is meant."""
FIELDS = ("project", "team", "provider", "model", "service")
"""What rows may be filtered by, as in `f.project=support-chat`, repeatable. Where costs are split,
also by the values of one label, as in `f.label:customer=acme`."""

EMPTY = ("f.model",)
"""Filters for which an empty value is a value; those of labels are too."""

MAX_DAYS = 1100
MAX_VALUES = 50
MAX_LENGTH = 300
PLAIN_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
CURRENCY = re.compile(r"[A-Za-z0-9 _.-]{1,20}", re.ASCII)

_quoted = lru_cache(maxsize=4096)(quote_plus)
"""A page has a hundred links, of which nearly all say the same."""


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
    label: str = ""
    """The label that is filtered by; empty: none."""
    labels: tuple[str, ...] = ()
    """Its values that are wanted; an empty one stands for requests without it."""
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
    def parse(
        cls, query: QueryDict, user: Any, *, by_label: bool = False
    ) -> tuple[Filters, list[FilterError]]:
        """The filters a query string means for this reader, and what was wrong with it.

        With errors, the filters hold the default for each bad value: a page shows both, the API
        refuses. Only who asks `by_label` knows what to do with a label's values.
        """
        return _Parser(query, user, by_label).parse()

    @property
    def shown(self) -> str:
        """The currency that amounts are told in."""
        return self.convert or self.currency

    @property
    def split_label(self) -> str:
        """The label that costs are grouped or filtered by; one at a time, empty for none."""
        return next(filter(None, map(label_of, self.group_by)), self.label)

    @property
    def unlabelled(self) -> Filters:
        """For pages that know no labels."""
        groups = tuple(group for group in self.group_by if not label_of(group))
        return replace(self, group_by=groups, label="", labels=())

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
        shown = replace(self, **changes) if changes else self
        return urlencode(list(shown._pairs()), quote_via=_quoted)

    def drill(self, group: str, key: str) -> Filters:
        """These filters, narrowed to one row of a table grouped by `group`, for a link to it.

        Groups that cannot be filtered by (kind, tier, sku, origin) leave them as they are.
        """
        rest = tuple(name for name in self.group_by if name != group)
        if label := label_of(group):
            # Bills and hardware have no labels.
            return replace(self, group_by=rest, label=label, labels=(key,), basis="usage")
        if group not in FIELDS:
            return replace(self, group_by=rest)
        narrowed: dict[str, Any] = {"group_by": rest, f"{group}s": (key,)}
        return replace(self, **narrowed)

    def previous(self) -> Filters:
        """The same filters over the period before, of equal length.

        Month to date is compared with the same days of the month before, a month with a month.
        """
        start, end = period_before(self.start, self.end, self.preset)
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
        for value in self.labels:
            yield f"f.{LABEL}{self.label}", value
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


def label_of(group: str) -> str:
    """The label's name of a group such as `label:customer`; empty for every other group."""
    return group.removeprefix(LABEL) if group.startswith(LABEL) else ""


def midnight(day: date, zone: str) -> datetime:
    """The instant an accounting day begins."""
    return datetime.combine(day, time(), ZoneInfo(zone))


def today() -> date:
    return timezone.now().astimezone(ZoneInfo(settings.ACCOUNTING_TIME_ZONE)).date()


def _has_rates(code: str) -> bool:
    of_it = Q(base=code) | Q(quote=code)
    return ExchangeRate.objects.filter(of_it, replaced_at=None).exists()


class _Parser:
    """One pass over a query string; collects errors instead of stopping at the first."""

    def __init__(self, query: QueryDict, user: Any, by_label: bool):
        self.query = query
        self.user = user
        self.by_label = by_label
        self.errors: list[FilterError] = []

    def parse(self) -> tuple[Filters, list[FilterError]]:
        self._known_names()
        start, end, preset = self._window()
        visible = access.visible_projects(self.user)
        sees_bills = access.sees_organisation(self.user)
        chosen = {name: self._values(f"f.{name}") for name in FIELDS}
        groups = self._group_by(visible)
        label = self._label(visible, groups)
        filters = Filters(
            zone=settings.ACCOUNTING_TIME_ZONE,
            start=start,
            end=end,
            preset=preset,
            group_by=groups,
            projects=chosen["project"],
            teams=chosen["team"],
            providers=chosen["provider"],
            models=chosen["model"],
            services=chosen["service"],
            label=label,
            labels=self._values(f"f.{LABEL}{label}") if label else (),
            basis=self._basis(sees_bills, label),
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
            if name.startswith("f.") and name[2:] not in FIELDS and not label_of(name[2:]):
                self._bad(name[:40], f"Not a filter; use {allowed}.")

    def _text(self, name: str) -> str:
        """The last value of a parameter, as every browser and framework takes it."""
        values = self._values(name)
        return values[-1] if values else ""

    def _values(self, name: str) -> tuple[str, ...]:
        may_be_empty = name in EMPTY or bool(label_of(name[2:]))
        values = [value for value in self.query.getlist(name) if value or may_be_empty]
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

    def _group_by(self, visible: access.Projects) -> tuple[str, ...]:
        words = ",".join(self._values("group_by")).split(",")
        groups = tuple(dict.fromkeys(word for word in words if word))
        labels = [label for group in groups if (label := label_of(group))]
        if labels and not self._is_kept("group_by", labels[0], visible):
            return ()
        if any(group not in GROUPS and not label_of(group) for group in groups):
            self._bad("group_by", f"Use one or two of {', '.join(GROUPS)}, label:NAME.")
            return ()
        if len(groups) > 2:
            self._bad("group_by", "Group by at most two things.")
            return groups[:2]
        if labels and (len(labels) > 1 or "user" in groups):
            self._bad(
                "group_by",
                "Each label is a split of its own, and users are another: group by one of them.",
            )
            return groups[:1]
        return groups

    def _label(self, visible: access.Projects, groups: tuple[str, ...]) -> str:
        """The one label that is filtered by."""
        fields = [name for name in self.query if label_of(name[2:]) and name.startswith("f.")]
        if not fields:
            return ""
        field, label = fields[0][:60], label_of(fields[0][2:])
        if not self.by_label:
            self._bad(field, "Only costs per day are known by label: use it on the page Costs.")
        elif len(fields) > 1:
            self._bad(fields[1][:60], f"Filter by one label at a time; {label} is one already.")
        elif any(label_of(group) not in ("", label) or group == "user" for group in groups):
            self._bad(field, f"Group by label:{label}, or by no label and no user.")
        elif self._is_kept(field, label, visible):
            return label
        return ""

    def _is_kept(self, field: str, label: str, visible: access.Projects) -> bool:
        known = kept_labels.names(visible)
        if label in known:
            return True
        there = f"there are {', '.join(known)}" if known else "analysts choose some under Labels"
        self._bad(field, f"No label “{label[:40]}” is kept; {there}.")
        return False

    def _basis(self, sees_bills: bool, label: str) -> str:
        """Bills have no project, so who sees only projects is shown priced usage."""
        if label:
            if self._one_of("basis", BASES, "usage") != "usage":
                self._bad("basis", "Bills and hardware have no labels; use basis=usage.")
            return "usage"
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
