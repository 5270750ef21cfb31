"""One stored log line → the message in it that may be kept, masked, and its trace.

Knows lines of JSON and of logfmt, as log stores hold them. Refuses to keep any other field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ingest import masking

MESSAGES = ("message", "msg", "event", "body")
TRACES = ("trace_id", "traceid", "traceId", "traceID", "trace.id")
_LOGFMT = re.compile(r"(?:^|\s)(?:message|msg)=(\"(?:[^\"\\]|\\.)*\"|\S+)")
_LOOKS_LIKE_LOGFMT = re.compile(r"(?:^|\s)[A-Za-z_][\w.]*=\S*\s+(?:.*\s)?[A-Za-z_][\w.]*=")
_TRACE = re.compile(r"[0-9a-fA-F]{16,32}")


def message(line: str) -> str:
    """What a line says, masked and cut; empty where it says nothing under a name we know."""
    line = line[: masking.MAX_READ_CHARS * 4]
    told = _object(line)
    if told is not None:
        said = next((told[name] for name in MESSAGES if isinstance(told.get(name), str)), "")
        return masking.exemplar(said)
    if _LOOKS_LIKE_LOGFMT.search(line[: masking.MAX_READ_CHARS]):
        found = _LOGFMT.search(line)
        return masking.exemplar(_unquoted(found.group(1))) if found else ""
    return masking.exemplar(line)


def trace_id(line: str, labels: Mapping[str, Any]) -> str:
    told = _object(line) or {}
    for place in (labels, told):
        for name in TRACES:
            said = trace(place.get(name))
            if said:
                return said
    return ""


def trace(said: Any) -> str:
    """A trace id in lower case, or nothing where it cannot be one."""
    return said.lower() if isinstance(said, str) and _TRACE.fullmatch(said) else ""


def _object(line: str) -> Mapping[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        # Cut off or not JSON after all: its braces are masked, so nothing of it is kept.
        return None
    return told if isinstance(told, Mapping) else None


def _unquoted(said: str) -> str:
    return said[1:-1].replace('\\"', '"') if said.startswith('"') else said
