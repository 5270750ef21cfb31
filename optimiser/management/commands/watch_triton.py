"""Tells the demo's metrics source where the demo's Triton listens today."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand

from ingest.models import Source
from optimiser.demo.endpoints import Endpoints


class Command(BaseCommand):
    help = "Point the source “Demo Triton” at the metrics address in DIR/triton.json."

    def add_arguments(self, parser):
        parser.add_argument("--triton", type=Path, required=True)

    def handle(self, *, triton: Path, **options):
        url = Endpoints.read(triton).metrics
        source = Source.objects.get(kind="prometheus_text", name="Demo Triton")
        source.config = {**source.config, "url": url}
        source.enabled = True
        source.save(update_fields=["config", "enabled"])
        self.stdout.write(f"{source} is read every {source.interval_s} s.")
