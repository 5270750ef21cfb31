"""Another worker, as far as the database tells."""

from __future__ import annotations

import psycopg
from django.db import connection

OF_CONNECTION = ("dbname", "user", "host", "port", "password")


def connected() -> psycopg.Connection:
    """Sees what is committed. Use with `with`."""
    known = connection.get_connection_params()
    return psycopg.connect(**{name: known[name] for name in OF_CONNECTION if name in known})


def at_work(lock: str) -> psycopg.Connection:
    """One that holds this lock of an owner until its transaction ends."""
    other = connected()
    other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
    return other
