"""Where facts come from, each run over a window, and what could not be taken."""

from django.db import models

from .fields import one_of

PULL_STATES = ("running", "done", "failed")
REJECT_STATES = ("refused", "taken")


class Source(models.Model):
    """Something we pull from, or that pushes to us."""

    kind = models.CharField(max_length=40)
    name = models.CharField(max_length=100, unique=True)
    project = models.ForeignKey("ingest.Project", null=True, blank=True, on_delete=models.PROTECT)
    pool = models.ForeignKey("ingest.Pool", null=True, blank=True, on_delete=models.PROTECT)
    config = models.JSONField(default=dict, blank=True)
    secrets = models.BinaryField(
        null=True, help_text="Encrypted settings that go in and never come out."
    )
    cursor = models.JSONField(default=dict, blank=True, editable=False)
    enabled = models.BooleanField(default=True)
    interval_s = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds between pulls; empty for a source that pushes."
    )
    is_sample = models.BooleanField(default=False, help_text="Made-up data, marked as such.")
    created_at = models.DateTimeField(auto_now_add=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_fact_at = models.DateTimeField(
        null=True, blank=True, help_text="Time of the newest fact it brought."
    )
    last_error = models.TextField(blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)
    delayed_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="No request to its server before this."
    )
    spent = models.JSONField(
        default=dict, db_default={}, editable=False, help_text="Requests of this minute and day."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Counts(models.Model):
    """Rows in = inserted + updated + unchanged + stale + rejected, held by a constraint."""

    rows_in = models.BigIntegerField(default=0)
    inserted = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    stale = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    @staticmethod
    def adds_up(table: str) -> models.CheckConstraint:
        f = models.F
        return models.CheckConstraint(
            condition=models.Q(
                rows_in=f("inserted") + f("updated") + f("unchanged") + f("stale") + f("rejected")
            ),
            name=f"{table}_rows_add_up",
        )


class Pull(Counts):
    """One run over a window; for a source that pushes, the sum of one hour's deliveries."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="pulls")
    window_from = models.DateTimeField()
    window_to = models.DateTimeField()
    state = models.CharField(max_length=10, default="running")
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["source", "-started_at"])]
        constraints = [
            one_of("pull", "state", PULL_STATES),
            Counts.adds_up("pull"),
            # A push source counts into the row of its hour; a pull has its window to itself.
            models.UniqueConstraint(
                fields=["source", "window_from", "window_to"], name="pull_window_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.window_from:%F %H:%M}"


class Reject(models.Model):
    """Quarantine: a row that could not be taken, encrypted, free of prompt text, for 7 days."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="rejects")
    delivery = models.ForeignKey(
        "ingest.Delivery", null=True, on_delete=models.CASCADE, related_name="rejects"
    )
    received_at = models.DateTimeField(auto_now_add=True)
    reason = models.CharField(max_length=60)
    field = models.CharField(max_length=100, blank=True)
    detail = models.TextField()
    external_id = models.CharField(max_length=200, blank=True)
    line = models.BigIntegerField(null=True)
    payload = models.BinaryField(default=b"", help_text="Fernet-encrypted row as received.")
    form = models.CharField(
        max_length=30, default="", db_default="", blank=True,
        help_text="Which decoder reads the payload again; empty: none can.",
    )  # fmt: skip
    state = models.CharField(max_length=10, default="refused", db_default="refused")
    tries = models.PositiveIntegerField(default=0, db_default=0)
    tried_at = models.DateTimeField(null=True, help_text="When it was last tried again.")

    class Meta:
        ordering = ["-received_at", "-id"]
        indexes = [models.Index(fields=["source", "-received_at"])]
        constraints = [one_of("reject", "state", REJECT_STATES)]

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
