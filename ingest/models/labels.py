"""Labels of requests by which usage is summed, and what each of their values used in a day.

A request says nearly anything about itself in its attributes. Only of the labels that people chose
are there sums, for every one of them is a split of every day.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from .rollups import DIMENSIONS
from .users import UsageDay

LONGEST_NAME = 40
LONGEST_ATTRIBUTE = 200


class KeptLabel(models.Model):
    """A label that usage is summed by, such as `customer`, and where requests say it."""

    project = models.ForeignKey(
        "ingest.Project",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Empty: of every project that has no label of this name itself.",
    )
    name = models.CharField(max_length=LONGEST_NAME)
    attributes = ArrayField(
        models.CharField(max_length=LONGEST_ATTRIBUTE),
        help_text="Keys of a request's attributes; the first one that it has is its value.",
    )
    since = models.DateField(help_text="The first accounting day that is summed by it.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True, help_text="A name, not a key.")

    class Meta:
        db_table = "ingest_kept_label"
        ordering = ["name", "project_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], nulls_distinct=False, name="kept_label_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


class LabelDay(UsageDay):
    """One value's requests of one accounting day and dimension; empty: requests without it."""

    pk = models.CompositePrimaryKey("project_id", "day", "label", "value", *DIMENSIONS)
    label = models.TextField()
    value = models.TextField()

    class Meta:
        db_table = "ingest_label_day"


class LabelDayState(models.Model):
    """A day that was summed by a label, and how many values it had; no row: it was not."""

    pk = models.CompositePrimaryKey("project_id", "day", "label")
    project_id = models.IntegerField()
    day = models.DateField()
    label = models.TextField()
    attributes = ArrayField(models.TextField(), help_text="Where the values were read from.")
    different = models.BigIntegerField(help_text="Values that differ.")
    folded = models.BigIntegerField(help_text="Of these, the ones summed as other values.")
    summed_at = models.DateTimeField()

    class Meta:
        db_table = "ingest_label_day_state"
        indexes = [models.Index(fields=["label", "day"], name="label_day_state_label")]
