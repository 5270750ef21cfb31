"""The demo's sources are told where its Triton listens."""

import json

import pytest
from django.core.management import call_command

from finops.actions import demo
from ingest.models import Source
from ingest.sources import REGISTRY


@pytest.mark.django_db
def test_both_sources_of_the_demo_read_the_running_triton(tmp_path):
    demo.add_estate()
    file = tmp_path / "triton.json"
    key = tmp_path / "admin-key"
    key.write_text("secret\n")
    told = {
        "pid": 1,
        "http": "http://127.0.0.1:8000",
        "grpc": "127.0.0.1:8001",
        "metrics": "http://127.0.0.1:8002/metrics",
        "admin_key_file": str(key),
    }
    file.write_text(json.dumps(told))
    call_command("watch_triton", triton=file)
    sources = {
        source.kind: source for source in Source.objects.filter(enabled=True, pool__isnull=False)
    }
    assert sources["prometheus_text"].config == {"url": "http://127.0.0.1:8002/metrics"}
    assert sources["triton_statistics"].config == {
        "url": "http://127.0.0.1:8000",
        "routers": ["digits"],
    }
    for kind in ("prometheus_text", "triton_statistics"):
        assert REGISTRY[kind].check_config(sources[kind].config)
        assert sources[kind].enabled
        assert sources[kind].interval_s <= 60
