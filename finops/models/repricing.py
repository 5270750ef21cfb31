"""Re-pricings that somebody confirmed: which hours moved to which book, and what it changed."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class Repricing(models.Model):
    """One confirmed move of priced hours `[start, end)` to another version of the price book.

    The amounts are those of the preview that was confirmed; the costs themselves say what came of
    it. How far it is stands in the hours: one that waits has `TO_BE_REPRICED` for its revision.
    """

    book = models.ForeignKey("finops.PriceBook", on_delete=models.PROTECT, related_name="+")
    project_ids = ArrayField(
        models.IntegerField(), null=True, help_text="Null: every project, and all hardware."
    )
    start = models.DateTimeField()
    end = models.DateTimeField()
    hours = models.PositiveIntegerField(help_text="Hours of one owner each.")
    plan = models.CharField(max_length=64, help_text="Fingerprint of the preview.")
    totals = models.JSONField(help_text="Currency: [before, after], as exact text.")
    note = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(start__lt=F("end")), name="repricing_range"),
        ]

    def __str__(self) -> str:
        return f"{self.hours} hours to {self.book}"
