"""XID errors: events of the fake driver, counted without waiting."""

from gpu_probe.wire import decode
from tests.gpu_probe.conftest import H100, SECOND


def watch(host):
    probe = host.start("--print", "--interval", "0.2")
    return lambda: decode(probe.stdout.readline().encode()).readings


def until(next_readings, wanted):
    """The first readings of which this holds."""
    while not wanted(readings := next_readings()):
        pass
    return readings


def test_new_errors_are_counted_once_and_the_last_code_stays(host):
    next_readings = watch(host)
    assert [(r.xid_errors, r.last_xid) for r in next_readings()] == [(0, None), (0, None)]
    host.has(H100, SECOND, xids="1:0:31,2:1:79,3:0:48")
    first, second = until(next_readings, lambda readings: readings[0].xid_errors)
    assert (first.xid_errors, first.last_xid) == (2, 48)
    assert (second.xid_errors, second.last_xid) == (1, 79)
    assert [(r.xid_errors, r.last_xid) for r in next_readings()] == [(0, 48), (0, 79)]


def test_the_error_that_takes_a_gpu_away_is_told_with_the_loss(host):
    next_readings = watch(host)
    next_readings()
    host.has({**H100, "handle": "!15"}, SECOND, xids="1:0:79")
    first, second = until(next_readings, lambda readings: readings[0].lost)
    assert (first.xid_errors, first.last_xid, first.utilization_pct) == (1, 79, None)
    assert (second.lost, second.xid_errors) == (False, 0)


def test_events_that_are_not_supported_are_unknown_and_not_none(host):
    host.has({key: value for key, value in H100.items() if key != "events"}, SECOND)
    batch, said = host.look()
    assert [r.xid_errors for r in batch.readings] == [None, 0]
    assert said == ""  # not supported is no fault


def test_without_an_event_set_all_are_unknown_and_it_is_said(host):
    host.has(H100, event_set="!999")
    batch, said = host.look()
    assert batch.readings[0].xid_errors is None
    assert "all GPUs: xid_errors is unknown: Unknown Error" in said


def test_a_driver_that_goes_while_events_are_set_up_is_one_sentence(host):
    host.has(H100, event_set="!9")
    done = host.probe("--once", "--print")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "the NVIDIA kernel driver is not loaded" in done.stderr


def test_a_wait_that_fails_costs_no_reading(host):
    host.has(H100, event_wait="!15")
    batch, said = host.look()
    assert batch.readings[0].utilization_pct == 87.0
    assert "all GPUs: xid_errors is unknown: GPU is lost" in said
