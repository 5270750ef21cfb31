"""Who uses a GPU: its compute processes and, where it is sliced, its MIG instances.

Knows NVML's MIG handles and process lists. Refuses utilisation of a slice, which NVML has not, and
a process's name unless it was allowed; of a command line only the program's own name leaves the
host, never its arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from gpu_probe.asking import Asker
from gpu_probe.wire import MAX_MIG_INSTANCES, GpuProcess, MigInstance

NO_INSTANCE = 0xFFFFFFFF
"""NVML's id of "on no MIG instance"."""


def mig_instances(nvml: Any, asker: Asker, gpu: Any, uuid: str) -> tuple[MigInstance, ...] | None:
    """The slices there are; None when NVML cannot list them."""
    places = asker.ask(uuid, "mig_instances", lambda: int(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)))
    if places is None:
        return None
    found = []
    for place in range(min(places, MAX_MIG_INSTANCES)):
        handle = _handle(nvml, asker, gpu, uuid, place)
        if handle is not None:
            found.append(_instance(nvml, asker, handle))
    return tuple(one for one in found if one is not None)


def _handle(nvml: Any, asker: Asker, gpu: Any, uuid: str, place: int) -> Any:
    def ask() -> Any:
        try:
            return nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, place)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_NOT_FOUND, nvml.NVML_ERROR_INVALID_ARGUMENT):
                return None  # places are as many as could be made; most are empty
            raise

    return asker.ask(uuid, "mig_instances", ask)


def _instance(nvml: Any, asker: Asker, handle: Any) -> MigInstance | None:
    uuid = asker.ask("a MIG instance", "uuid", lambda: str(nvml.nvmlDeviceGetUUID(handle)))
    if uuid is None:
        return None

    def whole(field: str, call: Callable[[Any], Any]) -> int | None:
        return asker.ask(uuid, field, lambda: int(call(handle)))

    memory = asker.ask(uuid, "memory", *memory_calls(nvml, handle))
    used, total, reserved = memory or (None, None, None)
    return MigInstance(
        uuid=uuid,
        profile=_profile(nvml, asker, handle, uuid),
        gpu_instance_id=whole("gpu_instance_id", nvml.nvmlDeviceGetGpuInstanceId),
        compute_instance_id=whole("compute_instance_id", nvml.nvmlDeviceGetComputeInstanceId),
        memory_used_bytes=used,
        memory_total_bytes=total,
        memory_reserved_bytes=reserved,
    )


def _profile(nvml: Any, asker: Asker, handle: Any, uuid: str) -> str | None:
    """As nvidia-smi writes it. Newer drivers end the device's name with it; else from its size."""
    name = asker.ask(uuid, "profile", lambda: str(nvml.nvmlDeviceGetName(handle)))
    if name and " MIG " in name:
        return name.rpartition(" MIG ")[2]
    size = asker.ask(uuid, "profile", lambda: nvml.nvmlDeviceGetAttributes_v2(handle))
    if size is None:
        return None
    slices, compute = size.gpuInstanceSliceCount, size.computeInstanceSliceCount
    prefix = "" if compute == slices else f"{compute}c."
    return f"{prefix}{slices}g.{math.ceil(size.memorySizeMB / 1024)}gb"


Memory = tuple[int, int, int | None]
"""Used, total, and what the driver keeps for itself."""


def memory_calls(nvml: Any, handle: Any) -> tuple[Callable[[], Memory], Callable[[], Memory]]:
    def version_2() -> Memory:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        return int(memory.used), int(memory.total), int(memory.reserved)

    def version_1() -> Memory:
        # Counts the driver's own share as used: that share stays unknown, never 0.
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return int(memory.used), int(memory.total), None

    return version_2, version_1


def processes(nvml: Any, asker: Asker, gpu: Any, uuid: str) -> list[Any] | None:
    """As NVML lists them; None when it cannot."""
    listed: list[Any] | None = asker.ask(
        uuid,
        "processes",
        lambda: list(nvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu)),
        lambda: list(nvml.nvmlDeviceGetComputeRunningProcesses_v2(gpu)),
    )
    return listed


def largest(
    listed: Iterable[Any],
    instances: Iterable[MigInstance],
    most: int,
    name_of: Callable[[int], str | None],
) -> tuple[GpuProcess, ...]:
    """Those with the most memory. Which memory is unknown comes last, and is named as unknown."""
    by_id = {(one.gpu_instance_id, one.compute_instance_id): one.uuid for one in instances}
    ordered = sorted(listed, key=lambda one: (-(one.usedGpuMemory or 0), one.pid))[:most]
    return tuple(
        GpuProcess(
            pid=int(one.pid),
            memory_used_bytes=one.usedGpuMemory,
            name=name_of(one.pid),
            mig_uuid=by_id.get((one.gpuInstanceId, one.computeInstanceId))
            if one.gpuInstanceId != NO_INSTANCE
            else None,
        )
        for one in ordered
    )


def program(nvml: Any, pid: int) -> str | None:
    """The program's own name; None for a process that has ended or whose name may not be read."""
    try:
        said = str(nvml.nvmlSystemGetProcessName(pid))
    except (nvml.NVMLError, UnicodeDecodeError):
        return None
    words = said.split(None, 1)
    name = words[0].rpartition("/")[2][:128] if words else ""
    return name if name and name.isprintable() else None
