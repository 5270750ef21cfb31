"""Columns and checks that many of the first tables have."""

from django.db import models
from django.db.models import F, FloatField, Q, Value
from django.db.models.functions import Abs
from django.db.models.lookups import LessThan

MOST = 1_000_000_000_000


def own_id():
    return models.BigAutoField(
        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
    )


def composite_key(*columns):
    return models.CompositePrimaryKey(
        *columns, blank=True, editable=False, primary_key=True, serialize=False
    )


def amount(**options):
    """Money, and the digits that real exports hold of it."""
    return models.DecimalField(decimal_places=20, max_digits=38, **options)


def is_known(column, values, *, name):
    return check(Q((f"{column}__in", values)), name)


def is_finite(column, *, name):
    """NaN sorts above every number, so an upper bound keeps it out as well."""
    return check(unless_null(column, Q((f"{column}__gt", -MOST), (f"{column}__lt", MOST))), name)


def is_positive(column, *, name):
    return check(unless_null(column, Q((f"{column}__gt", 0), (f"{column}__lt", MOST))), name)


def is_not_negative(column, *, name):
    return check(unless_null(column, (f"{column}__gte", 0)), name)


def float_is_finite(column, *, name):
    bound = Value(1e300, output_field=FloatField())
    return check(unless_null(column, LessThan(Abs(F(column)), bound)), name)


def unless_null(column, condition):
    return Q((f"{column}__isnull", True), condition, _connector=Q.OR)


def check(condition, name):
    return models.CheckConstraint(condition=condition, name=name)
