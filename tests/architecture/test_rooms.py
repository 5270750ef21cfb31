"""Every line lives in its room: the rules of tests/architecture/rooms.py, held and able to fail."""

import pytest

from tests.architecture import rooms
from tests.architecture.rooms import Module

HOUSE = rooms.house()


def told(offences):
    return "\n".join(str(one) for one in sorted(offences))


def test_imports_point_one_way():
    assert told(rooms.imports_point_one_way(HOUSE)) == ""


def test_gpu_probe_needs_the_standard_library_and_nvml_alone():
    assert told(rooms.the_probe_travels_light(HOUSE)) == ""


def test_launcher_and_demo_stand_apart_from_the_site():
    assert told(rooms.rooms_apart_stay_apart(HOUSE)) == ""


def test_pure_rooms_know_no_database_no_network_no_clock_and_no_dice():
    assert told(rooms.pure_rooms_are_pure(HOUSE)) == ""


def test_slow_libraries_are_imported_where_the_plan_says():
    assert told(rooms.slow_libraries_have_one_home(HOUSE)) == ""
    assert told(rooms.homes_are_lived_in(HOUSE)) == ""


def test_settings_alone_read_the_environment():
    assert told(rooms.settings_read_the_environment(HOUSE)) == ""


def test_every_module_introduces_itself():
    assert told(rooms.modules_introduce_themselves(HOUSE)) == ""


def test_plan_names_rooms_that_exist():
    names = {module.name for module in HOUSE}
    for room in (*rooms.PURE, *rooms.APART, *rooms.WITHOUT_DJANGO):
        assert room in names, f"{room} is in the plan and not in the house"
    for file in (*rooms.READ_THE_ENVIRONMENT, *rooms.NAME_THE_SETTINGS):
        assert any(module.file.startswith(file) for module in HOUSE), file


def test_every_tracked_package_is_looked_at():
    """A fifth package would be outside every rule."""
    packages = {file.parent.name for file in rooms.ROOT.glob("*/__init__.py")}
    assert packages == {*rooms.PACKAGES, "tests"}


# The rules can fail


@pytest.mark.parametrize(
    ("rule", "file", "source", "said"),
    [
        (
            rooms.imports_point_one_way,
            "finops/bad.py",
            "from django.db import models\nfrom optimiser.levers import base",
            "finops/bad.py:2: finops imports optimiser.levers.base",
        ),
        (rooms.imports_point_one_way, "ingest/bad.py", "import finops.money", "finops.money"),
        (rooms.imports_point_one_way, "ingest/bad.py", "from gpu_probe import nvml", "nvml"),
        (rooms.imports_point_one_way, "ingest/a/bad.py", "def f():\n    import finops", "bad.py:2"),
        (rooms.the_probe_travels_light, "gpu_probe/bad.py", "import httpx", "imports httpx"),
        (rooms.rooms_apart_stay_apart, "finops/stack/bad.py", "import finops.logs", "finops.logs"),
        (rooms.rooms_apart_stay_apart, "optimiser/demo/bad.py", "import django.db", "django.db"),
        (rooms.pure_rooms_are_pure, "finops/costing/bad.py", "import django.conf", "django.conf"),
        (
            rooms.pure_rooms_are_pure,
            "finops/costing/bad.py",
            "from ..models import Price",
            "imports finops.models.Price",
        ),
        (
            rooms.pure_rooms_are_pure,
            "finops/series/bad.py",
            "from datetime import datetime as when\nat = when.now()",
            "bad.py:2: the pure finops.series.bad uses a clock (datetime.datetime.now)",
        ),
        (rooms.pure_rooms_are_pure, "ingest/records.py", "import time\ntime.time()", "time.time"),
        (
            rooms.pure_rooms_are_pure,
            "finops/series/bad.py",
            "import numpy as np\nx = np.random.default_rng()",
            "dice (numpy.random.default_rng)",
        ),
        (
            rooms.pure_rooms_are_pure,
            "finops/series/bad.py",
            "import numpy as np\nx = np.random.normal(3)",
            "numpy.random.normal",
        ),
        (
            rooms.slow_libraries_have_one_home,
            "finops/bad.py",
            "from statsmodels import api",
            "statsmodels lives in finops/series/forecast.py",
        ),
        (rooms.slow_libraries_have_one_home, "ingest/bad.py", "import langfuse", "no module yet"),
        (
            rooms.settings_read_the_environment,
            "ingest/bad.py",
            "from os import environ\nx = environ['A']",
            "bad.py:2: reads the environment (os.environ)",
        ),
        (
            rooms.settings_read_the_environment,
            "finops/celery.py",
            "import os\nos.environ.get('A')",
            "os.environ.get",
        ),
        (rooms.modules_introduce_themselves, "ingest/bad.py", "x = 1", "Begin it with a docstring"),
    ],
)
def test_rule_catches(rule, file, source, said):
    assert said in told(rule([Module(file, source)]))


@pytest.mark.parametrize(
    ("rule", "file", "source"),
    [
        (rooms.imports_point_one_way, "ingest/good.py", "from gpu_probe.wire import Batch"),
        (rooms.imports_point_one_way, "optimiser/good.py", "from finops.money import Money"),
        (rooms.imports_point_one_way, "finops/good.py", "from .models import User"),
        (
            rooms.pure_rooms_are_pure,
            "finops/series/good.py",
            "import numpy as np\nfrom datetime import datetime\nx = np.random.default_rng(7)\n"
            "y = datetime(2026, 1, 1)\nfrom .daily import WEEK\nfrom finops.money import Money",
        ),
        (
            rooms.settings_read_the_environment,
            "finops/wsgi.py",
            "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'finops.settings')",
        ),
        (rooms.modules_introduce_themselves, "ingest/__init__.py", ""),
    ],
)
def test_rule_lets_pass(rule, file, source):
    assert told(rule([Module(file, source)])) == ""
