"""Opens a text file somebody hands us, plain or gzipped, and reads it line by line.

Knows encodings, compression, CSV and how long a line may be. Refuses to guess an encoding, to hold
the file in memory, to unpack without end, or to lose a row: each record is cells or a problem.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ingest.sources.base import BadFile

MAX_LINE_BYTES = 4 * 1024 * 1024
"""A longer line is no row of a table."""
MAX_CELL_CHARS = 3 * 1024 * 1024
"""Less than a line's, so that the cell at which a line was cut shows as too long."""
MAX_BYTES = 20 * 1024**3
"""Unpacked. A gzip bomb ends here."""

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"


class _Counted(io.RawIOBase):
    """Passes bytes on and stops when there are too many."""

    def __init__(self, raw: BinaryIO, name: str) -> None:
        self._raw, self._name, self._bytes = raw, name, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._raw.read(len(buffer))
        self._bytes += len(data)
        if self._bytes > MAX_BYTES:
            raise BadFile(f"{self._name} unpacks to over {MAX_BYTES // 1024**3} GiB; split it.")
        buffer[: len(data)] = data
        return len(data)


def limited(raw: BinaryIO, name: str) -> io.BufferedReader[Any]:
    """The same bytes, until there are too many. Raises BadFile then."""
    return io.BufferedReader(_Counted(raw, name), 1024 * 1024)


@contextmanager
def open_text(path: Path) -> Iterator[io.BufferedReader[Any]]:
    """The file's bytes, unpacked and past a byte-order mark. Raises BadFile."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            raw: BinaryIO = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
            stream = limited(raw, path.name)
            start = stream.peek(4)[:4]
            if start[:2] in _UTF16:
                raise BadFile(f"{path.name} is UTF-16; save it as UTF-8.")
            if start == _ZIP:
                raise BadFile(f"{path.name} is a zip archive; unpack it and load the file inside.")
            if start[:3] == _UTF8_MARK:
                stream.read(3)
            yield stream
    except FileNotFoundError:
        raise BadFile(f"There is no file {path}; check the path.") from None
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or "its gzip data is damaged or cut off"
        raise BadFile(f"{path.name} cannot be read: {why}; fetch it again.") from None


def lines(stream: BinaryIO) -> Iterator[bytes]:
    """Each line; one that is too long is cut there, so that memory stays flat."""
    while line := stream.readline(MAX_LINE_BYTES):
        yield line
        while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE_BYTES)


class Record(NamedTuple):
    """One CSV record: where it starts, and its cells or why it has none."""

    line: int
    cells: list[str]
    content: bytes = b""
    """The cells as bytes, to tell equal records."""
    problem: str = ""


def records(found: Iterable[bytes], delimiter: str) -> Iterator[Record]:
    """Every record with a cell in it. A broken one costs itself; the next line starts afresh."""
    csv.field_size_limit(MAX_CELL_CHARS)
    # surrogateescape: one bad byte costs its record, not the file.
    text = (line.decode("utf-8", "surrogateescape") for line in found)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            upto = f" up to line {reader.line_num}" if reader.line_num > line else ""
            yield Record(line, [], problem=f"is no CSV{upto} ({error}); check its quotes")
            continue
        if cells is None:
            return
        if not cells:
            continue
        try:
            yield Record(line, cells, "\x1f".join(cells).encode())
        except UnicodeEncodeError:
            yield Record(line, [], problem="is not UTF-8; save the file as UTF-8")


def sha256_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
