"""Adds Triton servers and the models on them that changes may be applied to.

Every addition is audited in its own transaction. An admin key goes in and is never shown again.
Refuses addresses that may not be fetched; it calls no server: the reconciler looks within a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import IntegrityError, transaction

from finops import audit
from finops.models import User
from ingest.encryption import encrypt
from ingest.models import Pool, Project, Source
from ingest.outgoing import Refused, check_url
from optimiser.approvals import NotAllowed
from optimiser.models import TARGET_KINDS, Server, Target

MANAGE = "finops.manage_targets"
STATISTICS = "triton_statistics"
"""The kind of source that measures a server."""


class BadConnection(ValueError):
    """A field that cannot work: `field` says which, `message` how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class NewServer:
    name: str
    url: str
    admin_key: str = ""
    timeout_s: float = 10
    statistics_source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTarget:
    server: Server
    project: Project
    pool: Pool
    model: str
    kind: str = "model"
    shadow_model: str = ""
    request_model: str = ""
    """Empty: callers ask for it by the name it has on the server."""


def add_server(new: NewServer, *, by: User, via: str) -> Server:
    """Raises NotAllowed and BadConnection."""
    _must_manage(by)
    url = _checked(new.url)
    source = new.statistics_source
    if source is not None and source.kind != STATISTICS:
        raise BadConnection("statistics_source", f"must be a source of kind {STATISTICS}.")
    try:
        with transaction.atomic():
            server = Server.objects.create(
                name=new.name.strip(),
                url=url,
                admin_key=encrypt(new.admin_key.encode()) if new.admin_key else None,
                timeout_s=new.timeout_s,
                statistics_source=source,
            )
            detail = {"name": server.name, "url": url, "has_admin_key": bool(new.admin_key)}
            audit.record(by, via, "server.add", server, detail)
    except IntegrityError:
        raise BadConnection("name", "There is a server of this name; choose another one.") from None
    return server


def add_target(new: NewTarget, *, by: User, via: str) -> Target:
    """Raises NotAllowed and BadConnection."""
    _must_manage(by)
    if new.kind not in TARGET_KINDS:
        raise BadConnection("kind", f"Use one of {', '.join(TARGET_KINDS)}.")
    if new.shadow_model and new.shadow_model == new.model:
        raise BadConnection("shadow_model", "Give another name: measuring loads and unloads it.")
    try:
        with transaction.atomic():
            target = Target.objects.create(
                server=new.server,
                project=new.project,
                pool=new.pool,
                kind=new.kind,
                model=new.model.strip(),
                shadow_model=new.shadow_model.strip(),
                request_model=new.request_model.strip() or new.model.strip(),
            )
            detail = {
                "server": new.server.name,
                "model": target.model,
                "project": new.project.slug,
                "pool": new.pool.name,
            }
            audit.record(by, via, "target.add", target, detail)
    except IntegrityError:
        raise BadConnection("model", "This model of the server is a target already.") from None
    return target


def _must_manage(person: User) -> None:
    if not person.has_perm(MANAGE):
        raise NotAllowed("Only admins add servers and targets; ask one.")


def _checked(url: str) -> str:
    try:
        parsed = check_url(url.strip())
    except Refused as refused:
        raise BadConnection("url", str(refused)) from None
    if parsed.query or parsed.fragment or parsed.path not in ("", "/"):
        raise BadConnection("url", "Give the server alone, as in http://triton:8000.")
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"
