"""Deletes kept text at once: `manage.py forget_text PROJECT`. The facts stay."""

from __future__ import annotations

import argparse
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingest.models import Project
from ingest.store import texts


class Command(BaseCommand):
    help = "Delete the prompts and answers kept of a project. Spans, tokens and costs stay."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("project", help="The project's slug.")
        parser.add_argument("--before", type=date.fromisoformat, help="Only days before this one.")
        parser.add_argument("--user", default="", help="Only the requests of this user id.")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            known = ", ".join(Project.objects.values_list("slug", flat=True))
            raise CommandError(f"There is no project {options['project']}; there are {known}.")
        count = texts.forget(project.pk, before=options["before"], user_id=options["user"])
        self.stdout.write(f"Deleted the text of {count:,} spans of {project.name}.")
        if project.keeps_text:
            self.stdout.write("The project still keeps new text; switch it off to keep none.")
