"""What sources counted, read so that a test may run while one hour becomes the next."""

from dataclasses import fields

from django.db.models import Sum

from ingest.models import Pull
from ingest.store.counting import Counts


def pulled(**of) -> Counts:
    """All runs together: what is pushed counts into the row of its hour."""
    names = [field.name for field in fields(Counts)]
    return Counts(**Pull.objects.filter(**of).aggregate(**{name: Sum(name) for name in names}))
