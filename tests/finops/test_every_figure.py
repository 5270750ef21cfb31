"""One number: what a page shows is what its CSV, its XLSX and the API say, to the last digit.

Walks every page. A page with figures that has no export, or a figure that the API does not tell,
fails here unless it is listed with the reason.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from finops import page_urls
from finops.actions import budget_watch, user_sums
from finops.actions.exchange import import_file
from finops.models import Budget, CostDay, LabelCostDay
from finops.models.costs import Costs
from finops.queries.filters import midnight, today
from finops.queries.reconciliation import recent_months
from ingest.models import KeptLabel, Pool, Project
from optimiser import urls
from tests.factories.finops import booked
from tests.finops.reading import Page, numbers_of, same_numbers, workbook_rows

pytestmark = pytest.mark.usefixtures("estate", "plain_static")


@dataclass(frozen=True)
class Walk:
    """One page with some filters, and where the API tells the same; `{q}` stands for these."""

    page: str
    query: str
    api: tuple[str, ...]
    username: str = "asha"


WEEK = "range=7d&group_by=model"
SCOPED = "range=14d&group_by=service&f.project=support-chat&basis=usage&compare=previous"
MONTH = "month={month}&provider=openai"
SPEND = ("spend?{q}", "spend/by?{q}", "spend/series?{q}", "spend/series?{q}&group_by=")
REQUESTS = ("requests?{q}", "requests/series?{q}&group_by=", "requests/servers?{q}&group_by=",
            "requests/series?{q}&group_by=&step=hour", "requests/concurrency?{q}&group_by=",
            "requests/recent?{q}&group_by=", "requests/slowest?{q}&group_by=")  # fmt: skip
UNITS = ("unit-costs?{q}", "unit-costs/series?{q}", "unit-costs/comparison?{q}")
GPUS = ("gpus?{q}", "gpus/series?{q}")
BUDGET = "budgets/{budget}/status"

WALKS = (
    Walk("/", "range=30d", ("spend?{q}", "spend/by?{q}&group_by=project",
                            "spend/by?{q}&group_by=model", "spend/series?{q}", "forecasts?{q}",
                            "gpus?{q}", "sources", "spend/month?{q}")),
    Walk("/", "range=30d&convert=EUR", (
        "spend?{q}", "spend/by?{q}&group_by=project", "spend/by?{q}&group_by=model",
        "spend/series?{q}", "forecasts?{q}", "gpus?{q}", "sources", "spend/month?{q}")),
    Walk("/costs", "range=30d&group_by=project", SPEND),
    Walk("/costs", WEEK, SPEND),
    Walk("/costs", "range=14d&group_by=user", SPEND),
    Walk("/costs", SCOPED, SPEND),
    Walk("/costs", "basis=bill&metric=list&range=last-month&group_by=sku", SPEND),
    Walk("/costs", "range=30d&basis=usage&group_by=model", SPEND, "cleo"),
    Walk("/costs", "range=30d&group_by=project&chart=month", (*SPEND, "spend/month?{q}")),
    Walk("/costs", SCOPED.replace("compare=previous", "chart=month"), (*SPEND, "spend/month?{q}")),
    Walk("/costs", "range=14d&group_by=model&compare=previous&convert=EUR", SPEND),
    Walk("/costs", "range=30d&group_by=project&chart=month&convert=EUR",
         (*SPEND, "spend/month?{q}")),
    Walk("/costs/lines", "range=7d&convert=EUR", ("spend/lines?{q}&limit=200",)),
    Walk("/costs/lines", "range=7d", ("spend/lines?{q}&limit=200",)),
    Walk("/costs/lines", "range=30d&basis=usage&kind=llm", ("spend/lines?{q}&limit=200",), "cleo"),
    Walk("/unit-costs", WEEK, UNITS),
    Walk("/unit-costs", SCOPED, UNITS),
    Walk("/unit-costs", "range=14d&group_by=model&convert=EUR", UNITS),
    Walk("/unit-costs", "range=14d&group_by=model&convert=EUR&to1=openai:gpt-4o-mini",
         (*UNITS, "unit-costs/what-if?{q}")),
    Walk("/unit-costs", "range=14d&label=customer",
         (*UNITS, "spend/by?range=14d&group_by=label:customer")),
    Walk("/costs", "range=30d&group_by=label:customer", SPEND),
    Walk("/costs", "range=30d&group_by=model&f.label:customer=acme&basis=usage", SPEND),
    Walk("/settings/labels", "", ("labels", "labels/keys")),
    Walk("/costs/reconciliation", "", ("reconciliation", "source-costs")),
    Walk("/costs/reconciliation", MONTH, ("reconciliation?{q}", "source-costs?{q}")),
    Walk("/requests", WEEK, REQUESTS),
    Walk("/requests", SCOPED, REQUESTS),
    Walk("/requests/errors", "range=7d", ("errors?{q}",)),
    Walk("/gpus", "range=7d", GPUS),
    Walk("/gpus", "range=7d&convert=EUR", ("gpus?{q}", "gpus/series?range=7d")),
    Walk("/hosts", "range=7d", ("loads?{q}",)),
    Walk("/savings", "range=30d", ("savings?{q}", "savings/entries?{q}")),
    Walk("/savings", "range=30d&convert=EUR", ("savings?{q}", "savings/entries?{q}")),
    Walk("/budgets", "convert=EUR", ("budgets?convert=EUR", BUDGET)),
    Walk("/budgets", "", ("budgets", BUDGET)),
    Walk("/budgets/{budget}", "", ("budgets/{budget}", BUDGET)),
    Walk("/allocation", "range=30d", ("allocation/unallocated?{q}", "allocation-rules")),
    Walk("/allocation/unallocated", "range=30d", ("allocation/unallocated?{q}",)),
    Walk("/allocation", "range=30d&convert=EUR",
         ("allocation/unallocated?{q}", "allocation-rules")),
    Walk("/allocation/unallocated", "range=30d&convert=EUR", ("allocation/unallocated?{q}",)),
    Walk("/showback", "", ("showback", "chargebacks")),
    Walk("/showback", "convert=EUR", ("showback?convert=EUR", "chargebacks")),
    Walk("/slos", "", ("slos",)),
    Walk("/slos/proposals", "", ("slo-proposals",)),
    Walk("/alerts/watch", "", ("alerts/watch-rules",)),
    Walk("/prices/terms", "", ("price-terms", "buying-regions")),
    Walk("/settings/exchange-rates", "range=7d&of=USD&convert=EUR",
         ("exchange-rates?range=7d&currency=USD&limit=200",
          "exchange-rates/used?range=7d&currency=USD&convert=EUR")),
    Walk("/settings/slack", "", ("slack-users",), "ada"),
    Walk("/events", "range=30d", ("events?{q}",)),
    Walk("/alerts", "state=all", ("alerts?{q}",)),
    Walk("/prices", "range=7d", ("unpriced?{q}", "prices")),
    Walk("/prices/reprice", "range=7d", ("repricings/preview?{q}",)),
    Walk("/settings/channels", "", ("channels",), "ada"),
)  # fmt: skip

RATIO = "one figure of the answer by another"
SUM = "the token classes of the answer added up"
PAGE_ONLY = {
    ("/requests", "spans", "Tokens in"): SUM,
    ("/requests", "traffic-series", "Answered"): "requests less the failed ones",
    ("/prices", "hardware", "Per hour"): "hardware is priced on the page alone",
    ("/gpus", "models-{pool}", "Share of paid"): RATIO,
    ("/budgets", "budgets", "Used"): RATIO,
    ("/costs", "costs", "Change"): RATIO,
    ("/costs/reconciliation.csv", "", "Of the bill"): RATIO,
    ("/settings/exchange-rates", "coverage", "Days"): "how many of the rates that it lists",
    ("/settings/exchange-rates", "imports", "Added"): "how many of the rates that it lists",
    ("/settings/exchange-rates", "imports", "Replaced"): "how many of the rates that it lists",
}
"""(page, table, column) → why no answer of the API holds it."""

FILE_ONLY = {
    "requests-concurrency-csv": "its columns are the tables of three charts",
    "reconciliation-csv": "one open month is shown as cards",
    "unpriced-csv": "the page adds a column that leads to entering the price",
}
"""Name of a file → why no one table of the page is the same; the API says its numbers."""


CHART = "the numbers behind a chart: on the page and in the API"
TOP = "the first rows of the page Costs, which has a file"
NO_FILE = {
    ("/", "daily-table"): CHART,
    ("/", "top-project"): TOP,
    ("/", "top-model"): TOP,
    ("/unit-costs", "unit-series"): CHART,
    ("/costs/reconciliation", "bridge"): "the row of the month, told from top to bottom",
    ("/requests", "traffic-series"): CHART,
    ("/requests", "latency-series"): CHART,
    ("/requests", "in-flight-series"): CHART,
    ("/requests", "spans"): "one page of requests; the API gives all of them, page by page",
    ("/gpus", "gpu-series"): CHART,
    ("/gpus", "models-{pool}"): "in the API, with each pool",
    ("/savings", "payback-days"): CHART,
    ("/budgets/{budget}", "thresholds"): "what was set, not what came of it",
    ("/settings/exchange-rates", "coverage"): "counts of the rates, which have a file",
    ("/settings/exchange-rates", "imports"): "counts of the rates, which have a file",
    ("/prices", "prices"): "the price book: in the API, page by page",
    ("/prices", "hardware"): "the price book, as it was entered",
    ("/prices", "unpriced"): "its file leaves out the way to enter the price",
}
"""(page, table) → why its numbers are in no file."""

DEED = re.compile(
    r"(?:^|[-:])(?:new|edit|remove|switch|end|test|again|past|stop|upload|token|revoke|acknowledge"
    r"|snooze|resolve|rotate|redeliver|link|place|close|decide|withdraw|retire|propose|dismiss"
    r"|calibrate|rollback|actions|progress)$"
)
"""Forms and deeds: what they show is on the page that they belong to."""

LIST = "names and states; what it counts is in the API"
NOT_WALKED = {
    "span": "one request, as the API tells it: tests/finops/api/test_answers.py",
    "event": "one row of the events",
    "alert": "one row of the alerts, with its timeline",
    "alert-rules": LIST,
    "alert-silences": LIST,
    "saved-views": LIST,
    "sources": LIST,
    "source": LIST,
    "delivery": LIST,
    "delivery-changes": "compared in tests/finops/test_delivery_changes.py",
    "price-term": "one contract, compared in the tests of the price terms",
    "price-explained": "one price, compared in the tests of the price terms",
    "chargeback": "one closed month, compared in the tests of showback",
    "slo": "one objective, compared in the tests of objectives",
    "slo-proposal": LIST,
    "price-update": "thousands of rows, compared in tests/finops/test_price_update.py",
    "tokens": LIST,
    "channel": "messages, compared in tests/finops/test_views_channels.py",
    "channel-message": "one message",
    "audit": LIST,
    "sign-in": "no figures",
    "sign-out": "no figures",
    "optimiser:waiting": "a part of the first page",
    "optimiser:recommendations": "compared in tests/optimiser",
    "optimiser:recommendation": "compared in tests/optimiser",
    "optimiser:changes": LIST,
    "optimiser:change": "compared in tests/optimiser",
    "optimiser:rollout": "compared in tests/optimiser",
    "optimiser:targets": LIST,
    "optimiser:target": LIST,
}
"""Page → why it has no figures that could differ, or where they are compared."""


@pytest.fixture(scope="module")
def at():
    return timezone.now()


@pytest.fixture
def still(sign_in, monkeypatch, at):
    """Time stands still between a page, its files and the API."""
    monkeypatch.setattr(timezone, "now", lambda: at)
    return sign_in


def csv_of(client: Client, path: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(client.get(path).text)))


@pytest.fixture(scope="module")
def named(estate, at, django_db_blocker):
    """What stands in braces above, made once for all walks and gone after the last."""
    with django_db_blocker.unblock(), transaction.atomic():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timezone, "now", lambda: at)
            names = add_to(estate, at)
        yield names
        transaction.set_rollback(True)


def add_to(estate, at):
    """A budget, an alert, an objective, rates, a saving and a label, for what is walked."""
    estate.watch()
    lines = [f"{today() - timedelta(days=back)},{1 + back / 1000:.4f}," for back in range(1, 75)]
    import_file("\n".join(["Date,USD,", *lines]).encode(), by=None, via="command")
    budget = Budget.objects.get()
    budget_watch.evaluate(budget.pk, at)
    start = midnight(today() - timedelta(days=5), "UTC")
    chat = Project.objects.get(slug="support-chat")
    booked(chat, start, pool=Pool.objects.get())
    booked(chat, start, change_ref="77", title="Tier search", cash="12.5", billed_by="use")
    KeptLabel.objects.create(name="customer", attributes=["customer"], since=today())
    for cost in CostDay.objects.filter(project_id=chat.pk).exclude(currency=""):
        told = {field.name: getattr(cost, field.name) for field in Costs._meta.fields}
        LabelCostDay.objects.create(day=cost.day, label="customer", value="acme", **told)
        with connection.cursor() as cursor:
            user_sums.write_labels(cursor, chat.pk, cost.day)
    return {"budget": str(budget.pk), "month": f"{recent_months(2)[1]:%Y-%m}"}


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{walk.page}?{walk.query}")
def test_page_csv_xlsx_and_api_say_the_same(still, named, walk):
    client, query = still(walk.username), walk.query.format(**named)
    html = client.get(f"{walk.page.format(**named)}?{query}").text
    page = Page(html)
    pool = f"models-{Pool.objects.get().pk}"
    tables = {name.replace(pool, "models-{pool}"): rows for name, rows in page.tables.items()}
    told = {
        number
        for path in walk.api
        for number in scalars(answer_of(client, path.format(q=query, **named)))
    }
    filed = set()
    for href in (href for href in page.hrefs if ".csv" in href):
        rows = csv_of(client, href)
        assert same_numbers(workbook_rows(client.get(twin(href)).content)) == same_numbers(rows)
        same = {name for name, table in tables.items() if shown_in(rows, table)}
        if resolve(href.partition("?")[0]).url_name in FILE_ONLY:
            assert untold_of(f"{walk.page}.csv", columns_of({"": rows}), told) == {}
        else:
            assert same, (href, rows)
        filed |= same
    unfiled = {name for name, rows in tables.items() if numbers_of(rows[1:])} - filed
    assert {(walk.page, name) for name in unfiled} <= set(NO_FILE)
    shown = {**columns_of(tables), **figures_of(html)}
    assert untold_of(walk.page, shown, told) == {}


def test_every_page_is_walked_or_says_why_not():
    names = {
        f"{prefix}{one.name}"
        for prefix, patterns in (("", page_urls.urlpatterns), ("optimiser:", urls.urlpatterns))
        for one in patterns
        if one.name and not one.name.endswith(("-csv", "-xlsx"))
    }
    walked = {resolve(walk.page.format(budget=1)).url_name for walk in WALKS}
    pages = {name for name in names - walked if not DEED.search(name)}
    assert pages == set(NOT_WALKED), "walk the new page, or list it with the reason"


def twin(href: str) -> str:
    return href.replace(".csv", ".xlsx", 1)


def shown_in(rows: list[list[str]], table: list[list[str]]) -> bool:
    """The file is the table, or the page shows the first of its rows."""
    rows, table = same_numbers(rows), same_numbers(table)
    return table[0] == rows[0] and all(row in rows for row in table)


def untold_of(
    place: str, shown: dict[tuple[str, str], set[str]], told: set[str]
) -> dict[tuple[str, str], list[str]]:
    """What no answer holds, but for what is listed above."""
    return {
        name: sorted(numbers - told)
        for name, numbers in shown.items()
        if numbers - told and (place, *name) not in PAGE_ONLY
    }


def columns_of(tables: dict[str, list[list[str]]]) -> dict[tuple[str, str], set[str]]:
    """Every number of each column of each table."""
    return {
        (name, head): numbers_of([[row[at]] for row in rows if at < len(row)])
        for name, (heads, *rows) in tables.items()
        for at, head in enumerate(heads)
    }


def figures_of(html: str) -> dict[tuple[str, str], set[str]]:
    """Each card's exact value, by its label."""
    found = re.findall(
        r'figure-label">\s*<span>([^<]+)</span>.*?figure-value[^"]*" title="([^"]*)"', html, re.S
    )
    numbers = {label: exact.replace(",", "").split(" ")[0] for label, exact in found}
    return {("figures", label): numbers_of([[number]]) for label, number in numbers.items()}


def answer_of(client: Client, path: str) -> Any:
    """A later parameter takes the place of an earlier one; an empty one is left out."""
    own, _, query = path.partition("?")
    given = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    given.pop("chart", "")
    kept = "&".join(f"{name}={value}" for name, value in given.items() if value)
    answer = client.get(f"/api/v1/{own}?{kept}")
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


def scalars(answer: Any) -> Iterator[str]:
    """Every number in it as a file would write it: with the digits that pages keep of a share,
    and a percentage as the share it is."""
    if isinstance(answer, dict | list):
        for value in answer.values() if isinstance(answer, dict) else answer:
            yield from scalars(value)
    elif isinstance(answer, str):
        yield from numbers_of([[answer]])
    elif isinstance(answer, int | float) and not isinstance(answer, bool):
        yield from numbers_of([[f"{answer:.{digits}f}" for digits in (0, 1, 3, 6)]])
        yield from numbers_of([[f"{answer / 100:.6f}"]])
