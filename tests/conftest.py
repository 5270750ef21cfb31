"""What every test may need: a requirement that skips or fails, and an empty process memory."""

import os

import pytest
from django.core.cache import cache
from django.db import connection

from ingest import partitions

REQUIRE = os.environ.get("BREAKEVEN_REQUIRE", "")


def require(kind: str, reason: str | None) -> None:
    """Skip because `kind` cannot be had here, or fail where it must be there.

    BREAKEVEN_REQUIRE is `all` or a list such as `triton,chromium`.
    """
    if reason is None:
        return
    if REQUIRE == "all" or kind in REQUIRE.split(","):
        pytest.fail(f"{kind} is required here: {reason}", pytrace=False)
    pytest.skip(f"{kind}: {reason}")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Tests that commit are cleaned up by TRUNCATE, which the audit chain rightly refuses."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE finops_audit DISABLE TRIGGER audit_is_not_emptied")


@pytest.fixture(autouse=True)
def clean_after(request, django_db_blocker):
    """What Django's own clean-up does not know of: partitioned tables, partitions, the cache."""
    yield
    partitions._known.clear()
    marker = request.node.get_closest_marker("django_db")
    if marker is None and not {"db", "transactional_db"} & set(request.fixturenames):
        return
    with django_db_blocker.unblock():
        cache.clear()
        if (marker and marker.kwargs.get("transaction")) or _commits(request):
            names = ", ".join(table.table for table in partitions.TABLES)
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {names}")


def _commits(request) -> bool:
    return bool({"transactional_db", "live_server"} & set(request.fixturenames))
