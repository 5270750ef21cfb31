"""When a watched measure is wrong for long enough, and when it is right again."""

import pytest

from finops.costing.watching import ABOVE, BELOW, watched


def said(values, *, was_on=False, comparison=ABOVE, needed=2, of_last=3):
    return watched(values, comparison, 10, needed, of_last, was_on=was_on)


@pytest.mark.parametrize(
    ("newest_first", "was_on", "holds"),
    [
        ([11, 11, 1], False, True),
        ([11, 1, 11], False, True),
        ([11, 1, 1], False, False),
        ([10, 10, 10], False, False),
        # One good quarter hour is no end, two in a row are.
        ([1, 11, 1], True, True),
        ([1, 1, 11], True, False),
        # What is unknown is neither: the last three that are known count.
        ([None, 11, None, 11, 1], False, True),
        ([None] * 12 + [11, 11, 11], True, False),
        ([], True, False),
    ],
)
def test_it_begins_and_ends_by_the_last_known_quarter_hours(newest_first, was_on, holds):
    assert said(newest_first, was_on=was_on).holds is holds


def test_it_says_how_many_were_wrong():
    found = said([5, None, 12, 3], comparison=BELOW)
    assert (found.holds, found.wrong, found.known, found.newest) == (True, 2, 3, 5)
