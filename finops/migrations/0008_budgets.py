"""Budgets, their thresholds, the figures of each period, and what was crossed when."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("finops", "0007_alerts"),
    ]

    operations = [
        migrations.CreateModel(
            name="Budget",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
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
                ("amount", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                (
                    "cap",
                    models.DecimalField(
                        decimal_places=20,
                        help_text="The most that an adjusting budget may be.",
                        max_digits=38,
                        null=True,
                    ),
                ),
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
                        help_text="Grows when what is measured changes: thresholds may be crossed anew.",
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
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name", "pk"],
            },
        ),
        migrations.CreateModel(
            name="BudgetCrossing",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("plan", models.PositiveIntegerField()),
                ("starts_on", models.DateField(help_text="Of the period.")),
                ("basis", models.CharField(max_length=10)),
                ("percent", models.DecimalField(decimal_places=2, max_digits=7)),
                ("severity", models.CharField(max_length=10)),
                (
                    "figure",
                    models.DecimalField(
                        decimal_places=20,
                        help_text="Spent, or expected, when it was crossed.",
                        max_digits=38,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=20, max_digits=38)),
                ("currency", models.CharField(max_length=20)),
                ("crossed_at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(null=True)),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="crossings",
                        to="finops.budget",
                    ),
                ),
            ],
            options={
                "ordering": ["-crossed_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="BudgetMonth",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("month", models.PositiveSmallIntegerField()),
                ("amount", models.DecimalField(decimal_places=20, max_digits=38)),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="months",
                        to="finops.budget",
                    ),
                ),
            ],
            options={
                "ordering": ["budget", "month"],
            },
        ),
        migrations.CreateModel(
            name="BudgetPeriod",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("plan", models.PositiveIntegerField()),
                ("starts_on", models.DateField()),
                ("ends_before", models.DateField()),
                ("since", models.DateField()),
                ("until", models.DateField()),
                ("currency", models.CharField(max_length=20)),
                ("amount", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                (
                    "amount_said",
                    models.TextField(blank=True, help_text="How an adjusting amount came about."),
                ),
                ("spent", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ("reconciled", models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ("pace", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ("expected", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ("expected_low", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ("expected_high", models.DecimalField(decimal_places=20, max_digits=38, null=True)),
                ("method", models.CharField(max_length=10)),
                ("method_said", models.TextField(blank=True)),
                ("state", models.CharField(max_length=10)),
                ("why", models.TextField()),
                (
                    "missing",
                    models.TextField(
                        blank=True, help_text="What is in no figure, as in: no price."
                    ),
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
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="periods",
                        to="finops.budget",
                    ),
                ),
            ],
            options={
                "ordering": ["budget", "-starts_on", "-plan"],
            },
        ),
        migrations.CreateModel(
            name="BudgetThreshold",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("percent", models.DecimalField(decimal_places=2, max_digits=7)),
                ("basis", models.CharField(help_text="actual or forecast", max_length=10)),
                ("severity", models.CharField(max_length=10)),
                (
                    "channel_ids",
                    models.JSONField(
                        default=list, help_text="Empty: as the rule for budgets says."
                    ),
                ),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="thresholds",
                        to="finops.budget",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        help_text="NULL: the budget's.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["budget", "percent", "basis"],
            },
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("period__in", ["daily", "monthly", "quarterly", "rolling", "until", "weekly"])
                ),
                name="budget_period_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_kind__in", ["adjusting", "fixed", "planned"])),
                name="budget_amount_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("limit_signal__in", ["hard", "none", "soft"])),
                name="budget_limit_signal_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("basis__in", ["bill", "book", "usage"])),
                name="budget_basis_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__isnull", True),
                    models.Q(("amount__gt", 0), ("amount__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budget_amount_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cap__isnull", True),
                    models.Q(("cap__gt", 0), ("cap__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budget_cap_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__isnull", False), ("amount_kind", "fixed")),
                    models.Q(
                        models.Q(("amount_kind", "fixed"), _negated=True), ("amount__isnull", True)
                    ),
                    _connector="OR",
                ),
                name="budget_fixed_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
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
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("last_day__isnull", False), ("period", "until")),
                    models.Q(
                        models.Q(("period", "until"), _negated=True), ("last_day__isnull", True)
                    ),
                    _connector="OR",
                ),
                name="budget_until_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
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
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("last_day__isnull", True),
                    ("last_day__gte", models.F("starts_on")),
                    _connector="OR",
                ),
                name="budget_ends_after_it_starts",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("rolling_days__isnull", True),
                    models.Q(("rolling_days__gte", 1), ("rolling_days__lte", 366)),
                    _connector="OR",
                ),
                name="budget_rolling_days_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("average_of__isnull", True),
                    models.Q(("average_of__gte", 1), ("average_of__lte", 24)),
                    _connector="OR",
                ),
                name="budget_average_of_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency", ""), _negated=True), name="budget_has_currency"
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at__isnull", True)),
                fields=("name",),
                name="budget_name_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetcrossing",
            constraint=models.CheckConstraint(
                condition=models.Q(("basis__in", ["actual", "forecast"])),
                name="budgetcrossing_basis_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetcrossing",
            constraint=models.CheckConstraint(
                condition=models.Q(("severity__in", ["critical", "info", "warning"])),
                name="budgetcrossing_severity_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetcrossing",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__isnull", True),
                    models.Q(("amount__gt", 0), ("amount__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetcrossing_amount_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetcrossing",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("percent__isnull", True),
                    models.Q(("percent__gt", 0), ("percent__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetcrossing_percent_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetcrossing",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("figure__isnull", True),
                    models.Q(("figure__gt", -1000000000000), ("figure__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetcrossing_figure_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetcrossing",
            constraint=models.UniqueConstraint(
                fields=("budget", "plan", "starts_on", "basis", "percent"),
                name="budgetcrossing_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetmonth",
            constraint=models.CheckConstraint(
                condition=models.Q(("month__gte", 1), ("month__lte", 12)),
                name="budgetmonth_of_a_year",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetmonth",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__isnull", True),
                    models.Q(("amount__gt", 0), ("amount__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetmonth_amount_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetmonth",
            constraint=models.UniqueConstraint(fields=("budget", "month"), name="budgetmonth_once"),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["at_risk", "on_track", "over", "unknown"])),
                name="budgetperiod_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("method__in", ["forecast", "known", "none", "pace"])),
                name="budgetperiod_method_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__isnull", True),
                    models.Q(("amount__gt", 0), ("amount__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetperiod_amount_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("spent__isnull", True),
                    models.Q(("spent__gt", -1000000000000), ("spent__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetperiod_spent_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("reconciled__isnull", True),
                    models.Q(("reconciled__gt", -1000000000000), ("reconciled__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetperiod_reconciled_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("pace__isnull", True),
                    models.Q(("pace__gt", -1000000000000), ("pace__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetperiod_pace_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("expected__isnull", True),
                    models.Q(("expected__gt", -1000000000000), ("expected__lt", 1000000000000)),
                    _connector="OR",
                ),
                name="budgetperiod_expected_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("expected_low__isnull", True),
                    models.Q(
                        ("expected_low__gt", -1000000000000), ("expected_low__lt", 1000000000000)
                    ),
                    _connector="OR",
                ),
                name="budgetperiod_expected_low_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("expected_high__isnull", True),
                    models.Q(
                        ("expected_high__gt", -1000000000000), ("expected_high__lt", 1000000000000)
                    ),
                    _connector="OR",
                ),
                name="budgetperiod_expected_high_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("since__lt", models.F("until")), ("starts_on__lt", models.F("ends_before"))
                ),
                name="budgetperiod_forward",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetperiod",
            constraint=models.UniqueConstraint(
                fields=("budget", "plan", "starts_on"), name="budgetperiod_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetthreshold",
            constraint=models.CheckConstraint(
                condition=models.Q(("basis__in", ["actual", "forecast"])),
                name="budgetthreshold_basis_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetthreshold",
            constraint=models.CheckConstraint(
                condition=models.Q(("severity__in", ["critical", "info", "warning"])),
                name="budgetthreshold_severity_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetthreshold",
            constraint=models.CheckConstraint(
                condition=models.Q(("percent__gt", 0), ("percent__lte", 1000)),
                name="budgetthreshold_percent_sane",
            ),
        ),
        migrations.AddConstraint(
            model_name="budgetthreshold",
            constraint=models.UniqueConstraint(
                fields=("budget", "basis", "percent"), name="budgetthreshold_once"
            ),
        ),
    ]
