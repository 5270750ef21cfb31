"""What parallel workers of one test run share, and what each has to itself."""

import os

import pytest

from finops.stack import throwaway, workers
from finops.stack.home import REPOSITORY
from tests.conftest import LIVE, LONGEST, PAGES, TOGETHER, WAITING, group_of, in_order

VALKEY = {
    workers.CACHE: "unix://:secret@/tmp/v.sock?db=1",
    workers.BROKER: "redis+socket://:secret@/tmp/v.sock?virtual_host=0",
    "BREAKEVEN_DATABASE_URL": "postgresql://breakeven@/breakeven",
}


def test_first_worker_has_what_a_run_alone_has():
    assert workers.apart(VALKEY, "gw0") == {name: VALKEY[name] for name in list(VALKEY)[:2]}


def test_no_two_workers_share_a_database_of_valkey():
    found = [workers.apart(VALKEY, f"gw{n}") for n in range(throwaway.MOST_WORKERS)]
    numbers = [url.rpartition("=")[2] for one in found for url in one.values()]
    assert sorted(map(int, numbers)) == list(range(16))


def test_this_process_is_where_its_worker_belongs():
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    assert workers.apart(dict(os.environ), worker).items() <= os.environ.items()


@pytest.mark.parametrize(
    "arguments", [["tests/stack"], ["tests/stack/test_run.py::test_x"], ["-n0"], ["--pdb"]]
)
def test_part_of_the_suite_runs_on_one_processor(arguments):
    assert throwaway._parallel(arguments) == ()


def test_whole_suite_runs_on_all_processors(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert throwaway._parallel(["-q", "--durations=0"])[:2] == ("-n", "3")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert throwaway._parallel([])[:2] == ("-n", str(throwaway.MOST_WORKERS))


def test_tests_of_one_server_share_one_worker():
    demo, loop = (f"{file}::test_x" for file in LIVE)
    assert group_of(demo) == group_of(loop) != group_of("tests/e2e/test_pages.py::test_y")
    for folder in TOGETHER:
        first, second = (f"{folder}test_{name}.py::test_x" for name in "ab")
        assert group_of(first) == group_of(second) == folder
    assert group_of("tests/stack/test_run.py::test_x[a::b]") == "tests/stack/test_run.py"


def test_longest_are_begun_at_once_and_the_small_estate_is_made_last():
    demo, loop = (f"{file}::test_x" for file in LIVE)
    kills, pages = f"{LONGEST[0]}::test_x", f"{PAGES}test_pages.py::test_x"
    first, second = "tests/a.py::test_x", "tests/b.py::test_x"
    three = [f"tests/c.py::test_{n}" for n in range(3)]
    assert in_order([first, demo, *three, pages, loop, kills, second], {"tests/c.py"}) == [
        *(kills, demo, loop, pages, first, second, *three)
    ]


def test_what_waits_for_servers_comes_before_the_live_tests():
    live, asking = f"{LIVE[0]}::test_x", ["tests/finops/test_a.py::test_x"]
    waiting = [f"{place}_b.py::test_x" for place in WAITING]
    assert in_order([*asking, live, *waiting], {"tests/finops/test_a.py"}) == [
        *(*waiting, live, *asking)
    ]


def test_what_has_a_place_of_its_own_is_still_there():
    for place in (*LIVE, *TOGETHER, *LONGEST, *WAITING):
        assert list(REPOSITORY.glob(f"{place}*")), place
