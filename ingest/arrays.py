"""Arrays of numbers as PostgreSQL's `array_send` writes them, with no Python object for each.

Pure: no database. Refuses arrays of more than one dimension, and nulls.
"""

from __future__ import annotations

import numpy as np

HEADER = 20
"""Bytes before the elements: dimensions, has nulls, type, length, first index; four bytes each."""


def sent(array: bytes, kind: str = "i") -> np.ndarray:
    """The numbers of one array, shape (elements,); `kind` is `i` for integers, `f` for floats.

    Each element has its size before it. An empty array has no dimension, and a shorter header.
    """
    size = int.from_bytes(array[HEADER : HEADER + 4], "big") or 8
    element = np.dtype([("size", ">i4"), ("value", f">{kind}{size}")])
    return np.frombuffer(array[HEADER:], element)["value"]
