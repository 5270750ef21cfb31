"""What every test may need: a requirement that skips or fails, and an empty process memory."""

import os

import pytest
from django.core.cache import cache

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


@pytest.fixture(autouse=True)
def forget(request):
    """Partitions made in a rolled-back transaction are gone; so must be their memory."""
    yield
    from ingest import partitions

    partitions._known.clear()
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        cache.clear()
