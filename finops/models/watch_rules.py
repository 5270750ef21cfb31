"""Watch rules: a measure, a threshold, for how long, how urgent, and what to do about it."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from finops.costing.watching import COMPARISONS
from ingest.models.fields import one_of

WATCH_METRICS = (
    "cache_hit",
    "latency_mean",
    "latency_p95",
    "ttft_p95",
    "cost_per_request",
    "error_rate",
    "gpu_utilization",
)
URGENCIES = ("low", "medium", "high", "critical")
SEVERITY_OF = {"low": "info", "medium": "warning", "high": "critical", "critical": "critical"}
WINDOW_MINUTES = (15, 30, 60)
MOST_QUARTERS = 12
BIGGEST = 1_000_000_000_000


class WatchRule(models.Model):
    """What deserves an alert in what is measured each quarter hour. See docs/alerts.md."""

    name = models.CharField(max_length=100)
    metric = models.CharField(max_length=20)
    comparison = models.CharField(max_length=10, help_text="below or above the threshold")
    threshold = models.DecimalField(
        max_digits=20,
        decimal_places=6,
        null=True,
        help_text="In the unit of the metric; empty: not given, and it is off.",
    )
    currency = models.CharField(max_length=20, blank=True, help_text="Of a cost per request.")
    window_minutes = models.PositiveSmallIntegerField(default=15)
    needed = models.PositiveSmallIntegerField(default=2)
    of_last = models.PositiveSmallIntegerField(default=3)
    least_requests = models.PositiveIntegerField(
        default=50, help_text="A window with fewer says nothing."
    )
    project = models.ForeignKey(
        "ingest.Project",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: each project by itself.",
    )
    only_models = models.JSONField(
        default=list, help_text="Only these models; empty: all of them together."
    )
    urgency = models.CharField(max_length=10)
    action = models.TextField(help_text="What to do about it.")
    path = models.CharField(max_length=200, blank=True, help_text="The page to do it on.")
    is_on = models.BooleanField(default=True)
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: it came with the installation.",
    )

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            one_of("watchrule", "metric", WATCH_METRICS),
            one_of("watchrule", "comparison", COMPARISONS),
            one_of("watchrule", "urgency", URGENCIES),
            one_of("watchrule", "window_minutes", WINDOW_MINUTES),
            models.CheckConstraint(
                condition=Q(threshold__isnull=False) | Q(is_on=False),
                name="watchrule_on_has_threshold",
            ),
            models.CheckConstraint(
                condition=Q(threshold__isnull=True) | Q(threshold__gte=0, threshold__lt=BIGGEST),
                name="watchrule_threshold_sane",
            ),
            models.CheckConstraint(
                condition=Q(needed__gte=1, needed__lte=F("of_last"), of_last__lte=MOST_QUARTERS),
                name="watchrule_needs_some_of_the_last",
            ),
            models.CheckConstraint(
                condition=Q(metric="cost_per_request") & ~Q(currency="")
                | ~Q(metric="cost_per_request") & Q(currency=""),
                name="watchrule_cost_has_currency",
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(removed_at__isnull=True), name="watchrule_name_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name
