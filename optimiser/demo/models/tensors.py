"""Tensors in and out of Triton's python backend by DLPack, with numpy 2.

Copied beside each model. Knows the backend's tensor class; refuses copies of the data.
"""

import ctypes
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

_set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
_set_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


class _Handed:
    """A numpy array whose capsule is not looked at again once it is handed over.

    This Triton renames a capsule that it has taken in a way numpy 2 does not know, and numpy then
    prints a traceback for every answer. Triton releases the memory itself.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **_: Any) -> Any:
        capsule = self.array.__dlpack__()
        _set_destructor(capsule, None)
        return capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


def inputs(requests: list[Any], name: str) -> list[np.ndarray]:
    return [np.from_dlpack(pb_utils.get_input_tensor_by_name(r, name)) for r in requests]


def tensor(name: str, array: np.ndarray) -> Any:
    return pb_utils.Tensor.from_dlpack(name, _Handed(array))


def answer(name: str, array: np.ndarray) -> Any:
    return pb_utils.InferenceResponse([tensor(name, array)])
