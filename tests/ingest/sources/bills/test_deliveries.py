import json
from datetime import UTC, datetime, timedelta

import pytest

from ingest.sources.base import BadFile
from ingest.sources.bills.deliveries import Planned, Stored, of_one_view, plan

NOW = datetime(2026, 9, 10, 12, tzinfo=UTC)
OLD = NOW - timedelta(days=1)


def stored(key, etag="a", size=10, at=OLD):
    return Stored(key, size, etag, at)


def planned(objects, manifests, alone_is_whole=False):
    bodies = {key: json.dumps(body).encode() for key, body in manifests.items()}
    everything = [*objects, *(stored(key, at=at_of(key, objects)) for key in manifests)]
    return plan(everything, bodies.__getitem__, NOW, alone_is_whole=alone_is_whole)


def at_of(key, objects):
    """A manifest comes after what lies beside it."""
    beside = [
        one.changed_at for one in objects if one.key.rpartition("/")[0] == key.rpartition("/")[0]
    ]
    return max(beside, default=OLD) + timedelta(seconds=1)


def test_report_is_whole_when_every_file_is_there():
    files = [stored(f"cur/r/20260801-20260901/1/r-{n}.csv.gz") for n in (1, 2)]
    manifest = {"assemblyId": "1", "reportKeys": [file.key for file in files]}

    [delivery] = planned(files, {"cur/r/20260801-20260901/r-Manifest.json": manifest}).deliveries

    assert (delivery.complete, delivery.note) == (True, "")
    assert delivery.files == tuple(files)


def test_report_with_a_missing_file_is_kept_and_not_believed():
    first = stored("cur/r/20260801-20260901/r-1.csv.gz")
    second = "cur/r/20260801-20260901/r-2.csv.gz"
    manifests = {"cur/r/20260801-20260901/r-Manifest.json": {"reportKeys": [first.key, second]}}

    [part] = planned([first], manifests).deliveries
    [whole] = planned([first, stored(second)], manifests).deliveries

    assert (part.complete, part.files) == (False, (first,))
    assert part.note.startswith("1 of the 2 files its manifest names are not there")
    assert whole.complete
    assert part.mark != whole.mark


def test_newest_manifest_of_a_period_counts():
    old = stored("cur/r/20260801-20260901/1/r-1.csv.gz")
    new = stored("cur/r/20260801-20260901/2/r-1.csv.gz", at=NOW - timedelta(hours=2))
    other = stored("cur/r/20260701-20260801/1/r-1.csv.gz")
    manifests = {
        "cur/r/20260801-20260901/1/r-Manifest.json": {"reportKeys": [old.key]},
        "cur/r/20260801-20260901/2/r-Manifest.json": {"reportKeys": [new.key]},
        "cur/r/20260801-20260901/r-Manifest.json": {"reportKeys": [new.key]},
        "cur/r/20260701-20260801/r-Manifest.json": {"reportKeys": [other.key]},
    }

    found = planned([old, new, other], manifests).deliveries

    assert [delivery.files for delivery in found] == [(other,), (new,)]


def test_data_export_names_its_files_with_or_without_the_bucket():
    files = [stored(f"exports/f/data/BILLING_PERIOD=2026-08/f-0000{n}.parquet") for n in (1, 2)]
    manifest = {"dataFiles": [f"s3://acme/{files[0].key}", files[1].key]}

    [delivery] = planned(
        files, {"exports/f/metadata/BILLING_PERIOD=2026-08/f-Manifest.json": manifest}
    ).deliveries

    assert (delivery.complete, delivery.files) == (True, tuple(files))


def test_azure_manifest_tells_sizes_and_the_view():
    blob = stored("az/20260801-20260831/run/part_0.csv", size=100)
    manifest = {
        "exportConfig": {"exportName": "daily", "type": "AmortizedCost"},
        "runInfo": {"startDate": "2026-08-01T00:00:00", "endDate": "2026-08-31T00:00:00"},
        "blobs": [{"blobName": blob.key, "byteCount": 100, "dataRowCount": 2}],
    }
    name = "az/20260801-20260831/run/manifest.json"

    [whole] = planned([blob], {name: manifest}).deliveries
    growing = {**manifest, "blobs": [{"blobName": blob.key, "byteCount": 200}]}
    nothing = planned([blob], {name: growing}).deliveries

    assert (whole.complete, whole.format) == (True, "azure_amortized")
    assert nothing == []


def test_two_views_of_a_period_are_two_deliveries():
    blobs = [stored(f"az/20260801-20260831/{view}.csv") for view in ("actual", "amortised")]
    manifests = {
        f"az/20260801-20260831/{kind}/manifest.json": {
            "exportConfig": {"type": kind}, "blobs": [{"blobName": blob.key}],
        }
        for kind, blob in zip(("ActualCost", "AmortizedCost"), blobs, strict=True)
    }  # fmt: skip

    found = planned(blobs, manifests).deliveries

    assert sorted(delivery.format for delivery in found) == ["azure_actual", "azure_amortized"]


def test_file_without_a_manifest_is_not_believed_unless_the_settings_say_so():
    lone = stored("bills/focus.csv")

    [part] = planned([lone], {}).deliveries
    [whole] = planned([lone], {}, alone_is_whole=True).deliveries

    assert (part.complete, whole.complete) == (False, True)
    assert part.note == "No manifest names this file, so it may be a part; it replaces nothing."
    assert part.sha256 == whole.sha256


def test_file_that_has_only_just_come_waits_for_its_manifest():
    fresh = stored("bills/focus.csv", at=NOW - timedelta(minutes=5))

    assert planned([fresh], {}).deliveries == []


def test_manifest_nobody_knows_is_named():
    found = planned([], {"x/manifest.json": {"files": ["a"]}})

    assert (found.deliveries, found.unreadable) == ([], ["x/manifest.json"])


def test_newest_whole_delivery_stands_in_while_the_newest_is_not_whole():
    old = stored("cur/r/20260801-20260901/1/r-1.csv.gz")
    new = stored("cur/r/20260801-20260901/2/r-1.csv.gz", at=NOW - timedelta(hours=2))
    missing = "cur/r/20260801-20260901/2/r-2.csv.gz"
    manifests = {
        "cur/r/20260801-20260901/1/r-Manifest.json": {"reportKeys": [old.key]},
        "cur/r/20260801-20260901/2/r-Manifest.json": {"reportKeys": [new.key, missing]},
    }

    part_later = planned([old, new], manifests).deliveries
    whole_later = planned([old, new, stored(missing)], manifests).deliveries

    assert [(one.complete, one.files) for one in part_later] == [(True, (old,)), (False, (new,))]
    assert [one.complete for one in whole_later] == [True]


def test_two_exports_of_one_name_in_two_places_are_two():
    files = [stored(f"{team}/daily/20260801-20260831/run/part.csv") for team in ("a", "b")]
    manifests = {
        f"{team}/daily/20260801-20260831/run/manifest.json": {"blobs": [{"blobName": file.key}]}
        for team, file in zip(("a", "b"), files, strict=True)
    }

    assert len(planned(files, manifests).deliveries) == 2


def test_only_one_of_azures_views_is_taken():
    actual = Planned("a", (), True, format="azure_actual")
    amortised = Planned("b", (), True, format="azure_amortized")
    other = Planned("c", (), True)

    assert of_one_view([actual, amortised, other], "azure_actual") == [actual, other]
    assert of_one_view([actual, other], "") == [actual, other]
    with pytest.raises(BadFile, match="which would replace each other; set Format to azure_act"):
        of_one_view([actual, amortised], "")
