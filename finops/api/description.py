"""The API's own description. The same for every reader, so each process makes it once.

Knows drf-spectacular's generator. Refuses to describe less to somebody who may do less: making it
takes seconds, and anybody may ask for it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    made: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return made


class Remembered(SchemaGenerator):
    """What drf-spectacular's view and command ask."""

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        return description()
