"""The column of pages: what is in it, for whom, and where one is.

Knows the names of pages and permissions. Refuses to show a way that this person may not go.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from finops import access
from finops.queries.alerts import open_count
from finops.queries.saved_views import PLACES

NAVIGATION = (
    (
        "",
        (("overview", "Overview", "overview", "finops.view_spend"),),
    ),
    (
        "Spend",
        (
            ("costs", "Costs", "costs", "finops.view_spend"),
            ("unit-costs", "Unit costs", "unit-costs", "finops.view_spend"),
            ("allocation", "Allocation", "allocation", "finops.view_bills"),
            ("showback", "Showback", "showback", "finops.view_spend"),
            ("reconciliation", "Reconciliation", "reconciliation", "finops.view_bills"),
        ),
    ),
    (
        "Workloads",
        (
            ("requests", "Requests", "requests", "finops.view_requests"),
            ("gpus", "GPUs & models", "gpus", "finops.view_bills"),
            ("hosts", "Hosts & servers", "hosts", "finops.view_bills"),
            ("events", "Events", "events", "finops.view_spend"),
        ),
    ),
    (
        "Improve",
        (
            ("optimiser:recommendations", "Recommendations", "advice", "finops.view_spend"),
            ("optimiser:changes", "Changes", "changes", "finops.view_spend"),
            ("savings", "Savings", "savings", "finops.view_spend"),
        ),
    ),
    (
        "Watch",
        (
            ("budgets", "Budgets", "budgets", "finops.view_spend"),
            ("slos", "Objectives", "slos", "finops.view_requests"),
            ("alerts", "Alerts", "alerts", "finops.view_spend"),
        ),
    ),
    (
        "Data",
        (
            ("sources", "Sources", "sources", "finops.view_sources"),
            ("optimiser:targets", "Targets", "targets", "finops.view_sources"),
            ("prices", "Prices", "prices", "finops.view_spend"),
        ),
    ),
    (
        "Settings",
        (
            ("labels", "Labels", "labels", "finops.view_spend"),
            ("exchange-rates", "Exchange rates", "exchange", "finops.view_spend"),
            ("channels", "Channels", "channels", "finops.manage_channels"),
            ("slack-users", "Slack users", "person", ""),
            ("tokens", "Tokens", "tokens", ""),
            ("audit", "Audit", "audit", "finops.view_audit"),
        ),
    ),
)
"""Group → (URL name, label, icon, permission that somebody needs over anything at all).

A name with a colon is a page of a package above, joined by string.
"""

FOLDED = "Settings"
"""Seldom opened: folded away, so that all that is used daily fits a laptop's screen."""

PARTS = {
    "cost-lines": "costs",
    "saved-views": "costs",
    "saved-view-new": "costs",
    "saved-view-edit": "costs",
    "source": "sources",
    "delivery": "sources",
    "delivery-changes": "sources",
    "source-new": "sources",
    "source-new-test": "sources",
    "source-test": "sources",
    "source-past": "sources",
    "source-again": "sources",
    "source-edit": "sources",
    "source-edit-test": "sources",
    "source-upload": "sources",
    "span": "requests",
    "logged-errors": "requests",
    "allocation-new": "allocation",
    "allocation-edit": "allocation",
    "allocation-unallocated": "allocation",
    "chargeback": "showback",
    "budget": "budgets",
    "budget-new": "budgets",
    "budget-edit": "budgets",
    "event": "events",
    "reprice": "prices",
    "price-update": "prices",
    "price-terms": "prices",
    "price-term": "prices",
    "price-term-new": "prices",
    "price-term-edit": "prices",
    "buying-region-new": "prices",
    "buying-region-edit": "prices",
    "price-explained": "prices",
    "event-end": "events",
    "alert": "alerts",
    "alert-snooze": "alerts",
    "alert-resolve": "alerts",
    "alert-rules": "alerts",
    "alert-silences": "alerts",
    "watch-rules": "alerts",
    "watch-rule-new": "alerts",
    "watch-rule-edit": "alerts",
    "slo": "slos",
    "slo-new": "slos",
    "slo-edit": "slos",
    "slo-proposals": "slos",
    "slo-proposal": "slos",
    "slo-proposal-edit": "slos",
    "slo-decide": "slos",
    "slo-withdraw": "slos",
    "channel": "channels",
    "channel-new": "channels",
    "channel-edit": "channels",
    "channel-rotate": "channels",
    "channel-message": "channels",
    "recommendation": "recommendations",
    "change": "changes",
    "change-edit": "changes",
    "target": "targets",
    "target-new": "targets",
    "server-new": "targets",
}
"""Pages that stand below another in the navigation."""


@dataclass(frozen=True, slots=True)
class NavItem:
    label: str
    icon: str
    href: str
    current: str
    count: int = 0
    """What waits there for somebody; 0 shows nothing."""


@dataclass(frozen=True, slots=True)
class NavGroup:
    label: str
    items: tuple[NavItem, ...]

    @property
    def folds(self) -> bool:
        return self.label == FOLDED

    @property
    def is_open(self) -> bool:
        """Never folded around the page one is on."""
        return any(item.current for item in self.items)


def navigation(request: HttpRequest, carried: str) -> list[NavGroup]:
    """Only what this person may open; the period and the filters go along."""
    here = request.resolver_match.url_name if request.resolver_match else ""
    groups = []
    for label, entries in NAVIGATION:
        items = tuple(
            NavItem(
                text,
                icon,
                # A page asked for nothing opens with its default view.
                address(name)
                if name in PLACES and not request.GET
                else f"{address(name)}?{carried}",
                current(name, here),
                open_count(request.user) if name == "alerts" else 0,
            )
            for name, text, icon, permission in entries
            if not permission or access.anywhere(request.user, permission)
        )
        if items:
            groups.append(NavGroup(label, items))
    return groups


def current(name: str, here: str) -> str:
    name = name.rpartition(":")[2]
    if name == here:
        return "page"
    return "true" if PARTS.get(here) == name else ""


def address(name: str) -> str:
    return reverse(name if ":" in name else f"finops:{name}")
