"""Usage × price, per quarter hour and day. Recomputable from rollups of facts and a price book."""

from django.db import models

from ingest.models.fields import finite_decimal, finite_float, money
from ingest.models.rollups import DIMENSIONS


class PricedHour(models.Model):
    """The price book that a project's hour is pinned to, and the revision of facts it saw.

    A dirty hour is recomputed with its own book; only an audited re-pricing moves it.
    """

    pk = models.CompositePrimaryKey("owner_kind", "owner_id", "hour")
    owner_kind = models.TextField()
    owner_id = models.IntegerField()
    hour = models.DateTimeField()
    revision = models.BigIntegerField()
    book = models.ForeignKey("finops.PriceBook", on_delete=models.PROTECT)
    priced_at = models.DateTimeField()


class Costs(models.Model):
    """What the sums of one rollup row cost. `unpriced_spans` are in no amount, and never $0.

    The currency is empty when the row carries no amount, as for spans that a pool of ours served:
    their money is in `PoolQuarter`. See `finops.actions.pricing`.
    """

    project_id = models.IntegerField()
    service = models.TextField()
    kind = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    tier = models.TextField()
    input_band = models.IntegerField()
    currency = models.TextField()
    spans = models.BigIntegerField()
    priced_spans = models.BigIntegerField()
    unpriced_spans = models.BigIntegerField(default=0, help_text="Usage known, no price.")
    unknown_spans = models.BigIntegerField(default=0, help_text="Usage itself unknown.")
    tokens = models.BigIntegerField(default=0)
    unpriced_tokens = models.BigIntegerField(default=0)
    input_cost = money(default=0)
    cache_cost = money(default=0)
    output_cost = money(default=0)
    other_cost = money(default=0)
    cost = money(default=0)
    list_cost = money(
        null=True,
        help_text="At list prices, before any discount. Null: unknown, as where a price is our own"
        " and no list has it, or when it was priced before list costs were kept.",
    )

    class Meta:
        abstract = True


COST_DIMENSIONS = (*DIMENSIONS, "currency")


class CostQuarter(Costs):
    pk = models.CompositePrimaryKey("project_id", "at", *COST_DIMENSIONS)
    at = models.DateTimeField()
    book = models.ForeignKey("finops.PriceBook", on_delete=models.PROTECT)

    class Meta:
        indexes = [
            # A range of all providers skips from one to the next.
            models.Index(fields=["provider", "at"], name="cost_quarter_provider"),
            # What has no price is looked for over months, and is little.
            models.Index(
                fields=["at"],
                condition=models.Q(unpriced_tokens=0, unpriced_spans__gt=0),
                name="cost_quarter_requests",
            ),
            models.Index(
                fields=["at"],
                condition=models.Q(unpriced_tokens__gt=0) & ~models.Q(currency=""),
                name="cost_quarter_in_part",
            ),
        ]
        constraints = finite_decimal("cost_quarter", "cost", "list_cost")


class CostDay(Costs):
    """A day of the installation's accounting time zone."""

    pk = models.CompositePrimaryKey("project_id", "day", *COST_DIMENSIONS)
    day = models.DateField()

    class Meta:
        indexes = [models.Index(fields=["day"], name="cost_day_day")]
        constraints = finite_decimal("cost_day", "cost", "list_cost")


class UserCostDay(Costs):
    """What one user's share of a `CostDay` was. What no row tells is in no user's share."""

    pk = models.CompositePrimaryKey("project_id", "day", "user_id", *COST_DIMENSIONS)
    day = models.DateField()
    user_id = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["user_id", "day"], name="user_cost_day_user")]
        constraints = finite_decimal("user_cost_day", "cost", "list_cost")


class LabelCostDay(Costs):
    """What the share of one value of a label was of a `CostDay`; see `ingest.models.LabelDay`."""

    pk = models.CompositePrimaryKey("project_id", "day", "label", "value", *COST_DIMENSIONS)
    day = models.DateField()
    label = models.TextField()
    value = models.TextField()

    class Meta:
        indexes = [
            models.Index(fields=["label", "day"], name="label_cost_day_label"),
            models.Index(fields=["label", "value", "day"], name="label_cost_day_value"),
        ]
        constraints = finite_decimal("label_cost_day", "cost", "list_cost")


class PricedUserDay(models.Model):
    """Which sum of a day's users and labels was priced; gone when its hours change their book."""

    pk = models.CompositePrimaryKey("project_id", "day")
    project_id = models.IntegerField()
    day = models.DateField()
    summed = models.BigIntegerField()
    priced_at = models.DateTimeField()


class PoolQuarter(models.Model):
    """What a pool's hardware cost in 15 minutes, and which model kept it busy.

    `allocated` is what was paid: GPUs × hours × price. `used` is the busy share of it. The row with
    the empty model is the idle rest, so that the rows of a quarter add up to what was paid; when
    telemetry is missing, the whole amount stands under the empty model with `busy_s` NULL.
    """

    pk = models.CompositePrimaryKey("pool_id", "at", "model")
    pool_id = models.IntegerField()
    at = models.DateTimeField()
    model = models.TextField()
    requests = models.FloatField(null=True)
    busy_s = models.FloatField(null=True)
    covered_s = models.FloatField()
    used = money(null=True)
    allocated = money(null=True)
    currency = models.TextField()
    book = models.ForeignKey("finops.PriceBook", on_delete=models.PROTECT)

    class Meta:
        indexes = [models.Index(fields=["at"], name="pool_quarter_at")]
        constraints = [
            *finite_float("pool_quarter", "busy_s"),
            *finite_decimal("pool_quarter", "used", "allocated"),
        ]
