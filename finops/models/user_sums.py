"""Narrow sums of `UserCostDay`, for questions about all users of months; see `actions.user_sums`.

Which users are the dearest, and how many different ones there were. Recomputable from the wide
table, and written with it.
"""

from django.db import models

from ingest.models.fields import BitSet, finite_decimal

from .costs import COST_DIMENSIONS, Costs


class UserSpend(models.Model):
    """About what a user cost in a day, or in a week that begins on a Monday: enough to rank them.

    Spans without an amount stand with a currency that the user has, if any. The figures of those
    who are shown come from `UserCostDay` and `UserCostWeek`.
    """

    pk = models.CompositePrimaryKey("project_id", "days", "first", "user_id", "currency")
    project_id = models.IntegerField()
    days = models.SmallIntegerField(help_text="1 or 7.")
    first = models.DateField()
    user_id = models.TextField()
    currency = models.TextField()
    spans = models.BigIntegerField()
    cost = models.FloatField(help_text="To compare by, not to show.")

    class Meta:
        indexes = [models.Index(fields=["days", "first"], name="user_spend_first")]


class UserCostWeek(Costs):
    """`UserCostDay` of the seven days from a Monday, for the figures of single users."""

    pk = models.CompositePrimaryKey("project_id", "day", "user_id", *COST_DIMENSIONS)
    day = models.DateField(help_text="The Monday.")
    user_id = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["user_id", "day"], name="user_cost_week_user")]
        constraints = finite_decimal("user_cost_week", "cost", "list_cost")


class UserNumber(models.Model):
    """The place of a project's user among its users, in the order in which they came."""

    pk = models.CompositePrimaryKey("project_id", "user_id")
    project_id = models.IntegerField()
    user_id = models.TextField()
    number = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project_id", "number"], name="user_number_once")
        ]


class UserPage(models.Model):
    """Who had requests with a price in a day, as a set: different users over any days are counted
    by uniting such sets, in a hundredth of the time that their rows take.

    `page` is the user's number divided by the size of a page; -1 stands for nobody named.
    """

    pk = models.CompositePrimaryKey(
        "project_id", "day", "service", "provider", "model", "currency", "page"
    )
    project_id = models.IntegerField()
    day = models.DateField()
    service = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    currency = models.TextField()
    page = models.IntegerField()
    users = BitSet(null=True, help_text="Null: nobody is named.")
    priced_spans = models.BigIntegerField()
    cost = models.DecimalField(max_digits=38, decimal_places=20)

    class Meta:
        indexes = [models.Index(fields=["day"], name="user_page_day")]
