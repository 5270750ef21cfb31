"""Traces and observations that are told bit by bit, as far as they were told."""

from django.db import models


class ToldPart(models.Model):
    """One thing and what was said of it so far, each field with the stamp of its latest word.

    Holds no prompt text unless the project keeps text. Forgotten a week after the last word.
    """

    pk = models.CompositePrimaryKey("project_id", "kind", "external_id")
    project_id = models.IntegerField()
    kind = models.TextField(help_text="`trace` or `observation`.")
    external_id = models.TextField()
    trace_id = models.TextField(help_text="Empty while it is not known.")
    source_id = models.IntegerField(help_text="The source that spoke of it last.")
    fields = models.JSONField(default=dict)
    is_span = models.BooleanField(default=False, help_text="Enough was said to make a span of it.")
    touched_at = models.DateTimeField()

    class Meta:
        db_table = "ingest_told_part"
        indexes = [
            models.Index(fields=["project_id", "trace_id"], name="told_part_trace"),
            models.Index(fields=["touched_at"], name="told_part_touched"),
        ]
