"""The frame around every page: the bar that says what is shown, and the swap of a part.

Knows the request, its filters and permissions. Refuses figures: pages bring their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from finops import access
from finops.queries.cursors import BadCursor
from finops.queries.filters import FIELDS, LABEL, Filters, label_of
from finops.templatetags import words

from .navigation import address, navigation

PRESETS = (
    ("today", "Today"),
    ("7d", "Last 7 days"),
    ("14d", "Last 14 days"),
    ("30d", "Last 30 days"),
    ("60d", "Last 60 days"),
    ("90d", "Last 90 days"),
    ("mtd", "This month so far"),
    ("last-month", "Last month"),
)

GROUP_LABELS = {
    "project": "Project",
    "team": "Team",
    "provider": "Provider",
    "model": "Model",
    "service": "Service",
    "user": "User",
    "kind": "Kind of request",
    "tier": "Tier",
    "sku": "SKU",
    "origin": "Where the cost comes from",
}


BY_LABEL = ("costs", "costs-csv")
"""The pages that know the labels of requests; to others no link takes them along."""


def group_label(group: str) -> str:
    name = label_of(group)
    return f"Label {name}" if name else GROUP_LABELS[group]


def group_said(group: str) -> str:
    """Within a sentence; an abbreviation keeps its capitals."""
    label = group_label(group)
    return label if label.isupper() else label.lower()


MAX_LENGTH = 500
"""Of a parameter of ours in the URL; a cursor is the longest."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that can be picked, as a link or a box."""

    label: str
    value: str = ""
    href: str = ""
    current: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    label: str
    value: str
    href: str


@dataclass(frozen=True, slots=True)
class Bar:
    """What is shown and how to change it; every control is a link or a form of this page."""

    range_label: str
    last_day: date
    presets: tuple[Choice, ...]
    kept_without_range: tuple[tuple[str, str], ...]
    projects: tuple[Choice, ...]
    teams: tuple[Choice, ...]
    projects_label: str
    kept_without_projects: tuple[tuple[str, str], ...]
    kept_without_known_on: tuple[tuple[str, str], ...]
    compare_href: str
    chips: tuple[Chip, ...]
    clear_href: str


@dataclass(frozen=True, slots=True)
class Action:
    label: str
    href: str
    icon: str
    main: bool = False
    download: bool = False
    """A table as CSV; its twin at `workbook` is the same as XLSX."""

    @property
    def workbook(self) -> str:
        path, mark, query = self.href.partition("?")
        return f"{path.removesuffix('.csv')}.xlsx{mark}{query}"

    @property
    def workbook_label(self) -> str:
        return self.label.replace("CSV", "XLSX")


@dataclass(frozen=True, slots=True)
class View:
    """One request for one page: its filters, what else its URL says, and its own address."""

    request: HttpRequest
    filters: Filters
    errors: tuple[Any, ...]
    extra: dict[str, str]
    """Parameters of this page alone, such as `sort` and `tab`."""

    @classmethod
    def of(cls, request: HttpRequest, *names: str, by_label: bool = False) -> View:
        filters, errors = Filters.parse(request.GET, request.user, by_label=by_label)
        extra = {name: value for name in names if (value := clean(request.GET, name))}
        return cls(request, filters, tuple(errors), extra)

    def url(self, filters: Filters | None = None, **extra: str) -> str:
        """This page with other filters or parameters; an empty one is left out."""
        return link(self.request.path, filters or self.filters, {**self.extra, **extra})

    def to(self, name: str, filters: Filters | None = None, **extra: str) -> str:
        """Another page, with these filters."""
        wanted = filters or self.filters
        return link(address(name), wanted if name in BY_LABEL else wanted.unlabelled, extra)

    def pairs(self, filters: Filters, *without: str) -> tuple[tuple[str, str], ...]:
        """Hidden fields that keep the rest of the URL when a form changes `without`."""
        query = QueryDict(filters.to_query())
        kept = [(name, value) for name in query for value in query.getlist(name)]
        kept += self.extra.items()
        return tuple((name, value) for name, value in kept if name not in without)


def clean(query: QueryDict, name: str) -> str:
    """A short plain parameter; anything else counts as not given."""
    value = query.get(name, "")
    return value if len(value) <= MAX_LENGTH and value.isprintable() else ""


def link(path: str, filters: Filters, extra: dict[str, str] | None = None) -> str:
    rest = {name: value for name, value in (extra or {}).items() if value}
    query = filters.to_query()
    return f"{path}?{query}&{urlencode(rest)}" if rest else f"{path}?{query}"


def page(
    view: View,
    template: str,
    title: str,
    *,
    lead: str = "",
    crumbs: Sequence[tuple[str, str]] = (),
    actions: Iterable[Action | None] = (),
    as_of: datetime | None = None,
    is_sample: bool = False,
    with_bar: bool = True,
    can_compare: bool = False,
    currencies: Sequence[Choice] = (),
    converts: Sequence[Choice] = (),
    conversion: Any = None,
    has_charts: bool = False,
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    """The whole page, or only what htmx swaps into it."""
    request = view.request
    swap = bool(request.htmx) and request.htmx.target == "view"
    carried = replace(view.filters.unlabelled, group_by=()).to_query()
    shown = [action for action in actions if action]
    response = render(
        request,
        template,
        {
            "layout": "swap.html" if swap else "base.html",
            "title": title,
            "lead": lead,
            "crumbs": crumbs,
            "actions": [action for action in shown if not action.download],
            "exports": [action for action in shown if action.download],
            "currencies": currencies,
            "converts": converts,
            "conversion": conversion,
            "not_converted": bool(view.filters.convert and with_bar and not conversion),
            "recorded_href": view.url(replace(view.filters, convert=""), cursor=""),
            "filters": view.filters,
            # Without a bar only this one of the filters is used.
            "filter_errors": [
                error for error in view.errors if with_bar or error.field == "convert"
            ],
            "bar": bar(view, can_compare) if with_bar else None,
            "nav": navigation(request, carried),
            "carried": carried,
            "roles": roles(request.user),
            "as_of": as_of,
            "is_sample": is_sample or settings.SAMPLE_DATA,
            "has_charts": has_charts,
            "announce": f"{title}, {words.days(view.filters)}." if with_bar else "",
            **context,
        },
        status=status,
    )
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response


def roles(user: Any) -> str:
    """What somebody is, as in `analyst`; one line for the menu."""
    return ", ".join(sorted({grant.role for grant in access.grants(user)}))


def bar(view: View, can_compare: bool) -> Bar:
    filters = view.filters
    visible = access.visible_projects(view.request.user).all
    names = {project.slug: project.name for project in visible}
    teams = sorted({project.team.name for project in visible if project.team})
    compared = replace(filters, compare=not filters.compare)
    cleared = replace(filters, label="", labels=(), **{f"{name}s": () for name in FIELDS})
    return Bar(
        range_label=range_label(filters),
        last_day=filters.end - timedelta(days=1),
        presets=tuple(
            Choice(
                label,
                href=view.url(replace(filters, preset=preset), cursor=""),
                current=preset == filters.preset,
            )
            for preset, label in PRESETS
        ),
        kept_without_range=view.pairs(filters, "range", "from", "to", "cursor"),
        projects=tuple(
            Choice(project.name, project.slug, current=project.slug in filters.projects)
            for project in visible
        ),
        teams=tuple(Choice(team, team, current=team in filters.teams) for team in teams),
        projects_label=projects_label(filters, names),
        kept_without_projects=view.pairs(filters, "f.project", "f.team", "cursor"),
        kept_without_known_on=view.pairs(filters, "known_on", "cursor"),
        compare_href=view.url(compared, cursor="") if can_compare else "",
        chips=tuple(chips(view, names)),
        clear_href=view.url(cleared, cursor=""),
    )


def range_label(filters: Filters) -> str:
    named = dict(PRESETS).get(filters.preset)
    return named or words.days(filters)


def projects_label(filters: Filters, names: dict[str, str]) -> str:
    projects = several_said([names.get(slug, slug) for slug in filters.projects])
    teams = several_said(filters.teams)
    # Both must hold: of the projects only those that are the team's.
    return " of ".join(filter(None, (projects, teams))) or "All projects"


def several_said(names: Sequence[str]) -> str:
    first = names[0] if names else ""
    return f"{first} and {len(names) - 1} more" if len(names) > 1 else first


def chips(view: View, names: dict[str, str]) -> Iterable[Chip]:
    filters = view.filters
    for name in FIELDS:
        values = getattr(filters, f"{name}s")
        for value in values:
            rest = tuple(other for other in values if other != value)
            shown = names.get(value, value) if name == "project" else value
            href = view.url(replace(filters, **{f"{name}s": rest}), cursor="")
            yield Chip(GROUP_LABELS[name], shown or "none given", href)
    for value in filters.labels:
        rest = tuple(other for other in filters.labels if other != value)
        narrower = replace(filters, labels=rest, label=filters.label if rest else "")
        href = view.url(narrower, cursor="")
        yield Chip(group_label(f"{LABEL}{filters.label}"), value or "none given", href)
    if filters.known_on:
        href = view.url(replace(filters, known_on=None), cursor="")
        yield Chip("Bills as known on", words.day(filters.known_on), href)


def needs(permission: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A page for whoever holds the permission over anything; what it shows is narrowed further."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not access.anywhere(request.user, permission):
                raise PermissionDenied
            if "last" in request.GET:
                return HttpResponseRedirect(half_open(request))
            if request.method in ("GET", "HEAD"):
                access.remember_projects(request.user)
            try:
                return view(request, *args, **kwargs)
            except BadCursor as error:
                raise BadRequest(str(error)) from error

        return guarded

    return decorate


def half_open(request: HttpRequest) -> str:
    """People name the last day they want, addresses the day after it: `to` is not included."""
    query = request.GET.copy()
    try:
        last = date.fromisoformat(query.pop("last")[-1])
        query["to"] = (last + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        query["to"] = "not a date"
    return f"{request.path}?{query.urlencode()}"


def currency_choices(
    view: View, others: Iterable[tuple[str, Any]], converted: Iterable[str] = ()
) -> list[Choice]:
    """One currency at a time: amounts of two are never added. Empty when there is but one."""
    filters = view.filters
    codes = {filters.currency, *(code for code, _ in others), *converted}
    if len(codes) < 2:
        return []
    return [
        Choice(
            code,
            href=view.url(replace(filters, currency=code, convert=""), cursor=""),
            current=code == filters.currency and not filters.convert,
        )
        for code in sorted(codes)
    ]


def csv_action(view: View, name: str, **extra: str) -> Action:
    return Action("CSV", view.to(name, **{**view.extra, **extra}), "download", download=True)
