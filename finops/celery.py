"""The Celery application. Tasks are nudges: the rows in PostgreSQL say what is to be done."""

import os

from celery import Celery
from celery.signals import setup_logging

from finops.schedule import FINOPS_BEAT
from ingest.schedule import INGEST_BEAT

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finops.settings")

app = Celery("breakeven")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = {**INGEST_BEAT, **FINOPS_BEAT}
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_kwargs: object) -> None:
    """Settings have configured logging; without a receiver Celery would replace it."""
