"""Allocation as people and scripts meet it: rules with their test, the bucket, statements."""

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from finops.actions.allocation import landing
from finops.models import AllocationRule, Audit, Chargeback, ChargebackLine
from finops.queries.filters import today
from ingest.models import Source
from tests.factories.finops import access_token, billed
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

MONTH = (today().replace(day=1) - timedelta(days=1)).replace(day=1)
ASKED = f"month={MONTH:%Y-%m}"
FORM = {
    "name": "AWS is chat's", "origin": "bill", "split": "one", "projects": ["support-chat"],
    "condition-0-field": "tag:", "condition-0-key": "team", "condition-0-operator": "is",
    "condition-0-values": "Chat\nsupport", "days": "90",
}  # fmt: skip


@pytest.fixture
def asha(sign_in):
    return sign_in("asha")


@pytest.fixture
def bill(db):
    """Of last month: 5 × $8.20 that Chat's tag is on, 5 × $3 without a tag."""
    source = Source.objects.create(kind="focus_csv", name="AWS bills")
    billed(source, MONTH, range(1, 6), "8.2", provider="AWS", service="EC2", sku_id="m7",
           billing_account_id="a1", tags={"team": "chat"}, name="tagged")  # fmt: skip
    billed(source, MONTH, range(1, 6), "3", provider="AWS", service="Support", sku_id="",
           billing_account_id="a2", name="bare")  # fmt: skip
    return source


def csv_of(client, path):
    return list(csv.DictReader(io.StringIO(client.get(path).text)))


def landed():
    while landing.land():
        pass


def test_form_tests_a_rule_on_real_charges_before_it_is_saved(asha, bill):
    page = asha.post("/allocation/new", {**FORM, "act": "test"})
    words = Page(page.text).words
    assert "This would move $41.00 from Unallocated to Support chat." in words
    assert "it takes 5 lines" in words
    assert not AllocationRule.objects.exists()
    rows = list(csv.DictReader(io.StringIO(asha.post(
        "/allocation/new", {**FORM, "act": "csv"}).text)))  # fmt: skip
    assert [(row["Service or pool"], row["Lines"], row["Cost"]) for row in rows] == [
        ("EC2", "5", "41"),
    ]  # fmt: skip
    assert asha.post("/allocation/new", {**FORM, "act": "save"}).status_code == 302
    rule = AllocationRule.objects.get()
    assert rule.conditions == [
        {"field": "tag:team", "operator": "is", "values": ["Chat", "support"]}
    ]
    landed()
    # The same rule changed to a split: what it would move from Chat, and nothing is written yet.
    shared = {**FORM, "split": "share", "shares": "support-chat = 75\nproduct-search = 25"}
    words = Page(asha.post(f"/allocation/{rule.pk}", {**shared, "act": "test"}).text).words
    assert "This would move $10.25 from Support chat to Product search." in words
    record = Audit.objects.latest("id")
    assert (record.action, record.via) == ("allocation.add", "page")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"condition-0-field": ""}, "Give at least one condition"),
        ({"condition-0-key": ""}, "Name the tag, as in tag:team."),
        ({"condition-0-values": ""}, "Say what tag:team must be."),
        ({"condition-0-field": "pool"}, "A charge of bill has no pool"),
        ({"projects": []}, "Name the one project that it lands on."),
        ({"split": "even"}, "at least two"),
        ({"split": "share", "shares": "support-chat = 70\nproduct-search = 20"}, "add up to 100"),
        ({"split": "share", "shares": "half"}, "Write “half” as: project = percent."),
        ({"valid_from": "2026-05-02", "last_day": "2026-05-01"}, "not be before the first day"),
    ],
)
def test_form_names_what_is_wrong_and_keeps_nothing(asha, changes, said):
    answer = asha.post("/allocation/new", {**FORM, **changes, "act": "save"})
    assert answer.status_code == 422
    assert said in Page(answer.text).words
    assert not AllocationRule.objects.exists()


def test_bucket_is_opened_and_leads_to_a_rule(asha, bill):
    asha.post("/allocation/new", {**FORM, "act": "save"})
    landed()
    asked = f"from={MONTH}&to={MONTH + timedelta(days=20)}"
    [row] = [
        row for row in csv_of(asha, f"/allocation/unallocated.csv?{asked}")
        if row["Service"] == "Support"
    ]  # fmt: skip
    assert (row["Provider"], Decimal(row["Cost"]), row["From"]) == ("AWS", 15, "bill")
    page = asha.get(f"/allocation/unallocated?{asked}&tags=yes").text
    assert "/allocation/new?origin=bill&amp;service=Support" in page
    assert "No tag at all" in Page(page).words
    filled = asha.get("/allocation/new?origin=bill&service=Support&tag=team&value=x").text
    assert 'value="service" selected' in filled
    assert 'value="tag:" selected' in filled
    assert "Allocated" in Page(asha.get("/allocation").text).words


def test_order_and_state_are_changed_on_the_list(asha, sign_in):
    for name in ("One", "Two"):
        asha.post("/allocation/new", {**FORM, "name": name, "act": "save"})
    one, two = AllocationRule.objects.order_by("position")
    asha.post(f"/allocation/{two.pk}/place", {"to": "up"})
    asha.post(f"/allocation/{one.pk}/switch", {"to": "off"})
    assert [(row["Rule"], row["State"]) for row in csv_of(asha, "/allocation.csv")] == [
        ("Two", "on"), ("One", "off"),
    ]  # fmt: skip
    asha.post(f"/allocation/{one.pk}/remove")
    assert [row["Rule"] for row in csv_of(asha, "/allocation.csv")] == ["Two"]
    assert "remove" in Page(asha.get("/allocation").text).words
    for who in ("ben", "cleo", "ada"):
        assert sign_in(who).post(f"/allocation/{two.pk}/remove").status_code == 403


def test_month_is_closed_once_and_a_restated_bill_is_an_adjustment(asha, sign_in, bill):
    asha.post("/allocation/new", {**FORM, "act": "save"})
    waits = asha.post("/showback/close", {"month": f"{MONTH:%Y-%m}"}, follow=True)
    assert "try again in a few minutes" in Page(waits.text).words
    other = {"name": "Nobody may know", "condition-0-values": "search"}
    asha.post("/allocation/new", {**FORM, **other, "act": "save"})
    landed()
    shown = csv_of(asha, f"/showback.csv?{ASKED}")
    chat = next(row for row in shown if row["Project"] == "Support chat")
    assert (Decimal(chat["Bills"]), chat["Currency"]) == (41, "USD")
    parts = ("Own usage", "Bills", "Hardware", "Shared costs")
    for row in shown:
        assert sum(Decimal(row[part]) for part in parts) == Decimal(row["Total"])
    closed = asha.post("/showback/close", {"month": f"{MONTH:%Y-%m}", "note": "Q"}, follow=True)
    assert "AWS is chat's (revision 1)" in Page(closed.text).words
    statement = Chargeback.objects.get()
    total = sum(line.amount for line in statement.lines.all() if line.currency == "USD")
    assert total == sum(Decimal(row["Total"]) for row in shown if row["Currency"] == "USD")
    again = asha.post("/showback/close", {"month": f"{MONTH:%Y-%m}"}, follow=True)
    assert "Nothing has changed since its last statement." in Page(again.text).words

    # Restated: the statement stays, and the difference is a statement of its own.
    billed(bill, MONTH, range(1, 6), "9", provider="AWS", service="EC2", sku_id="m7",
           billing_account_id="a1", tags={"team": "chat"}, name="restated")  # fmt: skip
    landed()
    page = Page(asha.get(f"/chargebacks/{statement.pk}").text).words
    assert "$4.00" in page
    asha.post("/showback/close", {"month": f"{MONTH:%Y-%m}"})
    adjustment = Chargeback.objects.get(number=2)
    [line] = adjustment.lines.all()
    assert (line.project_name, line.part, line.rule_name, line.amount) == (
        "Support chat", "bill", "AWS is chat's", Decimal("4.0"),
    )  # fmt: skip
    with pytest.raises(DatabaseError, match="never edited"), transaction.atomic():
        ChargebackLine.objects.update(amount=0)
    # Cleo reads her project's lines and nothing that others could be computed from.
    cleo = sign_in("cleo")
    own = csv_of(cleo, f"/showback.csv?{ASKED}")
    assert [row["Project"] for row in own] == ["Support chat"]
    assert Decimal(own[0]["Bills"]) == 45
    lines = csv_of(cleo, f"/chargebacks/{statement.pk}.csv")
    assert {row["Project"] for row in lines} == {"Support chat"}
    words = Page(cleo.get(f"/chargebacks/{statement.pk}").text).words
    assert "What has changed since" not in words
    assert ("AWS is chat's" in words, "Nobody may know" in words) == (True, False)
    assert cleo.post("/showback/close", {"month": f"{MONTH:%Y-%m}"}).status_code == 403
    soon = asha.post("/showback/close", {"month": f"{today():%Y-%m}"}, follow=True)
    assert "This month is not over yet" in Page(soon.text).words


def test_scripts_do_what_the_pages_do(client, bill):
    from finops.models import User

    token = access_token(User.objects.get(username="asha"), "write")

    def call(method, path, body=None, **headers):
        sent = json.dumps(body) if body is not None else ""
        headers = {"Authorization": f"Bearer {token}", **headers}
        return client.generic(
            method, f"/api/v1/{path}", sent, "application/json", headers=headers
        )  # fmt: skip

    rule = {
        "name": "By script",
        "conditions": [{"field": "service", "operator": "is", "values": ["support"]}],
        "split": "share",
        "targets": [
            {"project": "support-chat", "percent": "60"},
            {"project": "product-search", "percent": "40"},
        ],
    }
    tested = call("POST", "allocation-rules/preview", {**rule, "days": 90}).json()
    assert tested["sentences"] == [
        "This would move $15.00 from Unallocated to Product search and Support chat."
    ]
    assert [(one["project"], Decimal(one["difference"])) for one in tested["moved"]] == [
        ("unallocated", -15), ("product-search", 6), ("support-chat", 9),
    ]  # fmt: skip
    made = call("POST", "allocation-rules", rule)
    assert (made.status_code, made["ETag"]) == (201, '"1"')
    path = f"allocation-rules/{made.json()['id']}"
    assert call("PATCH", path, {"note": "x"}).status_code == 428
    assert call("PATCH", path, {"note": "x"}, **{"If-Match": '"7"'}).status_code == 412
    assert call("PATCH", path, {"note": "x", "revision": 7}).status_code == 409
    changed = call("PATCH", path, {"note": "Agreed."}, **{"If-Match": '"1"'}).json()
    assert (changed["note"], changed["revision"], changed["targets"]) == (
        "Agreed.", 2, [{"project": "product-search", "percent": "40.000000"},
                       {"project": "support-chat", "percent": "60.000000"}],
    )  # fmt: skip
    wrong = call("PATCH", path, {"targets": [{"project": "nobody"}], "revision": 2}).json()
    assert wrong["errors"] == [{"field": "targets", "message": "There is no project “nobody”."}]
    landed()
    shown = call("GET", f"showback?{ASKED}&project=support-chat").json()
    assert [(one["rule"], one["part"], Decimal(one["amount"])) for one in shown["lines"]
            if one["rule"]] == [("By script", "shared", 9)]  # fmt: skip
    closed = call("POST", "chargebacks", {"month": f"{MONTH:%Y-%m}"})
    assert closed.status_code == 201
    assert call("GET", f"chargebacks/{closed.json()['id']}").json() == closed.json()
    bucket = call("GET", f"allocation/unallocated?from={MONTH}&to={today()}").json()
    assert Decimal(bucket["unallocated"]) == sum(Decimal(one["cost"]) for one in bucket["rows"])
    assert call("DELETE", path).status_code == 204
    assert call("GET", path).status_code == 404
