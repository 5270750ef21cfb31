"""Exchange rates as they were brought in. A rate is never edited: another one for its day replaces
it and the old one stays beside it, so that it can be read what held when.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from ingest.models.fields import finite_decimal, money


class ExchangeImport(models.Model):
    """One file or request that brought a rate in; one that brought nothing new leaves no trace."""

    source = models.CharField(max_length=50, help_text="Who made the rates, as in ECB.")
    file_name = models.CharField(max_length=200, blank=True)
    added = models.PositiveIntegerField(help_text="Rates of pairs and days without one.")
    replaced = models.PositiveIntegerField(help_text="Rates that replaced another one.")
    unchanged = models.PositiveIntegerField()
    first_day = models.DateField()
    last_day = models.DateField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(added__gt=0) | Q(replaced__gt=0),
                name="exchange_import_brought_something",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} #{self.pk}"


class ExchangeRate(models.Model):
    """On a day, one unit of `base` is `rate` units of `quote`."""

    day = models.DateField()
    base = models.CharField(max_length=20)
    quote = models.CharField(max_length=20)
    rate = money()
    version = models.PositiveIntegerField(default=1)
    brought_by = models.ForeignKey(ExchangeImport, on_delete=models.PROTECT, related_name="rates")
    replaced_at = models.DateTimeField(null=True, help_text="Empty: the one in force.")

    class Meta:
        ordering = ["-day", "base", "quote", "-version"]
        constraints = [
            models.UniqueConstraint(
                fields=["day", "base", "quote", "version"], name="exchange_version_once"
            ),
            models.UniqueConstraint(
                fields=["base", "quote", "day"],
                condition=Q(replaced_at__isnull=True),
                name="exchange_one_in_force",
            ),
            models.CheckConstraint(condition=Q(rate__gt=0), name="exchange_rate_above_zero"),
            *finite_decimal("exchange", "rate"),
            models.CheckConstraint(condition=~Q(base=F("quote")), name="exchange_two_currencies"),
            models.CheckConstraint(
                condition=~Q(base="") & ~Q(quote=""), name="exchange_currencies_named"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}: 1 {self.base} = {self.rate:f} {self.quote}"
