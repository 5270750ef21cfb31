"""Request logs: a CSV or JSON-lines file with one request a line → spans.

Knows how a file's columns become a span's fields. Refuses to guess: a cell that cannot be read is
a reject that names its line and column. Rows without ids get ids from content and position, so
that the same file changes nothing when loaded again and two equal rows stay two requests.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import Any

from ingest import endings, quarantine
from ingest.records import KINDS, Reject, SpanRecord
from ingest.sources import provider_replies, vocabulary
from ingest.sources.base import BadConfig, BadFile, FileSource, Reading, Setting
from ingest.sources.provider_replies import NoReply, Reply
from ingest.sources.textfile import Record, lines, open_text, records
from ingest.sources.usage import BadUsage, disjoint

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

TIME_FORMATS = ("iso", "epoch_s", "epoch_ms", "offset_s", "offset_ms")
COLUMNS = (
    "trace_id", "span_id", "started_at", "ended_at", "latency_ms", "ttft_ms", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "model",
    "provider", "service", "kind", "name", "tier", "user_id", "session_id", "status",
    "prefix_blocks", "reply",
)  # fmt: skip
CONSTANTS = ("provider", "model", "service", "kind", "tier", "user_id")
DELIMITERS = (",", ";", "\t", "|")

PRESETS: dict[str, dict[str, Any]] = {
    # Public traces, by the names their publishers gave the columns.
    "azure2023_code": {
        "columns": {
            "started_at": "ts",
            "input_tokens": "input_tokens",
            "output_tokens": "output_tokens",
        },
        "time_format": "iso",
        "constants": {"kind": "llm"},
    },
    "mooncake": {
        "columns": {
            "started_at": "timestamp",
            "input_tokens": "input_length",
            "output_tokens": "output_length",
            "prefix_blocks": "hash_ids",
        },
        "time_format": "offset_ms",
        "start": "2024-10-01T00:00:00Z",
        "constants": {"kind": "llm"},
    },
}

GOOD_STATUS = frozenset({"", "ok", "success", "succeeded", "true", "unset"})
BAD_STATUS = frozenset({"error", "failed", "failure", "false", "timeout", "cancelled"})
MAX_PREFIX_BLOCKS = 65_536
MAX_WORD_CHARS = 200
MOST_DIGITS = 18
"""A longer number is no count: it would not fit PostgreSQL's 64 bits."""


class RequestLog(FileSource):
    kind = "request_log"
    label = "Request log"
    help = "A CSV or JSON-lines file with one request a line, plain or gzipped."
    settings = (
        Setting("preset", "Preset", f"A known layout: {', '.join(PRESETS)}.", ""),
        Setting(
            "columns",
            "Columns",
            "As JSON, our field and your column; without a preset these three at least: "
            '`{"started_at": "time", "input_tokens": "prompt", "output_tokens": "answer"}`. '
            "`reply` is the column with the provider's whole reply; then no counts are needed. "
            f"Our fields: {', '.join(COLUMNS)}.",
            {},
        ),
        Setting("time_format", "Time format", f"One of {', '.join(TIME_FORMATS)}.", ""),
        Setting(
            "start", "Start", "When offset 0 was, as in 2026-05-01T00:00:00Z; for offsets only.", ""
        ),
        Setting(
            "constants",
            "Constants",
            'As JSON, the same for every row: `{"provider": "openai"}`. '
            f"Our fields: {', '.join(CONSTANTS)}.",
            {},
        ),
        Setting("delimiter", "Delimiter", "Between the columns of a CSV file.", ","),
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        preset = _preset(checked["preset"])
        for name in ("columns", "constants"):
            if not isinstance(checked[name], Mapping):
                raise BadConfig(name, "must be an object, as in {…: …}.")
            checked[name] = {**preset.get(name, {}), **checked[name]}
        checked["time_format"] = checked["time_format"] or preset.get("time_format", "iso")
        checked["start"] = checked["start"] or preset.get("start", "")
        _check_names("columns", checked["columns"], COLUMNS)
        _check_names("constants", checked["constants"], CONSTANTS)
        counts = () if "reply" in checked["columns"] else ("input_tokens", "output_tokens")
        for needed in ("started_at", *counts):
            if needed not in checked["columns"]:
                raise BadConfig("columns", f"has no {needed}; name the column that holds it.")
        if checked["constants"].get("kind", "llm") not in KINDS:
            raise BadConfig("constants", f"kind must be one of {', '.join(KINDS)}.")
        if checked["time_format"] not in TIME_FORMATS:
            raise BadConfig("time_format", f"must be one of {', '.join(TIME_FORMATS)}.")
        if checked["time_format"].startswith("offset"):
            _start(checked["start"])
        if checked["delimiter"] not in DELIMITERS:
            raise BadConfig("delimiter", "must be a comma, semicolon, tab or bar.")
        return checked

    def read(self, path: Path, config: Mapping[str, Any]) -> Reading:
        plan = _Plan.of(self.check_config(config))
        return Reading(_spans(_rows(path, plan), plan))


def _preset(name: str) -> dict[str, Any]:
    if name and name not in PRESETS:
        raise BadConfig("preset", f"{name} is unknown; use one of {', '.join(PRESETS)}.")
    return PRESETS.get(name, {})


def _check_names(setting: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name, value in given.items():
        if name not in known:
            raise BadConfig(setting, f"{name} is not a field; use {', '.join(known)}.")
        if not isinstance(value, str) or not value:
            raise BadConfig(setting, f"{name} must be text.")


def _start(text: str) -> datetime:
    try:
        return _aware(datetime.fromisoformat(text))
    except ValueError:
        detail = "is needed for offsets: when offset 0 was, as in 2026-05-01T00:00:00Z."
        raise BadConfig("start", detail) from None


@dataclass(frozen=True)
class _Plan:
    """The checked configuration in the form that reading needs."""

    columns: Mapping[str, str]
    constants: Mapping[str, str]
    moment: Callable[[Any], datetime]
    delimiter: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> _Plan:
        time_format, start = config["time_format"], config["start"]
        base = _start(start) if time_format.startswith("offset") else EPOCH
        unit = 1000 if time_format.endswith("_ms") else 1_000_000
        return cls(
            config["columns"],
            config["constants"],
            _iso if time_format == "iso" else lambda told: base + _span_of(told, unit),
            config["delimiter"],
        )


# ---- rows -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """One line: its cells by column name, or why it has none."""

    line: int
    cells: Mapping[str, Any]
    content: bytes
    problem: str = ""


def _rows(path: Path, plan: _Plan) -> Iterator[_Row]:
    """A file that starts with a brace is JSON lines, whatever it is called."""
    with open_text(path) as stream:
        if stream.peek(64).lstrip().startswith(b"{"):
            yield from _json_rows(stream)
        else:
            yield from _csv_rows(stream, path.name, plan)


def _csv_rows(stream: BufferedReader[Any], file: str, plan: _Plan) -> Iterator[_Row]:
    found = records(lines(stream), plan.delimiter)
    names = _header(file, next(found, Record(1, [])), plan)
    for record in found:
        yield _csv_row(record, names)


def _header(file: str, record: Record, plan: _Plan) -> list[str]:
    names = record.cells
    if not names:
        raise BadFile(f"{file} is empty or has no readable header line.")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadFile(f"{file} has two columns named {twice}; rename one.")
    for field, name in plan.columns.items():
        if name not in names:
            hint = ""
            if len(names) == 1 and any(mark in names[0] for mark in DELIMITERS):
                hint = " Its columns seem to be separated otherwise: set the delimiter."
            raise BadFile(f"{file} has no column {name} (for {field}).{hint}")
    return names


def _csv_row(record: Record, names: list[str]) -> _Row:
    cells = record.cells
    problem = record.problem
    if not problem and len(cells) != len(names):
        problem = f"has {len(cells)} cells under {len(names)} columns; check its quotes"
    if problem:
        return _Row(record.line, {}, b"", problem)
    return _Row(record.line, dict(zip(names, cells, strict=True)), record.content)


def _json_rows(stream: BufferedReader[Any]) -> Iterator[_Row]:
    for number, line in enumerate(lines(stream), start=1):
        if line.strip():
            yield _json_row(number, line.strip())


def _json_row(number: int, line: bytes) -> _Row:
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        return _Row(number, {}, b"", "is no JSON; each line must be one object")
    if not isinstance(plain, dict):
        return _Row(number, {}, b"", "is no JSON object; each line must be one")
    return _Row(number, plain, line)


# ---- spans ------------------------------------------------------------------------------------


class _BadCell(ValueError):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def _spans(rows: Iterator[_Row], plan: _Plan) -> Iterator[SpanRecord | Reject]:
    for row in rows:
        if row.problem:
            yield Reject("unreadable_row", "", f"Line {row.line} {row.problem}.", line=row.line)
        else:
            yield _span(row, plan)


def _span(row: _Row, plan: _Plan) -> SpanRecord | Reject:
    column = ""

    def read(field: str, reader: Callable[[Any], Any]) -> Any:
        nonlocal column
        column = plan.columns.get(field, "")
        if not column:
            return None
        value = row.cells.get(column)
        return None if value is None or value == "" else reader(value)

    def word(field: str, default: str = "") -> str:
        return read(field, _word) or plan.constants.get(field, default)

    try:
        started_at = read("started_at", plan.moment)
        if started_at is None:
            raise _BadCell("missing_time", "is empty; every request needs its start")
        latency_ms = read("latency_ms", _milliseconds)
        ended_at = read("ended_at", plan.moment)
        if ended_at is None and latency_ms is not None:
            ended_at = started_at + timedelta(milliseconds=latency_ms)
        reply = read("reply", _reply) or _NO_REPLY
        usage = disjoint(
            read("input_tokens", _count),
            read("output_tokens", _count),
            cache_read=read("cache_read_tokens", _count),
            cache_write_5m=read("cache_write_tokens", _count),
            reasoning=read("reasoning_tokens", _count),
        )
        if usage.input is None and usage.output is None:
            usage = reply.usage
        model = word("model", reply.model)
        trace_id, span_id = read("trace_id", _word), read("span_id", _word)
        if not span_id:
            made = _made_id(row, started_at)
            trace_id, span_id = trace_id or made[:32], made[32:48]
        elif not trace_id:
            trace_id = span_id
        return SpanRecord(
            trace_id=trace_id,
            span_id=span_id,
            started_at=started_at,
            ended_at=ended_at,
            external_id=f"line {row.line}",
            version=((ended_at or started_at) - EPOCH) // MICROSECOND,
            kind=word("kind", reply.kind),
            name=word("name"),
            service=word("service"),
            provider=vocabulary.provider(word("provider", reply.provider)),
            model=model,
            request_model=model,
            tier=vocabulary.tier(word("tier", reply.tier)),
            status=read("status", _status) or reply.status,
            error_type=reply.error_type or read("status", _abandoned) or "",
            user_id=word("user_id"),
            session_id=word("session_id"),
            ttft_ms=read("ttft_ms", _milliseconds),
            input_tokens=usage.input,
            cache_read_tokens=usage.cache_read,
            cache_write_5m_tokens=usage.cache_write_5m,
            cache_write_1h_tokens=usage.cache_write_1h,
            output_tokens=usage.output,
            reasoning_tokens=usage.reasoning,
            audio_input_tokens=usage.audio_input,
            audio_output_tokens=usage.audio_output,
            image_input_tokens=usage.image_input,
            usage_convention=usage.convention,
            raw_usage=reply.raw_usage,
            prefix_hashes=read("prefix_blocks", _blocks),
        )
    except _BadCell as bad:
        detail = f"Line {row.line}, column {column}: {bad.detail}."
        return Reject(
            bad.reason,
            column,
            detail,
            external_id=f"line {row.line}",
            line=row.line,
            payload=quarantine.payload(_without_reply(row.cells, plan)),
        )


def _without_reply(cells: Mapping[str, Any], plan: _Plan) -> Mapping[str, Any]:
    """What could not be read may be anybody's text, whatever it looks like."""
    column = plan.columns.get("reply", "")
    if column not in cells:
        return cells
    return {**cells, column: f"[a reply of {len(str(cells[column]))} characters]"}


def _made_id(row: _Row, started_at: datetime) -> str:
    """The same line of the same file at the same time gets the same id, and no other line does."""
    told = b"%d\x1f%s\x1f%s" % (row.line, started_at.isoformat().encode(), row.content)
    return hashlib.sha256(told).hexdigest()


# ---- cells ------------------------------------------------------------------------------------

_NO_REPLY = Reply(api="", kind="llm")


def _reply(value: Any) -> Reply:
    if not isinstance(value, str | Mapping):
        raise _BadCell("bad_reply", "is no reply; log it as the provider sent it")
    try:
        return provider_replies.read(value)
    except NoReply as bad:
        raise _BadCell("bad_reply", f"{bad}; log it as the provider sent it") from None
    except BadUsage as bad:
        raise _BadCell("bad_tokens", f"{bad.name}: {str(bad).rstrip('.')}") from None


def _word(value: Any) -> str:
    if isinstance(value, bool | float | list | dict):
        raise _BadCell("bad_text", "must be text")
    text = str(value).strip().replace("\0", "\ufffd")[:MAX_WORD_CHARS]
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _BadCell("bad_text", "holds half a character; save the file as UTF-8")
    return text


def _count(value: Any) -> int:
    text = str(value).strip()
    whole = text.removesuffix(".0")
    if isinstance(value, bool) or not (
        whole.isascii() and whole.isdigit() and len(whole) <= MOST_DIGITS
    ):
        raise _BadCell("bad_tokens", f"{text[:40]!r} is no whole number of tokens from 0")
    return int(whole)


def _number(value: Any) -> float:
    try:
        # float() takes 1_000 and digits of every alphabet; a log means neither.
        if isinstance(value, bool) or (isinstance(value, str) and not _is_plain(value)):
            raise ValueError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise _BadCell("bad_number", f"{str(value)[:40]!r} is no finite number") from None
    return number


def _is_plain(text: str) -> bool:
    return text.isascii() and "_" not in text


def _milliseconds(value: Any) -> float:
    number = _number(value)
    if not 0 <= number < 1e11:
        raise _BadCell("bad_duration", f"{number:g} ms is no possible duration")
    return number


def _iso(value: Any) -> datetime:
    try:
        return _aware(datetime.fromisoformat(str(value).strip()))
    except ValueError:
        detail = f"{str(value)[:40]!r} is no ISO time such as 2026-05-01T12:00:00Z"
        raise _BadCell("bad_time", detail) from None


def _span_of(value: Any, unit: int) -> timedelta:
    # Exact for whole numbers; a float of today's epoch cannot hold a microsecond.
    number = value if isinstance(value, int) else _number(value)
    try:
        return timedelta(microseconds=number * unit)
    except OverflowError:
        raise _BadCell("bad_time", f"{str(value)[:40]} is no possible time") from None


def _aware(moment: datetime) -> datetime:
    """A time without a zone is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _status(value: Any) -> str:
    told = str(value).strip().lower()
    if told in GOOD_STATUS:
        return "ok"
    if told in BAD_STATUS:
        return "error"
    if len(told) == 3 and told.isascii() and told.isdigit():
        return "error" if told >= "400" else "ok"
    raise _BadCell("bad_status", f"{told[:40]!r} is neither ok, error nor an HTTP status")


def _abandoned(value: Any) -> str:
    """The status itself, where it says that the caller did not wait for the end."""
    told = str(value).strip().lower()
    return told if endings.is_abandoned(told) else ""


def _blocks(value: Any) -> tuple[bytes, ...]:
    """The source's own block ids, in 8 bytes each: what counts is which are equal."""
    ids = value
    if isinstance(value, str):
        try:
            ids = json.loads(value) if value.startswith("[") else value.split()
        except (ValueError, RecursionError):
            ids = None
    if not isinstance(ids, list) or len(ids) > MAX_PREFIX_BLOCKS:
        raise _BadCell("bad_blocks", f"must be a list of at most {MAX_PREFIX_BLOCKS} block ids")
    return tuple(map(_block, ids))


def _block(told: Any) -> bytes:
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) <= MOST_DIGITS:
        told = int(told)
    if isinstance(told, int) and not isinstance(told, bool) and 0 <= told < 2**64:
        return told.to_bytes(8, "big")
    if isinstance(told, str) and told:
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()[:8]
    raise _BadCell("bad_blocks", "holds something that is no block id")
