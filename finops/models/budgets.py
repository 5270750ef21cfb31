"""Budgets, their thresholds, the figures of each period, and which thresholds were crossed when.

A budget says what may be spent on a scope: the same filters as the costs page. Its figures are
stored with the time they were computed, so that a list of budgets and a gateway that polls need no
sum over the book. A removed budget keeps its row, for what it did is history.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from finops.costing.budget_periods import KINDS, ROLLING, UNTIL
from finops.costing.budget_states import BASES, METHODS, SIGNALS, STATES
from ingest.models.fields import finite_decimal, money, one_of

FIXED, PLANNED, ADJUSTING = "fixed", "planned", "adjusting"
AMOUNT_KINDS = (FIXED, PLANNED, ADJUSTING)
SEVERITIES = ("info", "warning", "critical")
SPEND_BASES = ("book", "usage", "bill")
MOST_PERCENT = 1000
MOST_ROLLING_DAYS = 366
MOST_PERIODS_AVERAGED = 24


def positive(table: str, *names: str) -> list[models.CheckConstraint]:
    """Above nothing where it is given; NaN sorts above the upper bound, so it stays out too."""
    return [
        models.CheckConstraint(
            condition=Q(**{f"{name}__isnull": True})
            | Q(**{f"{name}__gt": 0, f"{name}__lt": 1_000_000_000_000}),
            name=f"{table}_{name}_positive",
        )
        for name in names
    ]


def given_for(table: str, kind: str, value: str, *names: str) -> models.CheckConstraint:
    """These columns are filled for this kind and empty for every other."""
    filled = Q(**{kind: value}, **{f"{name}__isnull": False for name in names})
    empty = ~Q(**{kind: value}) & Q(**{f"{name}__isnull": True for name in names})
    return models.CheckConstraint(condition=filled | empty, name=f"{table}_{value}_is_whole")


class Budget(models.Model):
    name = models.CharField(max_length=100)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    scope = models.JSONField(
        default=dict, help_text="{project, team, provider, model, service}: lists, as in the URL."
    )
    basis = models.CharField(max_length=10, help_text="As on the costs page.")
    currency = models.CharField(max_length=20)
    period = models.CharField(max_length=10)
    starts_on = models.DateField()
    last_day = models.DateField(null=True, help_text="Of a total until a date.")
    rolling_days = models.PositiveIntegerField(null=True)
    amount_kind = models.CharField(max_length=10)
    amount = money(null=True)
    cap = money(null=True, help_text="The most that an adjusting budget may be.")
    average_of = models.PositiveIntegerField(null=True, help_text="Complete periods averaged.")
    limit_signal = models.CharField(max_length=10, default="none")
    is_paused = models.BooleanField(default=False)
    plan = models.PositiveIntegerField(
        default=1, help_text="Grows when what is measured changes: thresholds may be crossed anew."
    )
    revision = models.PositiveIntegerField(default=1, help_text="Grows with every change.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            one_of("budget", "period", KINDS),
            one_of("budget", "amount_kind", AMOUNT_KINDS),
            one_of("budget", "limit_signal", SIGNALS),
            one_of("budget", "basis", SPEND_BASES),
            *positive("budget", "amount", "cap"),
            given_for("budget", "amount_kind", FIXED, "amount"),
            given_for("budget", "amount_kind", ADJUSTING, "cap", "average_of"),
            given_for("budget", "period", UNTIL, "last_day"),
            given_for("budget", "period", ROLLING, "rolling_days"),
            models.CheckConstraint(
                condition=Q(last_day__isnull=True) | Q(last_day__gte=F("starts_on")),
                name="budget_ends_after_it_starts",
            ),
            models.CheckConstraint(
                condition=Q(rolling_days__isnull=True)
                | Q(rolling_days__gte=1, rolling_days__lte=MOST_ROLLING_DAYS),
                name="budget_rolling_days_sane",
            ),
            models.CheckConstraint(
                condition=Q(average_of__isnull=True)
                | Q(average_of__gte=1, average_of__lte=MOST_PERIODS_AVERAGED),
                name="budget_average_of_sane",
            ),
            models.CheckConstraint(condition=~Q(currency=""), name="budget_has_currency"),
            models.UniqueConstraint(
                fields=["name"], condition=Q(removed_at__isnull=True), name="budget_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class BudgetMonth(models.Model):
    """The amount planned for one month of every year."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="months")
    month = models.PositiveSmallIntegerField()
    amount = money()

    class Meta:
        ordering = ["budget", "month"]
        constraints = [
            models.CheckConstraint(
                condition=Q(month__gte=1, month__lte=12), name="budgetmonth_of_a_year"
            ),
            *positive("budgetmonth", "amount"),
            models.UniqueConstraint(fields=["budget", "month"], name="budgetmonth_once"),
        ]

    def __str__(self) -> str:
        return f"{self.budget_id} month {self.month}"


class BudgetThreshold(models.Model):
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="thresholds")
    percent = models.DecimalField(max_digits=7, decimal_places=2)
    basis = models.CharField(max_length=10, help_text="actual or forecast")
    severity = models.CharField(max_length=10)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="NULL: the budget's.",
    )
    channel_ids = models.JSONField(default=list, help_text="Empty: as the rule for budgets says.")

    class Meta:
        ordering = ["budget", "percent", "basis"]
        constraints = [
            one_of("budgetthreshold", "basis", BASES),
            one_of("budgetthreshold", "severity", SEVERITIES),
            models.CheckConstraint(
                condition=Q(percent__gt=0, percent__lte=MOST_PERCENT),
                name="budgetthreshold_percent_sane",
            ),
            models.UniqueConstraint(
                fields=["budget", "basis", "percent"], name="budgetthreshold_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.percent:f} % of {self.budget_id} on {self.basis}"


class BudgetPeriod(models.Model):
    """The figures of one period, as of `evaluated_at`; final once the period is over.

    NULL is unknown. `since` and `until` are the days whose cost counts: of a rolling budget the
    last N days, of every other the period itself.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="periods")
    plan = models.PositiveIntegerField()
    starts_on = models.DateField()
    ends_before = models.DateField()
    since = models.DateField()
    until = models.DateField()
    currency = models.CharField(max_length=20)
    amount = money(null=True)
    amount_said = models.TextField(blank=True, help_text="How an adjusting amount came about.")
    spent = money(null=True)
    reconciled = money(default=0)
    pace = money(null=True)
    expected = money(null=True)
    expected_low = money(null=True)
    expected_high = money(null=True)
    method = models.CharField(max_length=10)
    method_said = models.TextField(blank=True)
    state = models.CharField(max_length=10)
    why = models.TextField()
    missing = models.TextField(blank=True, help_text="What is in no figure, as in: no price.")
    limit_since = models.DateTimeField(null=True, help_text="The signal is given since then.")
    as_of = models.DateTimeField(null=True, help_text="Of the newest fact.")
    evaluated_at = models.DateTimeField()

    class Meta:
        ordering = ["budget", "-starts_on", "-plan"]
        constraints = [
            one_of("budgetperiod", "state", STATES),
            one_of("budgetperiod", "method", METHODS),
            *positive("budgetperiod", "amount"),
            *finite_decimal(
                "budgetperiod",
                "spent",
                "reconciled",
                "pace",
                "expected",
                "expected_low",
                "expected_high",
            ),
            models.CheckConstraint(
                condition=Q(starts_on__lt=F("ends_before"), since__lt=F("until")),
                name="budgetperiod_forward",
            ),
            models.UniqueConstraint(
                fields=["budget", "plan", "starts_on"], name="budgetperiod_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget_id} from {self.starts_on}"

    @property
    def provisional(self) -> bool:
        return self.spent is not None and self.spent != self.reconciled


class BudgetCrossing(models.Model):
    """A threshold reached in a period: once, whatever the figure does afterwards."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="crossings")
    plan = models.PositiveIntegerField()
    starts_on = models.DateField(help_text="Of the period.")
    basis = models.CharField(max_length=10)
    percent = models.DecimalField(max_digits=7, decimal_places=2)
    severity = models.CharField(max_length=10)
    figure = money(help_text="Spent, or expected, when it was crossed.")
    amount = money()
    currency = models.CharField(max_length=20)
    crossed_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-crossed_at", "-pk"]
        constraints = [
            one_of("budgetcrossing", "basis", BASES),
            one_of("budgetcrossing", "severity", SEVERITIES),
            *positive("budgetcrossing", "amount", "percent"),
            *finite_decimal("budgetcrossing", "figure"),
            models.UniqueConstraint(
                fields=["budget", "plan", "starts_on", "basis", "percent"],
                name="budgetcrossing_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.percent:f} % of {self.budget_id} on {self.crossed_at:%F}"

    @property
    def alert_key(self) -> str:
        """One alert for each crossing; see `alerting.raise_`."""
        starts = self.starts_on.isoformat()
        return f"{self.budget_id}:{self.plan}:{starts}:{self.basis}:{self.percent.normalize():f}"
