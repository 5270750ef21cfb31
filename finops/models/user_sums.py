"""Narrow sums of `UserCostDay` and `LabelCostDay`, for questions about all users, or values of a
label, of months; see `actions.user_sums`.

Which are the dearest, how many different users there were, and what a value came to. Recomputable
from the wide tables, and written with them.
"""

from django.db import models

from ingest.models.fields import BitSet, finite_decimal, money

from .costs import COST_DIMENSIONS, Costs


class Spend(models.Model):
    """About what they cost in a day, a week from a Monday, or four weeks: enough to rank them."""

    project_id = models.IntegerField()
    days = models.SmallIntegerField(help_text="1, 7 or 28.")
    first = models.DateField()
    currency = models.TextField()

    class Meta:
        abstract = True


class KnownUser(models.Model):
    """A user of any project by number, by which users of many days are added up."""

    number = models.AutoField(primary_key=True)
    user_id = models.TextField(unique=True)


class UserSpend(Spend):
    """All users in one row: what the user `users[i]` cost is `costs[i]`, in `spans[i]` spans.

    Once of everything, and once by what users are narrowed by. The figures of those that are shown
    come from the costs by such periods. The numbers stand one after the other, the highest byte
    first, as PostgreSQL sends them: what reads them takes them as they are.
    """

    pk = models.CompositePrimaryKey(
        "project_id", "days", "first", "of_all", "service", "provider", "model", "currency"
    )
    of_all = models.BooleanField(help_text="Then service, provider and model are empty.")
    service = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    users = models.BinaryField(help_text="Numbers of `KnownUser`, int4.")
    costs = models.BinaryField(help_text="To compare by, not to show; float8.")
    spans = models.BinaryField(help_text="int8.")

    class Meta:
        indexes = [models.Index(fields=["days", "first", "of_all"], name="user_spend_first")]


class LabelSpend(Spend):
    """There are far fewer of them, so that these are exact and say what a value costs, too.

    Spans without an amount stand with a currency that it has, if any.
    """

    pk = models.CompositePrimaryKey("project_id", "days", "first", "label", "value", "currency")
    label = models.TextField()
    value = models.TextField()
    spans = models.BigIntegerField()
    priced_spans = models.BigIntegerField()
    cost = money()

    class Meta:
        indexes = [models.Index(fields=["label", "days", "first"], name="label_spend_first")]


class LabelTotal(Spend):
    """What values of a label cost and used, of whatever model: a split by the label alone reads two
    thirds of the rows of its costs, and half of their columns."""

    pk = models.CompositePrimaryKey(
        "project_id", "days", "first", "label", "value", "provider", "currency"
    )
    label = models.TextField()
    value = models.TextField()
    provider = models.TextField(help_text="Whose bill may cover it, or whose pool served it.")
    cost = money()
    requests = models.BigIntegerField(help_text="Spans that a model answered.")
    priced_requests = models.BigIntegerField()
    tokens = models.BigIntegerField()
    unpriced_spans = models.BigIntegerField()
    unpriced_tokens = models.BigIntegerField()
    unknown_spans = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["label", "days", "first"], name="label_total_first")]


class UserCostWeek(Costs):
    """`UserCostDay` of the seven days from a Monday, for the figures of single users."""

    pk = models.CompositePrimaryKey("project_id", "day", "user_id", *COST_DIMENSIONS)
    day = models.DateField(help_text="The Monday.")
    user_id = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["user_id", "day"], name="user_cost_week_user")]
        constraints = finite_decimal("user_cost_week", "cost", "list_cost")


class UserCostFourWeeks(Costs):
    """`UserCostWeek` of four weeks; see `queries.weeks.first_of_four`."""

    pk = models.CompositePrimaryKey("project_id", "day", "user_id", *COST_DIMENSIONS)
    day = models.DateField(help_text="The first Monday.")
    user_id = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["user_id", "day"], name="user_cost_four_weeks_user")]
        constraints = finite_decimal("user_cost_four_weeks", "cost", "list_cost")


class LabelCostWeek(Costs):
    """`LabelCostDay` of the seven days from a Monday, for the figures of single values."""

    pk = models.CompositePrimaryKey("project_id", "day", "label", "value", *COST_DIMENSIONS)
    day = models.DateField(help_text="The Monday.")
    label = models.TextField()
    value = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["label", "value", "day"], name="label_cost_week_value")]
        constraints = finite_decimal("label_cost_week", "cost", "list_cost")


class LabelCostFourWeeks(Costs):
    """`LabelCostWeek` of four weeks; see `queries.weeks.first_of_four`."""

    pk = models.CompositePrimaryKey("project_id", "day", "label", "value", *COST_DIMENSIONS)
    day = models.DateField(help_text="The first Monday.")
    label = models.TextField()
    value = models.TextField()

    class Meta:
        indexes = [
            models.Index(fields=["label", "value", "day"], name="label_cost_four_weeks_value")
        ]
        constraints = finite_decimal("label_cost_four_weeks", "cost", "list_cost")


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
