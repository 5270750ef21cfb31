"""The savings ledger: what was promised, what came of it, what it took. Append-only.

A trigger refuses UPDATE, DELETE and TRUNCATE, and a second realised entry for time that is booked
already. A correction is a new entry that supersedes an old one; the old one stays readable.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from ingest.models.fields import finite_decimal, finite_float, money, one_of

ESTIMATE, REALISED, PROGRAMME_COST = "estimate", "realised", "programme_cost"
ADJUSTMENT = "adjustment"
COUNTED = (ESTIMATE, REALISED, PROGRAMME_COST)
"""What an entry counts as. They are never added to each other."""

KINDS = (*COUNTED, ADJUSTMENT)


def has_interval(name: str) -> models.CheckConstraint:
    """No claim without an interval, and the interval holds the claim."""
    low, high = f"{name}_low", f"{name}_high"
    unknown = Q(**{f"{part}__isnull": True for part in (name, low, high)})
    told = Q(**{f"{low}__lte": F(name), f"{high}__gte": F(name)})
    # A comparison with NULL is neither true nor false, which a check would let pass.
    known = Q(**{f"{part}__isnull": False for part in (name, low, high)})
    return models.CheckConstraint(condition=unknown | (known & told), name=f"ledger_{name}_told")


class LedgerEntry(models.Model):
    """One line of the books: a period of one change, or what the programme cost on a day.

    Capacity is GPU-seconds no longer needed, cash is money no longer paid: two figures, and only
    cash is money. Both are NULL where unknown. Of entries that supersede each other only the last
    counts.
    """

    kind = models.CharField(max_length=20)
    counts_as = models.CharField(
        max_length=20, help_text="An adjustment counts as what it supersedes; others as their kind."
    )
    supersedes = models.OneToOneField(
        "self", null=True, on_delete=models.PROTECT, related_name="superseded_by"
    )
    revision = models.PositiveIntegerField(default=1)
    change_ref = models.CharField(
        max_length=100, blank=True, help_text="Whoever books says which change; empty for a cost."
    )
    title = models.CharField(max_length=200)
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    pool = models.ForeignKey("ingest.Pool", null=True, on_delete=models.PROTECT, related_name="+")
    period_from = models.DateTimeField()
    period_to = models.DateTimeField()
    measured_s = models.FloatField(null=True, help_text="The part of the period with all facts.")
    capacity_gpu_seconds = models.FloatField(null=True)
    capacity_gpu_seconds_low = models.FloatField(null=True)
    capacity_gpu_seconds_high = models.FloatField(null=True)
    cash = money(null=True)
    cash_low = money(null=True)
    cash_high = money(null=True)
    currency = models.CharField(max_length=20, blank=True)
    billed_by = models.CharField(max_length=5, blank=True, help_text="As it was in the period.")
    requests = models.BigIntegerField(null=True)
    gpu_seconds_per_request = models.FloatField(null=True, help_text="As it was, or is expected.")
    counterfactual_gpu_seconds_per_request = models.FloatField(
        null=True, help_text="As it would have been without the change."
    )
    provisional = models.BooleanField(default=False)
    book = models.ForeignKey("finops.PriceBook", null=True, on_delete=models.PROTECT)
    method_version = models.PositiveIntegerField(default=0)
    basis = models.TextField(help_text="What it rests on, in words for people.")
    facts_hash = models.BinaryField(max_length=32)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-period_from", "-id"]
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["change_ref", "period_from"], name="ledger_change"),
            models.Index(fields=["period_from", "period_to"], name="ledger_period"),
        ]
        constraints = [
            one_of("ledger", "kind", KINDS),
            one_of("ledger", "counts_as", COUNTED),
            models.CheckConstraint(
                condition=Q(kind=F("counts_as"), supersedes__isnull=True, revision=1)
                | Q(kind=ADJUSTMENT, supersedes__isnull=False, revision__gt=1),
                name="ledger_adjustment_supersedes",
            ),
            models.CheckConstraint(
                condition=Q(period_from__lt=F("period_to")), name="ledger_period_forward"
            ),
            models.CheckConstraint(
                condition=Q(cash__isnull=True) | ~Q(currency=""), name="ledger_cash_has_currency"
            ),
            models.CheckConstraint(
                condition=Q(counts_as=PROGRAMME_COST) | ~Q(change_ref=""),
                name="ledger_saving_has_change",
            ),
            has_interval("capacity_gpu_seconds"),
            has_interval("cash"),
            *finite_decimal("ledger", "cash", "cash_low", "cash_high"),
            *finite_float(
                "ledger",
                "capacity_gpu_seconds",
                "capacity_gpu_seconds_low",
                "capacity_gpu_seconds_high",
                "gpu_seconds_per_request",
                "counterfactual_gpu_seconds_per_request",
            ),
            models.UniqueConstraint(
                fields=["change_ref", "counts_as", "period_from", "period_to", "revision"],
                # Two invoices of one day are two costs.
                condition=~Q(counts_as=PROGRAMME_COST),
                name="ledger_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.change_ref or self.title}, {self.period_from:%F %H:%M}"
