"""Stored judgements about daily cost: reproducible from method, version and input hash."""

from django.db import models

from ingest.models.fields import money


class Forecast(models.Model):
    """A daily cost forecast of one scope in one currency, as made on one day."""

    scope = models.CharField(max_length=100, help_text="`all` or `project:ID`.")
    currency = models.CharField(max_length=20)
    as_of = models.DateField(help_text="The last day it had seen.")
    method = models.CharField(max_length=60)
    method_version = models.PositiveIntegerField()
    input_sha256 = models.BinaryField(max_length=32)
    points = models.JSONField(help_text="[{day, mean, low80, high80, low95, high95}] as strings.")
    backtest = models.JSONField(
        help_text="Coverage and error of the same method on days held back."
    )
    reason = models.TextField(blank=True, help_text="Why there is none, as in: not enough data.")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        get_latest_by = "made_at"
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "currency", "as_of", "method", "method_version", "input_sha256"],
                name="forecast_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.scope} as of {self.as_of}"


class AnomalyMark(models.Model):
    """A day whose cost the same method did not expect."""

    scope = models.CharField(max_length=100)
    currency = models.CharField(max_length=20)
    day = models.DateField()
    actual = money()
    expected = money()
    low = money()
    high = money()
    score = models.FloatField(help_text="Distance from what was expected, in robust sigmas.")
    method_version = models.PositiveIntegerField()
    made_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-day"]
        constraints = [
            models.UniqueConstraint(fields=["scope", "currency", "day"], name="anomaly_once")
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.day}"
