"""What every test may need: a requirement that skips or fails, and an empty process memory."""

import fcntl
import gc
import os
from itertools import chain
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models.signals import post_migrate

from finops import access
from ingest import partitions
from tests import kept_estate

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
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


def pytest_configure():
    """Pages need no collected static files here; the launcher's own test collects them."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    # Argon2 takes a tenth of a second for each password, as it should: test_access.py sees to it.
    quick = "django.contrib.auth.hashers.MD5PasswordHasher"
    settings.PASSWORD_HASHERS = [quick, *settings.PASSWORD_HASHERS]
    # Each test client would look through all that were collected: half the time of a page.
    settings.WHITENOISE_AUTOREFRESH = True
    # Nearly every test needs somebody with a role. Here, and not in a fixture, since emptying the
    # database after a test that commits tells of it as migrating does.
    last = apps.get_app_config(settings.INSTALLED_APPS[-1].split(".")[0])
    post_migrate.connect(make_roles, sender=last)


def make_roles(**_) -> None:
    access.ensure_roles()


LIVE = ("tests/e2e/test_demo.py", "tests/e2e/test_loop.py")
"""They share one demo, whose Triton is measured: see `tests/e2e/quiet.py`."""

PAGES = "tests/e2e/"
"""A browser is patient enough to be the longest beside a live estate."""

TOGETHER = (PAGES, "tests/optimiser/demo/", "tests/optimiser/targets/")
"""The tests of each share a server, which takes longer to start than most of them take."""

LONGEST = ("tests/optimiser/kills/test_kills.py", "tests/stack/test_up.py")

WAITING = (
    "tests/deploy/", "tests/gpu_probe/", "tests/ingest/sources/", "tests/ingest/test_",
    "tests/optimiser/demo/", "tests/optimiser/rollout/test_lease",
    "tests/optimiser/rollout/test_on_triton", "tests/optimiser/targets/", "tests/optimiser/test_",
    "tests/stack/",
)  # fmt: skip
"""They wait for processes, servers and each other, which beside a live estate may stand still for
seconds: so they come before it. All others fill the time in which it is only watched."""

ON_ESTATE = pytest.StashKey[set[str]]()
"""The files whose tests share the small estate: they follow each other, so that it is made once."""


def group_of(nodeid: str) -> str:
    """What stays with one of several workers: the live tests, those of a server, else a file."""
    file = nodeid.split("::")[0]
    if file in LIVE:
        return "live"
    return next(filter(file.startswith, TOGETHER), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return Groups(config, log)


def in_order(nodeids: list[str], on_estate: set[str]) -> list[str]:
    """As workers take them: what takes minutes is begun at once, then what waits for others, then
    the live estate and beside it the pages in the browser, at the end the files on the small
    estate."""
    of: dict[str, list[str]] = {}
    for nodeid in nodeids:
        of.setdefault(group_of(nodeid), []).append(nodeid)
    longest = [of.pop(group) for group in LONGEST if group in of]
    live = [*of.pop("live", []), *of.pop(PAGES, [])]
    first = [of.pop(group) for group in list(of) if group.startswith(WAITING)]
    # Sorting keeps the order of what is equal.
    others = [of[group] for group in sorted(of, key=lambda group: group in on_estate)]
    return [*chain(*longest, *first), *live, *chain(*others)]


def pytest_collection_modifyitems(config, items):
    on_estate = {group_of(one.nodeid) for one in items if "kept_estate" in one.fixturenames}
    config.stash[ON_ESTATE] = on_estate
    if "PYTEST_XDIST_WORKER" in os.environ:
        order = in_order([one.nodeid for one in items], on_estate)
        places = {nodeid: n for n, nodeid in enumerate(order)}
        items.sort(key=lambda item: places[item.nodeid])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if group_of(item.nodeid) not in item.config.stash[ON_ESTATE]:
        kept_estate.close()


def pytest_collection_finish():
    """What was imported and collected stays till the end: nothing looks through it for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def shared():
    """Path of a file of the development data, which is no part of the project."""

    def find(name: str) -> Path:
        path = SHARED / name
        require("data", None if path.exists() else f"there is no ../shared/data/{name}")
        return path

    return find


TEMPLATE = "test_template"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix, django_db_blocker, tmp_path_factory
):
    """Migrations take seconds and run once: each worker's database is a copy of what they made."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    folder = tmp_path_factory.getbasetemp().parent
    made = folder / "template-database"
    with (folder / "template-database.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            with django_db_blocker.unblock():
                make_template()
            made.touch()
    connection.settings_dict["TEST"]["TEMPLATE"] = TEMPLATE


def make_template() -> None:
    """A migrated database that nobody is connected to."""
    names, test = connection.settings_dict, connection.settings_dict["TEST"]
    before, test_before = names["NAME"], test["NAME"]
    test["NAME"] = TEMPLATE
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    connection.close()
    connection.close_pool()
    test["NAME"] = test_before
    names["NAME"] = settings.DATABASES["default"]["NAME"] = before


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Tests that commit are cleaned up by TRUNCATE, which what is append-only rightly refuses."""
    if not connection.settings_dict["NAME"].startswith("test_"):
        return  # no test of this run needs the database, so none was made
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE finops_audit DISABLE TRIGGER audit_is_not_emptied")
        cursor.execute("ALTER TABLE finops_ledgerentry DISABLE TRIGGER ledger_is_not_emptied")


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
            drop_partitions()


def drop_partitions() -> None:
    """All facts with their partitions: a test finds the tables as migrations left them."""
    with connection.cursor() as cursor:
        for table in partitions.TABLES:
            for name in partitions.existing(table):
                cursor.execute(f"DROP TABLE {name}")
    partitions._known.clear()


def _commits(request) -> bool:
    return bool({"transactional_db", "live_server"} & set(request.fixturenames))
