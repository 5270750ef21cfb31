"""Tells everything that reads or changes the demo's Triton where it listens today."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand
from django.db import transaction

from finops import audit
from finops.actions.demo import POOL
from ingest.encryption import encrypt
from ingest.models import Pool, Project, Source
from optimiser.demo.digits import PUBLIC
from optimiser.demo.endpoints import Endpoints
from optimiser.demo.triton import SHADOW
from optimiser.models import Server, Target

SERVER = "Demo Triton"

TARGETS = (
    ("fixedcost", "nightly-batch", "model", f"fixedcost{SHADOW}"),
    ("matrix", "code-assist", "model", f"matrix{SHADOW}"),
    (PUBLIC, "digit-reader", "router", ""),
)
"""Model, the project whose people decide on it, kind, shadow."""


class Command(BaseCommand):
    help = "Point the demo's sources, server and targets at the Triton in DIR/triton.json."

    def add_arguments(self, parser):
        parser.add_argument("--triton", type=Path, required=True)

    def handle(self, *, triton: Path, **options):
        endpoints = Endpoints.read(triton)
        self._read("prometheus_text", {"url": endpoints.metrics})
        statistics = self._read("triton_statistics", {"url": endpoints.http, "routers": [PUBLIC]})
        with transaction.atomic():
            self._change(endpoints, statistics)

    def _read(self, kind: str, config: dict) -> Source:
        source = Source.objects.get(kind=kind, name__startswith="Demo Triton")
        source.config = {**source.config, **config}
        source.enabled = True
        source.save(update_fields=["config", "enabled"])
        self.stdout.write(f"{source} is read every {source.interval_s} s.")
        return source

    def _change(self, endpoints: Endpoints, statistics: Source) -> None:
        server, is_new = Server.objects.update_or_create(
            name=SERVER,
            defaults={
                "url": endpoints.http,
                "admin_key": encrypt(endpoints.admin_key.encode()),
                "statistics_source": statistics,
            },
        )
        if is_new:
            detail = {"name": SERVER, "url": endpoints.http, "has_admin_key": True}
            audit.record(None, "command", "server.add", server, detail)
        pool = Pool.objects.get(name=POOL)
        for model, project, kind, shadow in TARGETS:
            Target.objects.get_or_create(
                server=server,
                model=model,
                defaults={
                    "project": Project.objects.get(slug=project),
                    "pool": pool,
                    "kind": kind,
                    "shadow_model": shadow,
                    "request_model": model,
                },
            )
        self.stdout.write(f"Changes to {len(TARGETS)} models of {server} can be proposed.")
