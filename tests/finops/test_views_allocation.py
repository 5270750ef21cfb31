"""Allocation as people and scripts meet it: rules with their test, the bucket, statements."""

import csv
import io
import json
import re
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone
from openpyxl import load_workbook

from finops.actions.allocation import landing
from finops.models import AllocationRule, Audit, Chargeback, ChargebackLine, User
from finops.money import Money, format_money
from finops.queries.filters import today
from finops.templatetags.words import day
from ingest.models import Project, SealedDay, Source
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
        ({"origin": "requests"}, "A charge of requests has no tag:team"),
        (
            {"origin": "requests", "condition-0-field": "label:", "condition-0-key": ""},
            "Name the label, as in label:team.",
        ),
        (
            {"origin": "requests", "condition-0-field": "user", "split": "usage"},
            "Requests land on one project, evenly or by fixed shares.",
        ),
    ],
)
def test_form_names_what_is_wrong_and_keeps_nothing(asha, changes, said):
    answer = asha.post("/allocation/new", {**FORM, **changes, "act": "save"})
    assert answer.status_code == 422
    assert said in Page(answer.text).words
    assert not AllocationRule.objects.exists()


def test_requests_of_a_project_are_given_to_another_by_page_and_script(asha, sign_in, client):
    """Product search indexes through Support chat's account, say: the service tells whose it is."""
    form = {
        **FORM, "name": "Indexing", "origin": "requests", "split": "share",
        "shares": "support-chat = 75\nproduct-search = 25", "days": "7",
        "condition-0-field": "project", "condition-0-values": "Product search",
        "condition-1-field": "service", "condition-1-operator": "is",
        "condition-1-values": "indexer",
    }  # fmt: skip
    words = Page(asha.post("/allocation/new", {**form, "act": "test"}).text).words
    tested = re.search(r"This would move (\S+) from Product search to Support chat\.", words)
    assert tested is not None
    assert re.search(r"it takes \d+ requests\.", words)
    rows = list(csv.DictReader(io.StringIO(asha.post(
        "/allocation/new", {**form, "act": "csv"}).text)))  # fmt: skip
    assert {(row["Sent by"], row["Provider"]) for row in rows} == {("Product search", "openai")}
    asked = f"from={today() - timedelta(days=7)}&to={today()}"

    def costs(query: str = "") -> dict[str, Decimal]:
        rows = csv_of(asha, f"/costs.csv?{asked}&group_by=project{query}")
        return {row["Project"]: Decimal(list(row.values())[1]) for row in rows}

    before, used = costs(), costs("&basis=usage")
    assert asha.post("/allocation/new", {**form, "act": "save"}).status_code == 302
    assert "Rules are being applied to requests" in Page(asha.get("/allocation").text).words
    landed()
    listed = Page(asha.get("/allocation").text).words
    assert "Project that sent it is Product search; Service is indexer" in listed
    assert "Rules are being applied" not in listed
    assert "Rules over requests reach back" not in listed
    long_ago = today() - timedelta(days=60)
    SealedDay.objects.create(table="ingest_span", day=long_ago - timedelta(days=1))
    assert f"reach back to {day(long_ago)}: older" in Page(asha.get("/allocation").text).words
    after = costs()
    moved = after["Support chat"] - before["Support chat"]
    assert moved == before["Product search"] - after["Product search"] > 0
    assert format_money(Money(moved, "USD")) == tested[1]
    assert after["Total"] == before["Total"]
    assert costs("&basis=usage") == used
    # What is known of the rest is three quarters of what the rule takes, whichever project it is.
    known = [Decimal(row["Cost"]) for row in rows if row["Cost"]]
    assert sum(known) * 3 == moved * 4

    cleo = sign_in("cleo")  # of Support chat alone
    lines = csv_of(cleo, f"/showback.csv?month={today():%Y-%m}&what=lines")
    assert {row["Project"] for row in lines} == {"Support chat"}
    [line] = [row for row in lines if row["Rule"] == "Indexing"]
    assert (line["Part"], Decimal(line["Amount"]) >= moved) == ("requests", True)
    filled = asha.get(f"/allocation/{AllocationRule.objects.get().pk}").text
    assert 'value="requests" selected' in filled
    empty = asha.get("/allocation/new?origin=requests&project=unallocated&service=api").text
    assert "unallocated</textarea>" in empty

    token = access_token(User.objects.get(username="asha"), "write")
    sent = {
        "name": "By label", "origin": "requests", "days": 7, "split": "usage",
        "conditions": [{"field": "label:team", "operator": "present"}],
        "targets": [{"project": "doc-assistant"}],
    }  # fmt: skip
    for body, status in ((sent, 400), ({**sent, "split": "one"}, 200)):
        answer = client.post(
            "/api/v1/allocation-rules/preview", json.dumps(body), "application/json",
            headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
        assert answer.status_code == status
        if status == 400:
            assert [one["field"] for one in answer.json()["errors"]] == ["split"]
        else:
            found = answer.json()
            assert [found[name] for name in ("lines", "moved", "gone", "unread")] == [0, [], 0, 0]


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
    parts = ("Own usage", "Moved requests", "Bills", "Hardware", "Shared costs")
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


def test_statement_says_what_it_comes_to_by_project_and_team_alike_everywhere(
    asha, sign_in, client
):
    chat, search = (Project.objects.get(slug=one) for one in ("support-chat", "product-search"))
    made = Chargeback.objects.create(
        month=date(2020, 1, 1), number=1, rules=[], rules_digest="", closed_at=timezone.now(),
        closed_by=User.objects.get(username="asha"),
    )  # fmt: skip
    for project, team, part, amount, currency in (
        (chat, "Support", "usage", "1.25", "USD"), (chat, "Support", "bill", "-0.05", "USD"),
        (chat, "Support", "bill", "7", "EUR"), (search, "Support", "usage", "10", "USD"),
    ):  # fmt: skip
        ChargebackLine.objects.create(
            chargeback=made, project=project, project_name=project.name, team=team, part=part,
            amount=amount, reconciled=amount if part == "bill" else 0, currency=currency,
        )  # fmt: skip
    path = f"/chargebacks/{made.pk}"
    teams = [["Support", "7", "EUR", "reconciled"], ["Support", "11.2", "USD", "provisional"]]
    projects = [
        ["Product search", "Support", "10", "USD", "provisional"],
        ["Support chat", "Support", "7", "EUR", "reconciled"],
        ["Support chat", "Support", "1.2", "USD", "provisional"],
    ]
    page = Page(asha.get(path).text)
    assert (page.tables["projects"][1:], page.tables["teams"][1:]) == (projects, teams)
    for what, rows in (("projects", projects), ("teams", teams)):
        file = asha.get(f"{path}.csv?what={what}").text
        assert list(csv.reader(io.StringIO(file)))[1:] == rows
        book = asha.get(f"{path}.xlsx?what={what}")
        [sheet, *_] = load_workbook(io.BytesIO(book.content)).worksheets
        found = [[str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        assert found[1:] == rows
    told = asha.get(f"/api/v1{path}").json()
    assert [
        [one["team"], one["amount"], one["currency"], one["converted"]] for one in told["by_team"]
    ] == [[*row[:3], None] for row in teams]
    assert [[one["project"], one["amount"], one["currency"]] for one in told["by_project"]] == [
        ["product-search", "10", "USD"], ["support-chat", "7", "EUR"],
        ["support-chat", "1.2", "USD"],
    ]  # fmt: skip
    assert told["totals"] == [
        {"currency": "EUR", "cost": "7"}, {"currency": "USD", "cost": "11.2"},
    ]  # fmt: skip
    # Cleo reads one project of the team, and nothing that the other's could be computed from.
    own = Page(sign_in("cleo").get(path).text)
    assert (own.tables["projects"][1:], own.tables["teams"][1:]) == (
        projects[1:], [teams[0], ["Support", "1.2", "USD", "provisional"]],
    )  # fmt: skip


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


def test_showback_of_a_month_that_is_none_says_so(asha):
    page = Page(asha.get("/showback?month=2026-13").text)
    assert "Month: use YYYY-MM, such as 2026-05. Shown is the newest." in page.words
    assert asha.get("/showback.csv?month=2026-13").status_code == 404
