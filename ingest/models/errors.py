"""Errors that services logged: counts per quarter hour and type, one example each; no log store."""

from django.db import models
from django.db.models import Q


class ErrorCount(models.Model):
    """How many errors of one type a service logged in a quarter hour, as one source tells it.

    Counts of two sources are never added: the same line may have come by both.
    """

    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT)
    source = models.ForeignKey("ingest.Source", on_delete=models.CASCADE)
    service = models.TextField()
    type = models.TextField()
    at = models.DateTimeField(help_text="Start of the quarter hour.")
    count = models.BigIntegerField()
    exemplar = models.TextField(
        blank=True, help_text="One message, masked and cut; empty when none was kept."
    )
    trace_id = models.TextField(blank=True, help_text="Of the exemplar; empty when it has none.")
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "ingest_error_count"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "at", "service", "type"], name="error_count_once"
            ),
            models.CheckConstraint(condition=Q(count__gt=0), name="error_count_positive"),
        ]
        indexes = [
            models.Index(fields=["project", "at"], name="error_count_project"),
            models.Index(fields=["at"], name="error_count_at"),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.type} {self.at:%F %H:%M}: {self.count}"


class ErrorSeen(models.Model):
    """An error that was pushed and counted: a batch sent again must not be counted again.

    Kept as long as an error of that time is still taken, see `ingest.error_records`.
    """

    pk = models.CompositePrimaryKey("source_id", "identity")
    source_id = models.IntegerField()
    identity = models.UUIDField()
    at = models.DateTimeField(help_text="When it was logged.")

    class Meta:
        db_table = "ingest_error_seen"
        indexes = [models.Index(fields=["at"], name="error_seen_at")]
