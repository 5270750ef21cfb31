from pathlib import Path

import pytest

from ingest import sources
from ingest.models.owners import TOKEN_SCOPES
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, FileSource, PullSource, PushSource

VALID = {
    "otlp": {},
    "gpu": {},
    "request_log": {"preset": "azure2023_code"},
    "focus_csv": {},
    "bill_file": {"format": "azure_actual"},
    "s3_bills": {
        "bucket": "acme-billing",
        "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": "x",
    },
    "aws_cost_explorer": {"billing_account": "999999999999"},
    "prometheus_text": {"url": "http://triton:8002/metrics"},
    "triton_statistics": {"url": "http://triton:8000"},
    "prometheus": {"url": "http://prometheus:9090"},
    "loki": {"url": "http://loki:3100"},
    "elasticsearch": {"url": "http://elasticsearch:9200"},
    "langfuse": {
        "url": "https://cloud.langfuse.com",
        "public_key": "pk-lf-1",
        "secret_key": "sk-lf-1",
    },
}


def test_every_source_file_is_registered():
    helpers = {
        "__init__",
        "base",
        "plain_json",
        "provider_replies",
        "textfile",
        "usage",
        "vocabulary",
    }
    files = {path.stem for path in Path(sources.__file__).parent.glob("*.py")} - helpers
    files -= {name for name in files if name.startswith("langfuse_")}
    folders = {path.parent.name for path in Path(sources.__file__).parent.glob("*/__init__.py")}

    # A folder is a source of several files, or what several sources share.
    assert files | (folders & set(REGISTRY)) == set(REGISTRY)


@pytest.mark.parametrize("kind", REGISTRY)
def test_every_source_introduces_itself(kind):
    adapter = REGISTRY[kind]

    assert adapter.kind == kind
    assert adapter.label
    assert adapter.help.endswith(".")
    assert adapter.owner in ("project", "pool", "organisation")
    assert adapter.pushes is isinstance(adapter, PushSource)
    assert isinstance(adapter, PushSource | FileSource | PullSource)
    if isinstance(adapter, PushSource):
        assert adapter.scope in TOKEN_SCOPES


@pytest.mark.parametrize("kind", REGISTRY)
def test_checking_a_checked_config_changes_nothing(kind):
    checked = REGISTRY[kind].check_config(VALID[kind])

    assert REGISTRY[kind].check_config(checked) == checked


@pytest.mark.parametrize("kind", REGISTRY)
def test_unknown_setting_is_named(kind):
    with pytest.raises(BadConfig, match=r"^colour: is no setting"):
        REGISTRY[kind].check_config({**VALID[kind], "colour": "red"})


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("request_log", {}, "columns"),
        ("request_log", {"preset": "acme"}, "preset"),
        ("request_log", {"preset": "mooncake", "start": "soon"}, "start"),
        ("request_log", {"preset": "mooncake", "time_format": "epoch_h"}, "time_format"),
        ("request_log", {"preset": "mooncake", "columns": {"colour": "c"}}, "columns"),
        ("request_log", {"preset": "mooncake", "constants": {"kind": "poem"}}, "constants"),
        ("request_log", {"preset": "mooncake", "constants": ["a"]}, "constants"),
        ("request_log", {"preset": "azure2023_code", "delimiter": "x"}, "delimiter"),
        ("focus_csv", {"delimiter": "x"}, "delimiter"),
        ("bill_file", {"delimiter": "x"}, "delimiter"),
        ("bill_file", {"format": "azure"}, "format"),
        ("bill_file", {"currency": "Euro"}, "currency"),
        ("s3_bills", {}, "bucket"),
        ("s3_bills", {"bucket": "s3://acme"}, "bucket"),
        ("s3_bills", {"bucket": "acme", "prefix": "/a"}, "prefix"),
        ("s3_bills", {"bucket": "acme", "region": "Frankfurt"}, "region"),
        ("s3_bills", {"bucket": "acme", "access_key_id": "AKIA"}, "secret_access_key"),
        ("s3_bills", {"bucket": "acme", "endpoint_url": "file:///etc"}, "endpoint_url"),
        ("s3_bills", {"bucket": "acme", "alone_is_whole": "maybe"}, "alone_is_whole"),
        ("aws_cost_explorer", {}, "billing_account"),
        ("aws_cost_explorer", {"billing_account": "12"}, "billing_account"),
        ("aws_cost_explorer", {"billing_account": "1" * 12, "months": 0}, "months"),
        ("prometheus_text", {}, "url"),
        ("prometheus_text", {"url": "file:///etc/passwd"}, "url"),
        ("prometheus_text", {"url": "http://u:p@host/"}, "url"),
        ("prometheus_text", {"url": "http://host/", "prefixes": "nv_"}, "prefixes"),
        ("prometheus_text", {"url": "http://host/", "max_series": 0}, "max_series"),
        ("prometheus_text", {"url": "http://host/", "timeout_s": True}, "timeout_s"),
        ("prometheus_text", {"url": "http://host/", "sets": ["nv"]}, "sets"),
        ("prometheus_text", {"url": "http://host/", "sets": [], "prefixes": []}, "sets"),
        ("prometheus", {}, "url"),
        ("prometheus", {"url": "http://u:p@host/"}, "url"),
        ("prometheus", {"url": "http://host/", "sets": "triton"}, "sets"),
        ("prometheus", {"url": "http://host/", "sets": []}, "sets"),
        ("prometheus", {"url": "http://host/", "match": {"a-b": "c"}}, "match"),
        ("prometheus", {"url": "http://host/", "match": {"a": 5}}, "match"),
        ("prometheus", {"url": "http://host/", "queries": ["up"]}, "queries"),
        ("prometheus", {"url": "http://host/", "queries": [{"name": "a b"}]}, "queries"),
        ("prometheus", {"url": "http://host/", "queries": [{"name": "a"}]}, "queries"),
        (
            "prometheus",
            {"url": "http://host/", "queries": [{"name": "host_cpus", "query": "up"}]},
            "queries",
        ),
        (
            "prometheus",
            {
                "url": "http://host/",
                "queries": [{"name": "triton_model_execution_seconds", "query": "up"}],
            },
            "queries",
        ),
        ("prometheus", {"url": "http://host/", "step_s": 300}, "step_s"),
        ("prometheus", {"url": "http://host/", "max_requests": 1.5}, "max_requests"),
        ("prometheus", {"url": "http://host/", "username": "a:b"}, "username"),
        ("prometheus", {"url": "http://host/", "token": "Bearer abc"}, "token"),
        ("prometheus", {"url": "http://host/", "token": "a", "username": "b"}, "token"),
        ("prometheus", {"url": "http://host/", "password": "a\nb"}, "password"),
        ("triton_statistics", {}, "url"),
        ("triton_statistics", {"url": "file:///etc/passwd"}, "url"),
        ("triton_statistics", {"url": "http://host/", "routers": "gate"}, "routers"),
        ("triton_statistics", {"url": "http://host/", "timeout_s": 31}, "timeout_s"),
    ],
)
def test_bad_setting_is_named(kind, config, field):
    with pytest.raises(BadConfig) as bad:
        REGISTRY[kind].check_config(config)

    assert bad.value.field == field
    assert str(bad.value).endswith(".")
