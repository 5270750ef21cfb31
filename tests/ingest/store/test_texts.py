"""Kept text: only where a project keeps it, apart from the facts, gone when its days are over."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from ingest import partitions, store, tasks
from ingest.models import Span, SpanText
from ingest.records import span_key
from ingest.store import texts
from tests.ingest.make import NOON, span

ASKED = {"gen_ai.input.messages": "Where is Cleo?"}


@pytest.fixture
def keeping(source):
    source.project.keeps_text = True
    source.project.save()
    return source


def kept(source, number: int = 1) -> dict[str, str]:
    key = span_key(source.project_id, f"{number:032x}", f"{number:016x}")
    return texts.of_span(source.project_id, NOON.date(), key)


def came(days_ago: float) -> None:
    SpanText.objects.update(received_at=timezone.now() - timedelta(days=days_ago))


def test_text_is_kept_beside_the_span_and_not_in_it(keeping):
    store.spans(keeping, [span(texts=ASKED)])

    assert kept(keeping) == ASKED
    assert "Cleo" not in str(Span.objects.values_list().get())


def test_text_of_a_project_that_keeps_none_is_not_stored(source):
    store.spans(source, [span(texts=ASKED)])

    assert Span.objects.count() == 1
    assert not SpanText.objects.exists()


def test_later_version_adds_its_text_and_an_older_one_fills(keeping):
    store.spans(keeping, [span(version=2, texts={"input": "new", "a": "1"})])
    store.spans(keeping, [span(version=3, texts={"input": "newer", "output": "yes"})])
    store.spans(keeping, [span(version=1, texts={"input": "old", "metadata": "m"})])

    assert kept(keeping) == {"input": "newer", "a": "1", "output": "yes", "metadata": "m"}
    assert SpanText.objects.get().version == 3


def test_same_text_again_changes_nothing(keeping):
    store.spans(keeping, [span(texts=ASKED)])
    before = SpanText.objects.values().get()

    counts = store.spans(keeping, [span(texts=ASKED)])

    assert counts.unchanged == 1
    assert SpanText.objects.values().get() == before


def test_text_that_postgresql_cannot_hold_is_mended(keeping):
    store.spans(keeping, [span(texts={"input": "a\0b \ud83d" + "x" * 200_000})])

    assert kept(keeping)["input"] == ("a\ufffdb ?" + "x" * 200_000)[: texts.MAX_TEXT_CHARS]


def test_text_goes_after_its_projects_days(keeping):
    store.spans(keeping, [span(1, texts=ASKED), span(2, texts=ASKED)])
    came(days_ago=29)
    assert texts.purge(timezone.now()) == 0

    keeping.project.text_days = 28
    keeping.project.save()

    assert texts.purge(timezone.now()) == 2
    assert Span.objects.count() == 2
    assert partitions.existing(partitions.SPAN_TEXT) == []


def test_one_projects_days_leave_the_others_text_alone(keeping):
    from tests.factories.ingest import ProjectFactory, SourceFactory

    other = SourceFactory(project=ProjectFactory(keeps_text=True, text_days=60))
    store.spans(keeping, [span(texts=ASKED)])
    store.spans(other, [span(texts=ASKED)])
    came(days_ago=31)

    tasks.keep_house()

    assert [row.project_id for row in SpanText.objects.all()] == [other.project_id]


def test_text_comes_again_after_the_table_of_its_day_went(keeping):
    store.spans(keeping, [span(1, texts=ASKED)])
    came(days_ago=31)
    texts.purge(timezone.now())

    store.spans(keeping, [span(2, texts=ASKED)])

    assert kept(keeping, 2) == ASKED


def test_text_does_not_outlive_its_span(keeping, settings):
    settings.RETENTION_DAYS = {**settings.RETENTION_DAYS, "span": 1}
    keeping.project.text_days = 3650
    keeping.project.save()
    store.spans(keeping, [span(texts=ASKED)])
    tasks.roll_up()
    tasks.sum_users()
    Span.objects.update(received_at=NOON)

    dropped = partitions.drop_expired(timezone.now().date() + timedelta(days=40))

    assert dropped == [partitions.SPAN.name(NOON.date())]
    assert not SpanText.objects.exists()


def test_forgetting_takes_what_was_asked_for(keeping, capsys):
    store.spans(
        keeping,
        [
            span(1, user_id="asha", texts=ASKED),
            span(2, user_id="ben", texts=ASKED),
            span(3, user_id="ben", texts=ASKED, started_at=NOON - timedelta(days=3)),
        ],
    )

    call_command("forget_text", "search", before=NOON.date())
    assert SpanText.objects.count() == 2

    call_command("forget_text", "search", user="asha")
    assert [row.key for row in SpanText.objects.all()] == [
        span_key(keeping.project_id, f"{2:032x}", f"{2:016x}")
    ]

    call_command("forget_text", "search")
    assert not SpanText.objects.exists()
    assert Span.objects.count() == 3
    assert "Deleted the text of 1 spans of Search." in capsys.readouterr().out


def test_forgetting_names_the_projects_there_are(project):
    with pytest.raises(CommandError, match=r"There is no project serach; there are .*search"):
        call_command("forget_text", "serach")


def test_rejected_and_late_spans_keep_no_text(keeping):
    bad = span(1, input_tokens=-1, texts=ASKED)
    counts = store.spans(keeping, [bad, span(2, texts=ASKED)])

    assert counts.rejected == 1
    assert SpanText.objects.count() == 1


def test_every_stored_column_round_trips(source):
    store.spans(
        source,
        [
            span(
                input_tokens=100,
                raw_usage={"prompt_tokens": 100, "details": {"cached": 0}},
                parameters_hash=b"k1p",
                prompt_signature=b"k1s",
                input_chars=200,
                removable_chars=20,
            )
        ],
    )

    row = Span.objects.values().get()
    assert row["raw_usage"] == {"prompt_tokens": 100, "details": {"cached": 0}}
    assert (bytes(row["parameters_hash"]), bytes(row["prompt_signature"])) == (b"k1p", b"k1s")
    assert row["removable_tokens"] == 10
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_typeof(raw_usage)::text FROM ingest_span")
        assert cursor.fetchone() == ("jsonb",)
