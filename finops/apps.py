"""The package as a Django app."""

from django.apps import AppConfig


class FinopsConfig(AppConfig):
    name = "finops"
    default_auto_field = "django.db.models.BigAutoField"
