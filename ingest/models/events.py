"""What was done to the estate or happened to it: releases, config changes and incidents."""

from django.db import models
from django.db.models import F, Q

from ingest.events import KINDS, LONGEST, ORIGINS

from .fields import one_of


class Event(models.Model):
    """One release, config change or incident, by whichever door it was told.

    An event that was removed keeps its row without being shown: the next run over the same Git tags
    would otherwise bring it back.
    """

    kind = models.CharField(max_length=20)
    title = models.CharField(max_length=LONGEST["title"])
    version = models.CharField(max_length=LONGEST["version"], blank=True)
    service = models.CharField(
        max_length=LONGEST["service"], blank=True, help_text="As spans name it; empty: not one."
    )
    project = models.ForeignKey(
        "ingest.Project",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: it is about the whole estate.",
    )
    environment = models.CharField(max_length=LONGEST["environment"], blank=True)
    happened_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    link = models.CharField(max_length=LONGEST["link"], blank=True)
    origin = models.CharField(max_length=10)
    external_id = models.CharField(max_length=LONGEST["external_id"])
    stamps = models.JSONField(
        default=dict, help_text="By field, when its sender said it last, in microseconds."
    )
    source = models.ForeignKey(
        "ingest.Source", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by = models.CharField(max_length=150, blank=True, help_text="A name, not a key.")
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-happened_at", "-id"]
        indexes = [
            models.Index(fields=["-happened_at", "-id"], name="event_newest"),
            models.Index(fields=["ended_at"], condition=~Q(ended_at=None), name="event_ended"),
        ]
        constraints = [
            one_of("event", "kind", KINDS),
            one_of("event", "origin", ORIGINS),
            # One project's sender can neither change nor find out another project's events.
            models.UniqueConstraint(
                fields=["project", "external_id"], nulls_distinct=False, name="event_once"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("happened_at")),
                name="event_ends_after_it_began",
            ),
            models.CheckConstraint(
                condition=Q(link="")
                | Q(link__startswith="http://")
                | Q(link__startswith="https://"),
                name="event_link_is_of_the_web",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.title}"

    @property
    def is_open(self) -> bool:
        """An incident that nobody has ended yet."""
        return self.kind == "incident" and self.ended_at is None
