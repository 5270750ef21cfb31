"""The commands that try a source out and give it a new key."""

import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from ingest import source_secrets
from ingest.models import Source

from .sources.langfuse_stub import SECRET, Stub, serving
from .test_langfuse_pull import connect

pytestmark = pytest.mark.django_db


@pytest.fixture
def langfuse(project, settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub()) as stub:
        yield connect(stub, project)


def said(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_source_is_tried_out_and_nothing_is_stored(langfuse):
    assert said("check_source", "Langfuse") == (
        "Observations come by v2/observations and scores by v3/scores;"
        " there are no observations yet.\n"
    )
    assert Source.objects.get().last_success_at is None


def test_new_key_is_read_from_the_input_and_takes_effect(langfuse, monkeypatch):
    monkeypatch.setattr(sys, "stdin", StringIO("sk-lf-wrong\n"))
    out = said("replace_secret", "Langfuse", "secret_key")

    assert out == "Langfuse has a new secret_key; try it: manage.py check_source.\n"
    with pytest.raises(CommandError, match="refuses the keys"):
        said("check_source", "Langfuse")
    monkeypatch.setattr(sys, "stdin", StringIO(f"{SECRET}\n"))
    said("replace_secret", "Langfuse", "secret_key")
    assert "Observations come by" in said("check_source", "Langfuse")


@pytest.mark.parametrize(
    ("arguments", "typed", "sentence"),
    [
        (("Nobody", "secret_key"), "x", "There is no source Nobody"),
        (("Langfuse", "public_key"), "x", "public_key is no secret of Langfuse"),
        (("Langfuse", "secret_key"), "", "secret_key: is missing"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    langfuse, monkeypatch, arguments, typed, sentence
):
    monkeypatch.setattr(sys, "stdin", StringIO(typed))
    with pytest.raises(CommandError, match=sentence):
        said("replace_secret", *arguments)
    assert source_secrets.opened(Source.objects.get())["secret_key"] == SECRET


def test_source_that_is_not_fetched_cannot_be_tried(source):
    with pytest.raises(CommandError, match="is not fetched by us"):
        said("check_source", source.name)
    with pytest.raises(CommandError, match="There is no source Nobody"):
        said("check_source", "Nobody")
