"""Opens a billing file as a header and rows of text: CSV, JSON lines or Parquet, plain or gzipped.

Knows file formats by their first bytes, never by their names. Refuses archives, and to read
Parquet in this process: a child with limits of its own turns it into CSV.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from ingest.sources.base import BadFile
from ingest.sources.textfile import Record, limited, lines, open_text, records

from . import parquet_as_csv

DELIMITERS = (",", ";", "\t", "|")
MAX_COLUMNS = 5_000
CHILD_ENDS_S = 30.0

_PARQUET = b"PAR1"


@dataclass
class Table:
    """A header and its rows, which can be read once."""

    names: list[str]
    records: Iterator[Record]
    notes: tuple[str, ...] = ()
    """What is to be said of the file as a whole."""


@contextmanager
def open_table(path: Path, delimiter: str = "") -> Iterator[Table]:
    """The file as a table, for as long as it is open. Raises BadFile."""
    with open_text(path) as stream:
        start = stream.peek(64)[:64]
        if not start.startswith(_PARQUET):
            if start.lstrip()[:1] in (b"{", b"["):
                yield _json_table(path, start)
            else:
                yield _csv_table(stream, delimiter, path.name)
            return
    with path.open("rb") as file:
        is_packed = file.read(4) != _PARQUET
    if is_packed:
        raise BadFile(f"{path.name} is a gzipped Parquet file; unpack it first.")
    with _parquet_table(path) as table:
        yield table


# ---- CSV --------------------------------------------------------------------------------------


def _csv_table(stream: BinaryIO, delimiter: str, name: str) -> Table:
    found = lines(stream)
    first = next(found, b"")
    if not first.strip():
        raise BadFile(f"{name} is empty; export it again with its header.")
    if b"\0" in first:
        raise BadFile(f"{name} is no text file; load CSV, JSON lines or Parquet.")
    rows = records(chain([first], found), delimiter or _delimiter(first))
    header = next(rows)
    if header.problem:
        raise BadFile(f"{name}: its header {header.problem}.")
    return Table(header.cells, rows)


def _delimiter(header: bytes) -> str:
    """The header decides: the right mark yields the most columns outside its quotes."""
    bare = re.sub(rb'"[^"]*"', b"", header)
    return max(DELIMITERS, key=lambda mark: bare.count(mark.encode()))


# ---- JSON lines -------------------------------------------------------------------------------


def _json_table(path: Path, start: bytes) -> Table:
    if start.lstrip().startswith(b"["):
        raise BadFile(f"{path.name} is one JSON list; export it as newline-delimited JSON.")
    names: dict[str, None] = {}
    with open_text(path) as stream:
        for _, row in _json_rows(stream):
            if row is not None:
                names.update(dict.fromkeys(row))
                if len(names) > MAX_COLUMNS:
                    raise BadFile(f"{path.name} has over {MAX_COLUMNS:,} columns; check it.")
    return Table(list(names), _json_records(path, list(names)))


def _json_records(path: Path, names: list[str]) -> Iterator[Record]:
    with open_text(path) as stream:
        for line, row in _json_rows(stream):
            if row is None:
                yield Record(line, [], problem="is no JSON object; export it again")
                continue
            cells = [row.get(name, "") for name in names]
            content = "\x1f".join(f"{name}={row[name]}" for name in sorted(row))
            yield Record(line, cells, content.encode("utf-8", "replace"))


def _json_rows(stream: BinaryIO) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Each line's number, and its values by dotted name; None for what is no object."""
    for number, line in enumerate(lines(stream), 1):
        if not line.strip():
            continue
        try:
            # Floats stay the text they are: a cost must not lose digits on the way.
            row = json.loads(line, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            row = None
        yield number, dict(_flat("", row)) if isinstance(row, dict) else None


def _flat(prefix: str, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        full = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _flat(f"{full}.", value)
        elif isinstance(value, str):
            yield full, value
        elif value is not None:
            yield full, json.dumps(value)


# ---- Parquet ----------------------------------------------------------------------------------


@contextmanager
def _parquet_table(path: Path) -> Iterator[Table]:
    command = [sys.executable, "-I", parquet_as_csv.__file__, str(path)]
    with subprocess.Popen(  # noqa: S603  our own program
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        try:
            stream = limited(child.stdout, path.name)  # type: ignore[arg-type]
            first = stream.readline()
            if not first:
                raise _why(child, path.name)
            columns = json.loads(first)
            if not stream.peek(1):
                raise _why(child, path.name)
            table = _csv_table(stream, ",", path.name)
            table.records = _until_done(table.records, child, path.name)
            table.notes = tuple(_float_notes(columns))
            yield table
        finally:
            child.stdout.close()
            child.kill()


def _until_done(
    rows: Iterator[Record], child: subprocess.Popen[bytes], name: str
) -> Iterator[Record]:
    yield from rows
    if child.wait(CHILD_ENDS_S) != 0:
        raise _why(child, name)


ENDED_BY_A_LIMIT = (signal.SIGKILL, signal.SIGXCPU, signal.SIGALRM)


def _why(child: subprocess.Popen[bytes], name: str) -> BadFile:
    code = child.wait(CHILD_ENDS_S)
    if code == parquet_as_csv.UNREADABLE:
        return BadFile(
            f"{name} is no whole Parquet file; it is damaged or cut off, fetch it again."
        )
    if code == parquet_as_csv.TOO_MUCH or -code in ENDED_BY_A_LIMIT:
        return BadFile(
            f"{name} needs more memory or time to unpack than a bill may; export it in smaller"
            " files or as CSV."
        )
    return BadFile(f"{name} cannot be read as Parquet; export it again or as CSV.")


def _float_notes(columns: list[list[str]]) -> Iterator[str]:
    floats = [
        name for name, kind in columns if kind in ("DOUBLE", "FLOAT") and "cost" in name.lower()
    ]
    if floats:
        yield (
            f"The file keeps {', '.join(floats)} as binary floating point, which is exact to"
            " 15 digits; ask for decimals if your exporter can write them."
        )
