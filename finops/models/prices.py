"""The dated price book. A book is never edited: a change of price makes the next version."""

from django.db import models
from django.db.models import Q

from ingest.models.fields import finite_decimal, money, not_negative, one_of
from ingest.records import TOKEN_CLASSES

PRICE_UNITS = (*TOKEN_CLASSES, "request")

BY_HOURS, BY_USE = "hours", "use"
BILLED_BY = {
    BY_HOURS: "the hour, busy or not",
    BY_USE: "use, only while busy",
}
"""How hardware is paid for. Work saved on the first frees capacity, on the second also cash."""


class PriceBook(models.Model):
    """One version of all prices, with where they came from."""

    version = models.PositiveIntegerField(unique=True)
    source = models.CharField(max_length=100, help_text="As in `genai-prices 0.2.3`.")
    note = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-version"]
        get_latest_by = "version"

    def __str__(self) -> str:
        return f"v{self.version} ({self.source})"


class Price(models.Model):
    """What one unit of one model costs, from when, for which tier and prompt size.

    `amount` is per million tokens, or per thousand requests for the unit `request`. Of the prices
    in force one with a time of day (UTC) beats one without, then the latest start wins; all rows
    of one start are one complete set, and own rows lie above it unit by unit.
    """

    book = models.ForeignKey(PriceBook, on_delete=models.CASCADE, related_name="prices")
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    unit = models.CharField(max_length=20, choices=[(u, u) for u in PRICE_UNITS])
    tier = models.CharField(max_length=40, default="standard")
    input_over = models.PositiveIntegerField(
        default=0, help_text="Holds for requests whose whole prompt has more tokens than this."
    )
    valid_from = models.DateTimeField(null=True, blank=True, help_text="Empty: it has always held.")
    time_from = models.TimeField(null=True, blank=True)
    time_to = models.TimeField(null=True, blank=True)
    amount = money()
    currency = models.CharField(max_length=20, default="USD")
    is_own = models.BooleanField(default=False, help_text="Entered here; survives a new seed.")
    region = models.CharField(
        max_length=60, blank=True, default="", help_text="Empty: everywhere. Own prices only."
    )
    is_list_price = models.BooleanField(
        default=False,
        help_text="Of an own price: what is asked of everybody, so that discounts come off it.",
    )

    class Meta:
        indexes = [models.Index(fields=["book", "provider", "model"], name="price_model")]
        constraints = [
            *finite_decimal("price", "amount"),
            *not_negative("price", "amount"),
            models.CheckConstraint(
                condition=Q(time_from__isnull=True, time_to__isnull=True)
                | Q(time_from__isnull=False, time_to__isnull=False),
                name="price_time_of_day_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.unit} {self.amount:f} {self.currency}"


class ModelAlias(models.Model):
    """Which priced model a reported name means, in one book. Empty names mean: none, unpriced."""

    book = models.ForeignKey(PriceBook, on_delete=models.CASCADE, related_name="aliases")
    provider = models.CharField(max_length=200)
    model = models.CharField(max_length=300)
    price_provider = models.CharField(max_length=100, blank=True)
    price_model = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["book", "provider", "model"], name="alias_once")
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} → {self.price_model or 'unpriced'}"


class HardwarePrice(models.Model):
    """What one GPU (or machine) of a pool costs per hour, from when, and for which hours."""

    book = models.ForeignKey(PriceBook, on_delete=models.CASCADE, related_name="hardware")
    hardware = models.CharField(max_length=100)
    valid_from = models.DateTimeField(null=True, blank=True)
    hourly = money()
    currency = models.CharField(max_length=20, default="USD")
    billed_by = models.CharField(
        max_length=5,
        default=BY_HOURS,
        choices=list(BILLED_BY.items()),
        help_text="Every hour it is held, or only the time in which it works (serverless).",
    )

    class Meta:
        constraints = [
            one_of("hardware_price", "billed_by", BILLED_BY),
            *finite_decimal("hardware_price", "hourly"),
            *not_negative("hardware_price", "hourly"),
            models.UniqueConstraint(
                fields=["book", "hardware", "valid_from"],
                nulls_distinct=False,
                name="hardware_price_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hardware} {self.hourly:f} {self.currency} per hour"


class BillMatch(models.Model):
    """Which bill service is the book for which usage, so that no dollar is counted twice.

    Where a complete bill covers `bill_service` of `bill_provider`, usage of `usage_provider` is not
    added; elsewhere it stands in and is provisional.
    """

    usage_provider = models.CharField(max_length=100, unique=True)
    bill_provider = models.CharField(max_length=100)
    bill_service = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"{self.usage_provider} ↔ {self.bill_provider} {self.bill_service}"
