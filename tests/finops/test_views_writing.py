"""What people change on the pages: sources, tokens, files, prices; and how they sign in."""

from __future__ import annotations

import gzip
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from finops.access import FAILURES_PER_NAME
from finops.models import AccessToken, Audit, HardwarePrice, PriceBook, User
from ingest import source_secrets
from ingest.models import Delivery, Pool, Project, Reject, Source, Token
from tests.e2e.estate import PASSWORD
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

FOCUS_COLUMNS = (
    "BilledCost,EffectiveCost,ListCost,ContractedCost,BillingAccountId,BillingCurrency,"
    "BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,"
    "ServiceName,ProviderName"
)
FOCUS_ROW = (
    "{cost},{cost},3,{cost},acme,USD,2026-09-01T00:00:00Z,2026-10-01T00:00:00Z,"
    "2026-09-{day:02}T00:00:00Z,2026-09-{day:02}T23:00:00Z,Usage,Azure OpenAI,Azure"
)


def bill(*costs: str) -> bytes:
    rows = [FOCUS_ROW.format(cost=cost, day=day) for day, cost in enumerate(costs, 1)]
    return "\n".join([FOCUS_COLUMNS, *rows, ""]).encode()


def one_span() -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = b"t" * 16, b"s" * 8, "chat"
    span.start_time_unix_nano, span.end_time_unix_nano = 10**18 * 17 // 10, 10**18 * 17 // 10 + 1
    return request.SerializeToString()


def words_of(response) -> str:
    return Page(response.text).words


def audited(action: str) -> Audit:
    return Audit.objects.filter(action=action).latest("id")


# Signing in


def test_right_password_leads_to_where_one_wanted_to_go(db):
    given = {"username": "asha", "password": PASSWORD, "next": "/costs?range=7d"}
    response = Client().post("/sign-in", given)
    assert (response.status_code, response["Location"]) == (302, "/costs?range=7d")


def test_another_site_is_never_where_one_is_sent(db):
    given = {"username": "asha", "password": PASSWORD, "next": "https://evil.example/"}
    assert Client().post("/sign-in", given)["Location"] == "/"


@pytest.mark.parametrize("username", ["asha", "nobody"])
def test_wrong_password_says_the_same_for_every_name(db, username):
    response = Client().post("/sign-in", {"username": username, "password": "guess"})
    assert response.status_code == 422
    assert "That name and password do not go together." in words_of(response)


def test_guessing_is_stopped_and_says_for_how_long(db, settings):
    # A cache of its own: another suite on this machine may empty the shared one meanwhile.
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    client = Client()
    for _ in range(FAILURES_PER_NAME):
        client.post("/sign-in", {"username": "asha", "password": "guess"})
    response = client.post("/sign-in", {"username": "asha", "password": PASSWORD})
    assert response.status_code == 429
    assert "Too many failed sign-ins" in words_of(response)


def test_signing_out_ends_the_session_and_needs_a_post(sign_in):
    client = sign_in("asha")
    assert client.get("/sign-out").status_code == 405
    assert client.post("/sign-out").status_code == 302
    assert client.get("/").status_code == 302


def test_forms_need_their_token(db):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="ada"))
    response = client.post("/sources/new?kind=otlp", {"name": "x", "project": "y"})
    assert response.status_code == 403


# Connecting


def test_connected_source_shows_its_token_once_and_the_token_works(sign_in):
    client = sign_in("ada")
    given = {"name": "Checkout traces", "project": "Checkout bot", "team": "Payments"}
    response = client.post("/sources/new?kind=otlp", given)
    assert response.status_code == 201
    text = re.search(r"brk_[0-9a-f]{16}_[\w-]+", response.text)[0]
    assert f'_HEADERS="Authorization=Bearer%20{text}"' in Page(response.text).words
    pushed = client.post(
        "/v1/traces",
        one_span(),
        content_type="application/x-protobuf",
        headers={"Authorization": f"Bearer {text}"},
    )
    assert pushed.status_code == 200
    source = Source.objects.get(name="Checkout traces")
    project = Project.objects.get(name="Checkout bot")
    assert (source.project, project.slug, project.team.name) == (
        project,
        "checkout-bot",
        "Payments",
    )
    assert text not in client.get(f"/sources/{source.pk}").text
    assert text not in client.get("/settings/tokens").text


def test_connecting_is_in_the_audit_without_the_secret(sign_in):
    client = sign_in("ada")
    response = client.post("/sources/new?kind=otlp", {"name": "New", "project": "Support chat"})
    text = re.search(r"brk_[0-9a-f]{16}_[\w-]+", response.text)[0]
    record = audited("push_token.issue")
    assert (record.actor_name, record.via, record.detail["source"]) == ("ada", "page", "New")
    assert text.rsplit("_", 1)[1] not in str(record.detail)
    assert audited("source.add").detail["name"] == "New"


def test_secret_of_a_pulled_source_goes_in_and_never_comes_out(sign_in):
    client, secret = sign_in("ada"), "sk-lf-never-shown"
    given = {
        "name": "Langfuse",
        "project": "Support chat",
        "interval_s": "60",
        "config.url": "ftp://langfuse",
        "config.public_key": "pk-lf-1",
        "config.secret_key": secret,
    }
    wrong = client.post("/sources/new?kind=langfuse", given)
    given["config.url"] = "https://cloud.langfuse.com"
    right = client.post("/sources/new?kind=langfuse", given)

    assert (wrong.status_code, right.status_code) == (422, 302)
    source = Source.objects.get(name="Langfuse")
    assert source_secrets.opened(source)["secret_key"] == secret
    assert "secret_key" not in source.config
    record = audited("source.add")
    answers = [wrong, client.get(f"/sources/{source.pk}"), client.get("/api/v1/sources")]
    assert [answer.status_code for answer in answers] == [422, 200, 200]
    said = [*(answer.text for answer in answers), str(record.detail), str(source.config)]
    assert not any(secret in text for text in said)


def test_known_project_is_taken_whatever_its_capitals(sign_in):
    before = Project.objects.count()
    given = {"name": "New", "project": "support CHAT"}
    sign_in("ada").post("/sources/new?kind=otlp", given)
    assert Source.objects.get(name="New").project.slug == "support-chat"
    assert Project.objects.count() == before


def test_new_pool_keeps_what_is_paid_for(sign_in):
    given = {"name": "Probe", "pool": "a10-us", "provider": "vllm", "hardware": "A10"}
    sign_in("ada").post("/sources/new?kind=gpu", {**given, "gpu_count": "4"})
    pool = Pool.objects.get(name="a10-us")
    assert (pool.provider, pool.hardware, pool.gpu_count) == ("vllm", "A10", 4)


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("otlp", {"name": "Support chat traces", "project": "x"}, "There is a source of this name"),
        ("otlp", {"name": "New"}, "This field is required."),
        ("request_log", {"name": "New", "project": "x"}, "Has no started_at"),
        (
            "prometheus_text",
            {"name": "New", "pool": "x", "interval_s": "15", "config.url": "ftp://x/metrics"},
            "http",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_fix(sign_in, kind, given, said):
    before = Source.objects.count()
    response = sign_in("ada").post(f"/sources/new?kind={kind}", given)
    assert response.status_code == 422
    assert said in words_of(response)
    assert Source.objects.count() == before


def test_switched_off_source_takes_nothing_more(sign_in):
    client = sign_in("ada")
    source = Source.objects.get(name="Support chat traces")
    issued = client.post(f"/sources/{source.pk}/tokens")
    text = re.search(r"brk_[0-9a-f]{16}_[\w-]+", issued.text)[0]
    response = client.post(f"/sources/{source.pk}/switch", {"enabled": "0"}, follow=True)
    assert "takes nothing more; what it brought stays" in words_of(response)
    pushed = client.post(
        "/v1/traces",
        one_span(),
        content_type="application/x-protobuf",
        headers={"Authorization": f"Bearer {text}"},
    )
    assert pushed.status_code == 403
    assert audited("source.switch_off").object_id == str(source.pk)


@pytest.mark.parametrize("path", ["tokens", "switch"])
@pytest.mark.parametrize("name", ["asha", "ben", "cleo", "dev"])
def test_only_who_manages_sources_may_change_them(sign_in, name, path):
    source = Source.objects.get(name="Support chat traces")
    assert sign_in(name).post(f"/sources/{source.pk}/{path}").status_code == 403
    assert not Token.objects.filter(source=source).exists()


# Files


def upload(client: Client, name: str, content: bytes, **more) -> object:
    source = Source.objects.get(name="Azure export")
    file = SimpleUploadedFile(name, content)
    return client.post(f"/sources/{source.pk}/upload", {"file": file, "complete": "on", **more})


def test_uploaded_bill_is_counted_and_the_same_again_changes_nothing(sign_in):
    client = sign_in("asha")
    first = upload(client, "september.csv", bill("10", "n/a"))
    assert "september.csv: 2 rows" in words_of(first)
    assert "1 row was refused; below is why and what to mend." in words_of(first)
    again = upload(client, "september.csv", bill("10", "n/a"))
    assert "The very same file came on" in words_of(again)
    assert Delivery.objects.filter(name="september.csv").count() == 1
    refused = Reject.objects.filter(delivery__name="september.csv")
    # The heading is the first line.
    assert [(row.field, row.line) for row in refused] == [("BilledCost", 3)]


def test_upload_is_audited_with_its_fingerprint(sign_in):
    upload(sign_in("asha"), "september.csv.gz", gzip.compress(bill("10")))
    record = audited("file.take")
    assert record.detail["file"] == "september.csv.gz"
    assert len(record.detail["sha256"]) == 64


def test_file_that_is_no_bill_is_refused_in_one_sentence(sign_in):
    response = upload(sign_in("asha"), "holiday.csv", b"a,b\n1,2\n")
    assert response.status_code == 422
    assert "holiday.csv has no column BilledCost, " in words_of(response)


def test_name_of_a_file_is_never_a_path(sign_in):
    upload(sign_in("asha"), "../../etc/passwd.csv", bill("10"))
    assert Delivery.objects.filter(name="passwd.csv").exists()


@pytest.mark.parametrize("name", ["ben", "cleo", "dev"])
def test_only_who_may_import_bills_can_upload_one(sign_in, name):
    before = Delivery.objects.count()
    assert upload(sign_in(name), "x.csv", bill("10")).status_code in (403, 404)
    assert Delivery.objects.count() == before


# Tokens


def test_own_token_is_shown_once_and_can_be_revoked(sign_in):
    client = sign_in("asha")
    response = client.post("/settings/tokens", {"name": "Weekly report", "scope": "read"})
    assert response.status_code == 201
    text = re.search(r"brk_[0-9a-f]{12,16}_[\w-]+", response.text)[0]
    assert text not in client.get("/settings/tokens").text
    token = AccessToken.objects.get(name="Weekly report")
    client.post(f"/settings/tokens/{token.pk}/revoke")
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_token_that_ended_already_is_refused(sign_in):
    given = {"name": "Old", "scope": "read", "expires_on": "2020-01-01"}
    response = sign_in("asha").post("/settings/tokens", given)
    assert response.status_code == 422
    assert not AccessToken.objects.filter(name="Old").exists()


def test_nobody_revokes_the_token_of_another(sign_in):
    sign_in("asha").post("/settings/tokens", {"name": "Hers", "scope": "read"})
    token = AccessToken.objects.get(name="Hers")
    assert sign_in("ada").post(f"/settings/tokens/{token.pk}/revoke").status_code == 404


def test_push_token_is_revoked_by_who_manages_sources(sign_in):
    source = Source.objects.get(name="Support chat traces")
    sign_in("ada").post(f"/sources/{source.pk}/tokens")
    token = Token.objects.get(source=source)
    path = f"/settings/push-tokens/{token.pk}/revoke"
    assert sign_in("dev").post(path).status_code == 403
    assert sign_in("ada").post(path).status_code == 302
    token.refresh_from_db()
    assert token.revoked_at is not None


# Prices

OWN = {
    "what": "model",
    "provider": "openai",
    "model": "gpt-house-tuned",
    "unit": "input",
    "amount": "0.35",
    "currency": "usd",
    "tier": "standard",
    "input_over": "0",
    "note": "Contract",
}


def test_model_without_a_price_is_listed_with_the_way_to_enter_one(sign_in):
    words = words_of(sign_in("asha").get("/prices"))
    assert "Used without a price" in words
    assert "gpt-house-tuned" in words
    assert "Enter a price" not in words_of(sign_in("ben").get("/prices"))


def test_own_price_makes_the_next_version_of_the_book(sign_in):
    before = PriceBook.objects.latest().version
    response = sign_in("asha").post("/prices", OWN, follow=True)
    words = words_of(response)
    assert f"Version {before + 1} of the book holds it." in words
    assert Page(response.text).tables["prices"][1][:3] == ["gpt-house-tuned", "Always", "0.35"]
    record = audited("price.set")
    assert (record.actor_name, record.detail["amount"], record.detail["currency"]) == (
        "asha",
        "0.35",
        "USD",
    )


def test_price_that_cannot_be_is_refused_with_the_reason(sign_in):
    before = PriceBook.objects.count()
    response = sign_in("asha").post("/prices", {**OWN, "amount": "9999999999"})
    assert response.status_code == 422
    assert "is not a price" in words_of(response)
    assert PriceBook.objects.count() == before


def test_price_of_hardware_holds_from_its_quarter_hour(sign_in):
    given = {"what": "hardware", "hardware-hardware": "A10", "hardware-hourly": "0.75"}
    given |= {"hardware-currency": "USD", "hardware-valid_from": "2026-11-01T09:07"}
    client = sign_in("asha")
    assert "let a price start on one" in words_of(client.post("/prices", given))
    given["hardware-valid_from"] = "2026-11-01T09:15"
    tables = Page(client.post("/prices", given, follow=True).text).tables
    by_the_hour = "the hour, busy or not"
    assert ["A10", "0.75", by_the_hour, "2026-11-01T09:15:00+00:00"] in tables["hardware"]


def test_price_of_hardware_says_how_it_is_paid(sign_in):
    given = {"what": "hardware", "hardware-hardware": "L4", "hardware-hourly": "0.75"}
    given |= {"hardware-currency": "USD", "hardware-billed_by": "use"}
    client = sign_in("asha")
    tables = Page(client.post("/prices", given, follow=True).text).tables
    assert ["L4", "0.75", "use, only while busy", "always"] in tables["hardware"]
    detail = Audit.objects.get(action="hardware_price.set").detail
    assert detail["billed_by"] == "use"
    # The next version of the book, whatever it is for, still says so.
    client.post("/prices", {**given, "hardware-hardware": "A10", "hardware-billed_by": "hours"})
    prices = HardwarePrice.objects.filter(book__version=PriceBook.objects.first().version)
    assert {row.hardware: row.billed_by for row in prices} == {
        "H100": "hours",
        "L4": "use",
        "A10": "hours",
    }


@pytest.mark.parametrize("name", ["ben", "cleo", "dev", "ada"])
def test_only_analysts_change_prices(sign_in, name):
    before = PriceBook.objects.count()
    assert sign_in(name).post("/prices", OWN).status_code == 403
    assert PriceBook.objects.count() == before


# The audit


def test_audit_lists_the_newest_first_and_says_whether_the_chain_is_whole(sign_in):
    sign_in("asha").post("/prices", OWN)
    page = Page(sign_in("ben").get("/settings/audit?verify=1").text)
    assert page.tables["audit"][1][0] == "price.set"
    assert "The chain is whole: all" in page.words


def test_audit_tells_what_on_what_and_by_which_door(sign_in):
    issue = {"name": "nightly report", "scope": "read"}
    sign_in("ada").post("/settings/tokens", issue)
    token = AccessToken.objects.get(name="nightly report")
    page = Page(sign_in("ben").get("/settings/audit?actor=ada").text)
    assert page.tables["audit"][1][3] == f"finops.accesstoken:{token.pk}"
    assert f"on a page access token {token.pk} name: nightly report; scope: read" in page.words


def test_audit_can_be_narrowed_to_a_person(sign_in):
    sign_in("asha").post("/prices", OWN)
    client = sign_in("ben")
    assert "price.set" in client.get("/settings/audit?actor=asha").text
    assert "price.set" not in client.get("/settings/audit?actor=ada").text
