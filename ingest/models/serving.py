"""What only the operator of a model server can say of the models on it."""

from django.core.validators import MinValueValidator
from django.db import models


class ServedModel(models.Model):
    """How many bytes of GPU memory a model is read from. See docs/measures.md."""

    pool = models.ForeignKey("ingest.Pool", on_delete=models.CASCADE, related_name="served_models")
    model = models.CharField(max_length=200, help_text="As spans and the server name it.")
    parameter_bytes = models.BigIntegerField(
        validators=[MinValueValidator(1)],
        help_text="Parameters × bytes of each: 8 billion in FP16 are 16,000,000,000.",
    )
    kv_cache_bytes = models.BigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="What the server reserves for its KV cache; empty when not known.",
    )
    gpus = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="GPUs that one copy of the model is spread over.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["pool", "model"]
        constraints = [
            models.UniqueConstraint(fields=["pool", "model"], name="served_model_once"),
            models.CheckConstraint(
                condition=models.Q(parameter_bytes__gt=0)
                & models.Q(gpus__gt=0)
                & (models.Q(kv_cache_bytes__isnull=True) | models.Q(kv_cache_bytes__gt=0)),
                name="served_model_has_size",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.pool}"
