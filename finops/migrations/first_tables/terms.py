"""Contract terms, and the regions one buys from."""

import uuid

from django.db import migrations, models

from ingest.migrations.first_tables.parts import amount, is_finite, is_not_negative, own_id

TABLES = [
    migrations.CreateModel(
        name="PriceTerm",
        fields=[
            ("id", own_id()),
            (
                "uid",
                models.UUIDField(
                    default=uuid.uuid4, help_text="The same in every version that has it."
                ),
            ),
            (
                "since",
                models.PositiveIntegerField(help_text="Version that entered or changed it last."),
            ),
            ("provider", models.CharField(help_text="As the book names it.", max_length=100)),
            (
                "valid_from",
                models.DateTimeField(blank=True, help_text="Empty: it always held.", null=True),
            ),
            (
                "valid_to",
                models.DateTimeField(
                    blank=True, help_text="Empty: until further notice.", null=True
                ),
            ),
            ("note", models.CharField(blank=True, max_length=200)),
            ("contract", models.CharField(help_text="Its number or name.", max_length=100)),
            ("model", models.CharField(blank=True, max_length=200)),
            ("tier", models.CharField(blank=True, max_length=40)),
            ("region", models.CharField(blank=True, max_length=60)),
            ("unit", models.CharField(blank=True, max_length=20)),
            (
                "percent",
                models.DecimalField(
                    blank=True,
                    decimal_places=6,
                    help_text="Off the list price; below 0 it is a surcharge.",
                    max_digits=9,
                    null=True,
                ),
            ),
            (
                "amount",
                amount(blank=True, help_text="Per 1M tokens, or per 1,000 requests.", null=True),
            ),
            ("currency", models.CharField(blank=True, max_length=20)),
            (
                "book",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="terms", to="finops.pricebook"
                ),
            ),
            (
                "project",
                models.ForeignKey(
                    blank=True,
                    help_text="Null: every project that has none of its own.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="ingest.project",
                ),
            ),
        ],
        options={
            "ordering": ["provider", "model", "tier", "region", "unit", "valid_from", "uid"],
            "constraints": [
                is_finite("amount", name="price_term_amount_finite"),
                is_not_negative("amount", name="price_term_amount_not_negative"),
                models.UniqueConstraint(fields=("book", "uid"), name="price_term_once"),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(
                            ("amount__isnull", True), ("currency", ""), ("percent__isnull", False)
                        ),
                        models.Q(
                            ("amount__isnull", False),
                            ("percent__isnull", True),
                            models.Q(("currency", ""), _negated=True),
                            models.Q(("unit", ""), _negated=True),
                        ),
                        _connector="OR",
                    ),
                    name="price_term_one_effect",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("percent__isnull", True),
                        models.Q(("percent__gt", -100), ("percent__lte", 100)),
                        _connector="OR",
                    ),
                    name="price_term_percent",
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("valid_from__isnull", True),
                        ("valid_to__isnull", True),
                        ("valid_from__lt", models.F("valid_to")),
                        _connector="OR",
                    ),
                    name="price_term_range",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="BuyingRegion",
        fields=[
            ("id", own_id()),
            (
                "uid",
                models.UUIDField(
                    default=uuid.uuid4, help_text="The same in every version that has it."
                ),
            ),
            (
                "since",
                models.PositiveIntegerField(help_text="Version that entered or changed it last."),
            ),
            ("provider", models.CharField(help_text="As the book names it.", max_length=100)),
            (
                "valid_from",
                models.DateTimeField(blank=True, help_text="Empty: it always held.", null=True),
            ),
            (
                "valid_to",
                models.DateTimeField(
                    blank=True, help_text="Empty: until further notice.", null=True
                ),
            ),
            ("note", models.CharField(blank=True, max_length=200)),
            ("region", models.CharField(max_length=60)),
            (
                "book",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="regions", to="finops.pricebook"
                ),
            ),
            (
                "project",
                models.ForeignKey(
                    blank=True,
                    help_text="Null: every project that has none of its own.",
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to="ingest.project",
                ),
            ),
        ],
        options={
            "ordering": ["provider", "region", "valid_from", "uid"],
            "constraints": [
                models.UniqueConstraint(fields=("book", "uid"), name="buying_region_once"),
                models.CheckConstraint(
                    condition=models.Q(("region", ""), _negated=True), name="buying_region_named"
                ),
                models.CheckConstraint(
                    condition=models.Q(
                        ("valid_from__isnull", True),
                        ("valid_to__isnull", True),
                        ("valid_from__lt", models.F("valid_to")),
                        _connector="OR",
                    ),
                    name="buying_region_range",
                ),
            ],
        },
    ),
]
