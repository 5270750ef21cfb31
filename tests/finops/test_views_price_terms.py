"""Contracts and regions on their pages, through the API and by the command."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from finops.actions import price_terms
from finops.actions.price_book import OwnPrice, set_own_price
from finops.actions.price_terms import RegionDraft, TermDraft
from finops.models import Audit, BuyingRegion, CostDay, PriceBook, PriceTerm, User
from finops.queries.filters import today
from ingest.models import Project, Span
from tests.finops.api.conftest import anybody, by_token
from tests.finops.reading import Page

__all__ = ["anybody", "by_token"]

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

DRAFT = TermDraft(contract="C-2026", provider="openai", percent=Decimal(10))
FORM = {"contract": "C-2026", "provider": "openai", "percent": "10"}


def enter(draft=DRAFT):
    return price_terms.add(draft, by=User.objects.get(username="asha"), via="page")


def rows(page, name):
    return page.tables[name][1:]


def used(provider="openai"):
    """What the estate's whole days of the last 30 cost at list prices."""
    found = CostDay.objects.filter(provider=provider, day__lt=today()).exclude(currency="")
    return sum(row.cost for row in found)


def test_analyst_looks_at_the_effect_first_and_saves_then(sign_in):
    client, versions = sign_in("asha"), PriceBook.objects.count()
    response = client.post("/prices/terms/new", {**FORM, "show": "1"})
    page = Page(response.text)
    assert response.status_code == 200
    assert PriceBook.objects.count() == versions
    before = sum(Decimal(row[4]) for row in rows(page, "effect"))
    after = sum(Decimal(row[5]) for row in rows(page, "effect"))
    assert before == used() > 0
    assert after == before * 9 / 10
    assert "Nothing has been saved." in page.words
    assert page.refused == []

    response = client.post("/prices/terms/new", FORM, follow=True)
    page, term = Page(response.text), PriceTerm.objects.get()
    assert response.request["PATH_INFO"] == f"/prices/terms/{term.uid}"
    assert sum(Decimal(row[5]) for row in rows(page, "effect")) == after
    assert "10% off" in page.words
    assert Audit.objects.get(action="price_term.add").via == "page"
    listed = Page(client.get("/prices/terms").text)
    assert [row[0] for row in rows(listed, "terms")] == ["C-2026"]
    prices = Page(client.get("/prices?q=gpt-4o-mini").text)
    assert "by C-2026" in prices.words


def test_csv_is_the_table_of_the_screen(sign_in):
    client, term = sign_in("asha"), enter()
    for path, name in (("/prices/terms", "terms"), (f"/prices/terms/{term.uid}", "effect")):
        told = list(csv.reader(io.StringIO(client.get(f"{path}.csv").text)))
        assert told == Page(client.get(path).text).tables[name]


def test_form_says_what_is_wrong_at_its_field(sign_in):
    client = sign_in("asha")
    wrong = {**FORM, "model": "no-such-model"}
    for more in ({}, {"show": "1"}):
        response = client.post("/prices/terms/new", {**wrong, **more})
        assert response.status_code == 422
        assert "openai has no price of no-such-model" in response.text
    assert not PriceTerm.objects.exists()


def test_change_names_the_revision_that_was_read_and_removal_keeps_the_history(sign_in):
    client, term = sign_in("asha"), enter()
    edit = f"/prices/terms/{term.uid}/edit"
    assert f'value="{term.since}"' in client.get(edit).text
    sent = {**FORM, "percent": "12.5", "revision": str(term.since)}
    client.post(edit, sent)
    response = client.post(edit, sent)
    assert response.status_code == 422
    assert "Somebody has changed it since you read it" in response.text
    client.post(f"/prices/terms/{term.uid}/remove")
    page = Page(client.get(f"/prices/terms/{term.uid}").text)
    assert "It was removed" in page.words
    assert [row[3] for row in rows(page, "history")] == ["12.5% off", "10% off"]
    assert client.get(edit).status_code == 404


def test_region_is_entered_changed_and_removed(sign_in):
    client = sign_in("asha")
    client.post("/prices/regions/new", {"provider": "openai", "region": "eu"})
    region = BuyingRegion.objects.get()
    edit = f"/prices/regions/{region.uid}/edit"
    assert Page(client.get("/prices/terms").text).tables["regions"][1][:2] == ["openai", "eu"]
    sent = {"provider": "openai", "region": "us", "revision": str(region.since)}
    client.post(edit, sent)
    assert Page(client.get("/prices/terms").text).tables["regions"][1][1] == "us"
    client.post(f"/prices/regions/{region.uid}/remove")
    assert "regions" not in Page(client.get("/prices/terms").text).tables


def test_reader_of_one_project_sees_no_term_of_another(sign_in, by_token):
    mine, other = (
        enter(replace(DRAFT, project="support-chat")),
        enter(replace(DRAFT, contract="Secret", project="product-search")),
    )
    client = sign_in("cleo")
    assert [row[0] for row in rows(Page(client.get("/prices/terms").text), "terms")] == ["C-2026"]
    assert client.get(f"/prices/terms/{other.uid}").status_code == 404
    assert client.get(f"/prices/terms/{mine.uid}").status_code == 200
    assert client.get("/prices/terms/new").status_code == 403
    caller = by_token("cleo")
    assert [one["contract"] for one in caller.get("/api/v1/price-terms").json()["data"]] == [
        "C-2026"
    ]
    assert caller.get(f"/api/v1/price-terms/{other.uid}").status_code == 404
    # The effect counts their own projects alone.
    price_terms.remove(TermDraft, mine.uid, by=None, via="command")
    everybodys = enter(replace(DRAFT, contract="All"))
    effect = rows(Page(client.get(f"/prices/terms/{everybodys.uid}").text), "effect")
    whole = rows(Page(sign_in("asha").get(f"/prices/terms/{everybodys.uid}").text), "effect")
    assert sum(Decimal(row[4]) for row in effect) < sum(Decimal(row[4]) for row in whole)


def test_api_equals_the_page_and_guards_changes(sign_in, by_token):
    caller = by_token("asha", "write")
    body = {"contract": "C-2026", "provider": "openai", "percent": "10"}
    seen = caller.post("/api/v1/price-terms/preview", json.dumps(body)).json()
    made = caller.post("/api/v1/price-terms", json.dumps(body))
    assert made.status_code == 201
    term = made.json()
    address = f"/api/v1/price-terms/{term['id']}"
    page = Page(sign_in("asha").get(f"/prices/terms/{term['id']}").text)
    assert {(one["model"], one["after"]) for one in seen["models"]} == {
        (row[0], row[5]) for row in rows(page, "effect")
    }
    assert caller.patch(address, '{"percent": "20"}').status_code == 428
    assert caller.patch(address, '{"percent": "20"}', **{"If-Match": '"1"'}).status_code == 412
    changed = caller.patch(address, '{"percent": "20"}', **{"If-Match": made["ETag"]})
    assert (changed.json()["percent"], changed["ETag"]) == (
        "20", f'"{term["revision"] + 1}"'
    )  # fmt: skip
    refused = caller.post("/api/v1/price-terms", json.dumps({**body, "provider": "opnai"}))
    assert refused.status_code == 400
    assert [one["field"] for one in refused.json()["errors"]] == ["provider"]
    assert caller.delete(address).status_code == 204
    assert caller.get(address).status_code == 404
    assert caller.get("/api/v1/price-terms/" + "0" * 36).status_code == 404


def test_price_is_explained_as_the_request_was_priced(sign_in, by_token):
    set_own_price(
        OwnPrice("openai", "gpt-4o", "input", Decimal(3), region="eu", is_list_price=True)
    )
    enter(RegionDraft(provider="openai", region="eu", project="support-chat"))
    term = enter()
    asked = "provider=openai&model=gpt-4o&project=support-chat&version={}"
    newest = PriceBook.objects.latest().version
    client = sign_in("cleo")
    page = Page(client.get(f"/prices/explained?{asked.format(newest)}").text)
    by_unit = {row[0]: row[1:] for row in rows(page, "explained")}
    assert by_unit["input"] == ["input", "3", "2.7", "10% off by C-2026"]
    assert by_unit["reasoning"] == ["output", "10", "9", "10% off by C-2026"]
    told = by_token("cleo").get(
        f"/api/v1/prices/explained?{asked.replace('version', 'book').format(newest)}"
    ).json()  # fmt: skip
    assert (told["region"], told["prices"][0]["paid"]) == ("eu", "2.7")
    assert UUID(told["prices"][0]["term"]) == term.uid
    # Without a version: the one that the hour was priced with, which knew nothing of this.
    old = Page(client.get(f"/prices/explained?{asked.split('&version')[0]}&version=1").text)
    assert {row[0]: row[3] for row in rows(old, "explained")}["input"] == "2.5"
    chat = Project.objects.get(slug="support-chat")
    span = Span.objects.filter(model="gpt-4o", project_id=chat.pk).latest("started_at")
    one = client.get(f"/requests/{span.project_id}/{span.day}/{span.key}")
    [address] = [href for href in Page(one.text).hrefs if href.startswith("/prices/explained")]
    its = Page(client.get(address).text)
    assert {row[0]: row[3] for row in rows(its, "explained")}["output"] == "10"
    assert "Version 2, a test" in its.words
    unknown = client.get("/prices/explained?provider=openai&model=nothing")
    assert "The book has no price of this model." in unknown.text
    assert client.get("/prices/explained?provider=openai").status_code == 422


def test_command_lists_adds_and_removes(capsys):
    call_command("price_terms", "add", "--contract", "C-9", "--provider", "openai",
                 "--percent", "7.5", "--model", "gpt-4o", "--from", "2026-01-01")  # fmt: skip
    term = PriceTerm.objects.get()
    call_command("price_terms", "region", "--provider", "openai", "--region", "eu")
    call_command("price_terms", "list")
    said = capsys.readouterr().out
    assert f"{term.uid} C-9: 7.5% off openai, gpt-4o, from 2026-01-01" in said
    assert "openai is bought in eu" in said
    call_command("price_terms", "list", "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["kind"], one["provider"]) for one in told] == [
        ("term", "openai"), ("region", "openai"),
    ]  # fmt: skip
    call_command("price_terms", "remove", str(term.uid))
    assert not PriceBook.objects.latest().terms.exists()
    with pytest.raises(CommandError, match="The book has no price of 'opnai'"):
        call_command("price_terms", "add", "--contract", "C", "--provider", "opnai",
                     "--percent", "1")  # fmt: skip
    with pytest.raises(CommandError, match="nothing like this in the newest version"):
        call_command("price_terms", "remove", str(term.uid))


def test_costs_at_list_prices_are_the_list_or_said_to_be_unknown(sign_in, by_token):
    """The estate was priced before any contract, so both are the same until one is unknown."""
    asked = "range=30d&basis=usage&currency=USD&f.provider=openai"
    caller = by_token("asha")
    paid = caller.get(f"/api/v1/spend?{asked}").json()
    listed = caller.get(f"/api/v1/spend?{asked}&metric=list").json()
    assert (listed["cost"], listed["unknown_bill_lines"]) == (paid["cost"], 0)
    CostDay.objects.filter(provider="openai", day=today() - timedelta(days=2)).update(
        list_cost=None
    )
    fewer = caller.get(f"/api/v1/spend?{asked}&metric=list").json()
    rest = CostDay.objects.filter(provider="openai", day__gt=today() - timedelta(days=30))
    known = sum(row.list_cost for row in rest if row.list_cost is not None)
    assert Decimal(fewer["cost"]) == known < Decimal(paid["cost"])
    assert fewer["unknown_bill_lines"] > 0
    page = Page(sign_in("asha").get(f"/costs?{asked}&metric=list").text)
    assert "rows have an amount but no list price, and are not in it" in page.words
