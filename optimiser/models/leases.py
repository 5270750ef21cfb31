"""The right to write for one piece of work, until it runs out by the database's clock."""

from django.db import models


class Leased(models.Model):
    """Whoever holds the lease writes, and every write names the epoch it was taken in."""

    lease_holder = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    epoch = models.PositiveIntegerField(
        default=0, help_text="Counts the leases; a holder of an older one may not write."
    )

    class Meta:
        abstract = True
