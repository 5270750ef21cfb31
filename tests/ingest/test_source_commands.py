"""The command that tries a source out."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from ingest.models import Source

from .sources.langfuse_stub import Stub, serving
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


def test_source_that_is_not_fetched_cannot_be_tried(source):
    with pytest.raises(CommandError, match="is not fetched by us"):
        said("check_source", source.name)
    with pytest.raises(CommandError, match="There is no source Nobody"):
        said("check_source", "Nobody")
