"""What was agreed with a provider: discounts and fixed prices, and the region one buys from.

Both are part of a version of the price book, so pinning, pricing again and "as it was then" hold
for them as for prices. A row keeps its `uid` from version to version; `since` is the version in
which it was entered or changed last. Which rows apply to a request is `finops.costing.terms`'.
"""

from uuid import uuid4

from django.db import models
from django.db.models import F, Q

from ingest.models.fields import finite_decimal, money, not_negative

from .prices import PriceBook

LONGEST_REGION = 60


class Agreed(models.Model):
    """What a term and a region of purchase have in common."""

    uid = models.UUIDField(default=uuid4, help_text="The same in every version that has it.")
    since = models.PositiveIntegerField(help_text="Version that entered or changed it last.")
    project = models.ForeignKey(
        "ingest.Project", null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        help_text="Null: every project that has none of its own.",
    )  # fmt: skip
    provider = models.CharField(max_length=100, help_text="As the book names it.")
    valid_from = models.DateTimeField(null=True, blank=True, help_text="Empty: it always held.")
    valid_to = models.DateTimeField(null=True, blank=True, help_text="Empty: until further notice.")
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        abstract = True


class PriceTerm(Agreed):
    """A percentage off the list price, or a fixed amount instead of it. Empty names: every one."""

    book = models.ForeignKey(PriceBook, on_delete=models.CASCADE, related_name="terms")
    contract = models.CharField(max_length=100, help_text="Its number or name.")
    model = models.CharField(max_length=200, blank=True)
    tier = models.CharField(max_length=40, blank=True)
    region = models.CharField(max_length=LONGEST_REGION, blank=True)
    unit = models.CharField(max_length=20, blank=True)
    percent = models.DecimalField(
        max_digits=9, decimal_places=6, null=True, blank=True,
        help_text="Off the list price; below 0 it is a surcharge.",
    )  # fmt: skip
    amount = money(null=True, blank=True, help_text="Per 1M tokens, or per 1,000 requests.")
    currency = models.CharField(max_length=20, blank=True)

    class Meta:
        ordering = ["provider", "model", "tier", "region", "unit", "valid_from", "uid"]
        constraints = [
            *finite_decimal("price_term", "amount"),
            *not_negative("price_term", "amount"),
            models.UniqueConstraint(fields=["book", "uid"], name="price_term_once"),
            models.CheckConstraint(
                condition=Q(percent__isnull=False, amount__isnull=True, currency="")
                | (Q(percent__isnull=True, amount__isnull=False) & ~Q(currency="") & ~Q(unit="")),
                name="price_term_one_effect",
            ),
            models.CheckConstraint(
                condition=Q(percent__isnull=True) | Q(percent__gt=-100, percent__lte=100),
                name="price_term_percent",
            ),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_to__isnull=True)
                | Q(valid_from__lt=F("valid_to")),
                name="price_term_range",
            ),
        ]

    def __str__(self) -> str:
        what = f"{self.percent:f} %" if self.percent is not None else f"{self.amount:f}"
        return f"{self.contract}: {what} of {self.provider} {self.model}".rstrip()


class BuyingRegion(Agreed):
    """From which region a project, or everybody, buys a provider's models."""

    book = models.ForeignKey(PriceBook, on_delete=models.CASCADE, related_name="regions")
    region = models.CharField(max_length=LONGEST_REGION)

    class Meta:
        ordering = ["provider", "region", "valid_from", "uid"]
        constraints = [
            models.UniqueConstraint(fields=["book", "uid"], name="buying_region_once"),
            models.CheckConstraint(condition=~Q(region=""), name="buying_region_named"),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_to__isnull=True)
                | Q(valid_from__lt=F("valid_to")),
                name="buying_region_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} from {self.region}"
