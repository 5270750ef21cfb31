"""Connects sources and changes them, gives machines their push tokens, takes files in.

Every change is audited in its own transaction; a file is audited before its first row is taken, so
that none comes in unseen. Refuses to show a secret twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from finops import audit
from finops.models import User
from ingest import files, source_secrets, tokens
from ingest.models import Pool, Project, Source, Team, Token
from ingest.sources import REGISTRY, base
from ingest.sources.base import BadConfig, PullSource, PushSource
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


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What of a source is to be different; None, or a setting not named, stays as it is."""

    name: str | None = None
    interval_s: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


class Refused(ValueError):
    """A source cannot be like that: `field` says where, `message` how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


NAME_LENGTH = 100
TAKEN = "There is a source of this name; choose another one."
WHOSE = {"project": "a project", "pool": "a pool", "organisation": "the whole organisation"}
OWNERS = {"project": ("team",), "pool": ("provider", "hardware", "gpu_count")}
"""Who may own a source → what else may be said of a new one."""


def checked(new: NewSource) -> NewSource:
    """As it may be connected, with the defaults of its kind. Raises Refused."""
    adapter = REGISTRY.get(new.kind)
    if adapter is None:
        raise Refused("kind", f"Use one of {', '.join(REGISTRY)}.")
    check_name(new.name.strip())
    for owner, more in OWNERS.items():
        if adapter.owner == owner and not getattr(new, owner).strip():
            raise Refused(owner, f"Name the {owner} whose facts these are; a new name makes one.")
        for name in (owner, *more) if adapter.owner != owner else ():
            if getattr(new, name):
                whose = WHOSE[adapter.owner]
                raise Refused(name, f"Leave it out: {adapter.label} brings facts of {whose}.")
    interval_s = new.interval_s
    if interval_s is None and isinstance(adapter, PullSource):
        interval_s = adapter.usual_interval_s
    _check_interval(adapter, interval_s)
    config = _checked_settings(adapter, new.config)
    return replace(new, name=new.name.strip(), interval_s=interval_s, config=config)


def check_name(name: str, own: int | None = None) -> None:
    """`own` is the source that may go on having it."""
    if not 0 < len(name) <= NAME_LENGTH:
        raise Refused("name", f"Give it a name of at most {NAME_LENGTH} characters.")
    if Source.objects.filter(name=name).exclude(pk=own).exists():
        raise Refused("name", TAKEN)


def _check_interval(adapter: base.Source, interval_s: int | None) -> None:
    if not isinstance(adapter, PullSource):
        if interval_s is not None:
            raise Refused("interval_s", f"Leave it out: nothing is fetched for {adapter.label}.")
        return
    least, most = adapter.least_interval_s, adapter.most_interval_s
    if interval_s is None or not least <= interval_s <= most:
        raise Refused("interval_s", f"Must be from {least} to {most:,} seconds.")


def _checked_settings(adapter: base.Source, config: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return adapter.check_entered(config)
    except BadConfig as bad:
        message = bad.message[:1].upper() + bad.message[1:]
        raise Refused(f"config.{bad.field[:40]}", message) from bad


def connect(new: NewSource, *, by: User | None, via: str) -> Source:
    """`new` must have been checked, by `checked` or by its form. Raises Refused."""
    owner = REGISTRY[new.kind].owner
    config, secrets = source_secrets.split(REGISTRY[new.kind], new.config)
    with _names_are_unique(), transaction.atomic():
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


def change(source: Source, changes: Changes, *, by: User | None, via: str) -> list[str]:
    """The names of what is different now; a setting is `config.its_name`. Raises Refused."""
    with _names_are_unique(), transaction.atomic():
        row = Source.objects.select_for_update().get(pk=source.pk)
        adapter = REGISTRY[row.kind]
        told = {
            name: value
            for name in ("name", "interval_s")
            if (value := getattr(changes, name)) not in (None, getattr(row, name))
        }
        if "name" in told:
            check_name(told["name"], row.pk)
        if "interval_s" in told:
            _check_interval(adapter, told["interval_s"])
        moved = _change_settings(row, adapter, changes.config)
        if not told and not moved:
            return []
        for name, value in told.items():
            setattr(row, name, value)
        row.save(update_fields=[*told, "config", "secrets"])
        # Of settings only the names: what they hold may be nobody's business.
        detail = {"name": source.name, "to": told, "settings": moved}
        audit.record(by, via, "source.change", row, detail)
    source.refresh_from_db()
    return [*told, *(f"config.{name}" for name in moved)]


def _change_settings(row: Source, adapter: base.Source, changes: Mapping[str, Any]) -> list[str]:
    if not changes:
        return []
    was = source_secrets.opened(row)
    config = _checked_settings(adapter, {**was, **changes})
    row.config, row.secrets = source_secrets.split(adapter, config)
    defaults = {setting.name: setting.default for setting in adapter.settings}
    return sorted(
        name for name, value in config.items() if value != was.get(name, defaults.get(name))
    )


@contextmanager
def _names_are_unique() -> Iterator[None]:
    """Two people may choose the same name at once; the database keeps one."""
    try:
        yield
    except IntegrityError as error:
        raise Refused("name", TAKEN) from error


def _project(new: NewSource, by: User | None, via: str) -> Project:
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


def _pool(new: NewSource, by: User | None, via: str) -> Pool:
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


def issue_push_token(source: Source, name: str, *, by: User | None, via: str) -> tuple[Token, str]:
    """A new token of a pushing source and its text, which nobody can show again."""
    adapter = REGISTRY[source.kind]
    assert isinstance(adapter, PushSource)
    with transaction.atomic():
        token, text = tokens.issue(
            source, name, adapter.scope, by.get_username() if by else "system"
        )
        detail = {"name": name, "source": source.name, "scope": adapter.scope}
        audit.record(by, via, "push_token.issue", token, detail)
    return token, text


def revoke_push_token(token: Token, *, by: User, via: str) -> None:
    with transaction.atomic():
        if tokens.revoke(token):
            detail = {"name": token.name, "source": token.source.name}
            audit.record(by, via, "push_token.revoke", token, detail)


def switch(source: Source, enabled: bool, *, by: User | None, via: str) -> None:
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
