"""Hardware by the accounting day, made of its quarter hours: see `actions.hardware_sums`."""

from django.db import models

from ingest.models.fields import finite_decimal, money


class PoolDay(models.Model):
    """The `PoolQuarter` rows of a day, added up."""

    pk = models.CompositePrimaryKey("pool_id", "day", "model", "currency")
    pool_id = models.IntegerField()
    day = models.DateField()
    model = models.TextField()
    currency = models.TextField()
    allocated = money(null=True)
    requests = models.FloatField(default=0)
    unpriced_quarters = models.BigIntegerField(default=0)
    used = money(null=True)
    busy_s = models.FloatField(null=True)
    counted_quarters = models.BigIntegerField(
        default=0, help_text="Of which the requests are known; with none of them, none is known."
    )
    observed_quarters = models.BigIntegerField(
        default=0, help_text="In which the pool was observed at all; the next three are of these."
    )
    observed_used = money(default=0, help_text="Where requests are known.")
    observed_requests = models.FloatField(default=0, help_text="Where it is known what they used.")
    uncounted_quarters = models.BigIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["day"], name="pool_day_day")]
        constraints = finite_decimal("pool_day", "allocated")


class HardwareDay(models.Model):
    """A pool's day whatever its models were: what was paid, observed and used.

    Every quarter hour counts as finished, so the day that is running is read from its quarters.
    """

    pk = models.CompositePrimaryKey("pool_id", "day", "currency")
    pool_id = models.IntegerField()
    day = models.DateField()
    currency = models.TextField()
    first_at = models.DateTimeField()
    paid = money(null=True)
    used = money(null=True)
    unobserved = money(null=True, help_text="Paid while nothing was observed.")
    covered_s = models.FloatField(null=True)
    elapsed_s = models.FloatField(null=True)
    unpriced_s = models.FloatField(default=0)
    priced_paid = money(null=True, help_text="In quarter hours of which every row has a price.")
    observed = money(null=True, help_text="Of that, what was not unobserved.")
    observed_used = money(null=True)
    observed_busy_s = models.FloatField(null=True)

    class Meta:
        indexes = [models.Index(fields=["day"], name="hardware_day_day")]
        constraints = finite_decimal("hardware_day", "paid", "used")


class LandedHardwareDay(models.Model):
    """The `LandedHardware` rows of a day, added up whatever the reasons were."""

    pool_id = models.IntegerField()
    day = models.DateField()
    model = models.TextField()
    currency = models.TextField()
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    rule = models.ForeignKey(
        "finops.AllocationRule", null=True, on_delete=models.PROTECT, related_name="+"
    )
    requests = models.FloatField(default=0)
    allocated = money()

    class Meta:
        indexes = [
            models.Index(fields=["day"], name="landed_hardware_day_day"),
            models.Index(fields=["pool_id", "day"], name="landed_hardware_day_pool"),
        ]
        constraints = finite_decimal("landed_hardware_day", "allocated")
