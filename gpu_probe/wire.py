"""One batch of GPU readings as the probe sends it: the only words probe and server share.

Knows the fields, their units, their limits and the version. Pure and stdlib only: no NVML, no
network, no clock, no prices. It refuses a batch it cannot vouch for and names the field and the
fix; it never repairs a value. In a reading None means unknown or unsupported, never 0.

A batch of an older version is taken as what it said then: fields that came later are unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

WIRE_VERSION = 2
OLDEST_VERSION = 1

MAX_READINGS = 1024
MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_GPU_INDEX = 1023
MAX_MEMORY_BYTES = 2**50  # 1 PiB: a thousand times more than any GPU carries
MAX_POWER_W = (
    10_000.0  # several times the hungriest accelerator; milliwatts sent as watts land above
)
MAX_CLOCK_MHZ = 10_000
MIN_TEMPERATURE_C, MAX_TEMPERATURE_C = -60, 250
MAX_PROCESS_COUNT = 1_000_000
MAX_PROCESSES = 100  # those that are named; all are counted
MAX_MIG_INSTANCES = 64
MAX_PID = 2**31 - 1
MAX_XID = 100_000
MAX_ROWS = 1_000_000
MAX_XID_ERRORS = 1_000_000  # between two readings
MAX_COUNTER = 2**63 - 1  # a signed 64-bit column
EARLIEST_AT = 1_577_836_800.0  # 2020-01-01: a host clock that was never set starts in 1970
LATEST_AT = 4_102_444_800.0  # 2100-01-01: milliseconds sent as seconds land far beyond


class WireError(ValueError):
    """A batch that cannot be taken: `field` says where, `message` why and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A compute process that holds memory of a GPU."""

    pid: int  # as the host counts, also where the probe runs in a container
    memory_used_bytes: int | None = None
    name: str | None = None  # the program's name, only where the probe was told to send names
    mig_uuid: str | None = None  # the MIG instance it runs on


@dataclass(frozen=True, slots=True, kw_only=True)
class MigInstance:
    """A slice of a GPU. NVML knows its memory, never its utilisation."""

    uuid: str
    profile: str | None = None  # as in 3g.40gb
    gpu_instance_id: int | None = None
    compute_instance_id: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    memory_reserved_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """What one GPU said at one moment."""

    uuid: str
    index: int  # position on the host; may change over a reboot, the uuid does not
    name: str
    at: float  # epoch seconds, UTC
    utilization_pct: float | None = None  # share of time with at least one kernel running
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    memory_reserved_bytes: int | None = None  # kept by the driver, not part of used
    power_w: float | None = None
    power_limit_w: float | None = None  # the limit in force
    energy_mj: int | None = None  # millijoules, a counter since the driver was loaded
    sm_clock_mhz: int | None = None
    temperature_c: int | None = None
    clock_event_reasons: int | None = None  # NVML's bitmask of what holds the clocks back
    ecc_uncorrected_errors: int | None = None  # a counter since the driver was loaded
    mig_mode: bool | None = None
    process_count: int | None = None  # compute processes
    # Since version 2.
    lost: bool = False  # the driver says that it is lost: everything else is unknown
    ecc_corrected_errors: int | None = None  # a counter since the driver was loaded
    remapped_rows_corrected: int | None = None  # memory rows replaced, over the GPU's life
    remapped_rows_uncorrected: int | None = None
    remapped_rows_pending: bool | None = None  # rows wait for a reset to be replaced
    remapped_rows_failed: bool | None = None  # a row could not be replaced: time for a new GPU
    xid_errors: int | None = None  # errors the driver reported since the reading before
    last_xid: int | None = None  # the code of the newest, of this run of the probe
    mig_instances: tuple[MigInstance, ...] | None = None  # () is none, None is unknown
    processes: tuple[GpuProcess, ...] | None = None  # those with most memory, the most first


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Readings of one host, sent together. (host, boot_id, sequence) names it for ever."""

    host: str
    pool: str
    probe_version: str
    driver_version: str | None
    boot_id: str  # one run of the probe: sequence counts up within it
    sequence: int
    simulated: bool  # True: made up for a demonstration, must never be shown as measured
    readings: tuple[GpuReading, ...]
    version: int = WIRE_VERSION


def encode(batch: Batch) -> bytes:
    """Compact JSON. Whatever this returns, `decode` takes; anything else is a WireError here."""
    plain = asdict(batch)
    plain["readings"] = list(plain["readings"])
    _batch(plain)
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    body = text.encode("utf-8")
    _check_size(body)
    return body


def decode(body: bytes) -> Batch:
    _check_size(body)
    try:
        plain = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_object_without_repeats,
        )
    except WireError:
        raise
    except RecursionError as error:
        raise WireError("body", "is nested too deeply; send one batch object") from error
    except ValueError as error:
        raise WireError("body", f"is not UTF-8 JSON ({error}); send encode(batch)") from error
    return _batch(plain)


def check_reading(reading: GpuReading) -> None:
    """Raise WireError naming the bare field if this reading would spoil its batch."""
    _reading("", asdict(reading))


# One checker per field: (field, value) -> the value, or WireError.
Check = Callable[[str, object], Any]


def _text(most_chars: int) -> Check:
    def check(field: str, value: object) -> str:
        if not isinstance(value, str):
            raise WireError(field, f"must be text, not {_name_of(value)}")
        if not value.strip():
            raise WireError(field, "is empty; every batch must say it")
        if len(value) > most_chars:
            raise WireError(field, f"has {len(value)} characters; at most {most_chars} are taken")
        if not value.isprintable():
            raise WireError(field, "holds control or broken characters; send printable text")
        return value

    return check


def _whole(least: int, most: int, hint: str) -> Check:
    def check(field: str, value: object) -> int:
        # bool is an int in Python, and true is no count.
        if isinstance(value, bool) or not isinstance(value, int):
            raise WireError(field, f"must be a whole number, not {_name_of(value)}; {hint}")
        if not least <= value <= most:
            raise WireError(field, f"must be from {least} to {most}; {hint}")
        return value

    return check


def _number(least: float, most: float, hint: str) -> Check:
    def check(field: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WireError(field, f"must be a number, not {_name_of(value)}; {hint}")
        if isinstance(value, float) and not math.isfinite(value):
            raise WireError(field, f"must be finite, not {value}; send null for unknown")
        if not least <= value <= most:
            raise WireError(field, f"must be from {least:.15g} to {most:.15g}; {hint}")
        return float(value)

    return check


def _boolean(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise WireError(field, f"must be true or false, not {_name_of(value)}")
    return value


def _or_unknown(check: Check) -> Check:
    return lambda field, value: None if value is None else check(field, value)


def _each(kind: type[Any], checks: dict[str, Check], most: int) -> Check:
    """A list of objects with exactly these fields."""

    def check(field: str, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise WireError(field, f"must be a list, not {_name_of(value)}")
        if len(value) > most:
            raise WireError(field, f"has {len(value)}; at most {most} are taken")
        return tuple(one(f"{field}[{at}]", item) for at, item in enumerate(value))

    def one(field: str, item: object) -> Any:
        if not isinstance(item, dict):
            raise WireError(field, f"must be an object, not {_name_of(item)}")
        _check_names(f"{field}.", item, set(checks))
        return kind(**{name: ok(f"{field}.{name}", item[name]) for name, ok in checks.items()})

    return check


_UNKNOWN = "send null for unknown"
_MEMORY = _or_unknown(_whole(0, MAX_MEMORY_BYTES, f"the unit is bytes, {_UNKNOWN}"))
_POWER = _or_unknown(_number(0.0, MAX_POWER_W, f"the unit is watts, {_UNKNOWN}"))
_COUNTER = _or_unknown(_whole(0, MAX_COUNTER, _UNKNOWN))

_PROCESS_CHECKS: dict[str, Check] = {
    "pid": _whole(0, MAX_PID, "it is the host's process id"),
    "memory_used_bytes": _MEMORY,
    "name": _or_unknown(_text(128)),
    "mig_uuid": _or_unknown(_text(96)),
}

_MIG_CHECKS: dict[str, Check] = {
    "uuid": _text(96),
    "profile": _or_unknown(_text(64)),
    "gpu_instance_id": _or_unknown(_whole(0, 1023, _UNKNOWN)),
    "compute_instance_id": _or_unknown(_whole(0, 1023, _UNKNOWN)),
    "memory_used_bytes": _MEMORY,
    "memory_total_bytes": _MEMORY,
    "memory_reserved_bytes": _MEMORY,
}

_FIRST_CHECKS: dict[str, Check] = {
    "uuid": _text(96),
    "index": _whole(0, MAX_GPU_INDEX, "it is NVML's device index"),
    "name": _text(128),
    "at": _number(EARLIEST_AT, LATEST_AT, "the unit is epoch seconds (UTC), set the host's clock"),
    "utilization_pct": _or_unknown(_number(0.0, 100.0, f"the unit is percent, {_UNKNOWN}")),
    "memory_used_bytes": _MEMORY,
    "memory_total_bytes": _MEMORY,
    "memory_reserved_bytes": _MEMORY,
    "power_w": _POWER,
    "power_limit_w": _POWER,
    "energy_mj": _COUNTER,
    "sm_clock_mhz": _or_unknown(_whole(0, MAX_CLOCK_MHZ, f"the unit is MHz, {_UNKNOWN}")),
    "temperature_c": _or_unknown(
        _whole(MIN_TEMPERATURE_C, MAX_TEMPERATURE_C, f"the unit is °C, {_UNKNOWN}")
    ),
    "clock_event_reasons": _COUNTER,
    "ecc_uncorrected_errors": _COUNTER,
    "mig_mode": _or_unknown(_boolean),
    "process_count": _or_unknown(_whole(0, MAX_PROCESS_COUNT, _UNKNOWN)),
}

_READING_CHECKS: dict[str, Check] = {
    **_FIRST_CHECKS,
    "lost": _boolean,
    "ecc_corrected_errors": _COUNTER,
    "remapped_rows_corrected": _or_unknown(_whole(0, MAX_ROWS, _UNKNOWN)),
    "remapped_rows_uncorrected": _or_unknown(_whole(0, MAX_ROWS, _UNKNOWN)),
    "remapped_rows_pending": _or_unknown(_boolean),
    "remapped_rows_failed": _or_unknown(_boolean),
    "xid_errors": _or_unknown(_whole(0, MAX_XID_ERRORS, _UNKNOWN)),
    "last_xid": _or_unknown(_whole(0, MAX_XID, _UNKNOWN)),
    "mig_instances": _or_unknown(_each(MigInstance, _MIG_CHECKS, MAX_MIG_INSTANCES)),
    "processes": _or_unknown(_each(GpuProcess, _PROCESS_CHECKS, MAX_PROCESSES)),
}

_CHECKS_OF_VERSION = {1: _FIRST_CHECKS, WIRE_VERSION: _READING_CHECKS}

_BATCH_CHECKS: dict[str, Check] = {
    "host": _text(255),
    "pool": _text(100),
    "probe_version": _text(64),
    "driver_version": _or_unknown(_text(80)),
    "boot_id": _text(64),
    "sequence": _whole(0, MAX_COUNTER, "it counts the batches of one boot_id"),
    "simulated": _boolean,
}


def _batch(plain: object) -> Batch:
    # The version first: of another version nothing else can be judged.
    if not isinstance(plain, dict):
        raise WireError("body", f"must be one JSON object, not {_name_of(plain)}")
    version = plain.get("version")
    if type(version) is not int or version not in _CHECKS_OF_VERSION:
        told = "nothing" if version is None else repr(version)[:40]
        raise WireError(
            "version",
            f"says {told}, this side speaks {OLDEST_VERSION} to {WIRE_VERSION};"
            " bring probe and server to one release",
        )
    _check_names("", plain, {field.name for field in fields(Batch)})
    values = {name: check(name, plain[name]) for name, check in _BATCH_CHECKS.items()}
    return Batch(**values, readings=_readings(plain["readings"], version))


def _readings(plain: object, version: int) -> tuple[GpuReading, ...]:
    if not isinstance(plain, list):
        raise WireError("readings", f"must be a list, not {_name_of(plain)}")
    if not plain:
        raise WireError("readings", "is empty; send no batch when no GPU answered")
    if len(plain) > MAX_READINGS:
        raise WireError(
            "readings", f"has {len(plain)}; at most {MAX_READINGS} are taken, split the batch"
        )
    readings = tuple(_reading(f"readings[{i}].", item, version) for i, item in enumerate(plain))
    seen: set[tuple[str, float]] = set()
    for i, reading in enumerate(readings):
        if (reading.uuid, reading.at) in seen:
            raise WireError(
                f"readings[{i}].at",
                "is the second reading of this GPU at this moment; send one per (uuid, at)",
            )
        seen.add((reading.uuid, reading.at))
    return readings


def _reading(prefix: str, plain: object, version: int = WIRE_VERSION) -> GpuReading:
    if not isinstance(plain, dict):
        raise WireError(prefix.rstrip("."), f"must be an object, not {_name_of(plain)}")
    checks = _CHECKS_OF_VERSION[version]
    _check_names(prefix, plain, set(checks), version)
    reading = GpuReading(
        **{name: check(prefix + name, plain[name]) for name, check in checks.items()}
    )
    used, total = reading.memory_used_bytes, reading.memory_total_bytes
    if used is not None and total is not None and used > total:
        raise WireError(
            prefix + "memory_used_bytes",
            f"is more than memory_total_bytes ({used} > {total}); {_UNKNOWN}",
        )
    return reading


def _check_names(
    prefix: str, plain: dict[str, object], known: set[str], version: int = WIRE_VERSION
) -> None:
    for name in sorted(known - plain.keys()):
        raise WireError(prefix + name, "is missing; every field is sent, null where unknown")
    for name in sorted(plain.keys() - known):
        raise WireError(prefix + name[:60], f"is not a field of version {version}; leave it out")


def _check_size(body: bytes) -> None:
    if len(body) > MAX_BATCH_BYTES:
        raise WireError(
            "body",
            f"has {len(body)} bytes; at most {MAX_BATCH_BYTES} are taken, send fewer readings",
        )


def _refuse_constant(name: str) -> None:
    raise WireError("body", f"holds {name}, which is no JSON number; {_UNKNOWN}")


def _object_without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for name, value in pairs:
        if name in plain:
            raise WireError(name[:60], "is written twice in one object; send it once")
        plain[name] = value
    return plain


def _name_of(value: object) -> str:
    return {
        type(None): "null",
        bool: "true/false",
        str: "text",
        int: "a whole number",
        float: "a fraction",
        list: "a list",
        dict: "an object",
    }.get(type(value), type(value).__name__)
