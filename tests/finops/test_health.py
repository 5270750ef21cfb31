import pytest
from django.core.cache import cache
from redis.exceptions import ConnectionError as CacheAway

from ingest import store
from ingest.models import Project, Source
from tests.ingest.make import span


def test_alive_asks_nobody(client, django_assert_num_queries):
    assert client.get("/livez").content == b"ok\n"


@pytest.mark.django_db
def test_ready_when_every_part_answers(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]) == (
        200,
        {"database": "ok", "migrations": "ok", "cache": "ok"},
    )


@pytest.mark.django_db
def test_not_ready_names_the_part_that_is_away(client, monkeypatch):
    def away(*_):
        raise CacheAway

    monkeypatch.setattr(cache, "get", away)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["cache"]) == (503, "does not answer")


@pytest.mark.django_db
def test_metrics_need_the_token_and_tell_of_sources(client, settings):
    settings.METRICS_TOKEN = "metrics-token"
    assert client.get("/metrics").status_code == 401
    project = Project.objects.unallocated()
    source = Source.objects.create(kind="otlp", name='A "quoted" name', project=project)
    store.spans(source, [span(1), span(2, input_tokens=-1)])
    answer = client.get("/metrics", headers={"Authorization": "Bearer metrics-token"})
    lines = answer.content.decode().splitlines()
    assert 'breakeven_rows_last_hour{result="inserted"} 1.0' in lines
    assert "breakeven_quarantined_rows 1.0" in lines
    assert "breakeven_dirty_hours 1.0" in lines
