import psycopg
import pytest
from django.core.cache import cache
from django.db import connection
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


@pytest.mark.django_db(transaction=True)
def test_connections_that_died_in_the_pool_are_not_handed_out(client):
    connection.ensure_connection()
    parameters = connection.connection.info.get_parameters()
    pool = connection.pool
    pool.open()  # another test may have closed it
    lent = [pool.getconn() for _ in range(2)]
    dying = [one.info.backend_pid for one in lent]
    for one in lent:
        pool.putconn(one)
    connection.close()
    with psycopg.connect(**parameters) as killer:
        for pid in dying:
            # It waits for the end, so that nothing below is only in luck.
            [(ended,)] = killer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            assert ended
    assert [client.get("/readyz").status_code for _ in range(3)] == [200] * 3


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
