"""How loaded hosts, model servers and GPU memory were. What nobody said is shown as unknown."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from finops.queries.loads import HostRow, Loads, MemoryRow, ServingRow, loads
from finops.templatetags import words

from .page import View, csv_action, needs, page
from .tables import (
    Cell,
    Column,
    Row,
    Table,
    csv_response,
    share_cell,
    unknown_cell,
    words_cell,
)

SERVER_COLUMNS = (
    Column("Model"),
    Column("Server"),
    Column("Pool"),
    Column("Answered at once, mean", number=True),
    Column("Most", number=True, help="Highest sum of one quarter of an hour"),
    Column("Waiting, mean", number=True, help="Requests in the queue"),
    Column("Most waiting", number=True),
    Column("KV cache used, mean", number=True),
    Column("KV cache, most", number=True),
)
HOST_COLUMNS = (
    Column("Host"),
    Column("Pool"),
    Column("CPUs", number=True),
    Column("CPU busy", number=True, help="Share of all CPU time that was not idle"),
    Column("Memory", number=True),
    Column("Memory used", number=True, help="Share that no program could have got"),
    Column("Load, 1 min", number=True),
    Column("Runnable", number=True, help="Processes that run or wait for a CPU, on average"),
    Column("Blocked", number=True, help="Processes that wait for a disk, on average"),
)
MEMORY_COLUMNS = (
    Column("GPU"),
    Column("Pool"),
    Column("Bandwidth used", number=True, help="Share of what the memory could move"),
    Column("Time in use", number=True, help="Share of time in which memory was touched at all"),
)


@needs("finops.view_bills")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    found = loads(view.filters)
    tables = tables_of(found)
    return page(
        view,
        "finops/hosts.html",
        "Hosts & servers",
        lead="How many requests were answered and waited at once, and how full the machines were.",
        as_of=found.as_of,
        is_sample=found.is_sample,
        panels=[
            (table, csv_action(view, "hosts-csv", of=table.id)) for table in tables if table.rows
        ],
        missing=[table.empty for table in tables if not table.rows],
        may_connect=request.user.has_perm("finops.manage_sources"),
    )


@needs("finops.view_bills")
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """One of the tables; the servers' unless `of` names another one."""
    view = View.of(request, "of")
    found = loads(view.filters)
    tables = {table.id: table for table in tables_of(found)}
    table = tables.get(view.extra.get("of", ""), tables["servers"])
    name = f"{table.id}-{view.filters.start}-{view.filters.end}.csv"
    return csv_response(table, name, view.filters, found)


def tables_of(found: Loads) -> tuple[Table, ...]:
    return (
        Table(
            "servers",
            "Models, by server",
            SERVER_COLUMNS,
            tuple(Row(server_cells(row)) for row in found.servers),
            empty="No model server said how many requests it answers at once (Triton, vLLM).",
        ),
        Table(
            "hosts",
            "Hosts",
            HOST_COLUMNS,
            tuple(Row(host_cells(row)) for row in found.hosts),
            empty="No host said how busy it is (node exporter).",
        ),
        Table(
            "memory",
            "Memory of the GPUs",
            MEMORY_COLUMNS,
            tuple(Row(memory_cells(row)) for row in found.memory),
            empty="No GPU said how its memory was used (DCGM exporter).",
        ),
    )


def server_cells(row: ServingRow) -> tuple[Cell, ...]:
    return (
        words_cell(row.model or "not named"),
        words_cell(row.server or "not named"),
        words_cell(row.pool),
        number_cell(row.running),
        number_cell(row.running_most),
        number_cell(row.waiting),
        number_cell(row.waiting_most),
        share_cell(row.kv_cache_used, meter=row.kv_cache_used),
        share_cell(row.kv_cache_most),
    )


def host_cells(row: HostRow) -> tuple[Cell, ...]:
    return (
        words_cell(row.host or "not named"),
        words_cell(row.pool),
        number_cell(row.cpus),
        share_cell(row.cpu_busy, meter=row.cpu_busy),
        size_cell(row.memory_total_bytes),
        share_cell(row.memory_used, meter=row.memory_used),
        number_cell(row.load_1m),
        number_cell(row.runnable),
        number_cell(row.blocked),
    )


def memory_cells(row: MemoryRow) -> tuple[Cell, ...]:
    return (
        words_cell(row.gpu or "not named"),
        words_cell(row.pool),
        share_cell(row.dram_active, meter=row.dram_active),
        share_cell(row.memory_busy, meter=row.memory_busy),
    )


def number_cell(value: float | None) -> Cell:
    """A mean of counts: what is below ten needs a digit more."""
    if value is None:
        return unknown_cell()
    text = f"{value:,.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"
    return Cell(text, f"{value:.6f}", value)


def size_cell(value: float | None) -> Cell:
    if value is None:
        return unknown_cell()
    return Cell(words.size(round(value)), f"{value:.0f}", value)
