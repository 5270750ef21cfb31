"""Of an error that was logged, nobody's text is in the database: not of a push, not of a pull."""

from random import Random

import pytest
from django.utils import timezone

from ingest import pull
from ingest.models import ErrorCount, Job, Source
from ingest.sources.otlp import PROTOBUF
from ingest.sources.otlp.log_bodies import log_groups
from ingest.sources.otlp.logs import error_records
from ingest.store import errors
from tests.ingest.sources.log_store_stubs import ElasticsearchStub, Line, LokiStub, serving
from tests.ingest.sources.otlp_logs_body import protobuf
from tests.ingest.test_kept_nothing import everything_stored, sentence, traces_of


def wrapped(text: str) -> list[str]:
    """Messages as programs log them around somebody's text."""
    return [
        f"Failed on '{text}'",
        f'Failed on "{text}" again',
        f"Failed on {{'prompt': '{text}'}}",
        f"Failed: {text}",
        f"Failed\n{text}",
        f"Failed on `{text}",
        " ".join([text] * 4),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_of_a_pushed_text_is_in_any_column(source, seed):
    text = sentence(Random(seed))
    now_ns = int(timezone.now().timestamp()) * 10**9
    told = [
        *({"_body": message} for message in wrapped(text)),
        {"_body": {"prompt": text, "n": 1}},
        {"_body": {"message": f"Failed on '{text}'", "answer": text}},
        {"exception.type": text, "exception.message": text},
        {"_body": "Failed", "exception.message": text, "exception.stacktrace": text},
        {"_body": "Failed", "error.type": text, "gen_ai.prompt": text},
        {"_body": "Failed", "_severity_text": text, "_event": text},
        {"_body": "Failed", "_at_ns": 0, "gen_ai.prompt": text, "_severity_text": text},
    ]
    found = error_records(
        log_groups(protobuf(*({"_at_ns": now_ns, **one} for one in told)), PROTOBUF, [])
    )
    errors.take(source, found.records, found.rejects)

    assert len(found.records) == len(told) - 1
    stored = everything_stored()
    assert "Failed" in stored, "the search must be able to find something"
    assert [word for word in traces_of(text) if word in stored] == []


@pytest.mark.parametrize(
    ("kind", "stub"), [("loki", LokiStub), ("elasticsearch", ElasticsearchStub)]
)
def test_nothing_of_a_pulled_text_is_in_any_column(project, settings, kind, stub):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    text = sentence(Random(kind))
    now = timezone.now()
    messages = [
        *wrapped(text),
        f'{{"msg": "Failed", "prompt": "{text}"}}',
        f'level=error msg="Failed" prompt="{text}"',
    ]
    lines = [Line(now, type=f"E{number}", message=one) for number, one in enumerate(messages)]
    lines.append(Line(now, type=text, message="Failed"))
    with serving(stub(lines=lines)) as running:
        source = Source.objects.create(
            kind=kind, name="Logs", project=project, interval_s=300, config={"url": running.url}
        )
        pull.schedule(now)
        pull.run_job(Job.objects.get().pk)
        source.refresh_from_db()

    assert (source.last_error, ErrorCount.objects.count()) == ("", len(lines))
    stored = everything_stored()
    assert "Failed" in stored, "the search must be able to find something"
    assert [word for word in traces_of(text) if word in stored] == []
