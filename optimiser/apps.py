"""The package as a Django app."""

from django.apps import AppConfig


class OptimiserConfig(AppConfig):
    name = "optimiser"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from finops.celery import app
        from optimiser.schedule import OPTIMISER_BEAT

        app.conf.beat_schedule = {**app.conf.beat_schedule, **OPTIMISER_BEAT}
