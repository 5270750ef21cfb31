"""Reads every GPU of this host through NVML.

Knows pynvml and NVML's units (milliwatts, millijoules, bytes). Refuses to guess: what a GPU does
not support is None, a GPU that is lost is told as lost while the others go on, and a host without
a driver is a NoNvml with one sentence. It never sends and never stores.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from gpu_probe import users
from gpu_probe.asking import Asker, NoNvml
from gpu_probe.wire import GpuReading, MigInstance, WireError, check_reading
from gpu_probe.xids import XidWatch

log = logging.getLogger("gpu_probe")

T = TypeVar("T")

MOST_PROCESSES = 10

__all__ = ["MOST_PROCESSES", "NoNvml", "Nvml"]


class Nvml:
    """An open NVML. `with Nvml() as nvml: nvml.readings()`."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        most_processes: int = MOST_PROCESSES,
        process_names: bool = False,
    ) -> None:
        try:
            import pynvml
        except ImportError as error:
            raise NoNvml(
                "the Python package nvidia-ml-py is not installed;"
                " install it with 'pip install nvidia-ml-py'.",
                may_pass=False,
            ) from error
        # pynvml has no type hints, so this is the one place where they end.
        self._nvml: Any = pynvml
        self._clock = clock
        self._most_processes = most_processes
        self._process_names = process_names
        self._asker = Asker(pynvml)
        self._silent: dict[int, str] = {}
        self._open()

    def _open(self) -> None:
        try:
            self._nvml.nvmlInit()
            self._xids = XidWatch(self._nvml, self._asker)
        except self._nvml.NVMLError as error:
            raise self._asker.no_nvml(error) from error
        self.driver_version = self._driver_version()
        self._identities: dict[int, tuple[str, str]] = {}
        """What a GPU was called when it last answered: a lost one cannot say it."""

    def reopen(self) -> None:
        """After the driver went away. NoNvml as long as it is not back."""
        self._close()
        self._open()
        log.info("NVML answers again")

    def _close(self) -> None:
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as failure:
            log.debug("NVML did not shut down cleanly: %s", failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def silent_count(self) -> int:
        """GPUs that are there and gave no figures the last time."""
        return len(self._silent)

    def readings(self) -> list[GpuReading]:
        """One reading per GPU that answers, maybe none. NoNvml when the driver is gone."""
        try:
            count = self._nvml.nvmlDeviceGetCount()
            self._xids.collect()
        except self._nvml.NVMLError as error:
            raise self._asker.no_nvml(error) from error
        if count == 0:
            raise NoNvml(
                "the NVIDIA driver sees no GPU on this host;"
                " check 'nvidia-smi -L', and in a container that it was given the GPUs.",
                has_driver=True,
            )
        readings = [self._reading_or_none(index) for index in range(count)]
        return [reading for reading in readings if reading is not None]

    def _reading_or_none(self, index: int) -> GpuReading | None:
        try:
            reading = self._reading(index)
        except self._nvml.NVMLError as error:
            if self._asker.lost_the_driver(error):
                raise self._asker.no_nvml(error) from error
            self._fall_silent(index, str(error))
            return self._lost(index) if self._asker.lost_the_gpu(error) else None
        except WireError as error:
            self._fall_silent(index, str(error))
            return None
        self._take_back(index)
        return reading

    def _lost(self, index: int) -> GpuReading | None:
        """That it is lost, if it ever said who it is."""
        if index not in self._identities:
            return None
        uuid, name = self._identities[index]
        new_xids, last_xid = self._xids.take(uuid)
        return GpuReading(
            uuid=uuid,
            index=index,
            name=name,
            at=self._now(),
            lost=True,
            xid_errors=new_xids,
            last_xid=last_xid,
        )

    def _now(self) -> float:
        return round(self._clock(), 3)  # milliseconds survive every float and timestamp

    def _reading(self, index: int) -> GpuReading:
        nvml = self._nvml
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid: str = nvml.nvmlDeviceGetUUID(gpu)
        name: str = nvml.nvmlDeviceGetName(gpu)
        self._identities[index] = (uuid, name)
        self._xids.watch(gpu, uuid)
        at = self._now()
        figures = {**self._load(gpu, uuid), **self._health(gpu, uuid), **self._use(gpu, uuid)}
        # Last: what is taken is counted as told, and a GPU that is lost in between tells nothing.
        new_xids, last_xid = self._xids.take(uuid)
        return self._believable(
            GpuReading(
                uuid=uuid,
                index=index,
                name=name,
                at=at,
                xid_errors=new_xids,
                last_xid=last_xid,
                **figures,
            )
        )

    def _load(self, gpu: Any, uuid: str) -> dict[str, Any]:
        nvml = self._nvml

        def ask(field: str, *calls: Callable[[], T]) -> T | None:
            return self._asker.ask(uuid, field, *calls)

        memory = ask("memory", *users.memory_calls(nvml, gpu))
        used, total, reserved = memory or (None, None, None)
        return {
            "utilization_pct": ask(
                "utilization_pct", lambda: float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
            ),
            "memory_used_bytes": used,
            "memory_total_bytes": total,
            "memory_reserved_bytes": reserved,
            "power_w": ask("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000),
            "power_limit_w": ask(
                "power_limit_w", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000
            ),
            "energy_mj": ask(
                "energy_mj", lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(gpu))
            ),
            "sm_clock_mhz": ask(
                "sm_clock_mhz", lambda: int(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))
            ),
            # The first name is the newer one; older drivers know only the second.
            "temperature_c": ask(
                "temperature_c",
                lambda: int(nvml.nvmlDeviceGetTemperatureV(gpu, nvml.NVML_TEMPERATURE_GPU)),
                lambda: int(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
            ),
            "clock_event_reasons": ask(
                "clock_event_reasons",
                lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)),
                lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)),
            ),
        }

    def _health(self, gpu: Any, uuid: str) -> dict[str, Any]:
        nvml = self._nvml

        def ecc(kind: int) -> Callable[[], int]:
            # Volatile, as the energy counter: since the driver was loaded.
            return lambda: int(nvml.nvmlDeviceGetTotalEccErrors(gpu, kind, nvml.NVML_VOLATILE_ECC))

        rows = self._asker.ask(
            uuid, "remapped_rows", lambda: tuple(nvml.nvmlDeviceGetRemappedRows(gpu))
        )
        corrected, uncorrected, pending, failed = rows or (None,) * 4
        return {
            "ecc_corrected_errors": self._asker.ask(
                uuid, "ecc_corrected_errors", ecc(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED)
            ),
            "ecc_uncorrected_errors": self._asker.ask(
                uuid, "ecc_uncorrected_errors", ecc(nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
            ),
            "remapped_rows_corrected": corrected,
            "remapped_rows_uncorrected": uncorrected,
            "remapped_rows_pending": None if pending is None else bool(pending),
            "remapped_rows_failed": None if failed is None else bool(failed),
        }

    def _use(self, gpu: Any, uuid: str) -> dict[str, Any]:
        nvml = self._nvml
        is_sliced = self._asker.ask(
            uuid,
            "mig_mode",
            lambda: bool(nvml.nvmlDeviceGetMigMode(gpu)[0] == nvml.NVML_DEVICE_MIG_ENABLE),
        )
        slices: tuple[MigInstance, ...] | None = None
        if is_sliced:
            slices = users.mig_instances(nvml, self._asker, gpu, uuid)
        running = users.processes(nvml, self._asker, gpu, uuid)
        return {
            "mig_mode": is_sliced,
            "mig_instances": slices,
            "process_count": None if running is None else len(running),
            "processes": None
            if running is None
            else users.largest(running, slices or (), self._most_processes, self._name_of),
        }

    def _name_of(self, pid: int) -> str | None:
        return users.program(self._nvml, pid) if self._process_names else None

    def _believable(self, reading: GpuReading) -> GpuReading:
        """An impossible value becomes unknown, so that one sick sensor cannot spoil a batch."""
        while True:
            try:
                check_reading(reading)
            except WireError as error:
                field = error.field.partition("[")[0]  # of a list, the whole of it
                if field in _IDENTITY:
                    raise
                self._asker.tell_once(reading.uuid, error.field, error.message)
                unknown: dict[str, Any] = {field: None}
                reading = replace(reading, **unknown)
            else:
                return reading

    def _fall_silent(self, index: int, reason: str) -> None:
        if self._silent.get(index) != reason:
            self._silent[index] = reason
            log.error("GPU %d gives no figures until it answers again: %s", index, reason)

    def _take_back(self, index: int) -> None:
        if self._silent.pop(index, None) is not None:
            log.info("GPU %d answers again", index)

    def _driver_version(self) -> str | None:
        try:
            return str(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError as error:
            log.warning("the driver's version is unknown: %s", error)
            return None


_IDENTITY = {"uuid", "index", "name", "at"}
