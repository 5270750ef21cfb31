"""Budgets, their thresholds, the figures of each period, and what was crossed when."""

from django.conf import settings
from django.db import migrations, models

from ingest.migrations.first_tables.parts import amount, is_finite, is_known, is_positive, own_id

TABLES = [
    migrations.CreateModel(
        name="Budget",
        fields=[
            ("id", own_id()),
            ("name", models.CharField(max_length=100)),
            (
                "scope",
                models.JSONField(
                    default=dict,
                    help_text="{project, team, provider, model, service}: lists, as in the URL.",
                ),
            ),
            ("basis", models.CharField(help_text="As on the costs page.", max_length=10)),
            ("currency", models.CharField(max_length=20)),
            ("period", models.CharField(max_length=10)),
            ("starts_on", models.DateField()),
            ("last_day", models.DateField(help_text="Of a total until a date.", null=True)),
            ("rolling_days", models.PositiveIntegerField(null=True)),
            ("amount_kind", models.CharField(max_length=10)),
            ("amount", amount(null=True)),
            ("cap", amount(help_text="The most that an adjusting budget may be.", null=True)),
            (
                "average_of",
                models.PositiveIntegerField(help_text="Complete periods averaged.", null=True),
            ),
            ("limit_signal", models.CharField(default="none", max_length=10)),
            ("is_paused", models.BooleanField(default=False)),
            (
                "plan",
                models.PositiveIntegerField(
                    default=1,
                    help_text="Grows when what is measured changes: thresholds may be crossed"
                    " anew.",
                ),
            ),
            (
                "revision",
                models.PositiveIntegerField(default=1, help_text="Grows with every change."),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("removed_at", models.DateTimeField(null=True)),
            (
                "created_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
            (
                "owner",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
        ],
        options={
            "ordering": ["name", "pk"],
            "constraints": [
                is_known(
                    "period",
                    ["daily", "monthly", "quarterly", "rolling", "until", "weekly"],
                    name="budget_period_known",
                ),
                is_known(
                    "amount_kind",
                    ["adjusting", "fixed", "planned"],
                    name="budget_amount_kind_known",
                ),
                is_known(
                    "limit_signal", ["hard", "none", "soft"], name="budget_limit_signal_known"
                ),
                is_known("basis", ["bill", "book", "usage"], name="budget_basis_known"),
                is_positive("amount", name="budget_amount_positive"),
                is_positive("cap", name="budget_cap_positive"),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("amount__isnull", False), ("amount_kind", "fixed")),
                        models.Q(
                            models.Q(("amount_kind", "fixed"), _negated=True),
                            ("amount__isnull", True),
                        ),
                        _connector="OR",
                    ),
                    name="budget_fixed_is_whole",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(
                            ("amount_kind", "adjusting"),
                            ("average_of__isnull", False),
                            ("cap__isnull", False),
                        ),
                        models.Q(
                            models.Q(("amount_kind", "adjusting"), _negated=True),
                            ("average_of__isnull", True),
                            ("cap__isnull", True),
                        ),
                        _connector="OR",
                    ),
                    name="budget_adjusting_is_whole",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("last_day__isnull", False), ("period", "until")),
                        models.Q(
                            models.Q(("period", "until"), _negated=True), ("last_day__isnull", True)
                        ),
                        _connector="OR",
                    ),
                    name="budget_until_is_whole",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("period", "rolling"), ("rolling_days__isnull", False)),
                        models.Q(
                            models.Q(("period", "rolling"), _negated=True),
                            ("rolling_days__isnull", True),
                        ),
                        _connector="OR",
                    ),
                    name="budget_rolling_is_whole",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("last_day__isnull", True),
                        ("last_day__gte", models.F("starts_on")),
                        _connector="OR",
                    ),
                    name="budget_ends_after_it_starts",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("rolling_days__isnull", True),
                        models.Q(("rolling_days__gte", 1), ("rolling_days__lte", 366)),
                        _connector="OR",
                    ),
                    name="budget_rolling_days_sane",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("average_of__isnull", True),
                        models.Q(("average_of__gte", 1), ("average_of__lte", 24)),
                        _connector="OR",
                    ),
                    name="budget_average_of_sane",
                ),
                models.CheckConstraint(
                    condition=models.Q(("currency", ""), _negated=True), name="budget_has_currency"
                ),
                models.UniqueConstraint(
                    condition=models.Q(("removed_at__isnull", True)),
                    fields=("name",),
                    name="budget_name_once",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="BudgetMonth",
        fields=[
            ("id", own_id()),
            ("month", models.PositiveSmallIntegerField()),
            ("amount", amount()),
            (
                "budget",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="months", to="finops.budget"
                ),
            ),
        ],
        options={
            "ordering": ["budget", "month"],
            "constraints": [
                models.CheckConstraint(
                    condition=models.Q(("month__gte", 1), ("month__lte", 12)),
                    name="budgetmonth_of_a_year",
                ),
                is_positive("amount", name="budgetmonth_amount_positive"),
                models.UniqueConstraint(fields=("budget", "month"), name="budgetmonth_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="BudgetThreshold",
        fields=[
            ("id", own_id()),
            ("percent", models.DecimalField(decimal_places=2, max_digits=7)),
            ("basis", models.CharField(help_text="actual or forecast", max_length=10)),
            ("severity", models.CharField(max_length=10)),
            (
                "channel_ids",
                models.JSONField(default=list, help_text="Empty: as the rule for budgets says."),
            ),
            (
                "budget",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="thresholds", to="finops.budget"
                ),
            ),
            (
                "owner",
                models.ForeignKey(
                    help_text="NULL: the budget's.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "ordering": ["budget", "percent", "basis"],
            "constraints": [
                is_known("basis", ["actual", "forecast"], name="budgetthreshold_basis_known"),
                is_known(
                    "severity",
                    ["critical", "info", "warning"],
                    name="budgetthreshold_severity_known",
                ),
                models.CheckConstraint(
                    condition=models.Q(("percent__gt", 0), ("percent__lte", 1000)),
                    name="budgetthreshold_percent_sane",
                ),
                models.UniqueConstraint(
                    fields=("budget", "basis", "percent"), name="budgetthreshold_once"
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="BudgetPeriod",
        fields=[
            ("id", own_id()),
            ("plan", models.PositiveIntegerField()),
            ("starts_on", models.DateField()),
            ("ends_before", models.DateField()),
            ("since", models.DateField()),
            ("until", models.DateField()),
            ("currency", models.CharField(max_length=20)),
            ("amount", amount(null=True)),
            (
                "amount_said",
                models.TextField(blank=True, help_text="How an adjusting amount came about."),
            ),
            ("spent", amount(null=True)),
            ("reconciled", amount(default=0)),
            ("pace", amount(null=True)),
            ("expected", amount(null=True)),
            ("expected_low", amount(null=True)),
            ("expected_high", amount(null=True)),
            ("method", models.CharField(max_length=10)),
            ("method_said", models.TextField(blank=True)),
            ("state", models.CharField(max_length=10)),
            ("why", models.TextField()),
            (
                "missing",
                models.TextField(blank=True, help_text="What is in no figure, as in: no price."),
            ),
            (
                "limit_since",
                models.DateTimeField(help_text="The signal is given since then.", null=True),
            ),
            ("as_of", models.DateTimeField(help_text="Of the newest fact.", null=True)),
            ("evaluated_at", models.DateTimeField()),
            (
                "budget",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="periods", to="finops.budget"
                ),
            ),
        ],
        options={
            "ordering": ["budget", "-starts_on", "-plan"],
            "constraints": [
                is_known(
                    "state",
                    ["at_risk", "on_track", "over", "unknown"],
                    name="budgetperiod_state_known",
                ),
                is_known(
                    "method",
                    ["forecast", "known", "none", "pace"],
                    name="budgetperiod_method_known",
                ),
                is_positive("amount", name="budgetperiod_amount_positive"),
                is_finite("spent", name="budgetperiod_spent_finite"),
                is_finite("reconciled", name="budgetperiod_reconciled_finite"),
                is_finite("pace", name="budgetperiod_pace_finite"),
                is_finite("expected", name="budgetperiod_expected_finite"),
                is_finite("expected_low", name="budgetperiod_expected_low_finite"),
                is_finite("expected_high", name="budgetperiod_expected_high_finite"),
                models.CheckConstraint(
                    condition=models.Q(
                        ("since__lt", models.F("until")), ("starts_on__lt", models.F("ends_before"))
                    ),
                    name="budgetperiod_forward",
                ),
                models.UniqueConstraint(
                    fields=("budget", "plan", "starts_on"), name="budgetperiod_once"
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="BudgetCrossing",
        fields=[
            ("id", own_id()),
            ("plan", models.PositiveIntegerField()),
            ("starts_on", models.DateField(help_text="Of the period.")),
            ("basis", models.CharField(max_length=10)),
            ("percent", models.DecimalField(decimal_places=2, max_digits=7)),
            ("severity", models.CharField(max_length=10)),
            ("figure", amount(help_text="Spent, or expected, when it was crossed.")),
            ("amount", amount()),
            ("currency", models.CharField(max_length=20)),
            ("crossed_at", models.DateTimeField()),
            ("resolved_at", models.DateTimeField(null=True)),
            (
                "budget",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="crossings", to="finops.budget"
                ),
            ),
        ],
        options={
            "ordering": ["-crossed_at", "-pk"],
            "constraints": [
                is_known("basis", ["actual", "forecast"], name="budgetcrossing_basis_known"),
                is_known(
                    "severity",
                    ["critical", "info", "warning"],
                    name="budgetcrossing_severity_known",
                ),
                is_positive("amount", name="budgetcrossing_amount_positive"),
                is_positive("percent", name="budgetcrossing_percent_positive"),
                is_finite("figure", name="budgetcrossing_figure_finite"),
                models.UniqueConstraint(
                    fields=("budget", "plan", "starts_on", "basis", "percent"),
                    name="budgetcrossing_once",
                ),
            ],
        },
    ),
]
