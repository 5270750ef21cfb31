"""Work to be done once. The row is the truth; Celery only says "look now"."""

from django.db import models

from .fields import one_of

JOB_STATES = ("waiting", "running", "done", "failed")


class Job(models.Model):
    """One piece of work with a lease. Every write of its holder checks the fencing epoch."""

    kind = models.CharField(max_length=40)
    key = models.CharField(max_length=200)
    scheduled_for = models.DateTimeField()
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=10, default="waiting")
    attempts = models.PositiveIntegerField(default=0)
    epoch = models.PositiveIntegerField(
        default=0, help_text="Counts the leases; a holder of an older one may not write."
    )
    lease_holder = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    progress = models.JSONField(default=dict)
    error = models.TextField(blank=True)

    class Meta:
        constraints = [
            one_of("job", "state", JOB_STATES),
            # Two beats, or a beat and an impatient person, still make one run.
            models.UniqueConstraint(fields=["kind", "key", "scheduled_for"], name="job_once"),
        ]
        indexes = [
            models.Index(
                fields=["scheduled_for"],
                name="job_open",
                condition=models.Q(state__in=["waiting", "running"]),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
