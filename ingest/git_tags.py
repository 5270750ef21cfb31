"""The tags of a Git repository → releases. Asks the `git` program; refuses to change anything.

A tag's time is when it was made, and for a tag without a time of its own that of its commit. The
same tag is the same event however often it is read.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from ingest.events import LONGEST, RELEASE, EventRecord

TIMEOUT_S = 30
MOST_TAGS = 10_000
FORMAT = "%(refname:short)%00%(creatordate:unix)%00%(objectname)"


class GitError(Exception):
    """Why no tag could be read, with the fix."""


def releases(
    path: Path, *, service: str = "", environment: str = "", pattern: str = "*", link: str = ""
) -> Iterator[EventRecord]:
    """A release for each tag that matches, oldest first. `link` may hold `{tag}`.

    Raises GitError.
    """
    name = service or _name_of(path)
    for tag, at in _tags(path):
        if not fnmatchcase(tag, pattern):
            continue
        yield EventRecord(
            kind=RELEASE,
            external_id=f"git:{name}:{tag}"[: LONGEST["external_id"]],
            version=tag[: LONGEST["version"]],
            service=name,
            environment=environment,
            happened_at=at,
            link=link.replace("{tag}", tag),
            origin="git",
        )


def _name_of(path: Path) -> str:
    top = Path(_git(path, "rev-parse", "--absolute-git-dir").strip())
    folder = top.parent if top.name == ".git" else top
    return folder.name.removesuffix(".git")


def _tags(path: Path) -> Iterator[tuple[str, datetime]]:
    told = _git(
        path, "for-each-ref", "--sort=creatordate", f"--count={MOST_TAGS}", f"--format={FORMAT}",
        "refs/tags",
    )  # fmt: skip
    for line in told.splitlines():
        tag, seconds, _ = line.split("\0")
        # A tag of a file or a tree has no time anywhere: it is no release of anything.
        if seconds:
            yield tag, datetime.fromtimestamp(int(seconds), UTC)


def _git(path: Path, *words: str) -> str:
    if not path.is_dir():
        raise GitError(f"There is no folder {path}; give the path of a Git repository.")
    command = ["git", "-C", str(path), *words]
    try:
        done = subprocess.run(  # noqa: S603  our own words; the path stands behind -C
            command, capture_output=True, timeout=TIMEOUT_S, check=False, encoding="utf-8"
        )
    except FileNotFoundError:
        raise GitError("There is no program git here; install it, or tell events by API.") from None
    except subprocess.TimeoutExpired:
        raise GitError(
            f"git did not answer within {TIMEOUT_S} s; is {path} on a slow disk?"
        ) from None
    except UnicodeDecodeError:
        raise GitError(f"A tag of {path} has a name that is no UTF-8; give --pattern.") from None
    if done.returncode != 0:
        raise GitError(f"{path} is no Git repository that can be read: {_reason(done.stderr)}")
    return done.stdout


def _reason(said: str) -> str:
    line = said.strip().splitlines()[0] if said.strip() else "git gave no reason"
    return line.removeprefix("fatal: ")[:300]
