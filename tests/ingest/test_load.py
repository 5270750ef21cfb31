import csv
import gzip
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from ingest.models import BillLine, Delivery, Project, Reject, Source, Span
from tests.factories.ingest import ProjectFactory

pytestmark = pytest.mark.django_db

LOG = "ts,input_tokens,output_tokens\n2026-11-10 12:00:00,10,2\n2026-11-10 12:00:01,20,3\n"
BILL = {
    "BilledCost": "0.5",
    "EffectiveCost": "1",
    "BillingAccountId": "1",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-10-01",
    "BillingPeriodEnd": "2026-11-01",
    "ChargePeriodStart": "2026-10-05",
    "ChargePeriodEnd": "2026-10-06",
    "ChargeCategory": "Usage",
    "ServiceName": "Amazon EC2",
    "ProviderName": "AWS",
    "ChargeFrequency": "usage-based",
    "SkuMeter": "Compute",
    "Tags": '{"team": "search"}',
}


def load(kind, file, *options):
    out = StringIO()
    call_command("load", kind, str(file), "--source", "File", *options, stdout=out, no_color=True)
    return out.getvalue().splitlines()


@pytest.fixture
def log(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text(LOG)
    return file


@pytest.fixture
def bill(tmp_path):
    file = tmp_path / "bill.csv"
    with file.open("w") as text:
        writer = csv.DictWriter(text, BILL)
        writer.writeheader()
        writer.writerows([BILL] * 5)
    return file


AZURE = ("--preset", "azure2023_code", "--set", "provider=azure", "--set", "model=gpt-4")


def test_request_log_becomes_spans_of_its_project(log):
    project = ProjectFactory(slug="search")

    said = load("request_log", log, "--project", "search", *AZURE)

    assert said == [
        "log.csv has 2 rows: 2 new, 0 updated, 0 unchanged, 0 stale, 0 rejected.",
    ]
    assert set(
        Span.objects.values_list("project_id", "provider", "model", "input_tokens", "output_tokens")
    ) == {(project.pk, "azure", "gpt-4", 10, 2), (project.pk, "azure", "gpt-4", 20, 3)}


def test_loading_again_changes_nothing(log):
    load("request_log", log, *AZURE)

    # The source remembers how its file is to be read.
    assert load("request_log", log) == [
        "Unchanged: log.csv has 2 rows: 0 new, 0 updated, 2 unchanged, 0 stale, 0 rejected."
    ]
    assert Source.objects.get().config["constants"] == {
        "kind": "llm", "provider": "azure", "model": "gpt-4",
    }  # fmt: skip
    assert Span.objects.first().project_id == Project.objects.unallocated().pk


def test_corrected_constant_updates_the_same_spans(log):
    load("request_log", log, *AZURE)

    said = load("request_log", log, "--preset", "azure2023_code", "--set", "model=gpt-4o")

    assert "0 new, 2 updated" in said[0]
    assert set(Span.objects.values_list("model", flat=True)) == {"gpt-4o"}


def test_rejected_rows_are_said_and_kept(log):
    log.write_text(LOG + "soon,1,2\n")

    assert load("request_log", log, *AZURE) == [
        "log.csv has 3 rows: 2 new, 0 updated, 0 unchanged, 0 stale, 1 rejected."
    ]
    reject = Reject.objects.get()
    assert (reject.reason, reject.field, reject.line) == ("bad_time", "ts", 4)


def test_bill_is_stored_with_its_warning(bill):
    said = load("focus_csv", bill)

    assert said[0] == "bill.csv has 5 rows: 5 new, 0 updated, 0 unchanged, 0 stale, 0 rejected."
    assert said[1].startswith("Note: EffectiveCost of AWS is rounded to whole units")
    lines = BillLine.objects.values_list("line", "tags", "extra", "repairs").order_by("line")
    assert list(lines) == [
        (line, {"team": "search"}, {"SkuMeter": "Compute"}, ["charge_frequency: case"])
        for line in range(2, 7)
    ]
    assert Delivery.objects.get().complete


def test_same_bill_again_is_unchanged(bill):
    load("focus_csv", bill)

    [said] = load("focus_csv", bill)

    assert said.startswith("Unchanged: bill.csv was loaded before, on ")
    assert BillLine.objects.count() == 5


def test_bill_in_another_wrapping_has_unchanged_rows(bill):
    load("focus_csv", bill)
    packed = bill.with_name("bill.csv.gz")
    packed.write_bytes(gzip.compress(bill.read_bytes()))

    said = load("focus_csv", packed)

    assert said[0].startswith("Unchanged: bill.csv.gz has 5 rows")


def test_incomplete_bill_is_no_book_yet(bill):
    load("focus_csv", bill, "--incomplete")

    assert not Delivery.objects.get().complete


def test_sample_is_marked(log):
    load("request_log", log, *AZURE, "--sample")

    assert Source.objects.get().is_sample


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--project", "nowhere", *AZURE], "There is no project nowhere; there are"),
        (["--preset", "acme"], "Setting preset: acme is unknown"),
        ([], "Setting columns: has no started_at"),
        (["--preset", "mooncake"], "has no column timestamp"),
        (["--set", "model", *AZURE], "write FIELD=VALUE"),
        (["--config", "[]", *AZURE], "must be a JSON object"),
    ],
)
def test_mistake_is_one_sentence_and_stores_nothing(log, options, message):
    with pytest.raises(CommandError, match=message) as mistake:
        load("request_log", log, *options)

    assert "\n" not in str(mistake.value)
    assert Span.objects.count() == 0


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CommandError, match="There is no file"):
        load("focus_csv", tmp_path / "none.csv")


def test_broken_bill_leaves_nothing_behind(bill):
    bill.write_text(bill.read_text().replace("BilledCost", "Cost"))

    with pytest.raises(CommandError, match="has no column BilledCost"):
        load("focus_csv", bill)

    assert Delivery.objects.count() == 0


def test_source_keeps_its_kind_and_project(log, bill):
    load("request_log", log, *AZURE)

    with pytest.raises(CommandError, match="is a request_log"):
        load("focus_csv", bill)
    ProjectFactory(slug="search")
    with pytest.raises(CommandError, match="do not move"):
        load("request_log", log, "--project", "search")


def test_folder_of_bills_is_taken_by_its_manifests(bill, tmp_path):
    folder = tmp_path / "exports"
    (folder / "data").mkdir(parents=True)
    (folder / "data/one.csv").write_text(bill.read_text())
    (folder / "x-Manifest.json").write_text('{"dataFiles": ["data/one.csv", "data/two.csv"]}')

    [said, note, *_] = load("bill_file", folder)
    assert said.startswith("x-Manifest.json has 5 rows: 5 new")
    assert note.startswith("Note: 1 of the 2 files its manifest names are not there")
    assert not Delivery.objects.get().complete

    (folder / "data/two.csv").write_text(bill.read_text().replace("2026-10-05", "2026-10-04"))
    assert load("bill_file", folder)[0].startswith("x-Manifest.json has 10 rows: 10 new")
    assert load("bill_file", folder)[0].startswith("Unchanged: x-Manifest.json was loaded before")
    assert Delivery.objects.filter(complete=True).count() == 1


def test_folder_without_bills_is_named(tmp_path):
    with pytest.raises(CommandError, match="There is no bill in"):
        load("bill_file", tmp_path)
