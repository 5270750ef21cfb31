"""The estate of the benches has as many requests as were asked for, where the day is busy."""

from datetime import UTC, datetime, timedelta

from tests.bench import estate

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
OWNERS = [(n, 10 + n) for n in range(len(estate.SERVICES))]


def test_cells_add_up_to_what_was_asked_for():
    cells = estate._cells(12_345, OWNERS, MONDAY, MONDAY + timedelta(days=9))
    assert sum(count for *_, count in cells) == 12_345
    assert min(count for *_, count in cells) >= 0


def test_cells_follow_hours_and_weekends():
    cells = estate._cells(100_000, OWNERS, MONDAY, MONDAY + timedelta(days=7))
    at = {}
    for _, _, _, hour, count in cells:
        at[hour] = at.get(hour, 0) + count
    noon, night = MONDAY + timedelta(hours=10), MONDAY + timedelta(hours=3)
    assert round(at[noon] / at[night]) == estate.HOUR_WEIGHTS[10] / estate.HOUR_WEIGHTS[3]
    assert round(at[noon + timedelta(days=5)] / at[noon], 1) == estate.WEEKEND


def test_shares_are_a_whole():
    assert round(sum(estate.SHARES), 9) == 1
    assert round(sum(share for share, *_ in estate.MODELS), 9) == 1
