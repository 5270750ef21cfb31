"""Bills in an S3 bucket: lists a prefix, follows its manifests, brings each delivery once.

Knows buckets and prefixes; `bills.deliveries` knows what belongs together, `bills` reads. Refuses
to believe a delivery before its manifest is complete, and to fetch what it has fetched before.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ingest.sources import bills
from ingest.sources.base import (
    BadConfig,
    BadFile,
    BillPage,
    BillPullSource,
    FetchError,
    Reading,
    Setting,
)
from ingest.sources.bills import aws
from ingest.sources.bills.deliveries import Planned, Stored, of_one_view, plan

from .bill_file import CURRENCY, DELIMITER, FORMAT, check_bill_settings, options_of

MAX_OBJECTS = 100_000
MAX_MANIFEST_BYTES = 4 * 1024**2
WHOLE = ("", "yes")

_ODD = re.compile(r"[^\w.-]|^\.+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class S3Bills(BillPullSource):
    kind = "s3_bills"
    label = "Bills in S3"
    help = (
        "Follows a bucket: AWS reports and data exports, Azure or Google Cloud exports, FOCUS. A"
        " delivery counts once every file that its manifest names is there."
    )
    owner = "organisation"
    settings = (
        Setting("bucket", "Bucket", "Its name alone, such as acme-billing.", "", True),
        Setting("prefix", "Prefix", "Only what begins so, such as exports/focus/.", ""),
        *aws.SETTINGS,
        FORMAT,
        Setting(
            "alone_is_whole",
            "Files without a manifest",
            "yes: each is the whole of its accounts and months. Empty: kept, and not believed.",
            "",
        ),
        CURRENCY,
        DELIMITER,
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        if not isinstance(checked["bucket"], str) or not _BUCKET.fullmatch(checked["bucket"]):
            raise BadConfig("bucket", "must be a bucket's name alone, such as acme-billing.")
        if not isinstance(checked["prefix"], str) or checked["prefix"].startswith("/"):
            raise BadConfig("prefix", "must be the start of a key, without a leading slash.")
        if checked["alone_is_whole"] not in WHOLE:
            raise BadConfig("alone_is_whole", "must be yes or empty.")
        aws.check_settings(checked)
        check_bill_settings(checked)
        return checked

    def fetch_bills(self, config: Mapping[str, Any], now: datetime) -> Iterator[BillPage]:
        checked = self.check_config(config)
        s3 = aws.client("s3", checked)
        for delivery in _plan(s3, checked, now):
            yield BillPage(
                name=delivery.name,
                mark=delivery.mark,
                sha256=delivery.sha256,
                complete=delivery.complete,
                note=delivery.note,
                open=partial(_fetched, s3, checked, delivery),
            )

    def check(self, config: Mapping[str, Any]) -> str:
        checked = self.check_config(config)
        found = _plan(aws.client("s3", checked), checked, datetime.now(UTC))
        whole = sum(delivery.complete for delivery in found)
        part = len(found) - whole
        if not found:
            return "It answers, and there is no bill under this prefix yet."
        said = f"It answers: {whole:,} complete {'delivery' if whole == 1 else 'deliveries'}"
        return said + (f" and {part:,} that are not complete." if part else ".")


def _plan(s3: Any, checked: Mapping[str, Any], now: datetime) -> list[Planned]:
    bucket = checked["bucket"]

    def read(key: str) -> bytes:
        with aws.told_plainly(f"{bucket}/{key}"):
            body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read(MAX_MANIFEST_BYTES)
            return body

    found = plan(
        _listed(s3, bucket, checked["prefix"]),
        read,
        now,
        alone_is_whole=checked["alone_is_whole"] == "yes",
    )
    if found.unreadable:
        raise FetchError(
            f"{found.unreadable[0]} is no manifest known here; those of AWS reports, AWS data"
            " exports and Azure exports are. Choose a prefix without it."
        )
    try:
        return of_one_view(found.deliveries, checked["format"])
    except BadFile as bad:
        raise FetchError(str(bad)) from None


def _listed(s3: Any, bucket: str, prefix: str) -> list[Stored]:
    found: list[Stored] = []
    with aws.told_plainly(bucket):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            found += (
                Stored(one["Key"], one["Size"], one["ETag"], one["LastModified"])
                for one in page.get("Contents", ())
            )
            if len(found) > MAX_OBJECTS:
                raise FetchError(
                    f"There are over {MAX_OBJECTS:,} files under this prefix; choose a longer one."
                )
    return found


@contextmanager
def _fetched(s3: Any, checked: Mapping[str, Any], delivery: Planned) -> Iterator[Reading]:
    with tempfile.TemporaryDirectory(prefix="breakeven-bills-") as folder:
        files = []
        for number, stored in enumerate(delivery.files):
            # Its own name, harmless as a path: messages show it.
            name = _ODD.sub("_", PurePosixPath(stored.key).name)[-100:]
            path = Path(folder) / str(number) / name
            path.parent.mkdir()
            aws.download(s3, checked["bucket"], stored.key, stored.etag, path)
            files.append(bills.File(path, name))
        yield bills.read_all(files, options_of(checked, delivery.format))
