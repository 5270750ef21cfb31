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
    "prometheus_text": {"url": "http://triton:8002/metrics"},
    "triton_statistics": {"url": "http://triton:8000"},
}


def test_every_source_file_is_registered():
    helpers = {"__init__", "base", "textfile", "usage", "vocabulary"}
    files = {path.stem for path in Path(sources.__file__).parent.glob("*.py")} - helpers

    assert files == set(REGISTRY)


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
        ("prometheus_text", {}, "url"),
        ("prometheus_text", {"url": "file:///etc/passwd"}, "url"),
        ("prometheus_text", {"url": "http://u:p@host/"}, "url"),
        ("prometheus_text", {"url": "http://host/", "prefixes": "nv_"}, "prefixes"),
        ("prometheus_text", {"url": "http://host/", "max_series": 0}, "max_series"),
        ("prometheus_text", {"url": "http://host/", "timeout_s": True}, "timeout_s"),
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
