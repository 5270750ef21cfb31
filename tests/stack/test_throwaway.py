"""Where the services of a test run keep their files."""

import os
from types import SimpleNamespace

import pytest

from finops.stack import throwaway

PLENTY = SimpleNamespace(f_bavail=2**40, f_frsize=1, f_flag=0)


@pytest.fixture
def shared(tmp_path, monkeypatch):
    def told(**changes):
        found = SimpleNamespace(**{**vars(PLENTY), **changes})
        monkeypatch.setattr(throwaway.os, "statvfs", lambda folder: found)
        return throwaway.in_memory(tmp_path)

    monkeypatch.setattr(
        throwaway.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**40)
    )
    return told


def test_files_lie_in_memory_where_there_is_room_and_programs_may_run(shared, tmp_path):
    assert shared() == tmp_path
    assert shared(f_bavail=throwaway.LEAST_ROOM_BYTES - 1) is None
    assert shared(f_flag=os.ST_NOEXEC) is None


def test_memory_that_others_have_is_no_room(shared, monkeypatch):
    few = SimpleNamespace(available=throwaway.LEAST_ROOM_BYTES - 1)
    monkeypatch.setattr(throwaway.psutil, "virtual_memory", lambda: few)
    assert shared() is None


def test_without_such_a_folder_files_lie_on_disk(tmp_path):
    assert throwaway.in_memory(tmp_path / "nowhere") is None
