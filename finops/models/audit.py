"""The audit chain: append-only, each record sealed with the hash of the one before."""

from django.conf import settings
from django.db import models


class Audit(models.Model):
    """Who did what to which object. A trigger refuses UPDATE, DELETE and TRUNCATE."""

    at = models.DateTimeField()
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    actor_name = models.CharField(max_length=150, help_text="As it was then; `system` for none.")
    via = models.CharField(max_length=20, help_text="page, api, admin, command, slack or system.")
    action = models.CharField(max_length=80)
    object_type = models.CharField(max_length=60)
    object_id = models.CharField(max_length=100)
    detail = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32, unique=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return (
            f"{self.at:%F %T} {self.actor_name} {self.action} {self.object_type} {self.object_id}"
        )
