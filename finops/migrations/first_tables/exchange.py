"""Exchange rates by day, and the imports that brought them."""

from django.conf import settings
from django.db import migrations, models

from ingest.migrations.first_tables.parts import amount, is_finite, own_id

TABLES = [
    migrations.CreateModel(
        name="ExchangeImport",
        fields=[
            ("id", own_id()),
            ("source", models.CharField(help_text="Who made the rates, as in ECB.", max_length=50)),
            ("file_name", models.CharField(blank=True, max_length=200)),
            (
                "added",
                models.PositiveIntegerField(help_text="Rates of pairs and days without one."),
            ),
            ("replaced", models.PositiveIntegerField(help_text="Rates that replaced another one.")),
            ("unchanged", models.PositiveIntegerField()),
            ("first_day", models.DateField()),
            ("last_day", models.DateField()),
            ("created_at", models.DateTimeField()),
            (
                "created_by",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "ordering": ["-id"],
            "constraints": [
                models.CheckConstraint(
                    condition=models.Q(("added__gt", 0), ("replaced__gt", 0), _connector="OR"),
                    name="exchange_import_brought_something",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="ExchangeRate",
        fields=[
            ("id", own_id()),
            ("day", models.DateField()),
            ("base", models.CharField(max_length=20)),
            ("quote", models.CharField(max_length=20)),
            ("rate", amount()),
            ("version", models.PositiveIntegerField(default=1)),
            ("replaced_at", models.DateTimeField(help_text="Empty: the one in force.", null=True)),
            (
                "brought_by",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="rates", to="finops.exchangeimport"
                ),
            ),
        ],
        options={
            "ordering": ["-day", "base", "quote", "-version"],
            "constraints": [
                models.UniqueConstraint(
                    fields=("day", "base", "quote", "version"), name="exchange_version_once"
                ),
                models.UniqueConstraint(
                    condition=models.Q(("replaced_at__isnull", True)),
                    fields=("base", "quote", "day"),
                    name="exchange_one_in_force",
                ),
                models.CheckConstraint(
                    condition=models.Q(("rate__gt", 0)), name="exchange_rate_above_zero"
                ),
                is_finite("rate", name="exchange_rate_finite"),
                models.CheckConstraint(
                    condition=models.Q(("base", models.F("quote")), _negated=True),
                    name="exchange_two_currencies",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("base", ""), _negated=True),
                        models.Q(("quote", ""), _negated=True),
                    ),
                    name="exchange_currencies_named",
                ),
            ],
        },
    ),
]
