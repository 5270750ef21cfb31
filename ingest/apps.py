"""The package as a Django app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def ensure_unallocated(using: str, **_kwargs: object) -> None:
    """The project that owns what nobody has claimed is there as soon as its table is."""
    from ingest.models.owners import UNALLOCATED, Project

    Project.objects.using(using).get_or_create(
        slug=UNALLOCATED, defaults={"name": "Unallocated", "environment": ""}
    )


class IngestConfig(AppConfig):
    name = "ingest"
    verbose_name = "Owners, sources and what they brought"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(ensure_unallocated, sender=self)
