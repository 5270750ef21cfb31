"""`manage.py event` and `manage.py events_from_git`."""

import json
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from finops.models import Audit
from ingest.models import Event
from tests.factories.ingest import ProjectFactory
from tests.ingest.test_git_tags import FIRST, git

pytestmark = pytest.mark.django_db


def run(*words) -> str:
    out = StringIO()
    call_command(*map(str, words), stdout=out, stderr=out)
    return out.getvalue()


def test_event_is_added_listed_and_ended():
    ProjectFactory(slug="search")
    said = run(
        "event", "add", "incident", "--title", "GPU host down", "--project", "search",
        "--at", "2026-11-10T09:00", "--id", "inc-1",
    )  # fmt: skip
    event = Event.objects.get()
    begin = f"#{event.pk} 2026-11-10 09:00"
    assert said == f"Inserted: {begin} UTC incident GPU host down (search, not ended)\n"
    assert run("event", "list", "--days", 10_000) == said.removeprefix("Inserted: ")
    assert run("event", "end", event.pk, "--at", "2026-11-10T10:00") == (
        f"Ended: {begin} to 2026-11-10 10:00 UTC incident GPU host down (search)\n"
    )
    told = list(Audit.objects.order_by("pk").values_list("action", "actor_name", "via"))
    assert told == [("event.add", "system", "command"), ("event.end", "system", "command")]


def test_added_again_it_is_unchanged():
    words = ("event", "add", "release", "--service", "search", "--version", "1", "--at",
             "2026-11-10")  # fmt: skip
    assert run(*words).startswith("Inserted:")
    assert run(*words).startswith("Unchanged:")
    assert Event.objects.get().happened_at == datetime(2026, 11, 10, tzinfo=UTC)


def test_list_as_json_is_one_object_a_line():
    run("event", "add", "release", "--title", "Now")
    [line] = run("event", "list", "--json").splitlines()
    assert (json.loads(line)["title"], json.loads(line)["project"]) == ("Now", None)


def test_empty_list_says_so():
    assert run("event", "list", "--kind", "incident") == "No events in the last 30 days.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "release"), "title: Say what it was: give a title, or a service and a version."),
        (("add", "release", "--title", "x", "--link", "ftp://x"), "link: Must be an address"),
        (("add", "release", "--title", "x", "--project", "no"), "There is no project no;"),
        (("add", "release", "--title", "x", "--at", "soon"), "soon is no time"),
        (("add", "party", "--title", "x"), "invalid choice: 'party'"),
        (("list", "--days", "99999999999"), "99999999999 is no number from 1 to 36,500."),
        (("end", "7"), "There is no event 7; `event list` shows them."),
    ],
)
def test_bad_input_says_the_fix(words, said):
    with pytest.raises(CommandError, match=said.replace("(", r"\(")):
        run("event", *words)
    assert not Event.objects.exists()


@pytest.fixture
def repository(tmp_path):
    path = tmp_path / "search"
    path.mkdir()
    git(path, "init", "--initial-branch=main")
    git(path, "commit", "--allow-empty", "-m", "first")
    git(path, "tag", "v1.0.0")
    git(path, "tag", "v1.1.0")
    git(path, "tag", "nightly")
    return path


def test_tags_are_read_once_and_a_new_one_alone_later(repository):
    project = ProjectFactory(slug="search")
    words = ("events_from_git", repository, "--pattern", "v*", "--project", "search")
    assert run(*words) == "2 tags: 2 new, 0 updated, 0 unchanged, 0 refused.\n"
    assert run(*words) == "2 tags: 0 new, 0 updated, 2 unchanged, 0 refused.\n"
    git(repository, "tag", "v1.2.0")
    assert run(*words) == "3 tags: 1 new, 0 updated, 2 unchanged, 0 refused.\n"
    found = Event.objects.filter(version="v1.0.0").get()
    assert (found.title, found.happened_at, found.project) == ("search v1.0.0", FIRST, project)


def test_tag_that_cannot_be_taken_costs_only_itself(repository):
    git(repository, "tag", "-a", "v9", "-m", "x", at=datetime(2099, 1, 1, tzinfo=UTC))
    with pytest.raises(CommandError, match="Not every tag was taken"):
        run("events_from_git", repository, "--pattern", "v*")
    assert set(Event.objects.values_list("version", flat=True)) == {"v1.0.0", "v1.1.0"}


def test_removed_release_is_not_brought_back_by_its_tag(repository):
    run("events_from_git", repository)
    Event.objects.filter(version="nightly").update(removed_at=FIRST)
    run("events_from_git", repository)
    assert Event.objects.get(version="nightly").removed_at == FIRST


def test_folder_without_a_repository_is_said(tmp_path):
    with pytest.raises(CommandError, match="is no Git repository that can be read"):
        run("events_from_git", tmp_path)
