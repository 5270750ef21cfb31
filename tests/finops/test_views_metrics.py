"""Connecting the doors for metrics by their form."""

import pytest

from ingest import source_secrets
from ingest.models import Source

pytestmark = pytest.mark.usefixtures("estate", "plain_static")


@pytest.mark.parametrize(
    ("kind", "url"),
    [("prometheus", "http://prometheus:9090"), ("prometheus_text", "http://dcgm:9400/metrics")],
)
def test_source_is_connected_with_a_long_token_that_is_shown_nowhere(sign_in, kind, url):
    client, token = sign_in("ada"), "t0ken." * 300
    form = client.get(f"/sources/new?kind={kind}")
    assert 'name="config.sets"' in form.text

    response = client.post(
        f"/sources/new?kind={kind}",
        {
            "name": "Our metrics", "pool": "a10-us", "interval_s": "60", "config.url": url,
            "config.sets": '["dcgm", "node"]', "config.token": token,
        },
        follow=True,
    )  # fmt: skip

    source = Source.objects.get(name="Our metrics")
    assert (source.kind, source.pool.name, source.interval_s) == (kind, "a10-us", 60)
    assert source.config["sets"] == ["dcgm", "node"]
    assert source_secrets.opened(source)["token"] == token
    assert "t0ken" not in response.text
    assert "t0ken" not in client.get(f"/sources/{source.pk}").text
