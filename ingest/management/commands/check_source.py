"""Tries a connected source out: `manage.py check_source SOURCE`. Nothing is stored."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingest import fetching
from ingest.models import Source
from ingest.sources.base import FetchError


class Command(BaseCommand):
    help = "Ask a source that is pulled for one page and say what was found."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", help="Its name.")

    def handle(self, *args: Any, **options: Any) -> None:
        source = Source.objects.filter(name=options["source"]).first()
        if source is None:
            raise CommandError(f"There is no source {options['source']}; check its name.")
        try:
            self.stdout.write(fetching.check(source))
        except FetchError as failure:
            raise CommandError(str(failure)) from failure
