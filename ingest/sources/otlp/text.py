"""Messages found in several places of one span: those of the best place, in order."""

from __future__ import annotations

from operator import itemgetter

from .attributes import Part

_place = itemgetter(0, 1)


def joined(parts: list[Part]) -> str:
    return "\n".join(_best(parts)) if parts else ""


def length(parts: list[Part]) -> int | None:
    return sum(map(len, _best(parts))) if parts else None


def _best(parts: list[Part]) -> list[str]:
    if len(parts) > 1:
        parts.sort(key=_place)
    return [text for rank, _, text in parts if rank == parts[0][0]]
