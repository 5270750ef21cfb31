"""The page of unit costs: what it says, what its URL keeps, and that its CSV says the same."""

from __future__ import annotations

import csv
import io

import pytest
from django.http import QueryDict

from finops.models import User
from finops.money import plain
from finops.queries import spend, unit_costs
from finops.queries.filters import Filters
from finops.templatetags.words import card_money
from ingest import store
from ingest.models import Source, Span
from ingest.records import ScoreRecord
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

TABLES = ("units", "pools", "comparison", "what-if")
QUERY = "range=30d&group_by=model&to1=openai:gpt-4o-mini&to2=nobody:none"


@pytest.fixture
def page(sign_in):
    def opened(query: str = "", person: str = "asha") -> Page:
        return Page(sign_in(person).get(f"/unit-costs?{query}").text)

    return opened


def filters(query: str, person: str = "asha") -> Filters:
    return Filters.parse(QueryDict(query), User.objects.get(username=person))[0]


def lines(client, query: str) -> list[list[str]]:
    response = client.get(f"/unit-costs.csv?{query}")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(response.text)))


def test_spend_is_the_figure_of_the_page_of_costs(sign_in):
    client = sign_in("asha")
    words = [Page(client.get(f"/{name}?range=30d").text).words for name in ("costs", "unit-costs")]
    total = spend.spend_total(filters("range=30d"))
    assert all(card_money(total.cost, "USD") in text for text in words)
    assert all("provisional" in text.lower() for text in words)


@pytest.mark.parametrize("name", TABLES)
def test_csv_has_the_rows_of_the_page(sign_in, page, name):
    shown = page(QUERY)
    head, *rows = lines(sign_in("asha"), f"{QUERY}&table={name}")
    assert rows
    for row in rows:
        assert len(row) == len(head)
        assert row[0] in shown.words


def test_csv_holds_the_querys_exact_values(sign_in):
    found = unit_costs.unit_costs(filters("range=30d&group_by=model"), unit_costs.Asked())
    head, *rows = lines(sign_in("asha"), "range=30d&group_by=model")
    at = head.index("Per 1,000 requests")
    values = [row.units["requests"].value for row in (*found.rows, found.total)]
    assert [row[at] for row in rows] == ["" if one is None else plain(one) for one in values]


def test_what_if_says_that_it_is_price_only_and_what_has_no_price(page):
    words = page(QUERY).words
    assert "another model writes other answers: tokens and quality will differ" in words
    assert "The price book has no model nobody:none" in words
    assert "cached input as input" in words


def test_score_and_threshold_stand_in_the_url(sign_in, page):
    source = Source.objects.get(project__slug="support-chat", kind="otlp")
    span = Span.objects.filter(project_id=source.project_id, kind="llm").latest("started_at")
    record = ScoreRecord("s1", span.trace_id, "helpful", span.started_at, number=0.9)
    store.scores(source, [record])
    chosen = page("range=30d&score=helpful&at_least=0.8&unit=answer")
    assert "successful answers" in chosen.words
    assert "are of scored answers" in chosen.words
    assert "Choose the score that tells a successful answer." in page("range=30d").words


def test_bad_parameter_is_told_and_the_default_is_shown(page):
    words = page("range=30d&unit=joy&to1=gpt-4o").words
    assert "provider:model" in words
    assert "Per 1,000 requests, day by day" in words


def test_reader_of_one_project_sees_no_gpus_and_no_other_project(page):
    words = page("range=30d&group_by=project", "cleo").words
    assert "Support chat" in words
    assert ("Per GPU-hour paid" in words, "Product search" in words) == (False, False)


def test_period_without_anything_says_what_to_do(page):
    words = page("from=2020-01-01&to=2020-01-02").words
    assert "No priced usage in this period. Choose a longer one, or drop a filter." in words
    assert "Choose up to three models of the price book above." in words
