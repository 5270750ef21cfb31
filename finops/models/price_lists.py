"""Price lists that were handed in as files: kept, so that a review and its answer read the same."""

from django.conf import settings
from django.db import models


class PriceList(models.Model):
    """A data file of genai-prices, as it was handed in. It changes no price until it is taken."""

    name = models.CharField(max_length=100, help_text="As the file was called.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of its bytes.")
    content = models.BinaryField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} {self.digest[:12]}"
