"""What every delivery is written with."""

import pytest
from django.db import OperationalError, connection

from ingest.store.counting import copy_rows, make_staging

COLUMNS = {"number": "int4"}


@pytest.mark.django_db
def test_database_that_goes_away_amid_the_rows_is_told_as_such():
    """Whoever pushes is then asked to send again; psycopg's own error would be a fault of ours."""
    own = connection.copy()
    try:
        cursor = own.cursor()
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
        make_staging(cursor, "numbers_in", COLUMNS)
        with pytest.raises(OperationalError):
            copy_rows(cursor, "numbers_in", COLUMNS, rows_until_killed(pid))
    finally:
        own.close()


def rows_until_killed(pid):
    yield (1,)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    for number in range(100_000):
        yield (number,)
