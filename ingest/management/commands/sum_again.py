"""Sums days again whose facts are still there: `manage.py sum_again --since 2026-11-01`."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

MARK = """
INSERT INTO ingest_dirty_hour (owner_kind, owner_id, hour, marked_at)
SELECT owner_kind, owner_id, hour, now() FROM ingest_rolledhour h
WHERE owner_kind = 'project' AND hour >= %(since)s AND hour < %(before)s
    AND NOT EXISTS (
        SELECT FROM ingest_sealedday z
        WHERE z."table" = 'ingest_span' AND z.day = (h.hour AT TIME ZONE 'UTC')::date)
ORDER BY hour DESC"""
"""The newest first: that is what people look at."""


class Command(BaseCommand):
    help = (
        "Have the sums of spans made again, for measures that a new version has added. Days whose "
        "facts are gone stay as they are. The workers do it in the background, in order."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--since", type=date.fromisoformat, default=date(2000, 1, 1), help="First day, in UTC."
        )
        parser.add_argument(
            "--before",
            type=date.fromisoformat,
            default=date(2200, 1, 1),
            help="Day after it.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = {name: datetime.combine(options[name], time(), UTC) for name in ("since", "before")}
        with connection.cursor() as cursor:
            cursor.execute(MARK, given)
            count = cursor.rowcount
        self.stdout.write(f"{count:,} hours will be summed again by the workers.")
