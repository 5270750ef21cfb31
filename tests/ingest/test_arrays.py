"""Arrays are read as PostgreSQL sends them."""

import pytest
from django.db import connection

from ingest.arrays import sent

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("kind", "column", "values"),
    [
        ("i", "int2", [-32768, 0, 7, 32767]),
        ("i", "int4", [2**31 - 1, -5]),
        ("i", "int8", [2**62, -(2**62), 1]),
        ("f", "float8", [0.1, -1e300, 3.0]),
        ("f", "float4", [0.5]),
        ("i", "int4", []),
        ("f", "float8", []),
    ],
)
def test_numbers_are_those_that_went_in(kind, column, values):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT array_send(%s::{column}[])", [values])
        [(array,)] = cursor.fetchall()
    assert sent(array, kind).tolist() == values
