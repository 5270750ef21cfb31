"""The costs explorer: rows and bars lead to lines that add up to them, and a month is added up."""

from __future__ import annotations

import csv
import html
import json
import re
from datetime import date, timedelta
from decimal import Decimal

import pytest

from finops.queries import cursors
from finops.queries.filters import today
from finops.templatetags import words
from finops.views import costs_table
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")


def total_of(client, href: str) -> Decimal:
    found = re.search(r'figure-value[^"]*" title="(\S+) USD"', client.get(href).text)
    assert found is not None, href
    return Decimal(found[1])


def figure_of(text: str, chart: str) -> dict:
    found = re.search(rf'<script id="{chart}-figure"[^>]*>(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("group", ["model", "sku"])
def test_cost_of_a_row_leads_to_lines_that_add_up_to_it(sign_in, group):
    client = sign_in("asha")
    text = client.get(f"/costs?range=30d&group_by={group}").text
    rows = Page(text).tables["costs"][1:-1]
    table = text[text.index('id="costs"') :]
    links = [html.unescape(link) for link in re.findall(r'href="(/costs/lines\?[^"]*)"', table)]
    costs = [Decimal(row[1]) for row in rows if row[1]]
    assert sorted(total_of(client, link) for link in links if total_of(client, link)) == sorted(
        cost for cost in costs if cost
    )


def test_bar_leads_to_the_lines_of_its_day(sign_in):
    client = sign_in("asha")
    data = figure_of(client.get("/costs?range=7d&basis=usage&group_by=model").text, "cost")["data"]
    bars = data[0]
    for at, amount in enumerate(bars["y"]):
        if amount is not None:
            day = date.fromisoformat(bars["x"][at])
            href = bars["meta"].format(day=day, next=day + timedelta(days=1))
            assert float(total_of(client, href)) == pytest.approx(amount)


def test_month_is_drawn_against_the_last_with_what_is_expected(sign_in):
    text = sign_in("asha").get("/costs?chart=month").text
    lines = {one["name"]: one for one in figure_of(text, "month")["data"]}
    this = words.month(today())
    assert [name for name in lines if name not in ("High", "Low")][::2] == [this, "Expected"]
    assert lines["Expected"]["line"]["dash"] == "dash"
    assert lines[this]["x"] == list(range(1, len(lines[this]["y"]) + 1))
    said = Page(text).words
    assert f"in {this} up to day {today().day}" in said
    assert "is expected by its end" in said


def test_lines_say_what_they_are_narrowed_by_and_how_to_drop_it(sign_in):
    client = sign_in("asha")
    page = Page(client.get("/costs/lines?range=30d&origin=usage&kind=llm").text)
    assert {row[2] for row in page.tables["cost-lines"][1:]} == {"Priced usage"}
    dropped = [href for href in page.hrefs if "kind=llm" in href and "origin=" not in href]
    assert any(href.startswith("/costs/lines?") for href in dropped)


def test_lines_come_page_by_page(sign_in):
    client = sign_in("asha")
    seen, href, pages = [], "/costs/lines?range=60d", 0
    while href:
        page = Page(client.get(href).text)
        seen += page.tables["cost-lines"][1:]
        href = next((link for link in page.hrefs if "cursor=" in link), "")
        pages += 1
    assert pages > 1
    rows = client.get("/costs/lines.csv?range=60d").text.splitlines()
    assert len(seen) == len(rows) - 1
    assert client.get("/costs/lines?cursor=x").status_code == 400


@pytest.mark.parametrize("sort", ["", "&sort=-requests", "&sort=model"])
def test_rows_come_page_by_page_with_the_total_of_all(sign_in, monkeypatch, sort):
    monkeypatch.setattr(costs_table, "PAGE_ROWS", 4)
    client, asked = sign_in("asha"), f"range=60d&group_by=project,model{sort}"
    _, *lines = csv.reader(client.get(f"/costs.csv?{asked}").text.splitlines())
    seen, totals, href, pages = [], [], f"/costs?{asked}", []
    while href:
        page = Page(client.get(href).text)
        _, *rows, total = page.tables["costs"]
        assert len(rows) <= 4
        seen += rows
        totals.append(total)
        pages.append(page)
        own = [link for link in page.hrefs if "cursor=" in link]
        # The next page alone: nothing else leads on from the middle of the table.
        assert len(own) == (len(seen) < len(lines) - 1)
        href = own[0] if own else ""
    assert len(pages) > 2
    assert len(seen) == len(lines) - 1
    assert len({tuple(total) for total in totals}) == 1
    labels = [[cell or "none given" for cell in line[:2]] for line in lines[:-1]]
    assert [row[:2] for row in seen] == labels
    assert f"Rows 1 to 4 of {len(seen)}" in pages[0].words
    beyond = client.get(f"/costs?{asked}&cursor={cursors.encode(10_000)}").text
    assert Page(beyond).tables["costs"] == pages[-1].tables["costs"]
    assert client.get(f"/costs?{asked}&cursor=x").status_code == 400


def test_split_that_no_bill_tells_leads_to_usage(sign_in):
    asha = sign_in("asha")
    pages = [
        Page(asha.get(f"/costs?group_by=user&basis={name}").text) for name in ("book", "usage")
    ]
    assert ["No bill tells the user:" in page.words for page in pages] == [True, False]
    assert any("basis=usage" in href and "group_by=user" in href for href in pages[0].hrefs)
