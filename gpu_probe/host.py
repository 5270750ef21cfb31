"""What the host itself says: processors, memory, load.

Knows Linux's /proc. Refuses to guess: a file that is missing or reads otherwise leaves its figures
unknown, and a busy share needs two looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
WAITING = ("idle", "iowait")
TICKS_PER_SECOND = 100
"""The kernel's USER_HZ, which is 100 on every architecture that has NVIDIA drivers."""
KIBIBYTE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFigures:
    """None and {} are unknown."""

    cpu_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    """CPU number → mode → seconds since the host started."""
    cpu_utilization: float | None = None
    """Share of all CPUs' time between this look and the one before, 0 to 1."""
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    load_1m: float | None = None
    load_5m: float | None = None
    load_15m: float | None = None


class Host:
    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._before: tuple[float, float] | None = None

    def look(self) -> HostFigures:
        seconds = self._cpu_seconds()
        memory = self._memory()
        loads = self._loads()
        return HostFigures(
            cpu_seconds=seconds,
            cpu_utilization=self._utilization(seconds),
            memory_total_bytes=memory.get("MemTotal"),
            memory_available_bytes=memory.get("MemAvailable"),
            load_1m=loads[0],
            load_5m=loads[1],
            load_15m=loads[2],
        )

    def _utilization(self, seconds: dict[str, dict[str, float]]) -> float | None:
        before, self._before = self._before, None
        if not seconds:
            return None
        whole = sum(sum(modes.values()) for modes in seconds.values())
        waiting = sum(modes[mode] for modes in seconds.values() for mode in WAITING)
        self._before = (whole, waiting)
        if before is None or whole <= before[0]:
            return None
        idle_share = (waiting - before[1]) / (whole - before[0])
        return min(1.0, max(0.0, 1 - idle_share))

    def _cpu_seconds(self) -> dict[str, dict[str, float]]:
        seconds = {}
        for line in self._lines("stat"):
            name, *ticks = line.split()
            if name.startswith("cpu") and name != "cpu" and len(ticks) >= len(MODES):
                values = [int(tick) / TICKS_PER_SECOND for tick in ticks[: len(MODES)]]
                seconds[name.removeprefix("cpu")] = dict(zip(MODES, values, strict=True))
        return seconds

    def _memory(self) -> dict[str, int]:
        figures = {}
        for line in self._lines("meminfo"):
            name, _, rest = line.partition(":")
            words = rest.split()
            if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
                figures[name] = int(words[0]) * KIBIBYTE
        return figures

    def _loads(self) -> tuple[float | None, float | None, float | None]:
        for line in self._lines("loadavg"):
            words = line.split()
            if len(words) >= 3:
                return float(words[0]), float(words[1]), float(words[2])
        return None, None, None

    def _lines(self, name: str) -> list[str]:
        try:
            return (self._proc / name).read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            return []
