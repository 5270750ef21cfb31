"""The package as a Django app."""

import atexit

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


def close_pools() -> None:
    """From Python 3.13 on, a pool left open waits 5 s for each of its threads at the very end."""
    for connection in connections.all():
        connection.close_pool()


class FinopsConfig(AppConfig):
    name = "finops"
    verbose_name = "People, prices and audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Makes our Celery application the current one, so that every process, and not only a
        # worker, nudges through the broker of the settings.
        from finops import celery, usual_rules  # noqa: F401

        post_migrate.connect(usual_rules.add, sender=self)
        atexit.register(close_pools)
