"""Tags of a real repository, made here with the git program."""

import os
import subprocess
from datetime import UTC, datetime

import pytest

from ingest import git_tags

FIRST = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)
SECOND = datetime(2026, 11, 9, 16, 30, tzinfo=UTC)


def git(path, *words, at=FIRST):
    stamp = f"{int(at.timestamp())} +0000"
    env = {
        "PATH": os.environ["PATH"], "HOME": str(path),
        "GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp,
        "GIT_AUTHOR_NAME": "Dev", "GIT_AUTHOR_EMAIL": "dev@example.org",
        "GIT_COMMITTER_NAME": "Dev", "GIT_COMMITTER_EMAIL": "dev@example.org",
    }  # fmt: skip
    subprocess.run(["git", "-C", str(path), *words], env=env, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """A plain tag on the first commit, one with its own date a week later, one of a file."""
    path = tmp_path / "search"
    path.mkdir()
    git(path, "init", "--initial-branch=main")
    (path / "a").write_text("a")
    git(path, "add", "a")
    git(path, "commit", "-m", "first")
    git(path, "tag", "v1.0.0")
    git(path, "tag", "-a", "v1.1.0", "-m", "Second", at=SECOND)
    git(path, "tag", "nightly")
    git(path, "tag", "a-file", "HEAD:a")
    return path


def test_tags_become_releases_with_their_own_times(repository):
    found = list(git_tags.releases(repository, pattern="v*", link="https://x.example/{tag}"))
    assert [(one.called, one.happened_at, one.external_id, one.link) for one in found] == [
        ("search v1.0.0", FIRST, "git:search:v1.0.0", "https://x.example/v1.0.0"),
        ("search v1.1.0", SECOND, "git:search:v1.1.0", "https://x.example/v1.1.0"),
    ]


def test_without_a_pattern_every_tag_of_a_commit_is_taken(repository):
    assert {one.version for one in git_tags.releases(repository)} == {
        "v1.0.0", "v1.1.0", "nightly",
    }  # fmt: skip


def test_bare_repository_gives_its_name_without_the_ending(repository, tmp_path):
    bare = tmp_path / "search-api.git"
    git(tmp_path, "clone", "--bare", str(repository), str(bare))
    assert {one.service for one in git_tags.releases(bare)} == {"search-api"}


def test_service_may_be_named(repository):
    [one] = git_tags.releases(repository, service="ranking", pattern="v1.0*", environment="live")
    assert (one.service, one.environment) == ("ranking", "live")


def test_folder_that_is_no_repository_is_said(tmp_path):
    with pytest.raises(git_tags.GitError, match="is no Git repository that can be read: not a git"):
        list(git_tags.releases(tmp_path))


def test_missing_folder_is_said(tmp_path):
    with pytest.raises(git_tags.GitError, match="give the path of a Git repository"):
        list(git_tags.releases(tmp_path / "nowhere"))


def test_missing_git_is_said(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(git_tags.GitError, match="There is no program git here; install it"):
        list(git_tags.releases(repository))


def test_git_that_hangs_is_given_up(repository, tmp_path, monkeypatch):
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    monkeypatch.setattr(git_tags, "TIMEOUT_S", 0.3)
    with pytest.raises(git_tags.GitError, match=r"did not answer within 0.3 s"):
        list(git_tags.releases(repository))
