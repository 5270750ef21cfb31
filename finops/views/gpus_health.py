"""How GPUs are and who uses them, as tables. Knows NVML's words in plain English, no queries."""

from __future__ import annotations

from finops.money import UNKNOWN
from finops.queries.gpu_health import GpuHealth, ProcessRow, SliceRow
from finops.queries.gpus import GpuRow, PoolRow
from finops.templatetags import words

from .tables import NONE, Cell, Column, Row, Table, count_cell, share_cell, unknown_cell, words_cell

HEALTH_COLUMNS = (
    Column("GPU"),
    Column("State"),
    Column("Thermal", number=True, help="Share of time in which heat held the clock back"),
    Column("Power brake", number=True, help="Share of time in which the power supply braked"),
    Column("Power cap", number=True, help="Share of time at the power limit; normal under load"),
    Column("ECC, uncorrected", number=True, help="Memory errors of the period"),
    Column("ECC, corrected", number=True, help="Memory errors of the period that did no harm"),
    Column("Rows replaced", number=True, help="Memory rows remapped over the GPU's life"),
    Column("XID errors", number=True, help="Errors the driver reported in the period"),
    Column("Last XID", help="NVIDIA's number of the newest of them"),
)
USER_COLUMNS = (
    Column("GPU"),
    Column("Used by"),
    Column("On"),
    Column("Process", number=True, help="Process id on the host"),
    Column("Memory", number=True),
    Column("As of"),
)

XID_WORDS = {
    13: "graphics engine exception, mostly a fault of the program",
    31: "memory page fault, mostly a fault of the program",
    43: "the GPU stopped a program",
    45: "a program was stopped",
    48: "double-bit memory error: drain it, and reset the GPU",
    63: "a memory row is to be replaced: reset the GPU when it is free",
    64: "a memory row could not be replaced: have the GPU replaced",
    74: "NVLink error: check the links",
    79: "the GPU has fallen off the bus: restart the host, check power and heat",
    92: "many corrected memory errors",
    94: "contained memory error: restart the program",
    95: "uncontained memory error: reset the GPU",
    119: "the GPU's own processor gave no answer: reset the GPU",
}
"""NVIDIA's XID table, those that data centres meet most."""


def health_table(pool: PoolRow) -> Table:
    return Table(
        f"health-{pool.id}",
        f"Health of the GPUs of {pool.name}",
        HEALTH_COLUMNS,
        tuple(Row(health_cells(gpu)) for gpu in pool.gpus),
    )


def health_cells(gpu: GpuRow) -> tuple[Cell, ...]:
    health = gpu.health
    return (
        gpu_cell(gpu),
        state_cell(gpu),
        share_cell(health.thermal_share),
        share_cell(health.power_brake_share),
        share_cell(health.power_cap_share),
        count_cell(health.ecc_uncorrected),
        count_cell(health.ecc_corrected),
        count_cell(health.remapped_rows, note=rows_note(health)),
        count_cell(health.xid_errors),
        last_xid_cell(health),
    )


def gpu_cell(gpu: GpuRow) -> Cell:
    return words_cell(f"{gpu.host} #{gpu.index}")


def state_cell(gpu: GpuRow) -> Cell:
    """The worst that is known; "well" only for a GPU that told all of it."""
    health = gpu.health
    told = (health.ecc_uncorrected, health.remap_failed, health.xid_errors)
    for is_so, said, tone in (
        (gpu.use.is_lost, "lost", "bad"),
        (health.remap_failed, "replace it", "bad"),
        (health.ecc_uncorrected, "memory errors", "bad"),
        (health.remap_pending, "needs a reset", "warn"),
        (health.lost_s, "was lost", "warn"),
        (health.xid_errors, "XID errors", "warn"),
        (health.thermal_s, "too hot at times", "warn"),
        (health.power_brake_s, "power brake", "warn"),
        (all(one is not None for one in told), "well", "good"),
    ):
        if is_so:
            return words_cell(said, tone=tone)
    known = [one for one in told if one is not None]
    return words_cell("nothing reported", note="it cannot tell all") if known else unknown_cell()


def rows_note(health: GpuHealth) -> str:
    if health.remap_failed:
        return "one could not be replaced"
    return "a reset is due" if health.remap_pending else ""


def last_xid_cell(health: GpuHealth) -> Cell:
    if health.xid_errors is None:
        return unknown_cell()
    if health.last_xid is None:
        return NONE
    said = XID_WORDS.get(health.last_xid, "see NVIDIA's list of XID errors")
    return Cell(str(health.last_xid), str(health.last_xid), health.last_xid, note=said)


def users_table(pool: PoolRow) -> Table:
    rows = [Row(cells) for gpu in pool.gpus for cells in user_lines(gpu)]
    return Table(
        f"users-{pool.id}",
        f"Who uses the GPUs of {pool.name} now",
        USER_COLUMNS,
        tuple(rows),
        empty="No process runs on these GPUs, or no probe told of any.",
    )


def user_lines(gpu: GpuRow) -> list[tuple[Cell, ...]]:
    """Slices first, each with its whole memory; then the processes that were named."""
    profiles = {one.uuid: slice_name(one) for one in gpu.use.mig_instances}
    lines = [slice_line(gpu, one) for one in gpu.use.mig_instances]
    lines += [process_line(gpu, one, profiles) for one in gpu.use.processes]
    rest = (gpu.use.process_count or 0) - len(gpu.use.processes)
    if rest > 0:
        more = "more " if gpu.use.processes else ""
        said = f"{rest} {more}process{'es' if rest > 1 else ''}"
        lines.append(line(gpu, said, NONE, NONE, unknown_cell()))
    return lines


def slice_name(one: SliceRow) -> str:
    return f"MIG {one.profile}" if one.profile else "MIG instance"


def slice_line(gpu: GpuRow, one: SliceRow) -> tuple[Cell, ...]:
    note = f"of {words.size(one.memory_total_bytes)}" if one.memory_total_bytes else ""
    on = words_cell(slice_name(one), note=one.uuid)
    return line(gpu, "the whole slice", on, NONE, memory_cell(one.memory_used_bytes, note))


def process_line(gpu: GpuRow, one: ProcessRow, profiles: dict[str, str]) -> tuple[Cell, ...]:
    place = profiles.get(one.mig_uuid, "MIG instance") if one.mig_uuid else "the whole GPU"
    on = words_cell(place, note=one.mig_uuid)
    pid = Cell(str(one.pid), str(one.pid), one.pid)
    return line(gpu, one.name or "a process", on, pid, memory_cell(one.memory_used_bytes))


def line(gpu: GpuRow, who: str, on: Cell, pid: Cell, memory: Cell) -> tuple[Cell, ...]:
    at = gpu.use.told_at
    as_of = Cell(words.ago_text(at), at.isoformat() if at else "", at) if at else unknown_cell()
    return (gpu_cell(gpu), words_cell(who), on, pid, memory, as_of)


def memory_cell(used: int | None, note: str = "") -> Cell:
    if used is None:
        return Cell(UNKNOWN, "", unknown=True, note=note)
    return Cell(words.size(used), str(used), used, note=note)
