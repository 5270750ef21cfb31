"""Reads every GPU of this host through NVML.

Knows pynvml and NVML's units (milliwatts, millijoules, bytes). Refuses to guess: what a GPU does
not support is None, a GPU that is lost is left out with its reason while the others go on, and a
host without a driver is a NoNvml with one sentence. It never sends and never stores.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from gpu_probe.wire import GpuReading, WireError, check_reading

log = logging.getLogger("gpu_probe")

T = TypeVar("T")


class NoNvml(Exception):
    """This host gives no GPU telemetry; the message is one sentence with the fix."""


class Nvml:
    """An open NVML. `with Nvml() as nvml: nvml.readings()`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        try:
            import pynvml
        except ImportError as error:
            raise NoNvml(
                "No GPU telemetry: the Python package nvidia-ml-py is not installed;"
                " install it with 'pip install nvidia-ml-py'."
            ) from error
        # pynvml has no type hints, so this is the one place where they end.
        self._nvml: Any = pynvml
        self._clock = clock
        self._told: set[tuple[str, str, str]] = set()
        self._left_out: dict[int, str] = {}
        self._unsupported = {
            pynvml.NVML_ERROR_NOT_SUPPORTED,
            pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        }
        self._gpu_gone = {
            pynvml.NVML_ERROR_GPU_IS_LOST,
            pynvml.NVML_ERROR_RESET_REQUIRED,
            pynvml.NVML_ERROR_GPU_NOT_FOUND,
        }
        self._driver_gone = {
            pynvml.NVML_ERROR_UNINITIALIZED,
            pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
            pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        }
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise self._no_nvml(error) from error
        self.driver_version = self._driver_version()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as failure:
            log.debug("NVML did not shut down cleanly: %s", failure)

    def readings(self) -> list[GpuReading]:
        """One reading per GPU that answers, maybe none. NoNvml when the driver is gone."""
        try:
            count = self._nvml.nvmlDeviceGetCount()
        except self._nvml.NVMLError as error:
            raise self._no_nvml(error) from error
        if count == 0:
            raise NoNvml(
                "No GPU telemetry: the NVIDIA driver sees no GPU on this host;"
                " check 'nvidia-smi -L', and in a container that it was given the GPUs."
            )
        readings = []
        for index in range(count):
            try:
                reading = self._reading(index)
            except self._nvml.NVMLError as error:
                if error.value in self._driver_gone:
                    raise self._no_nvml(error) from error
                self._leave_out(index, str(error))
            except WireError as error:
                self._leave_out(index, str(error))
            else:
                self._take_back(index)
                readings.append(reading)
        return readings

    def _reading(self, index: int) -> GpuReading:
        nvml = self._nvml
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid: str = nvml.nvmlDeviceGetUUID(gpu)
        name: str = nvml.nvmlDeviceGetName(gpu)

        def ask(field: str, *calls: Callable[[], T]) -> T | None:
            return self._ask(uuid, field, *calls)

        memory = ask("memory", lambda: self._memory_v2(gpu), lambda: self._memory_v1(gpu))
        used, total, reserved = memory or (None, None, None)
        reading = GpuReading(
            uuid=uuid,
            index=index,
            name=name,
            at=round(self._clock(), 3),  # milliseconds survive every float and timestamp
            utilization_pct=ask(
                "utilization_pct", lambda: float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
            ),
            memory_used_bytes=used,
            memory_total_bytes=total,
            memory_reserved_bytes=reserved,
            power_w=ask("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000),
            power_limit_w=ask(
                "power_limit_w", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000
            ),
            energy_mj=ask("energy_mj", lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(gpu))),
            sm_clock_mhz=ask(
                "sm_clock_mhz", lambda: int(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))
            ),
            # The first name is the newer one; older drivers know only the second.
            temperature_c=ask(
                "temperature_c",
                lambda: int(nvml.nvmlDeviceGetTemperatureV(gpu, nvml.NVML_TEMPERATURE_GPU)),
                lambda: int(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
            ),
            clock_event_reasons=ask(
                "clock_event_reasons",
                lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)),
                lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)),
            ),
            # Volatile, as the energy counter: since the driver was loaded.
            ecc_uncorrected_errors=ask(
                "ecc_uncorrected_errors",
                lambda: int(
                    nvml.nvmlDeviceGetTotalEccErrors(
                        gpu, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
                    )
                ),
            ),
            mig_mode=ask(
                "mig_mode",
                lambda: bool(nvml.nvmlDeviceGetMigMode(gpu)[0] == nvml.NVML_DEVICE_MIG_ENABLE),
            ),
            process_count=ask(
                "process_count",
                lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu)),
                lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses_v2(gpu)),
            ),
        )
        return self._believable(reading)

    def _memory_v2(self, gpu: Any) -> tuple[int, int, int | None]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(gpu, version=self._nvml.nvmlMemory_v2)
        return int(memory.used), int(memory.total), int(memory.reserved)

    def _memory_v1(self, gpu: Any) -> tuple[int, int, int | None]:
        # Counts the driver's own share as used: that share stays unknown, never 0.
        memory = self._nvml.nvmlDeviceGetMemoryInfo(gpu)
        return int(memory.used), int(memory.total), None

    def _ask(self, uuid: str, field: str, *calls: Callable[[], T]) -> T | None:
        """The first call that answers. None if none does; a lost GPU or driver is raised."""
        reason = ""
        for call in calls:
            try:
                return call()
            except self._nvml.NVMLError as error:
                if error.value in self._gpu_gone | self._driver_gone:
                    raise
                if error.value not in self._unsupported:
                    reason = str(error)
        if reason:
            self._tell_once(uuid, field, reason)
        return None

    def _believable(self, reading: GpuReading) -> GpuReading:
        """An impossible value becomes unknown, so that one sick sensor cannot spoil a batch."""
        while True:
            try:
                check_reading(reading)
            except WireError as error:
                if error.field in _IDENTITY:
                    raise
                self._tell_once(reading.uuid, error.field, error.message)
                unknown: dict[str, Any] = {error.field: None}
                reading = replace(reading, **unknown)
            else:
                return reading

    def _tell_once(self, uuid: str, field: str, reason: str) -> None:
        if (uuid, field, reason) not in self._told:
            self._told.add((uuid, field, reason))
            log.warning("%s: %s is unknown: %s", uuid, field, reason)

    def _leave_out(self, index: int, reason: str) -> None:
        if self._left_out.get(index) != reason:
            self._left_out[index] = reason
            log.error("GPU %d is left out until it answers again: %s", index, reason)

    def _take_back(self, index: int) -> None:
        if self._left_out.pop(index, None) is not None:
            log.info("GPU %d answers again", index)

    def _driver_version(self) -> str | None:
        try:
            return str(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError as error:
            log.warning("the driver's version is unknown: %s", error)
            return None

    def _no_nvml(self, error: Any) -> NoNvml:
        nvml = self._nvml
        fix = {
            nvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
                "libnvidia-ml.so.1 was not found; install the NVIDIA driver,"
                " or start the container with the GPUs ('--gpus all')."
            ),
            nvml.NVML_ERROR_DRIVER_NOT_LOADED: (
                "the NVIDIA kernel driver is not loaded; run 'nvidia-smi' on the host to see why."
            ),
            nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
                "the NVIDIA library and kernel driver have different versions;"
                " reboot after a driver update."
            ),
            nvml.NVML_ERROR_NO_PERMISSION: (
                "this user may not open the GPUs; give it access to /dev/nvidia*."
            ),
        }.get(error.value, f"NVML answers '{error}'; run 'nvidia-smi' on the host to see why.")
        return NoNvml(f"No GPU telemetry: {fix}")


_IDENTITY = {"uuid", "index", "name", "at"}
