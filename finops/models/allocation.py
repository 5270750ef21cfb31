"""Rules that say whose a charge is, what they landed, and the statements frozen from that.

What landed is recomputable from bills, hardware, requests and rules, and stands *beside* the raw
charges: a row moves an amount to a project from where it stood, so the sum of all projects cannot
change. Of requests it is kept when they themselves are gone. A
statement is never edited: what a restatement changes later is a statement of its own.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q

from finops.costing.allocating import ORIGINS, SPLITS
from ingest.models.bills import BillLine
from ingest.models.fields import finite_decimal, finite_float, money, one_of

STATEMENTS = ("statement", "adjustment")
PARTS = ("usage", "requests", "bill", "hardware", "shared")


class AllocationRule(models.Model):
    name = models.CharField(max_length=100)
    origin = models.CharField(max_length=10, help_text="bill, hardware or requests")
    position = models.PositiveIntegerField(help_text="The first that meets a charge takes it.")
    conditions = models.JSONField(
        default=list, help_text="[{field, operator, values}]; all of them must hold."
    )
    split = models.CharField(max_length=10)
    valid_from = models.DateField(null=True)
    last_day = models.DateField(null=True)
    note = models.CharField(max_length=300, blank=True)
    is_on = models.BooleanField(default=True)
    revision = models.PositiveIntegerField(default=1, help_text="Grows with every change.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            one_of("allocationrule", "origin", ORIGINS),
            one_of("allocationrule", "split", SPLITS),
            models.UniqueConstraint(
                fields=["name"], condition=Q(removed_at__isnull=True), name="allocationrule_once"
            ),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(last_day__isnull=True)
                | Q(last_day__gte=models.F("valid_from")),
                name="allocationrule_forward",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class AllocationTarget(models.Model):
    """A project that a rule lands on, with its percentage of a fixed share."""

    rule = models.ForeignKey(AllocationRule, on_delete=models.CASCADE, related_name="targets")
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    percent = models.DecimalField(max_digits=9, decimal_places=6, null=True)

    class Meta:
        ordering = ["rule", "project"]
        constraints = [
            models.UniqueConstraint(fields=["rule", "project"], name="allocationtarget_once"),
            models.CheckConstraint(
                condition=Q(percent__isnull=True) | Q(percent__gt=0, percent__lte=100),
                name="allocationtarget_percent_sane",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} to {self.project_id}"


class Landing(models.Model):
    """By which rules, and by which use of the day, a bill's period or a pool's day was landed.

    Of requests: the day of the project that sent them.
    """

    pk = models.CompositePrimaryKey("origin", "owner_id", "day")
    origin = models.TextField()
    owner_id = models.BigIntegerField(help_text="The bill's period, pool or project.")
    day = models.DateField(help_text="The billing month, or the day.")
    rules = models.TextField(help_text="Digest of the rules.")
    inputs = models.TextField(help_text="What else it came from, as of then.")
    landed_at = models.DateTimeField()

    class Meta:
        constraints = [one_of("landing", "origin", ORIGINS)]


class LandedBill(models.Model):
    """Part of a bill's day that a rule moved from Unallocated to a project.

    Each charge is there twice: what its targets were given, and, without a rule, the same amount
    taken from Unallocated; so all rows of a charge add up to nothing, and no total moves. With a
    rule on Unallocated itself it is a charge that a rule met and could not split; `why` says so.
    A cost is the sum of the lines that carry it, `unknown_*` counts lines of which none did.
    """

    period = models.ForeignKey(
        "ingest.DeliveryPeriod", on_delete=models.CASCADE, related_name="landed"
    )
    day = models.DateField()
    currency = models.TextField()
    provider = models.TextField()
    service = models.TextField()
    sku = models.TextField()
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    rule = models.ForeignKey(AllocationRule, null=True, on_delete=models.PROTECT, related_name="+")
    why = models.TextField(blank=True)
    lines = models.BigIntegerField()
    billed_cost = money(default=0)
    effective_cost = money(default=0)
    list_cost = money(default=0)
    contracted_cost = money(default=0)
    unknown_billed = models.BigIntegerField(default=0)
    unknown_effective = models.BigIntegerField(default=0)
    unknown_list = models.BigIntegerField(default=0)
    unknown_contracted = models.BigIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["day", "period"], name="landed_bill_day")]
        constraints = finite_decimal("landed_bill", *BillLine.COSTS)


class LandedHardware(models.Model):
    """Part of a `PoolQuarter` that a rule moved from Unallocated to a project; see `LandedBill`."""

    pool_id = models.IntegerField()
    at = models.DateTimeField()
    model = models.TextField()
    currency = models.TextField()
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    rule = models.ForeignKey(AllocationRule, null=True, on_delete=models.PROTECT, related_name="+")
    why = models.TextField(blank=True)
    requests = models.FloatField(default=0)
    allocated = money()

    class Meta:
        indexes = [
            models.Index(fields=["at"], name="landed_hardware_at"),
            models.Index(fields=["pool_id", "at"], name="landed_hardware_pool"),
        ]
        constraints = [
            *finite_decimal("landed_hardware", "allocated"),
            *finite_float("landed_hardware", "requests"),
        ]


class LandedUsage(models.Model):
    """Part of a `CostDay` row that a rule moved from the project that sent the requests.

    One row is both sides of the move: `project` has the amount, `sender` has it no more.
    """

    sender = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    service = models.TextField()
    kind = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    tier = models.TextField()
    input_band = models.IntegerField()
    currency = models.TextField()
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    rule = models.ForeignKey(AllocationRule, on_delete=models.PROTECT, related_name="+")
    cost = money()
    list_cost = money(null=True, help_text="At list prices; null: unknown.")

    class Meta:
        indexes = [models.Index(fields=["day", "sender"], name="landed_usage_day")]
        constraints = [
            *finite_decimal("landed_usage", "cost", "list_cost"),
            models.CheckConstraint(
                condition=~Q(project=models.F("sender")), name="landed_usage_moves"
            ),
        ]


class Chargeback(models.Model):
    """What a month cost each project, as it was when the month was closed; never edited.

    The first of a month is its statement. A later one is an adjustment: it holds the differences
    that restated bills, late usage or changed rules have made since.
    """

    month = models.DateField()
    number = models.PositiveIntegerField(help_text="1 is the statement, the others adjust it.")
    as_of = models.DateTimeField(null=True, help_text="Of the newest fact.")
    rules = models.JSONField(help_text="[{id, name, revision}] of the rules in force.")
    rules_digest = models.CharField(max_length=40)
    book_version = models.PositiveIntegerField(null=True, help_text="Newest price book then.")
    note = models.CharField(max_length=300, blank=True)
    closed_at = models.DateTimeField()
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ["-month", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["month", "number"], name="chargeback_once"),
            models.CheckConstraint(
                condition=Q(number__gte=1, month__day=1), name="chargeback_of_a_month"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} no. {self.number}"

    @property
    def kind(self) -> str:
        return STATEMENTS[self.number > 1]


class ChargebackLine(models.Model):
    """One amount of one project: names are kept as they were, whatever is renamed later."""

    chargeback = models.ForeignKey(Chargeback, on_delete=models.PROTECT, related_name="lines")
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    project_name = models.CharField(max_length=100)
    team = models.CharField(max_length=100, blank=True)
    part = models.CharField(max_length=10)
    rule = models.ForeignKey(AllocationRule, null=True, on_delete=models.PROTECT, related_name="+")
    rule_name = models.CharField(max_length=100, blank=True)
    amount = money()
    reconciled = money()
    currency = models.CharField(max_length=20)

    class Meta:
        ordering = ["chargeback", "team", "project_name", "part", "rule_name", "currency"]
        constraints = [
            one_of("chargebackline", "part", PARTS),
            *finite_decimal("chargebackline", "amount", "reconciled"),
            models.UniqueConstraint(
                fields=["chargeback", "project", "part", "rule", "currency"],
                nulls_distinct=False,
                name="chargebackline_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project_name} {self.part} {self.amount} {self.currency}"
