"""Every page, for everybody: who may open it, what it shows, and that its CSV says the same."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from functools import cached_property

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ingest.models import Delivery, Project, Source, Span, Team
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

PUBLIC = ("/sign-in",)
READABLE = (
    "/",
    "/costs",
    "/costs?group_by=provider&group_by=model&compare=previous",
    "/costs?range=today&basis=usage",
    "/costs?chart=month",
    "/costs/lines?range=7d",
    "/views",
    "/views/new?page=requests&query=range%3D7d%26tab%3Derrors",
    "/unit-costs",
    "/unit-costs?group_by=service,model&compare=previous&unit=conversation&to1=openai:gpt-4o-mini",
    "/requests",
    "/requests?group_by=service&tab=errors",
    "/requests?tab=recent",
    "/requests/errors",
    "/savings",
    "/showback",
    "/showback?month=2020-01&team=Search&sort=-total",
    "/budgets",
    "/budgets?state=over&owner=asha&project=support-chat",
    "/events",
    "/settings/labels",
    "/events?kind=incident&environment=production",
    "/alerts",
    "/alerts?state=all&kind=budget&severity=critical&project=support-chat",
    "/alerts?tab=history",
    "/alerts/rules",
    "/alerts/silences",
    "/alerts/watch",
    "/slos",
    "/slos?state=burning&project=support-chat&sort=-left",
    "/slos/proposals?state=all",
    "/sources",
    "/prices",
    "/prices/update",
    "/prices/terms",
    "/prices/explained",
    "/prices/explained?provider=openai&model=gpt-4o&project=support-chat",
    "/settings/exchange-rates",
    "/settings/tokens",
    "/settings/slack",
    "/settings/slack?code=used",
)
ORGANISATION = (
    "/gpus", "/hosts", "/costs?basis=bill&metric=list", "/costs/reconciliation",
    "/costs/reconciliation?month=2020-01&provider=openai",
    "/allocation", "/allocation/unallocated", "/allocation/unallocated?tags=yes&sort=-cost",
)  # fmt: skip
AUDITORS = ("/settings/audit", "/settings/audit?verify=1")
MANAGERS = (
    "/sources/new",
    "/sources/new?kind=otlp",
    "/sources/new?kind=prometheus_text",
    "/sources/new?kind=triton_statistics",
    "/sources/new?kind=loki",
    "/sources/new?kind=elasticsearch",
    "/settings/channels",
    "/settings/channels/new",
    "/settings/channels/new?kind=slack_webhook",
    "/settings/channels/new?kind=slack_app",
    "/settings/channels/new?kind=webhook",
    "/settings/channels/new?kind=email",
)
PEOPLE = ("asha", "ben", "cleo", "dev", "ada")

MAY_OPEN = {
    **{(name, path): True for name in PEOPLE for path in READABLE},
    **{
        (name, path): name != "cleo"
        for name in PEOPLE
        for path in (
            "/gpus",
            "/hosts",
            "/costs/reconciliation",
            "/allocation",
            "/allocation/unallocated",
        )
    },
    **{(name, path): name in ("ben", "ada") for name in PEOPLE for path in AUDITORS},
    **{(name, path): name == "ada" for name in PEOPLE for path in MANAGERS},
}


@dataclass(frozen=True)
class Answer:
    """What is looked at of one: the whole of it would keep all that it was rendered from."""

    status: int
    html: str
    policy: set[str]

    @cached_property
    def page(self) -> Page:
        return Page(self.html)


@pytest.fixture(scope="module")
def answers(estate) -> dict[tuple[str, str], Answer]:
    return {}


@pytest.fixture
def look(sign_in, answers):
    """`look("ada", path)` is the page of the estate as it is, asked for once by all who read it."""

    def looked(name: str, path: str) -> Answer:
        if (name, path) not in answers:
            found = sign_in(name).get(path)
            policy = set(found["Content-Security-Policy"].split("; "))
            answers[name, path] = Answer(found.status_code, found.text, policy)
        return answers[name, path]

    return looked


@pytest.mark.parametrize(("name", "path"), MAY_OPEN)
def test_page_opens_for_those_who_may_see_it(look, name, path):
    expected = 200 if MAY_OPEN[name, path] else 403
    assert look(name, path).status == expected


@pytest.mark.parametrize("path", [*READABLE, *ORGANISATION, *AUDITORS, *MANAGERS])
def test_stranger_is_sent_to_sign_in(db, path):
    response = Client().get(path)
    assert response.status_code == 302
    assert response["Location"].startswith(f"{reverse('finops:sign-in')}?next=")


def every_path() -> list[str]:
    span = Span.objects.order_by("-started_at").first()
    return [
        *PUBLIC,
        *READABLE,
        *ORGANISATION,
        *AUDITORS,
        *MANAGERS,
        *(f"/sources/{source.pk}" for source in Source.objects.all()),
        f"/deliveries/{Delivery.objects.order_by('pk').first().pk}",
        f"/requests/{span.project_id}/{span.day}/{span.key}",
        "/nothing-here",
    ]


def test_navigation_says_where_one_is(look):
    nowhere = {*PUBLIC, "/nothing-here"}
    of_source = [f"/sources/{Source.objects.filter(kind='otlp').first().pk}/{part}"
                 for part in ("again", "edit")]  # fmt: skip
    for path in [*(path for path in every_path() if path not in nowhere), *of_source]:
        here = re.findall(r'class="nav-link"[^>]*aria-current="(\w+)"', look("ada", path).html)
        assert len(here) == 1, path


def test_settings_are_folded_away_until_one_is_there(sign_in):
    client = sign_in("ada")
    folded = re.compile(r'<details class="nav-group"( open)?>(.*?)</details>', re.DOTALL)
    [(opened, inside)] = folded.findall(client.get("/costs").text)
    assert opened == ""
    assert re.findall(r'href="(/[a-z/-]+)\?', inside) == [
        "/settings/labels",
        "/settings/exchange-rates",
        "/settings/channels",
        "/settings/slack",
        "/settings/tokens",
        "/settings/audit",
    ]
    [(opened, _)] = folded.findall(client.get("/settings/audit").text)
    assert opened == " open"


POLICY = {
    "default-src 'none'",
    "base-uri 'none'",
    "connect-src 'self'",
    "font-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "img-src 'self' data:",
    "script-src 'self'",
    "style-src 'self'",
}


def test_no_page_holds_what_a_strict_policy_refuses(look):
    for path in every_path():
        answer = look("ada", path)
        assert answer.page.refused == [], path
        assert answer.policy == POLICY


def test_no_page_shows_a_raw_value_or_a_template_slip(look):
    for path in every_path():
        words = look("ada", path).page.words
        for slip in ("{{", "{%", "None", "nan", "Decimal(", "<SafeString", "datetime."):
            assert not re.search(rf"(?<!\w){re.escape(slip)}(?!\w)", words), (path, slip)


# What the CSV says


def csv_of(client: Client, path: str) -> list[list[str]]:
    response = client.get(path)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(response.text)))


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("costs", "costs"),
        ("requests", "requests"),
    ],
)
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?group_by=model&sort=requests",
        "?group_by=team&range=7d&sort=-cost",
        "?group_by=service&f.project=support-chat&basis=usage&compare=previous",
        "?from=2026-01-01&to=2026-01-02",
    ],
)
def test_csv_holds_exactly_the_rows_of_the_screen(sign_in, page, table, query):
    client = sign_in("asha")
    html = client.get(f"/{page}{query}").text
    shown = Page(html).tables.get(table)
    written = csv_of(client, f"/{page}.csv{query}")
    if shown is None:
        assert len(written) == 1
    else:
        assert written == shown


def test_csv_link_keeps_every_filter_of_the_screen(sign_in):
    client = sign_in("asha")
    page = Page(client.get("/costs?group_by=model&range=7d&sort=requests&f.team=Search").text)
    link, over_time = [href for href in page.hrefs if href.startswith("/costs.csv")]
    assert csv_of(client, link) == page.tables["costs"]
    assert csv_of(client, over_time) == page.tables["cost-series"]


def test_csv_of_gpus_holds_every_gpu_of_the_screen(sign_in):
    client = sign_in("asha")
    tables = Page(client.get("/gpus?range=7d").text).tables
    shown = [row for name, rows in tables.items() if name.startswith("gpus-") for row in rows[1:]]
    written = csv_of(client, "/gpus.csv?range=7d")[1:]
    # How much of the window so far is observed moves on between the two requests.
    assert [row[:7] for row in written] == [row[:7] for row in shown]
    assert len(shown) == 2


def test_csv_keeps_a_name_from_running_in_a_spreadsheet(sign_in):
    Project.objects.filter(slug="support-chat").update(name='=cmd|"/c calc"!A1')
    rows = csv_of(sign_in("asha"), "/costs.csv?group_by=project")
    assert '\'=cmd|"/c calc"!A1' in [row[0] for row in rows]


# What somebody sees


def test_total_is_the_sum_of_its_rows_to_the_last_digit(sign_in):
    from decimal import Decimal

    rows = csv_of(sign_in("asha"), "/costs.csv?group_by=model")
    costs = [Decimal(row[1]) for row in rows[1:] if row[1]]
    assert sum(costs[:-1]) == costs[-1] > 0


def test_overview_and_costs_show_the_same_total(sign_in):
    client = sign_in("asha")
    pages = [client.get("/").text, client.get("/costs").text]
    shown = [re.search(r'figure-value" title="([\d.]+ USD)"', html)[1] for html in pages]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("path", READABLE)
def test_cleo_sees_nothing_of_other_projects(look, path):
    html = look("cleo", path).html
    for hidden in ("Product search", "Document assistant", "in-house-7b", "h100-eu", "Azure"):
        assert hidden not in html


def test_cleo_asking_for_another_project_is_told_that_there_is_none(sign_in):
    client = sign_in("cleo")
    words = Page(client.get("/costs?f.project=doc-assistant").text).words
    assert "There is no project “doc-assistant” that you may see." in words
    assert csv_of(client, "/costs.csv?f.project=doc-assistant")[1:] == []


def test_request_of_another_project_is_not_found(sign_in):
    hidden = Span.objects.filter(project_id=Project.objects.get(slug="doc-assistant").pk).first()
    path = f"/requests/{hidden.project_id}/{hidden.day}/{hidden.key}"
    assert sign_in("cleo").get(path).status_code == 404
    assert sign_in("asha").get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/requests/1/2026-02-31/00000000-0000-0000-0000-000000000000",
        "/requests/999999999/2026-02-01/00000000-0000-0000-0000-000000000000",
        "/sources/999999",
        "/deliveries/999999",
        "/prices?version=999",
        "/prices?version=x",
    ],
)
def test_address_of_nothing_is_not_found(sign_in, path):
    assert sign_in("asha").get(path).status_code == 404


def test_request_says_what_is_unknown(sign_in):
    silent = Span.objects.filter(input_tokens=None).first()
    path = f"/requests/{silent.project_id}/{silent.day}/{silent.key}"
    words = Page(sign_in("asha").get(path).text).words
    assert "Input unknown Output" in words
    assert re.search(r"Not told by the sender [a-z0-9, ]*\baudio in\b", words)


def test_empty_period_claims_no_bill_and_draws_no_chart(sign_in):
    client, period = sign_in("asha"), "?from=2020-01-01&to=2020-02-01"
    for path in ("/", "/costs"):
        assert "Reconciled with bills" not in client.get(path + period).text, path
    page = Page(client.get(f"/requests{period}").text)
    assert "No requests in this period." in page.words
    assert not {"latency-series", "traffic-series"} & set(page.tables)


def test_source_lists_its_files_or_its_hours_and_not_an_empty_other(sign_in):
    bill = Source.objects.get(kind="focus_csv")
    traces = Source.objects.filter(kind="otlp").first()
    client = sign_in("ada")
    assert headings(client, bill) == ["Files received", "Refused rows of the last 7 days"]
    assert headings(client, traces) == [
        "Refused rows of the last 7 days",
        "What it brought, hour by hour",
    ]


def headings(client: Client, source: Source) -> list[str]:
    html = client.get(f"/sources/{source.pk}").text
    return re.findall(r"<h2 id=\"(?:deliveries|rejects|pulls)-title\">([^<]*)</h2>", html)


def test_bar_names_projects_and_teams_that_must_both_hold(sign_in):
    html = sign_in("asha").get("/costs?f.project=support-chat&f.team=Search").text
    assert "<span>Support chat of Search</span>" in html


def test_unknown_hardware_price_is_unknown_and_not_zero(sign_in):
    from finops.models import PoolQuarter
    from tests.factories.finops import hardware_by_day

    PoolQuarter.objects.update(allocated=None, used=None)
    hardware_by_day()
    words = Page(sign_in("asha").get("/gpus?range=7d").text).words
    assert "Paid About Paid" in words
    assert "Unknown Give the pool a GPU count and its hardware a price." in words
    assert "$0.00" not in words


def test_model_without_a_price_costs_something_unknown_and_not_nothing(sign_in):
    client = sign_in("asha")
    page = Page(client.get("/costs?group_by=model").text)
    (row,) = [row for row in page.tables["costs"] if row[0] == "gpt-house-tuned"]
    assert row[1:3] == ["", ""]
    assert "gpt-house-tuned no price" in page.words
    alone = Page(client.get("/costs?f.model=gpt-house-tuned").text).words
    assert "Total About Total" in alone
    assert "Unknown Nothing in this period has a price." in alone
    assert "$0.00" not in alone


def test_model_of_a_pool_without_a_hardware_price_is_not_free(sign_in):
    from finops.models import PoolQuarter
    from tests.factories.finops import hardware_by_day

    PoolQuarter.objects.exclude(model="").delete()
    PoolQuarter.objects.update(allocated=None, used=None)
    hardware_by_day()
    page = Page(sign_in("asha").get("/costs?group_by=model").text)
    (row,) = [row for row in page.tables["costs"] if row[0] == "in-house-7b"]
    assert row[1] == ""


def test_simulated_gpus_are_called_so(sign_in):
    assert "Simulated GPUs" in Page(sign_in("asha").get("/gpus?range=7d").text).words


def test_range_and_filters_go_along_to_every_page(sign_in):
    page = Page(sign_in("asha").get("/costs?range=7d&f.team=Search&group_by=model").text)
    carried = "?range=7d&f.team=Search&basis=book&currency=USD"
    for name in ("overview", "costs", "requests", "gpus", "sources", "prices"):
        assert f"{reverse(f'finops:{name}')}{carried}" in page.hrefs


def test_last_day_that_somebody_typed_is_included(sign_in):
    client = sign_in("asha")
    response = client.get("/costs?from=2026-11-01&last=2026-11-30&group_by=model")
    assert response["Location"] == "/costs?from=2026-11-01&group_by=model&to=2026-12-01"
    assert "1 Nov – 30 Nov 2026" in Page(client.get(response["Location"]).text).words
    assert "to: Use a date such as" in Page(client.get("/costs?last=soon", follow=True).text).words


def test_bad_filter_is_named_and_the_page_still_opens(sign_in):
    response = sign_in("asha").get("/costs?range=forever&group_by=mood")
    words = Page(response.text).words
    assert response.status_code == 200
    assert "range: Use one of today, 7d, 14d, 30d, 60d, 90d, mtd, last-month." in words
    assert "group_by: Use one or two of" in words


@pytest.mark.parametrize("path", ["/requests", "/prices", "/settings/audit", "/sources/1"])
def test_cursor_that_is_not_ours_is_a_bad_request(sign_in, path):
    source = Source.objects.filter(kind="otlp").first()
    path = path.replace("/1", f"/{source.pk}")
    assert sign_in("ada").get(f"{path}?cursor=%00nonsense").status_code in (200, 400)
    assert sign_in("ada").get(f"{path}?cursor=nonsense").status_code == 400


def test_sorting_puts_the_unknown_last_either_way(sign_in):
    client = sign_in("asha")
    for sort in ("ttft", "-ttft"):
        rows = csv_of(client, f"/requests.csv?group_by=model&sort={sort}")
        column = [row[6] for row in rows[1:-1]]
        assert "" in column
        assert column.index("") == len([value for value in column if value])


def test_swap_holds_the_same_page_without_the_document(sign_in):
    client = sign_in("asha")
    path = "/costs?group_by=model"
    whole = client.get(path)
    swap = client.get(path, headers={"HX-Request": "true", "HX-Target": "view"})
    assert "<html" in whole.text
    assert "<html" not in swap.text
    assert Page(swap.text).tables == Page(whole.text).tables
    assert "<title>Costs · Breakeven</title>" in swap.text
    assert {"HX-Request", "HX-Target"} <= set(whole["Vary"].split(", "))


def test_empty_installation_says_what_to_do(sign_in):
    Source.objects.update(last_fact_at=None)
    words = Page(sign_in("ada").get("/").text).words
    assert "No data yet" in words
    assert "Connect a source and copy its push token." in words
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://testserver/v1/traces" in words


@pytest.mark.parametrize("path", [*READABLE, "/gpus"])
def test_sample_data_is_marked_on_every_page(sign_in, look, settings, path):
    assert "Sample data:" not in look("asha", path).html
    settings.SAMPLE_DATA = True
    assert "Sample data:" in sign_in("asha").get(path).text


def test_sample_source_marks_the_pages_that_show_it(sign_in):
    Source.objects.filter(name="Support chat traces").update(is_sample=True)
    client = sign_in("asha")
    for path in ("/", "/costs", "/requests", "/sources"):
        assert "Sample data:" in client.get(path).text, path


# How much it asks the database


def queries_of(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert client.get(path).status_code == 200
    return len(asked)


@pytest.mark.parametrize(
    ("one", "three"),
    [
        ("/costs?group_by=model&f.model=gpt-4o", "/costs?group_by=model"),
        ("/requests?group_by=model&f.model=gpt-4o", "/requests?group_by=model"),
        ("/?f.project=support-chat", "/?f.project=support-chat&f.project=doc-assistant"),
    ],
)
def test_more_rows_need_no_more_queries(sign_in, one, three):
    client = sign_in("asha")
    assert queries_of(client, one) == queries_of(client, three)


def test_more_sources_need_no_more_queries(sign_in):
    client = sign_in("asha")
    before = queries_of(client, "/sources")
    for number in (1, 2):
        team = Team.objects.create(name=f"Team {number}")
        project = Project.objects.create(slug=f"p{number}", name=f"P{number}", team=team)
        Source.objects.create(kind="otlp", name=f"More {number}", project=project)
    assert queries_of(client, "/sources") == before
