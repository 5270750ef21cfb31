"""Gives a source a new key: `manage.py replace_secret SOURCE SETTING`, which asks for it."""

from __future__ import annotations

import argparse
import sys
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingest import source_secrets
from ingest.models import Source
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig


class Command(BaseCommand):
    help = "Put a new key or password of a source in place of the old one; it is never shown."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", help="Its name.")
        parser.add_argument("setting", help="Such as secret_key.")

    def handle(self, *args: Any, **options: Any) -> None:
        source = Source.objects.filter(name=options["source"]).first()
        if source is None:
            raise CommandError(f"There is no source {options['source']}; check its name.")
        adapter, name = REGISTRY[source.kind], options["setting"]
        secrets = [setting.name for setting in adapter.settings if setting.secret]
        if name not in secrets:
            known = ", ".join(secrets) or "none"
            raise CommandError(f"{name} is no secret of {adapter.label}; it has {known}.")
        # Never as an argument: those are seen by everybody on the machine.
        said = getpass("New: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
        try:
            source_secrets.replace(source, adapter, {name: said})
        except BadConfig as bad:
            raise CommandError(f"Setting {bad}") from bad
        self.stdout.write(f"{source.name} has a new {name}; try it: manage.py check_source.")
