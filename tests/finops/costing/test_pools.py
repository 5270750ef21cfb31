from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops.costing.pools import IDLE, Busy, share_out
from finops.money import Money

HOURLY = Money(Decimal("3.60"), "USD")
"""A tenth of a cent per GPU-second."""

prices = st.decimals(Decimal("0.01"), Decimal(100), places=6)
models = st.dictionaries(
    st.sampled_from(["bert", "llama", "resnet", "whisper"]),
    st.builds(
        Busy,
        st.floats(0, 5_000, allow_nan=False),
        st.one_of(st.none(), st.integers(0, 1_000).map(float)),
        st.floats(1, 900),
    ),
)


def by_model(lines):
    return {line.model: line for line in lines}


def test_busy_share_goes_to_the_models_and_the_rest_is_idle():
    lines = by_model(
        share_out(900, 2, HOURLY, {"bert": Busy(300, 60.0, 900), "llama": Busy(600, 20.0, 900)})
    )
    assert {name: line.used for name, line in lines.items()} == {
        "bert": Decimal("0.3"),
        "llama": Decimal("0.6"),
        IDLE: Decimal(0),
    }
    assert {name: line.allocated for name, line in lines.items()} == {
        "bert": Decimal("0.3"),
        "llama": Decimal("0.6"),
        IDLE: Decimal("0.9"),
    }


def test_more_busy_seconds_than_there_were_are_scaled_down_alike():
    lines = by_model(
        share_out(900, 1, HOURLY, {"bert": Busy(900, None, 900), "llama": Busy(2_700, None, 900)})
    )
    assert (lines["bert"].busy_s, lines["llama"].busy_s) == (225, 675)
    assert lines[IDLE].allocated == 0


def test_without_telemetry_everything_is_paid_and_nothing_is_known_to_be_used():
    (line,) = share_out(900, 2, HOURLY, {})
    assert (line.model, line.allocated) == (IDLE, Decimal("1.8"))
    assert (line.used, line.busy_s, line.covered_s) == (None, None, 0)


def test_partly_observed_quarter_says_how_much_was_seen():
    lines = by_model(share_out(900, 1, HOURLY, {"bert": Busy(100, None, 400)}))
    assert (lines["bert"].used, lines[IDLE].allocated) == (Decimal("0.1"), Decimal("0.8"))
    assert lines[IDLE].covered_s == 400


@pytest.mark.parametrize("gpus", [None, 2])
def test_hardware_billed_by_use_costs_nothing_while_it_waits(gpus):
    lines = by_model(share_out(900, gpus, HOURLY, {"bert": Busy(300, 60.0, 600)}, by_use=True))
    assert (lines["bert"].used, lines["bert"].allocated) == (Decimal("0.3"), Decimal("0.3"))
    assert (lines[IDLE].used, lines[IDLE].allocated) == (0, 0)


def test_hardware_billed_by_use_that_nobody_saw_has_an_unknown_cost():
    (line,) = share_out(900, None, HOURLY, {}, by_use=True)
    assert (line.used, line.allocated) == (None, None)


@pytest.mark.parametrize(("gpus", "hourly"), [(None, HOURLY), (2, None)])
def test_unknown_price_or_size_is_unknown_money_never_zero(gpus, hourly):
    lines = share_out(900, gpus, hourly, {"bert": Busy(300, 60.0, 900)})
    assert [(line.model, line.busy_s) for line in lines] == [("bert", 300), (IDLE, 0)]
    assert {line.used for line in lines} == {line.allocated for line in lines} == {None}


@settings(max_examples=200, deadline=None)
@given(models, st.integers(1, 16), prices, st.sampled_from([60.0, 412.7, 900.0]))
def test_rows_always_add_up_to_what_was_paid(busy, gpus, hourly, elapsed_s):
    lines = share_out(elapsed_s, gpus, Money(hourly, "USD"), busy)
    (alone,) = share_out(elapsed_s, gpus, Money(hourly, "USD"), {})
    assert sum(line.allocated for line in lines) == alone.allocated
    assert all(line.used is None or line.used >= 0 for line in lines)
    assert lines[-1].allocated >= 0
