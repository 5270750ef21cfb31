"""The price book, confirmed re-pricings, and which bill covers which usage."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from ingest.migrations.first_tables.parts import (
    amount,
    is_finite,
    is_known,
    is_not_negative,
    own_id,
)

TABLES = [
    migrations.CreateModel(
        name="PriceBook",
        fields=[
            ("id", own_id()),
            ("version", models.PositiveIntegerField(unique=True)),
            ("source", models.CharField(help_text="As in `genai-prices 0.2.3`.", max_length=100)),
            ("note", models.TextField(blank=True)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
        ],
        options={
            "ordering": ["-version"],
            "get_latest_by": "version",
        },
    ),
    migrations.CreateModel(
        name="Price",
        fields=[
            ("id", own_id()),
            ("provider", models.CharField(max_length=100)),
            ("model", models.CharField(max_length=200)),
            (
                "unit",
                models.CharField(
                    choices=[
                        ("input", "input"),
                        ("cache_read", "cache_read"),
                        ("cache_write_5m", "cache_write_5m"),
                        ("cache_write_1h", "cache_write_1h"),
                        ("output", "output"),
                        ("reasoning", "reasoning"),
                        ("audio_input", "audio_input"),
                        ("audio_output", "audio_output"),
                        ("image_input", "image_input"),
                        ("request", "request"),
                    ],
                    max_length=20,
                ),
            ),
            ("tier", models.CharField(default="standard", max_length=40)),
            (
                "input_over",
                models.PositiveIntegerField(
                    default=0,
                    help_text="Holds for requests whose whole prompt has more tokens than this.",
                ),
            ),
            (
                "valid_from",
                models.DateTimeField(blank=True, help_text="Empty: it has always held.", null=True),
            ),
            ("time_from", models.TimeField(blank=True, null=True)),
            ("time_to", models.TimeField(blank=True, null=True)),
            ("amount", amount()),
            ("currency", models.CharField(default="USD", max_length=20)),
            (
                "is_own",
                models.BooleanField(default=False, help_text="Entered here; survives a new seed."),
            ),
            (
                "book",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="prices", to="finops.pricebook"
                ),
            ),
            (
                "is_list_price",
                models.BooleanField(
                    default=False,
                    help_text="Of an own price: what is asked of everybody, so that discounts come"
                    " off it.",
                ),
            ),
            (
                "region",
                models.CharField(
                    blank=True,
                    default="",
                    help_text="Empty: everywhere. Own prices only.",
                    max_length=60,
                ),
            ),
        ],
        options={
            "indexes": [
                models.Index(fields=["book", "provider", "model"], name="price_model"),
            ],
            "constraints": [
                is_finite("amount", name="price_amount_finite"),
                is_not_negative("amount", name="price_amount_not_negative"),
                models.CheckConstraint(
                    condition=models.Q(
                        models.Q(("time_from__isnull", True), ("time_to__isnull", True)),
                        models.Q(("time_from__isnull", False), ("time_to__isnull", False)),
                        _connector="OR",
                    ),
                    name="price_time_of_day_whole",
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="ModelAlias",
        fields=[
            ("id", own_id()),
            ("provider", models.CharField(max_length=200)),
            ("model", models.CharField(max_length=300)),
            ("price_provider", models.CharField(blank=True, max_length=100)),
            ("price_model", models.CharField(blank=True, max_length=200)),
            (
                "book",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="aliases", to="finops.pricebook"
                ),
            ),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(fields=("book", "provider", "model"), name="alias_once"),
            ],
        },
    ),
    migrations.CreateModel(
        name="HardwarePrice",
        fields=[
            ("id", own_id()),
            ("hardware", models.CharField(max_length=100)),
            ("valid_from", models.DateTimeField(blank=True, null=True)),
            ("hourly", amount()),
            ("currency", models.CharField(default="USD", max_length=20)),
            (
                "book",
                models.ForeignKey(
                    on_delete=models.CASCADE, related_name="hardware", to="finops.pricebook"
                ),
            ),
            (
                "billed_by",
                models.CharField(
                    choices=[("hours", "the hour, busy or not"), ("use", "use, only while busy")],
                    default="hours",
                    help_text="Every hour it is held, or only the time in which it works"
                    " (serverless).",
                    max_length=5,
                ),
            ),
        ],
        options={
            "constraints": [
                is_finite("hourly", name="hardware_price_hourly_finite"),
                is_not_negative("hourly", name="hardware_price_hourly_not_negative"),
                models.UniqueConstraint(
                    fields=("book", "hardware", "valid_from"),
                    name="hardware_price_once",
                    nulls_distinct=False,
                ),
                is_known("billed_by", ["hours", "use"], name="hardware_price_billed_by_known"),
            ],
        },
    ),
    migrations.CreateModel(
        name="PriceList",
        fields=[
            ("id", own_id()),
            ("name", models.CharField(help_text="As the file was called.", max_length=100)),
            (
                "digest",
                models.CharField(help_text="SHA-256 of its bytes.", max_length=64, unique=True),
            ),
            ("content", models.BinaryField()),
            ("created_at", models.DateTimeField(auto_now_add=True)),
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
        },
    ),
    migrations.CreateModel(
        name="Repricing",
        fields=[
            ("id", own_id()),
            (
                "project_ids",
                ArrayField(
                    base_field=models.IntegerField(),
                    help_text="Null: every project, and all hardware.",
                    null=True,
                    size=None,
                ),
            ),
            ("start", models.DateTimeField()),
            ("end", models.DateTimeField()),
            ("hours", models.PositiveIntegerField(help_text="Hours of one owner each.")),
            ("plan", models.CharField(help_text="Fingerprint of the preview.", max_length=64)),
            ("totals", models.JSONField(help_text="Currency: [before, after], as exact text.")),
            ("note", models.CharField(blank=True, max_length=200)),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "book",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to="finops.pricebook"
                ),
            ),
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
                    condition=models.Q(("start__lt", models.F("end"))), name="repricing_range"
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="BillMatch",
        fields=[
            ("id", own_id()),
            ("usage_provider", models.CharField(max_length=100, unique=True)),
            ("bill_provider", models.CharField(max_length=100)),
            ("bill_service", models.CharField(max_length=200)),
        ],
    ),
]
