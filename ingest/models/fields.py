"""Column types and checks that more than one table of facts needs."""

from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Abs


def money(**options) -> models.DecimalField:
    """An exact amount: real exports hold 19 decimals and `8e-07`."""
    return models.DecimalField(max_digits=38, decimal_places=20, **options)


class PlainNumeric(models.DecimalField):
    """`numeric` without a scale, for quantities whose decimals nobody fixed."""

    def __init__(self, **options):
        options.setdefault("max_digits", 60)
        options.setdefault("decimal_places", 20)
        super().__init__(**options)

    def db_type(self, connection):
        return "numeric"


PAGE_BITS = 4096
"""Members of one `BitSet`: half a kilobyte."""


class BitSet(models.Field):
    """Which of a page of numbered members are meant; `bit_or` unites such sets."""

    def db_type(self, connection):
        return f"bit({PAGE_BITS})"


def finite_decimal(table: str, *names: str) -> list[models.CheckConstraint]:
    """One NaN poisons a whole SUM, and `numeric` accepts NaN and infinity unless told not to."""
    return [
        models.CheckConstraint(
            condition=Q(**{f"{name}__isnull": True})
            | Q(**{f"{name}__gt": -1_000_000_000_000, f"{name}__lt": 1_000_000_000_000}),
            name=f"{table}_{name}_finite",
        )
        for name in names
    ]


def finite_float(table: str, *names: str) -> list[models.CheckConstraint]:
    """NaN sorts above every number in PostgreSQL, so a bound keeps NaN out as well."""
    bound = Value(1e300, output_field=models.FloatField())
    return [
        models.CheckConstraint(
            condition=Q(**{f"{name}__isnull": True})
            | Q(models.lookups.LessThan(Abs(F(name)), bound)),
            name=f"{table}_{name}_finite",
        )
        for name in names
    ]


def one_of(table: str, name: str, values) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(**{f"{name}__in": sorted(values)}), name=f"{table}_{name}_known"
    )


def not_negative(table: str, *names: str) -> list[models.CheckConstraint]:
    return [
        models.CheckConstraint(
            condition=Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__gte": 0}),
            name=f"{table}_{name}_not_negative",
        )
        for name in names
    ]
