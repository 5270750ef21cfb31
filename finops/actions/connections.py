"""Connects sources, gives machines their push tokens, takes files in.

Every change is audited in its own transaction; a file is audited before its first row is taken, so
that none comes in unseen. Refuses to show a secret twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.text import slugify

from finops import audit
from finops.models import User
from ingest import files, source_secrets, tokens
from ingest.models import Pool, Project, Source, Team, Token
from ingest.sources import REGISTRY
from ingest.sources.base import PushSource
from ingest.sources.textfile import sha256_of

SLUG_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class NewSource:
    """A source as somebody describes it. Owners are named; an unknown name makes a new one."""

    kind: str
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    interval_s: int | None = None
    project: str = ""
    team: str = ""
    pool: str = ""
    provider: str = ""
    hardware: str = ""
    gpu_count: int | None = None


def connect(new: NewSource, *, by: User, via: str) -> Source:
    owner = REGISTRY[new.kind].owner
    config, secrets = source_secrets.split(REGISTRY[new.kind], new.config)
    with transaction.atomic():
        source = Source.objects.create(
            kind=new.kind,
            name=new.name,
            config=config,
            secrets=secrets,
            interval_s=new.interval_s,
            project=_project(new, by, via) if owner == "project" else None,
            pool=_pool(new, by, via) if owner == "pool" else None,
        )
        audit.record(by, via, "source.add", source, {"kind": new.kind, "name": new.name})
    return source


def _project(new: NewSource, by: User, via: str) -> Project:
    found = Project.objects.filter(name__iexact=new.project.strip()).first()
    if found is not None:
        return found
    name = new.project.strip()
    team = Team.objects.get_or_create(name=new.team.strip())[0] if new.team.strip() else None
    project = Project.objects.create(slug=_free_slug(name), name=name, team=team)
    audit.record(by, via, "project.add", project, {"name": name, "team": new.team.strip()})
    return project


def _free_slug(name: str) -> str:
    """Names may be alike; addresses may not."""
    base = slugify(name)[: SLUG_LENGTH - 5] or "project"
    taken = set(Project.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(
        slug
        for number in range(len(taken) + 1)
        if (slug := f"{base}-{number + 1}" if number else base) not in taken
    )


def _pool(new: NewSource, by: User, via: str) -> Pool:
    pool, is_new = Pool.objects.get_or_create(
        name=new.pool.strip(),
        defaults={
            "provider": new.provider.strip(),
            "hardware": new.hardware.strip(),
            "gpu_count": new.gpu_count,
        },
    )
    if is_new:
        detail = {"name": pool.name, "hardware": pool.hardware, "gpu_count": pool.gpu_count}
        audit.record(by, via, "pool.add", pool, detail)
    return pool


def issue_push_token(source: Source, name: str, *, by: User, via: str) -> tuple[Token, str]:
    """A new token of a pushing source and its text, which nobody can show again."""
    adapter = REGISTRY[source.kind]
    assert isinstance(adapter, PushSource)
    with transaction.atomic():
        token, text = tokens.issue(source, name, adapter.scope, by.get_username())
        detail = {"name": name, "source": source.name, "scope": adapter.scope}
        audit.record(by, via, "push_token.issue", token, detail)
    return token, text


def revoke_push_token(token: Token, *, by: User, via: str) -> None:
    with transaction.atomic():
        if tokens.revoke(token):
            detail = {"name": token.name, "source": token.source.name}
            audit.record(by, via, "push_token.revoke", token, detail)


def switch(source: Source, enabled: bool, *, by: User, via: str) -> None:
    """On or off. What is off takes nothing more; what it brought stays."""
    with transaction.atomic():
        changed = Source.objects.filter(pk=source.pk, enabled=not enabled).update(enabled=enabled)
        if changed:
            action = "source.switch_on" if enabled else "source.switch_off"
            audit.record(by, via, action, source, {"name": source.name})


def take_file(
    source: Source, path: Path, *, name: str, complete: bool, by: User, via: str
) -> files.Taken:
    """A request log or a bill from somebody's hand. Raises BadFile and BadConfig."""
    detail = {"file": name, "sha256": sha256_of(path).hex(), "complete": complete}
    with transaction.atomic():
        audit.record(by, via, "file.take", source, detail)
    return files.take(source, path, name=name, complete=complete)
