"""Which files of a folder belong together: manifests, what they name, and what is missing.

Knows the manifests of AWS reports, AWS data exports and Azure exports. Refuses to read files or to
believe half a delivery: what a manifest names and the folder lacks makes the delivery incomplete.
Plain values in, plain values out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.sources.base import BadFile

from .azure import ACTUAL, AMORTIZED

DATA = re.compile(r"\.(csv|csv\.gz|gz|parquet|json|jsonl|json\.gz|jsonl\.gz)$", re.IGNORECASE)
MANIFEST = re.compile(r"(^|/|-)manifest\.json$", re.IGNORECASE)
PERIOD_IN_KEY = re.compile(r"BILLING_PERIOD=(\d{4}-\d{2})|/(\d{8}-\d{8})/")
SETTLED_AFTER = timedelta(hours=1)
"""Exporters write the files first and their manifest last."""
AZURE_VIEWS = {"actualcost": ACTUAL, "usage": ACTUAL, "amortizedcost": AMORTIZED}


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of the folder."""

    key: str
    size: int
    etag: str
    """Changes with its content."""
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """One delivery to take."""

    name: str
    files: tuple[Stored, ...]
    complete: bool
    note: str = ""
    format: str = ""
    """What its manifest says it is; empty when it does not."""

    @property
    def sha256(self) -> bytes:
        """The same for the same files, whichever manifest names them."""
        told = sorted(f"{file.key}\x1f{file.etag}\x1f{file.size}" for file in self.files)
        return hashlib.sha256("\x1e".join(told).encode()).digest()

    @property
    def mark(self) -> str:
        """What a cursor remembers of a delivery that was taken."""
        return f"{self.sha256.hex()[:24]}{'' if self.complete else '?'}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one manifest says."""

    key: str
    changed_at: datetime
    files: Mapping[str, int | None]
    """Key → bytes, where the manifest tells them."""
    export: str
    """Which export it is of; the manifest itself where nothing tells."""
    period: str
    format: str = ""


@dataclass
class Plan:
    deliveries: list[Planned] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Manifests that are none."""


def plan(
    stored: Iterable[Stored],
    read: Callable[[str], bytes],
    now: datetime,
    *,
    alone_is_whole: bool,
) -> Plan:
    """The deliveries of a folder, oldest first. `read` fetches a manifest.

    Of several manifests about one period the newest counts: each names the whole of it. A file no
    manifest names is a delivery of its own, complete only if `alone_is_whole`.
    """
    by_key = {one.key: one for one in stored if one.size}
    made = Plan()
    manifests: list[Manifest] = []
    for one in by_key.values():
        if not MANIFEST.search(one.key):
            continue
        found = manifest_of(one, read(one.key))
        if found is None:
            made.unreadable.append(one.key)
        else:
            manifests.append(found)
    named = {key for manifest in manifests for key in manifest.files}
    newest: dict[tuple[str, ...], tuple[datetime, Planned]] = {}
    for manifest in sorted(manifests, key=lambda one: (one.changed_at, one.key)):
        delivery = _of_manifest(manifest, by_key)
        # Where the newest is not whole yet, the newest whole one stands beside it.
        subject = (*_subject(manifest), str(delivery.complete))
        newest[subject] = (manifest.changed_at, delivery)
    planned = [
        (at, delivery)
        for (*subject, _), (at, delivery) in newest.items()
        if delivery.complete or at > _whole_at(newest, subject)
    ]
    planned += (
        (one.changed_at, _alone(one, alone_is_whole))
        for one in by_key.values()
        if one.key not in named
        and DATA.search(one.key)
        and not MANIFEST.search(one.key)
        and one.changed_at <= now - SETTLED_AFTER * (not alone_is_whole)
    )
    planned.sort(key=lambda pair: (pair[0], pair[1].name))
    made.deliveries += (delivery for _, delivery in planned if delivery.files)
    return made


def _whole_at(
    newest: Mapping[tuple[str, ...], tuple[datetime, Planned]], subject: Sequence[str]
) -> datetime:
    """When the newest whole delivery of this subject came."""
    found = newest.get((*subject, str(True)))
    return found[0] if found else datetime.min.replace(tzinfo=UTC)


def of_one_view(found: Sequence[Planned], format: str) -> list[Planned]:
    """Only Azure's actual or only its amortised exports: each would replace the other.

    `format` is what the source's settings say. Raises BadFile where they do not choose.
    """
    views = {one.format for one in found if one.format}
    if len(views) > 1 and format not in views:
        raise BadFile(
            "There are actual and amortised Azure exports here, which would replace each other;"
            " set Format to azure_actual or azure_amortized and give each a source of its own."
        )
    return [
        one
        for one in found
        if not (one.format and format in AZURE_VIEWS.values()) or one.format == format
    ]


def _subject(manifest: Manifest) -> tuple[str, str]:
    """The export and the period that a manifest is about."""
    return manifest.export + manifest.format, manifest.period


def _of_manifest(manifest: Manifest, by_key: Mapping[str, Stored]) -> Planned:
    here, missing = [], 0
    for key, size in manifest.files.items():
        found = by_key.get(key)
        if found is None or (size is not None and found.size != size):
            missing += 1
        else:
            here.append(found)
    note = ""
    if missing:
        note = (
            f"{missing} of the {len(manifest.files)} files its manifest names are not there or not"
            " whole yet; it replaces nothing until they are."
        )
    return Planned(manifest.key, tuple(here), not missing, note, manifest.format)


def _alone(one: Stored, is_whole: bool) -> Planned:
    note = (
        "" if is_whole else "No manifest names this file, so it may be a part; it replaces nothing."
    )
    return Planned(one.key, (one,), is_whole, note)


# ---- manifests --------------------------------------------------------------------------------


def manifest_of(stored: Stored, body: bytes) -> Manifest | None:
    """What the manifest says; None when it is none of those known."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    files = dict(_files(said))
    if not files:
        return None
    found = PERIOD_IN_KEY.search(stored.key)
    if found:
        export, period = stored.key[: found.start()], found[1] or found[2]
    else:
        export, period = _export(said) or stored.key, _period(said)
    return Manifest(stored.key, stored.changed_at, files, export, period, _format(said))


def _files(said: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    for name in ("reportKeys", "dataFiles"):
        for key in _list(said.get(name)):
            if isinstance(key, str):
                yield _key(key), None
    for blob in _list(said.get("blobs")):
        if isinstance(blob, dict) and isinstance(blob.get("blobName"), str):
            size = blob.get("byteCount")
            yield _key(blob["blobName"]), size if isinstance(size, int) else None


def _key(told: str) -> str:
    """Without the bucket, where one is named."""
    if told.startswith("s3://"):
        told = told.removeprefix("s3://").partition("/")[2]
    return told.lstrip("/")


def _period(said: Mapping[str, Any]) -> str:
    for outer, start in (("billingPeriod", "start"), ("runInfo", "startDate")):
        told = said.get(outer)
        if isinstance(told, dict) and isinstance(told.get(start), str):
            # A month to date grows day by day and stays about the same month.
            return re.sub(r"\D", "", told[start])[:6]
    return ""


def _export(said: Mapping[str, Any]) -> str:
    told = said.get("exportConfig")
    name = told.get("exportName") if isinstance(told, dict) else said.get("reportName")
    return name if isinstance(name, str) else ""


def _format(said: Mapping[str, Any]) -> str:
    told = said.get("exportConfig")
    kind = told.get("type") if isinstance(told, dict) else None
    return AZURE_VIEWS.get(kind.casefold(), "") if isinstance(kind, str) else ""


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
