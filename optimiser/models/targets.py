"""What changes are applied to: models of a Triton server, and what they are meant to look like.

Overrides vanish when Triton restarts, so the desired config is kept here and compared with the live
one.
"""

from django.db import models

from ingest.models.fields import one_of

from .leases import Leased

TARGET_KINDS = ("model", "router")
LIVE_STATES = ("unknown", "in_step", "drifted", "away")


class Server(models.Model):
    """One Triton server and the key without which it lets nobody load a model."""

    name = models.CharField(max_length=100, unique=True)
    url = models.CharField(max_length=300, help_text="Its HTTP address, as in http://triton:8000.")
    admin_key = models.BinaryField(
        null=True,
        blank=True,
        editable=False,
        help_text="Encrypted; empty when it asks for none.",
    )
    timeout_s = models.FloatField(default=10, help_text="How long one call may take.")
    statistics_source = models.ForeignKey(
        "ingest.Source",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        help_text="The source of kind triton_statistics that measures this server.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(timeout_s__gt=0, timeout_s__lte=60),
                name="server_timeout_sensible",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Target(Leased):
    """One model of a server. A router's target is the public model that splits its traffic.

    Its lease is for repairs outside of any rollout; no rollout moves while one is held.
    """

    server = models.ForeignKey(Server, on_delete=models.PROTECT, related_name="targets")
    project = models.ForeignKey("ingest.Project", on_delete=models.PROTECT, related_name="+")
    pool = models.ForeignKey("ingest.Pool", on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, default="model")
    model = models.CharField(max_length=200, help_text="Its name in Triton's model repository.")
    shadow_model = models.CharField(
        max_length=200,
        blank=True,
        help_text="The same files under another name, for calibration; empty when there is none.",
    )
    request_model = models.CharField(
        max_length=200, help_text="The model its callers ask for: `gen_ai.request.model` of spans."
    )
    desired_config = models.JSONField(
        null=True, blank=True, help_text="The full config it should have; empty until first read."
    )
    desired_since = models.DateTimeField(null=True, blank=True)
    live_config = models.JSONField(null=True, blank=True, help_text="As read at `checked_at`.")
    live_state = models.CharField(max_length=10, default="unknown")
    live_state_since = models.DateTimeField(null=True, blank=True)
    live_detail = models.TextField(blank=True, help_text="What differs, or why it is unknown.")
    checked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["server__name", "model"]
        constraints = [
            one_of("target", "kind", TARGET_KINDS),
            one_of("target", "live_state", LIVE_STATES),
            models.UniqueConstraint(fields=["server", "model"], name="target_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.server.name}"
