"""Bills as received. A delivery is never edited: a later one supersedes it, both stay readable."""

from django.db import models

from .fields import PlainNumeric, finite_decimal, money
from .sources import Counts


class Delivery(Counts):
    """One billing file or export as received."""

    source = models.ForeignKey("ingest.Source", on_delete=models.CASCADE, related_name="deliveries")
    name = models.TextField()
    sha256 = models.BinaryField(max_length=32)
    received_at = models.DateTimeField()
    complete = models.BooleanField(
        default=False, help_text="Only a complete delivery supersedes an earlier one."
    )
    note = models.TextField(
        blank=True, db_default="", default="", help_text="Why it is not complete."
    )
    warnings = models.JSONField(
        blank=True, db_default=[], default=list, help_text="What is doubtful about its figures."
    )

    class Meta:
        ordering = ["-received_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["source", "sha256"], name="delivery_once"),
            Counts.adds_up("delivery"),
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryPeriod(models.Model):
    """What one delivery says of one billing account and month, and until when it was believed."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="periods")
    source_id = models.IntegerField()
    billing_account_id = models.TextField()
    billing_month = models.DateField()
    line_count = models.BigIntegerField()
    last_charge_at = models.DateTimeField(help_text="End of the newest charge in it.")
    known_from = models.DateTimeField()
    known_to = models.DateTimeField(null=True, help_text="Empty while it is the current one.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source_id", "billing_account_id", "billing_month"],
                condition=models.Q(known_to__isnull=True),
                name="delivery_period_one_current",
            )
        ]

    def __str__(self) -> str:
        return f"{self.billing_account_id} {self.billing_month:%Y-%m}"


class BillLine(models.Model):
    """One FOCUS row. The table itself is made by migration 0002, partitioned by `billing_month`."""

    pk = models.CompositePrimaryKey("source_id", "billing_month", "delivery_id", "line")
    source_id = models.IntegerField()
    billing_month = models.DateField()
    delivery_id = models.BigIntegerField()
    line = models.BigIntegerField()
    period_id = models.BigIntegerField()
    billing_account_id = models.TextField()
    billing_account_name = models.TextField()
    billing_period_start = models.DateTimeField()
    billing_period_end = models.DateTimeField()
    charge_period_start = models.DateTimeField()
    charge_period_end = models.DateTimeField()
    billing_currency = models.TextField()
    billed_cost = money(null=True)
    effective_cost = money(null=True)
    list_cost = money(null=True)
    contracted_cost = money(null=True)
    charge_category = models.TextField()
    charge_class = models.TextField()
    charge_description = models.TextField()
    charge_frequency = models.TextField()
    commitment_discount_id = models.TextField()
    commitment_discount_status = models.TextField()
    consumed_quantity = PlainNumeric(null=True)
    consumed_unit = models.TextField()
    pricing_category = models.TextField()
    pricing_quantity = PlainNumeric(null=True)
    pricing_unit = models.TextField()
    provider_name = models.TextField()
    publisher_name = models.TextField()
    invoice_issuer_name = models.TextField()
    invoice_id = models.TextField()
    region_id = models.TextField()
    resource_id = models.TextField()
    resource_name = models.TextField()
    resource_type = models.TextField()
    service_category = models.TextField()
    service_name = models.TextField()
    sku_id = models.TextField()
    sku_price_id = models.TextField()
    sub_account_id = models.TextField()
    sub_account_name = models.TextField()
    tags = models.JSONField(default=dict)
    extra = models.JSONField(default=dict)
    repairs = models.JSONField(default=list)
    content_hash = models.BinaryField()

    class Meta:
        managed = False
        db_table = "ingest_bill_line"

    COSTS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")


class BillDay(models.Model):
    """Bill lines summed per day and dimension, for every delivery, recomputable from its lines.

    `day` is in the accounting time zone. A cost is NULL when no line of the group carried it, and
    `unknown_*` counts the lines that did not.
    """

    period = models.ForeignKey(DeliveryPeriod, on_delete=models.CASCADE, related_name="days")
    day = models.DateField()
    currency = models.TextField()
    provider = models.TextField()
    service_category = models.TextField()
    service = models.TextField()
    sku = models.TextField()
    sub_account = models.TextField()
    region = models.TextField()
    charge_category = models.TextField()
    lines = models.BigIntegerField()
    billed_cost = money(null=True)
    effective_cost = money(null=True)
    list_cost = money(null=True)
    contracted_cost = money(null=True)
    charged_until = models.DateTimeField(
        null=True, help_text="The end of the newest charge that began on this day, within a day."
    )

    class Meta:
        indexes = [
            models.Index(fields=["day", "period"], name="bill_day_day"),
            models.Index(
                fields=["period", "provider", "service", "charged_until"],
                condition=models.Q(charge_category="Usage"),
                name="bill_day_until",
            ),
        ]
        constraints = finite_decimal("bill_day", *BillLine.COSTS)


class BillSkuDay(models.Model):
    """Days of a bill by SKU alone, summed from `BillDay`: what is asked for whenever costs are.

    `unknown_*` counts the lines of groups that carried no such cost, as `BillDay` tells them apart.
    """

    period = models.ForeignKey(DeliveryPeriod, on_delete=models.CASCADE, related_name="sku_days")
    day = models.DateField()
    currency = models.TextField()
    provider = models.TextField()
    service = models.TextField()
    sku = models.TextField()
    is_used = models.BooleanField(
        help_text="Whether the period charges for this SKU otherwise than as credit or tax."
    )
    billed_cost = money(null=True)
    effective_cost = money(null=True)
    list_cost = money(null=True)
    contracted_cost = money(null=True)
    unknown_billed = models.BigIntegerField()
    unknown_effective = models.BigIntegerField()
    unknown_list = models.BigIntegerField()
    unknown_contracted = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["day", "period"], name="bill_sku_day_day"),
            models.Index(
                fields=["day", "period"],
                condition=models.Q(is_used=False),
                name="bill_sku_day_unused",
            ),
        ]
        constraints = finite_decimal("bill_sku_day", *BillLine.COSTS)

    def __str__(self) -> str:
        return f"{self.day} {self.service} {self.sku}"
