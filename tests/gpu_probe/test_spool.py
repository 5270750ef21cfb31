import gc
import os
from pathlib import Path
from stat import S_ISDIR

import pytest

from gpu_probe.spool import Spool, SpoolError


class Clock:
    now = 1_750_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def open_spool(tmp_path):
    """Opens the same directory again and again, as restarts do."""
    opened = []

    def open_it(max_bytes=10_000, max_age_s=1e12, clock=None):
        if opened:
            opened.pop().close()
        clock = {} if clock is None else {"clock": clock}
        opened.append(Spool(tmp_path / "spool", max_bytes=max_bytes, max_age_s=max_age_s, **clock))
        return opened[-1]

    yield open_it
    for spool in opened:
        spool.close()


def drained(spool):
    bodies = []
    while kept := spool.oldest():
        bodies.append(kept.path.read_bytes())
        spool.remove(kept)
    return bodies


def test_batches_come_out_in_the_order_they_went_in(open_spool):
    spool = open_spool()
    for body in (b"first", b"second"):
        spool.put(body)
    spool = open_spool()
    spool.put(b"third")
    assert drained(spool) == [b"first", b"second", b"third"]
    assert open_spool().oldest() is None


def test_numbers_go_on_behind_a_batch_that_was_set_aside(open_spool):
    spool = open_spool()
    spool.put(b"refused")
    spool.reject(spool.oldest(), "HTTP 400")
    spool = open_spool()
    spool.put(b"later")
    spool.retry_rejected()
    assert drained(spool) == [b"refused", b"later"]


def test_a_half_written_file_was_never_taken(open_spool, tmp_path):
    open_spool()
    half_written = tmp_path / "spool/000000000000001.json.tmp"
    half_written.write_bytes(b"half")
    assert open_spool().oldest() is None
    assert not half_written.exists()


def test_a_batch_is_on_the_disk_itself_before_it_counts_as_taken(open_spool, monkeypatch):
    """A power cut cannot be staged here, so the order of the system's calls stands for it."""
    steps = []
    spool = open_spool()

    def fsync(descriptor):
        steps.append("fsync directory" if S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")

    rename = Path.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(
        Path, "replace", lambda path, target: (steps.append("rename"), rename(path, target))
    )
    spool.put(b"body")
    assert steps == ["fsync file", "rename", "fsync directory"]


def test_past_its_bytes_the_oldest_go_and_are_counted_and_said(open_spool, caplog):
    spool = open_spool(max_bytes=300)
    for number in range(5):
        spool.put(bytes([number]) * 100)
    assert (spool.waiting_count, spool.dropped_count) == (3, 2)
    assert "dropped the 1 oldest waiting batches unsent (2 since start" in caplog.text
    assert [body[0] for body in drained(spool)] == [2, 3, 4]


def test_the_bound_holds_for_what_an_earlier_run_left(open_spool):
    spool = open_spool()
    for number in range(5):
        spool.put(bytes([number]) * 100)
    spool = open_spool(max_bytes=250)
    assert [body[0] for body in drained(spool)] == [3, 4]
    assert spool.dropped_count == 3


def test_past_its_age_a_batch_goes(open_spool):
    clock = Clock()
    spool = open_spool(max_age_s=60, clock=clock)
    spool.put(b"old")
    clock.now += 59
    spool.put(b"young")
    clock.now += 2
    assert drained(spool) == [b"young"]
    assert spool.dropped_count == 1


def test_the_batch_in_flight_is_never_dropped(open_spool):
    spool = open_spool(max_bytes=200)
    spool.put(b"a" * 100)
    in_flight = spool.oldest()
    spool.put(b"b" * 100)
    spool.put(b"c" * 100)
    assert in_flight.path.read_bytes() == b"a" * 100
    spool.remove(in_flight)
    assert drained(spool) == [b"c" * 100]


def test_what_was_set_aside_is_bounded_too_and_goes_with_its_answer(open_spool, tmp_path):
    spool = open_spool(max_bytes=250)
    for number in range(4):
        spool.put(bytes([number]) * 100)
        spool.reject(spool.oldest(), f"HTTP 422: number {number}\n")
    assert (spool.rejected_count, spool.dropped_count) == (2, 2)
    assert sorted(path.name for path in (tmp_path / "spool/rejected").iterdir()) == [
        "000000000000003.answer.txt",
        "000000000000003.json.gz",
        "000000000000004.answer.txt",
        "000000000000004.json.gz",
    ]


def test_one_spool_serves_one_probe(open_spool, tmp_path):
    open_spool()
    with pytest.raises(SpoolError, match=r"^Another probe uses the spool directory .* own --spool"):
        Spool(tmp_path / "spool", max_bytes=1, max_age_s=1)
    gc.collect()  # the refused one must not have let go of the lock
    with pytest.raises(SpoolError):
        Spool(tmp_path / "spool", max_bytes=1, max_age_s=1)


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"file/spool cannot be used \(Not a directory\)"):
        Spool(tmp_path / "file/spool", max_bytes=1, max_age_s=1)
