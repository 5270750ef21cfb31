"""The package as a Django app."""

from django.apps import AppConfig


class OptimiserConfig(AppConfig):
    name = "optimiser"
    default_auto_field = "django.db.models.BigAutoField"
