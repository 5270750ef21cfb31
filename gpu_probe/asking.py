"""Asks NVML one thing at a time, and knows what each kind of refusal means.

Knows which errors are "not supported", which lose one GPU and which lose the driver. Refuses to
guess: what nobody answers is None. It imports no pynvml; it is handed the one in use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

log = logging.getLogger("gpu_probe")

T = TypeVar("T")


class NoNvml(Exception):
    """This host gives no GPU telemetry; the message is one sentence with the fix."""

    def __init__(self, message: str, *, has_driver: bool = False, may_pass: bool = True) -> None:
        super().__init__(f"No GPU telemetry: {message}")
        self.has_driver = has_driver
        """The driver answers and sees no GPU."""
        self.may_pass = may_pass
        """Whether this process may see the GPUs again, as after a reload of the driver."""


class Asker:
    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._told: set[tuple[str, str, str]] = set()
        self._unsupported = {
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        }
        self._gpu_gone = {
            nvml.NVML_ERROR_GPU_IS_LOST,
            nvml.NVML_ERROR_RESET_REQUIRED,
            nvml.NVML_ERROR_GPU_NOT_FOUND,
        }
        self._driver_gone = {
            nvml.NVML_ERROR_UNINITIALIZED,
            nvml.NVML_ERROR_DRIVER_NOT_LOADED,
            nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        }

    def ask(self, uuid: str, field: str, *calls: Callable[[], T]) -> T | None:
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
            except UnicodeDecodeError as error:  # a name that is no UTF-8
                reason = str(error)
        if reason:
            self.tell_once(uuid, field, reason)
        return None

    def tell_once(self, uuid: str, field: str, reason: str) -> None:
        if (uuid, field, reason) not in self._told:
            self._told.add((uuid, field, reason))
            log.warning("%s: %s is unknown: %s", uuid, field, reason)

    def lost_the_driver(self, error: Any) -> bool:
        return error.value in self._driver_gone

    def lost_the_gpu(self, error: Any) -> bool:
        return error.value in self._gpu_gone

    def no_nvml(self, error: Any) -> NoNvml:
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
        # A library that was replaced on disk is not loaded anew by a process that has the old one.
        return NoNvml(fix, may_pass=error.value != nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
