"""Evidence as its page draws it: each figure is valid, and its table says the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import plotly.graph_objects as go
import pytest
from django.conf import settings

from optimiser.models import Recommendation
from optimiser.views.evidence import charts_of
from tests.finops.reading import Page
from tests.optimiser import made

pytestmark = pytest.mark.django_db

CSS = Path(settings.BASE_DIR) / "static" / "css"
CHARTS = ["grid-chart", "percentiles-chart", "service-chart"]


def test_each_figure_is_one_that_plotly_knows_in_our_colours(advice):
    tokens = (CSS / "tokens.css").read_text()
    charts = charts_of(advice)
    assert [chart.id for chart in charts] == CHARTS
    for chart in charts:
        text = json.dumps(chart.figure, allow_nan=False)
        go.Figure(json.loads(re.sub(r'"var\(--[\w-]+\)"', '"black"', text)))
        assert not re.search(r'"#[0-9a-f]{3,8}"', text)
        for name in re.findall(r"var\((--[\w-]+)\)", text):
            assert f"  {name}:" in tokens, name
        for item in chart.legend:
            assert f".swatch-{item.swatch} " in (CSS / "charts.css").read_text(), item


def test_table_of_each_chart_holds_what_is_drawn(sign_in, advice):
    page = Page(sign_in("asha").get(f"/recommendations/{advice.pk}").text)
    assert [row[0] for row in page.tables["grid"][1:]] == [
        "one request at a time",
        "batches of up to 8, waiting up to 20 ms",
        "batches of up to 8, waiting up to 2 ms",
    ]
    assert [row[-1] for row in page.tables["grid"][1:]] == ["as it is now", "no", "yes"]
    assert [row[0] for row in page.tables["service-times"][1:]] == ["1", "2", "4", "8"]
    assert page.tables["percentiles"][2] == ["P95", "420.000", "189.000"]
    assert [row[0] for row in page.tables["effect"][1:]] == [
        "GPU time per request", "P50 latency", "P95 latency", "P99 latency", "Throughput",
    ]  # fmt: skip


def test_page_says_how_to_do_it_again(sign_in, advice):
    said = Page(sign_in("asha").get(f"/recommendations/{advice.pk}").text).words
    for part in (
        "Traffic from 20 Nov 2026, 08:00 UTC to 20 Nov 2026, 08:30 UTC",
        "Requests 86,400 Seed 7",
        f"Hash of the inputs {'a' * 64}",
        "Version of the lever 1 Version of the simulator 1",
        "Intervals hold 95%, 200 repetitions, blocks of 1 min",
        "16 callers wait for their answer.",
        "1 of 2 settings keep P95 within 462 ms, the limit.",
    ):
        assert part in said


def test_refusal_shows_the_figures_that_decide(sign_in, target):
    traffic = {**made.RESULTS["traffic"], "rate_rps": 0.998, "met_others": 0.0004}
    advice = made.RecommendationFactory(
        target=target,
        outcome="refused",
        reason="At 0.998 requests a second there is nothing to put together.",
        evidence__results={"traffic": traffic},
    )
    client = sign_in("dev")
    said = Page(client.get(f"/recommendations/{advice.pk}").text).words
    assert "Not worth it now" in said
    assert "A second 0.998" in said
    assert "Began while another was under way <0.1%" in said
    assert "Propose this change" not in said
    listed = Page(client.get("/recommendations").text).words
    assert "At 0.998 requests a second there is nothing to put together." in listed


def test_refusal_after_a_search_shows_what_was_tried(sign_in, target):
    results = {**made.RESULTS, "effect": made.EFFECT}
    advice = made.RecommendationFactory(
        target=target, outcome="refused", reason="Too little.", evidence__results=results
    )
    page = Page(sign_in("asha").get(f"/recommendations/{advice.pk}").text)
    assert page.tables["effect"][1][0] == "GPU time per request"
    assert len(page.tables["grid"]) == 4
    assert Recommendation.objects.get().effect is None


def test_variant_is_proposed_as_an_experiment_on_a_share_of_traffic(sign_in, target):
    advice = made.RecommendationFactory(
        target=target,
        lever="variant",
        outcome="needs_experiment",
        reason="Whether chat_int8 answers as well cannot be simulated.",
        candidate_config=made.config("chat", parameters={"base": {"string_value": "chat_int8"}}),
        evidence__results={"assumptions": ["Nothing is estimated."]},
    )
    client, path = sign_in("dev"), f"/recommendations/{advice.pk}"
    html = client.get(path).text
    assert "Run the calibration" not in html
    assert "Share of traffic for the new one" in html
    form = re.search(r'<form class="form panel-body" method="post".*?</form>', html, re.DOTALL)[0]
    sent = dict(re.findall(r'name="(\w+)"[^>]* value="([^"]*)"', form))
    sent = {**sent, "needs_quality": "on", "why": "", "expires_in": "72"}
    answer = client.post(f"{path}/propose", sent)
    change = advice.changes.get()
    assert answer["Location"] == f"/changes/{change.pk}"
    assert (change.policy["experiment"], change.policy["weight"]) == ("split", 0.2)
    assert change.policy["judge"]["needs_quality"] is True
    said = Page(client.get(f"/changes/{change.pk}").text).words
    assert "Split: 20% of the traffic goes to the new one" in said
    assert "Without scored answers there is no PASS." in said
    assert "No effect was foretold; the experiment measures it." in said
