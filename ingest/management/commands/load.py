"""Loads a file: `manage.py load KIND FILE --source NAME`. Loading it again changes nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from ingest import files
from ingest.models import Project, Source
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, BadFile, FileSource
from ingest.sources.bill_file import BillFile

FILE_KINDS = sorted(kind for kind, adapter in REGISTRY.items() if isinstance(adapter, FileSource))


class Command(BaseCommand):
    help = "Load a request log or a bill from a file. Loading it again changes nothing."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("kind", choices=FILE_KINDS)
        parser.add_argument("file", type=Path, help="For bill_file also a folder with manifests.")
        parser.add_argument("--source", required=True, help="Its name; made if there is none.")
        parser.add_argument("--project", help="Slug of the project whose requests these are.")
        parser.add_argument("--preset", help="A known layout of a request log.")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            dest="constants",
            help="The same for every request, as in model=gpt-4o; repeatable.",
        )
        parser.add_argument("--config", default="{}", help="Further settings, as a JSON object.")
        parser.add_argument("--sample", action="store_true", help="Mark the source as made up.")
        parser.add_argument(
            "--incomplete", action="store_true", help="A bill that supersedes nothing yet."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        kind, path = options["kind"], options["file"]
        is_folder = path.is_dir() and kind == BillFile.kind
        if not path.is_file() and not is_folder:
            raise CommandError(f"There is no file {path}; check the path.")
        source = _source(kind, options)
        try:
            given = _config(options)
            source.config = REGISTRY[kind].check_config({**source.config, **given})
            source.save()
            if is_folder:
                all_taken = files.take_folder(source, path, timezone.now())
            else:
                whole = not options["incomplete"]
                taken = files.take(source, path, name=path.name, complete=whole)
                all_taken = [(path.name, taken)]
        except BadConfig as bad:
            raise CommandError(f"Setting {bad}") from bad
        except BadFile as bad:
            raise CommandError(str(bad)) from bad
        if not all_taken:
            raise CommandError(f"There is no bill in {path}; check the path.")
        for name, taken in all_taken:
            self.stdout.write(_sentence(name, taken))
            for warning in taken.warnings:
                self.stdout.write(self.style.WARNING(f"Note: {warning}"))


def _source(kind: str, options: dict[str, Any]) -> Source:
    project = _project(options["project"])
    source = Source.objects.filter(name=options["source"]).first()
    if source is None:
        return Source(
            kind=kind, name=options["source"], project=project, is_sample=options["sample"]
        )
    if source.kind != kind:
        raise CommandError(f"The source {source.name} is a {source.kind}; choose another name.")
    if project is not None and source.project_id != project.pk:
        raise CommandError(
            f"The source {source.name} belongs to {source.project or 'no project'};"
            " a source's facts do not move, choose another name."
        )
    return source


def _project(slug: str | None) -> Project | None:
    if slug is None:
        return None
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True))
        raise CommandError(f"There is no project {slug}; there are {known}.")
    return project


def _config(options: dict[str, Any]) -> dict[str, Any]:
    try:
        config = json.loads(options["config"])
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise CommandError('--config must be a JSON object, as in {"start": "2026-05-01"}.')
    if options["preset"]:
        config["preset"] = options["preset"]
    constants = dict(_constant(text) for text in options["constants"])
    if constants:
        config["constants"] = {**config.get("constants", {}), **constants}
    return config


def _constant(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--set {text}: write FIELD=VALUE, as in model=gpt-4o.")
    return name, value


def _sentence(name: str, taken: files.Taken) -> str:
    counts = taken.counts
    if taken.repeats is not None:
        return f"Unchanged: {name} was loaded before, on {taken.repeats:%Y-%m-%d %H:%M} UTC."
    start = "Unchanged: " if counts.unchanged == counts.rows_in > 0 else ""
    return (
        f"{start}{name} has {counts.rows_in:,} rows: {counts.inserted:,} new,"
        f" {counts.updated:,} updated, {counts.unchanged:,} unchanged, {counts.stale:,} stale,"
        f" {counts.rejected:,} rejected."
    )
