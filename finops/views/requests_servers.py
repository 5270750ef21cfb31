"""Self-hosted models on the requests page, for who may see shared hardware. Refuses queries."""

from __future__ import annotations

from dataclasses import dataclass

from finops.money import UNKNOWN
from finops.queries.model_servers import ModelServers, ServerModel, model_servers

from .page import Action, View, csv_action
from .tables import (
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    duration_cell,
    share_cell,
    words_cell,
)

SAID = (
    "How much of the GPUs' memory bandwidth was used while tokens were made, and how many requests "
    "their clients gave up, as the servers count them. Filters by project do not apply: servers "
    "are shared. Defined in docs/measures.md."
)
COLUMNS = (
    Column("Model", "model"),
    Column("Pool", "pool"),
    Column("GPU"),
    Column("Ended", "ended", number=True, help="Requests that ended one way or another"),
    Column("Abandoned", "abandoned", number=True, help="Given up by the client"),
    Column("Per token", "tpot", number=True, help="Mean time for each token after the first"),
    Column("Bandwidth used", "bandwidth", number=True, help="Share of the GPUs' peak"),
    Column("How it is known"),
)
FROM = {"server": "by the server", "requests": "by its requests", "": ""}


@dataclass(frozen=True, slots=True)
class Panel:
    table: Table
    said: str
    csv: Action


def panel(view: View) -> Panel | None:
    """None where there is nothing to show, or nothing this reader may see."""
    if not view.request.user.has_perm("finops.view_bills"):
        return None
    found = model_servers(view.filters)
    if not found.models:
        return None
    return Panel(table(found), SAID, csv_action(view, "requests-servers-csv"))


def table(found: ModelServers) -> Table:
    rows = tuple(Row(_cells(one)) for one in found.models)
    return Table("servers", "Self-hosted models", COLUMNS, rows)


def _cells(one: ServerModel) -> tuple[Cell, ...]:
    return (
        words_cell(one.model or "all of the pool"),
        words_cell(one.pool),
        words_cell(one.hardware or UNKNOWN),
        count_cell(one.ended),
        share_cell(one.abandonment_rate),
        duration_cell(one.tpot_ms, note=FROM[one.tpot_from]),
        share_cell(one.bandwidth_used),
        words_cell(one.note, prose=True),
    )
