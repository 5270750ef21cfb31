"""How many requests, users and sessions were there at once, per quarter hour.

Derived from spans by `ingest.rollup.concurrency`. What was at once cannot be added like a count: so
each quarter has a row of the whole project beside the rows of its services and models.
"""

from django.db import models

WHOLE_SUMS = (
    "project_id", "requests", "timed", "user_requests", "session_requests", "busy_ms", "peak",
    "users_1", "users_2", "users_3", "sessions_1", "sessions_2", "sessions_3",
)  # fmt: skip


def _different(who: str, window: str) -> models.IntegerField:
    """One column for each window: months of them are added up in half the time arrays take."""
    said = f"Different {who} in its {window} five minutes; NULL: no request named one."
    return models.IntegerField(null=True, help_text=said)


class ConcurrencyQuarter(models.Model):
    """One project, or one service with one model in it, over 15 minutes."""

    pk = models.CompositePrimaryKey("project_id", "whole", "at", "service", "provider", "model")
    project_id = models.IntegerField()
    whole = models.BooleanField(help_text="Of the whole project; its names are empty.")
    at = models.DateTimeField()
    service = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    requests = models.IntegerField(help_text="That started in it.")
    timed = models.IntegerField(help_text="Of these, the ones whose end is known.")
    user_requests = models.IntegerField(help_text="Of these, the ones that name a user.")
    session_requests = models.IntegerField(help_text="Of these, the ones that name a session.")
    busy_ms = models.FloatField(help_text="Time under way inside the quarter, of all requests.")
    peak = models.IntegerField(help_text="The most that were under way at one moment.")
    users_1 = _different("users", "first")
    users_2 = _different("users", "second")
    users_3 = _different("users", "third")
    sessions_1 = _different("sessions", "first")
    sessions_2 = _different("sessions", "second")
    sessions_3 = _different("sessions", "third")

    class Meta:
        db_table = "ingest_concurrency_quarter"
        indexes = [
            # With all that a page adds up, for it reads every quarter hour of months.
            models.Index(
                fields=["at"],
                include=WHOLE_SUMS,
                condition=models.Q(whole=True),
                name="concurrency_of_projects",
            ),
            models.Index(
                fields=["at"], condition=models.Q(whole=False), name="concurrency_of_parts"
            ),
        ]
