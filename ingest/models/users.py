"""Who used how much in a day, recomputed from facts less often than the other sums.

There may be nearly as many users as requests, so a day is summed at most every so often, in
proportion to what that costs. User ids are as sources gave them.
"""

from django.db import models

from .rollups import DIMENSIONS


class UsageDay(models.Model):
    """What requests of one accounting day and dimension used."""

    project_id = models.IntegerField()
    day = models.DateField()
    service = models.TextField()
    kind = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    tier = models.TextField()
    input_band = models.IntegerField()
    spans = models.BigIntegerField()
    errors = models.BigIntegerField()
    usage_unknown = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    cache_read_tokens = models.BigIntegerField()
    cache_write_5m_tokens = models.BigIntegerField()
    cache_write_1h_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    audio_input_tokens = models.BigIntegerField()
    audio_output_tokens = models.BigIntegerField()
    image_input_tokens = models.BigIntegerField()

    class Meta:
        abstract = True


class UserDay(UsageDay):
    """One user's requests of one accounting day and dimension; the empty user is nobody named."""

    pk = models.CompositePrimaryKey("project_id", "day", "user_id", *DIMENSIONS)
    user_id = models.TextField()

    class Meta:
        db_table = "ingest_user_day"


class UserDayState(models.Model):
    """How often a project's day changed, and which change its users were last summed for.

    The labels of a project are summed with its users, in the same transaction.
    """

    pk = models.CompositePrimaryKey("project_id", "day")
    project_id = models.IntegerField()
    day = models.DateField()
    changed = models.BigIntegerField()
    summed = models.BigIntegerField()
    not_before = models.DateTimeField(
        null=True, help_text="When it may be summed again; empty: at once."
    )

    class Meta:
        db_table = "ingest_user_day_state"
        indexes = [
            models.Index(
                fields=["not_before"],
                condition=~models.Q(changed=models.F("summed")),
                name="user_day_due",
            )
        ]
