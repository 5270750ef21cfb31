"""How loaded machines were, on the page, in its files and in the API."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from ingest import store
from ingest.models import Pool, Source
from ingest.rollup import roll_up
from ingest.sources.prometheus_text import parse
from tests.finops.queries.test_loads import SAID
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

DAY = "from=2025-10-01&to=2025-10-02"
START = datetime(2025, 10, 1, 12, tzinfo=UTC)


@pytest.fixture
def scraped(db):
    source = Source.objects.create(
        kind="prometheus_text", name="All", pool=Pool.objects.get(name="h100-eu")
    )
    for n, (running, waiting) in enumerate([(2, 0), (4, 6), (6, 0)]):
        text = SAID.format(running=running, waiting=waiting, idle=75 * n, user=25 * n)
        at = START + timedelta(seconds=100 * n)
        found = parse(text.encode(), at, (), instance="h:9")
        store.metrics(source, found.records, found.rejects, gpus=found.gpus)
    roll_up()


@pytest.mark.usefixtures("scraped")
def test_page_and_its_files_hold_the_same_and_unknown_is_unknown(sign_in):
    client = sign_in("asha")
    html = client.get(f"/hosts?{DAY}").text
    tables = Page(html).tables
    assert set(tables) == {"servers", "hosts", "memory"}
    for name, shown in tables.items():
        written = client.get(f"/hosts.csv?{DAY}&of={name}").text
        assert list(csv.reader(io.StringIO(written))) == shown
    triton, vllm = tables["servers"][1:]
    assert (triton[0], triton[3], triton[5]) == ("digits", "", "4.000000")
    assert (vllm[0], vllm[4], vllm[7]) == ("llama", "7.000000", "0.600000")
    [host] = tables["hosts"][1:]
    assert (host[3], host[5], host[6]) == ("0.250000", "0.600000", "")
    assert "unknown" in Page(html).words


def test_nothing_observed_is_said_to_be_unknown(sign_in):
    client = sign_in("asha")
    said = Page(client.get(f"/hosts?{DAY}").text).words
    assert "that is unknown, not idle" in said
    assert "Ask an admin to connect a Prometheus server" in said
    assert client.get(f"/hosts.csv?{DAY}").text.count("\n") == 1


def test_files_are_for_those_who_may_see_the_page(sign_in):
    assert sign_in("cleo").get("/hosts.csv").status_code == 403
