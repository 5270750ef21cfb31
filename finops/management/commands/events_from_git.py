"""Git tags → releases: `manage.py events_from_git PATH --pattern 'v*'`. Again changes nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finops.actions import events as actions
from ingest import git_tags
from ingest.store.events import counts_of

from .event import project_of


class Command(BaseCommand):
    help = "Read the tags of a Git repository as releases; reading them again changes nothing."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="Of the repository or a folder in it.")
        parser.add_argument("--service", default="", help="Name of the repository if left out.")
        parser.add_argument("--project", help="Its slug; left out: the whole estate.")
        parser.add_argument("--environment", default="", help="As in production.")
        parser.add_argument("--pattern", default="*", help="Which tags, as in 'v*'.")
        parser.add_argument("--link", default="", help="With {tag}, as in https://…/tag/{tag}.")

    def handle(self, *args: Any, **options: Any) -> None:
        project = project_of(options["project"])
        try:
            found = list(
                git_tags.releases(
                    options["path"],
                    service=options["service"],
                    environment=options["environment"],
                    pattern=options["pattern"],
                    link=options["link"],
                )
            )
        except git_tags.GitError as error:
            raise CommandError(str(error)) from error
        kept = actions.add_all(found, project)
        for one in kept:
            if one.reject is not None:
                note = f"{one.reject.external_id}: {one.reject.field}: {one.reject.detail}"
                self.stderr.write(self.style.WARNING(note))
        counts = counts_of(kept)
        self.stdout.write(
            f"{counts.rows_in:,} tags: {counts.inserted:,} new, {counts.updated:,} updated,"
            f" {counts.unchanged:,} unchanged, {counts.rejected:,} refused."
        )
        if counts.rejected:
            raise CommandError("Not every tag was taken; each is named above with its reason.")
