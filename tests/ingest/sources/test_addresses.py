"""Addresses of sources are judged while they are entered, by the guard that judges them later."""

import pytest

from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig

AWS = {"region": "eu-central-1"}
ENTERED = {
    "langfuse": {"public_key": "pk-lf-1", "secret_key": "sk-lf-1"},
    "prometheus": {},
    "prometheus_text": {},
    "triton_statistics": {},
    "loki": {},
    "elasticsearch": {},
    "s3_bills": {"bucket": "bills", **AWS},
    "aws_cost_explorer": {"billing_account": "123456789012", **AWS},
}


def entered(kind: str, url: str):
    [field] = [setting.name for setting in REGISTRY[kind].settings if setting.address]
    return field, REGISTRY[kind].check_entered({**ENTERED[kind], field: url})


def test_every_setting_that_is_a_url_is_an_address():
    settings = [(kind, one) for kind, adapter in REGISTRY.items() for one in adapter.settings]
    assert {one.name for _, one in settings if one.address} == {"url", "endpoint_url"}
    assert {one.address for _, one in settings if "url" in one.name} == {True}
    assert {kind for kind, one in settings if one.address} == set(ENTERED)


@pytest.mark.parametrize("kind", ENTERED)
def test_address_that_is_not_public_is_refused_while_it_is_entered(kind, settings):
    settings.PRIVATE_ADDRESSES = []
    for host in ("localhost", "127.0.0.1", "10.1.2.3", "[::1]", "169.254.169.254", "2130706433"):
        with pytest.raises(BadConfig, match="is not a public address; an administrator") as bad:
            entered(kind, f"http://{host}:9090")
        assert bad.value.field in ("url", "endpoint_url")
    settings.PRIVATE_ADDRESSES = ["10.0.0.0/8"]
    field, config = entered(kind, "http://10.1.2.3:9090")
    assert config[field].startswith("http://10.1.2.3:9090")


@pytest.mark.parametrize("kind", ENTERED)
def test_name_is_taken_for_it_may_point_elsewhere_when_it_is_fetched(kind, settings):
    settings.PRIVATE_ADDRESSES = []
    field, config = entered(kind, "http://metrics.internal:9090")
    assert config[field].startswith("http://metrics.internal:9090")


@pytest.mark.parametrize("kind", ENTERED)
def test_other_schemes_and_passwords_are_refused(kind):
    for url in ("ftp://metrics.example", "http://asha:secret@metrics.example", "metrics.example"):
        with pytest.raises(BadConfig) as bad:
            entered(kind, url)
        assert bad.value.field in ("url", "endpoint_url")
        assert "secret" not in bad.value.message
