"""Error budgets against figures worked out by hand, and the workbook's own table."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops.costing.burn import (
    BURNING,
    EXHAUSTED,
    MET,
    PACES,
    UNKNOWN,
    Counts,
    allowed,
    burn_rate,
    factor,
    judge,
    left,
    window,
)

OBJECTIVE = Decimal("99.9")


def quarters(*stretches: tuple[int, int, int]) -> list[Counts]:
    """(how many quarter hours, good, total of each), the newest first."""
    return [Counts(good, total) for count, good, total in stretches for _ in range(count)]


def test_budget_left_and_burn_rate_are_shares_of_what_may_be_bad():
    counts = Counts(good=999_500, total=1_000_000)
    assert allowed(OBJECTIVE, 1_000_000) == 1000
    assert left(OBJECTIVE, counts) == Decimal("0.5")
    assert burn_rate(OBJECTIVE, counts) == Decimal("0.5")
    assert left(OBJECTIVE, Counts(good=998, total=1000)) == Decimal(-1)


def test_silence_is_unknown_and_spends_nothing():
    judged = judge(OBJECTIVE, 30, 1, Counts(unknown=5), [Counts()] * 289)
    assert (judged.state, judged.left, judged.severity) == (UNKNOWN, None, "")
    assert [burn.long for burn in judged.burns] == [None, None, None]
    # A quiet hour in the middle neither adds nor takes away.
    assert window([Counts(1, 2), Counts(), Counts(3, 3)], 2) == Counts(4, 5)


def test_factors_of_thirty_days_are_those_of_the_workbook():
    assert [factor(pace, OBJECTIVE, 30) for pace in PACES] == [
        Decimal("14.4"), Decimal(6), Decimal(1),
    ]  # fmt: skip
    assert [factor(pace, OBJECTIVE, 7) for pace in PACES] == [
        Decimal("3.36"), Decimal("1.4"), Decimal(1),
    ]  # fmt: skip
    # Nobody can burn 14.4 times as fast where every tenth request may fail.
    assert [factor(pace, Decimal(90), 30) for pace in PACES] == [5, 5, 1]


@pytest.mark.parametrize(
    ("newest", "severity", "alight"),
    [
        # 2 % fail for an hour: 20 times as fast as it lasts, in both windows.
        (quarters((5, 980, 1000), (284, 1000, 1000)), "critical", "1 hour"),
        # The same, over for half an hour: the short window is quiet again.
        (quarters((3, 1000, 1000), (2, 900, 1000), (284, 1000, 1000)), "", ""),
        # 0.8 % fail for six hours.
        (quarters((25, 992, 1000), (264, 1000, 1000)), "critical", "6 hours"),
        # 0.12 % fail for three days.
        (quarters((289, 9988, 10_000)), "warning", "3 days"),
        # 0.05 % fail: half of what may.
        (quarters((289, 9995, 10_000)), "", ""),
    ],
)
def test_alert_needs_both_windows(newest, severity, alight):
    judged = judge(OBJECTIVE, 30, 20, Counts(9_999_990, 10_000_000), newest)
    assert judged.severity == severity
    assert judged.state == (BURNING if severity else MET)
    assert [burn.pace.name for burn in judged.burns if burn.is_burning][:1] == [alight] * bool(
        alight
    )


def test_few_events_wake_nobody():
    newest = quarters((1, 1, 4), (288, 0, 0))
    assert judge(OBJECTIVE, 30, 20, Counts(999, 1000), newest).severity == ""
    assert judge(OBJECTIVE, 30, 4, Counts(999, 1000), newest).severity == "critical"


def test_budget_used_up_is_said_with_its_figures():
    judged = judge(Decimal(99), 28, 1, Counts(970, 1000), quarters((289, 0, 0)))
    assert (judged.state, judged.left) == (EXHAUSTED, Decimal(-2))
    assert judged.why == "The error budget is used up: 30 of 1,000 were bad; 10 may be."


@given(
    objective=st.decimals("1", "99.999", places=3),
    days=st.sampled_from((7, 28, 30, 90)),
    counts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=30, max_size=30),
)
def test_more_failures_never_leave_more_budget(objective, days, counts):
    newest = [Counts(min(a, b), max(a, b)) for a, b in counts]
    worse = [Counts(max(0, one.good - 1), one.total) for one in newest]
    whole, bad = window(newest, 29), window(worse, 29)
    now, then = (judge(objective, days, 1, at, q) for at, q in ((whole, newest), (bad, worse)))
    if now.left is not None:
        assert then.left <= now.left
    for before, after in zip(now.burns, then.burns, strict=True):
        assert after.is_burning or not before.is_burning
        assert Decimal(1) <= before.at_least
