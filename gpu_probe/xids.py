"""Counts the XID errors that the driver reports, without ever waiting for one.

Knows NVML's event set: registered once for each GPU, emptied before each reading. Refuses to say
"none" for a GPU whose events cannot be watched: its count is None. An error that NVML reported
before the probe began, or while no probe ran, is not known to it.
"""

from __future__ import annotations

import ctypes
import logging
from collections import Counter
from typing import Any

from gpu_probe.asking import Asker

log = logging.getLogger("gpu_probe")

MOST_AT_ONCE = 10_000  # a GPU in a storm of errors must not keep the readings from being sent
ALL_GPUS = "all GPUs"


class XidWatch:
    """One opened NVML's events. After a reload of the driver there is a new one."""

    def __init__(self, nvml: Any, asker: Asker) -> None:
        self._nvml = nvml
        self._asker = asker
        self._set = asker.ask(ALL_GPUS, "xid_errors", nvml.nvmlEventSetCreate)
        self._uuids: dict[int, str] = {}
        self._refused: set[str] = set()
        self._new: Counter[str] = Counter()
        self._last: dict[str, int] = {}

    def watch(self, gpu: Any, uuid: str) -> None:
        """Begin, unless begun: its errors count from here on."""
        if self._set is None or uuid in self._refused or uuid in self._uuids.values():
            return
        is_watched = self._asker.ask(uuid, "xid_errors", lambda: self._register(gpu))
        if is_watched:
            self._uuids[_address(gpu)] = uuid
        else:
            self._refused.add(uuid)

    def collect(self) -> None:
        """Take every event that waits; none waiting is the usual end."""
        if self._set is None:
            return
        for _ in range(MOST_AT_ONCE):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._set, 0)
            except self._nvml.NVMLError as error:
                if self._asker.lost_the_driver(error):
                    raise
                if error.value != self._nvml.NVML_ERROR_TIMEOUT:
                    self._asker.tell_once(ALL_GPUS, "xid_errors", str(error))
                return
            self._count(event)

    def take(self, uuid: str) -> tuple[int | None, int | None]:
        """How many came since the last time this was asked, and the newest code of all."""
        last = self._last.get(uuid)
        return (self._new.pop(uuid, 0) if uuid in self._uuids.values() else None), last

    def _register(self, gpu: Any) -> bool:
        kind = self._nvml.nvmlEventTypeXidCriticalError
        self._nvml.nvmlDeviceRegisterEvents(gpu, kind, self._set)
        return True

    def _count(self, event: Any) -> None:
        uuid = self._uuids.get(_address(event.device))
        if uuid is None:
            log.warning("an XID %d came from a GPU that is not watched", event.eventData)
            return
        self._new[uuid] += 1
        self._last[uuid] = int(event.eventData)
        log.error("%s: the driver reports XID %d", uuid, event.eventData)


def _address(gpu: Any) -> int:
    """NVML names a GPU by a pointer, and events hold the same one: a lost GPU tells no more."""
    return ctypes.cast(gpu, ctypes.c_void_p).value or 0
