"""What the book splits by for a group of the costs page, and what people read for its keys.

Knows the keys that stand for something. Refuses the database: names of projects come with the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ingest.labels import OTHER_VALUES

from . import book, book_moved
from .filters import label_of


@lru_cache(maxsize=256)
def columns_of(group_by: tuple[str, ...]) -> tuple[str, ...]:
    """What the book splits by."""
    return tuple(dict.fromkeys(map(column_of, group_by)))


@lru_cache(maxsize=256)
def column_of(group: str) -> str:
    """A team is the sum of its projects, and costs are split by one label at a time."""
    if label_of(group):
        return "label"
    return "project" if group == "team" else group


LABELS = {
    book.IDLE: "Idle hardware",
    book.SHARED: "Shared hardware",
    book.UNBILLED: "Not billed",
    book.NOT_ON_BILL: "Unknown to bills",
    book.NO_MODEL: "Credits, taxes, adjustments",
    book.EVERYBODY_ELSE: "Everybody else",
    OTHER_VALUES: "Other values",
    book_moved.MOVED_BY_RULES: "Moved by rules",
}
NAMELESS = {"team": "No team", "user": "No user named"}
ORIGINS = {"bill": "Bill", "usage": "Priced usage", "hardware": "Hardware"}


def label(group: str, key: str, projects: dict[str, str]) -> str:
    """What people read for a key."""
    if group == "project":
        return projects[key]
    if group == "origin":
        return ORIGINS[key]
    if (name := label_of(group)) and not key:
        return f"No {name}"
    return LABELS.get(key, key) or NAMELESS.get(group, "Unknown")


def in_one(key: tuple[str, ...], labels: Sequence[str]) -> str:
    """The name of a row of several groups. What bills do not tell is said once, not of each."""
    said: list[str] = []
    for one, text in zip(key, labels, strict=True):
        if one not in LABELS or text not in said:
            said.append(text)
    return " · ".join(said)
