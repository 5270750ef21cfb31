"""What one unit of use costs: figures, trend, groups, models side by side, and another model.

Knows how unit costs are worded; `finops.queries.unit_costs` knows what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from finops import access
from finops.queries import kept_labels
from finops.queries import unit_costs as queries
from finops.queries.filters import Filters
from finops.queries.unit_costs import (
    GPU_UNITS,
    GROUPS,
    NAMES,
    OF_LABEL,
    UNITS,
    Asked,
    UnitTable,
)

from . import unit_costs_tables as tables
from .costs import BASIS_HELP, basis_choices
from .currencies import currency_context
from .figures import (
    Figure,
    known_total,
    money_figure,
    provisional_badge,
    stamped,
    unit_figure,
    why_no_total,
)
from .page import (
    GROUP_LABELS,
    Action,
    Choice,
    View,
    csv_action,
    needs,
    page,
)
from .tables import csv_response
from .unit_costs_compared import comparison_table
from .unit_costs_labels import values_table

TABLES = ("units", "pools", "comparison", "what-if", "labels")


@dataclass(frozen=True, slots=True)
class Page:
    view: View
    filters: Filters
    asked: Asked
    labels: tuple[str, ...]
    """That the reader may choose."""

    @classmethod
    def of(cls, request: HttpRequest, *names: str) -> Page:
        view = View.of(request, *NAMES, *names)
        labels = kept_labels.names(access.visible_projects(request.user))
        asked, errors = queries.parse(view.extra, labels)
        view = replace(view, errors=(*view.errors, *errors))
        fitting = tuple(name for name in view.filters.group_by if name in GROUPS)
        filters = replace(view.filters, group_by=fitting or GROUPS[:1])
        return cls(view, filters, asked, labels)


@needs("finops.view_spend")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    shown = Page.of(request)
    view, filters, asked = shown.view, shown.filters, shown.asked
    table = queries.unit_costs(filters, asked)
    compared = queries.comparison(filters, asked)
    moved = queries.what_if(filters, asked)
    first, *second = filters.group_by
    return page(
        view,
        "finops/unit_costs.html",
        "Unit costs",
        lead="What one unit of use costs, from priced usage and hardware, billed or not.",
        actions=[csv_action(view, "unit-costs-csv")],
        as_of=table.as_of,
        is_sample=table.is_sample,
        can_compare=True,
        **currency_context(view, table.spend.others, table.conversion),
        has_charts=True,
        figures=figures(table, filters),
        chart=tables.trend(queries.unit_series(filters, asked)),
        units=[
            Choice(UNITS[key].label, key, current=key == asked.unit) for key in seen(filters, shown)
        ],
        labels=[Choice(name, name, current=name == asked.label) for name in shown.labels],
        values=values_table(filters, asked.label) if asked.label else None,
        scores=[Choice(name, name, current=name == asked.score) for name in table.scores],
        at_least=queries.said(asked.at_least),
        kept_unit=view.pairs(view.filters, "unit", "score", "at_least", "label"),
        table=tables.units_table(table, view, filters),
        groups=[Choice(GROUP_LABELS[name], name, current=name == first) for name in GROUPS],
        second_groups=[
            Choice(GROUP_LABELS[name], name, current=name in second)
            for name in GROUPS
            if name != first
        ],
        kept=view.pairs(filters, "group_by"),
        bases=basis_choices(view) if filters.bills else (),
        pools=tables.pools_table(table) if table.pools else None,
        compared=comparison_table(compared, asked),
        moved=moved,
        moved_table=tables.what_if_table(moved),
        said=tables.what_if_said(moved),
        choices=queries.choices(filters),
        candidates=[(name, view.extra.get(name, "")) for name in queries.CANDIDATES],
        kept_candidates=view.pairs(view.filters, *queries.CANDIDATES),
        downloads={name.replace("-", "_"): download(view, name) for name in TABLES},
    )


@needs("finops.view_spend")
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """One of the page's tables, as it stands on the page."""
    shown = Page.of(request, "table")
    filters, asked = shown.filters, shown.asked
    name = shown.view.extra.get("table", TABLES[0])
    if name == "comparison":
        made = comparison_table(queries.comparison(filters, asked), asked)
    elif name == "what-if":
        made = tables.what_if_table(queries.what_if(filters, asked))
    elif name == "labels" and asked.label:
        made = values_table(filters, asked.label)
    elif name == "pools":
        made = tables.pools_table(queries.unit_costs(filters, asked))
    else:
        name = TABLES[0]
        made = tables.units_table(queries.unit_costs(filters, asked), shown.view, filters)
    return csv_response(made, f"unit-costs-{name}-{filters.start}-{filters.end}.csv", filters)


def download(view: View, name: str) -> Action:
    return csv_action(view, "unit-costs-csv", table=name)


def figures(table: UnitTable, filters: Filters) -> list[Figure]:
    spend = table.spend
    badge, tone = provisional_badge(spend.provisional_share) if table.rows else ("", "")
    if filters.basis != "book":
        badge, tone = "", ""
    made = [
        money_figure(
            "spend",
            "Spend",
            known_total(spend),
            spend.currency,
            reason=why_no_total(spend),
            note="" if spend.cost == spend.usage_cost else tables.differs_said(spend),
            definition=f"The same figure as on the page Costs. {BASIS_HELP[filters.basis]}",
            badge=badge,
            tone=tone,
            **stamped(spend),
        )
    ]
    for key, unit in table.total.units.items():
        if key in GPU_UNITS and not filters.bills:
            continue
        made.append(
            unit_figure(
                key,
                unit.label,
                unit.value,
                table.currency,
                reason=f"{unit.reason} {unit.coverage}".strip(),
                note=tables.unit_note(unit, table.currency, filters.compare),
                definition=f"{tables.DEFINITIONS[key]} See docs/unit-economics.md.",
                **stamped(table),
            )
        )
    return made


def seen(filters: Filters, shown: Page) -> tuple[str, ...]:
    """Pools belong to the organisation, and so do the costs of their hours."""
    left_out = (*(() if filters.bills else GPU_UNITS), *(() if shown.labels else (OF_LABEL,)))
    return tuple(key for key in UNITS if key not in left_out)
