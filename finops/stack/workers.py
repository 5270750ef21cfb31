"""A pytest plugin: what the parallel workers of a test run may not share.

Knows pytest-xdist's name for a worker. Each has a test database of its own already, from
pytest-django; here it gets databases of its own in Valkey, where one worker would empty the cache
under the other's test. Acts when it is loaded, with `-p`: before Django reads its settings.
"""

from __future__ import annotations

import os
import re

CACHE, BROKER = "BREAKEVEN_CACHE_URL", "BREAKEVEN_BROKER_URL"


def apart(environment: dict[str, str], worker: str) -> dict[str, str]:
    """Where this worker, one of gw0, gw1, …, finds its cache and its broker."""
    first = 2 * int(worker.removeprefix("gw"))
    numbers = {CACHE: first + 1, BROKER: first}
    return {name: _numbered(environment[name], number) for name, number in numbers.items()}


def _numbered(url: str, number: int) -> str:
    place = "virtual_host" if url.startswith("redis+socket:") else "db"
    plain = re.sub(rf"[?&]{place}=[^&]*", "", url)
    return f"{plain}{'&' if '?' in plain else '?'}{place}={number}"


if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.update(apart(dict(os.environ), worker))
