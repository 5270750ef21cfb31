"""One failure stops no other piece of work, and none is swallowed."""

import pytest

from finops.actions.in_turn import in_turn


def test_every_piece_is_done_and_what_failed_is_raised_together():
    done = []

    def piece(name):
        def act():
            if name == "bad":
                raise ValueError(f"{name} {len(done)}")
            done.append(name)
            return 2

        return name, act

    with pytest.raises(ExceptionGroup, match="Some failed") as raised:
        in_turn([piece(name) for name in ("a", "bad", "b", "bad")], "Some failed.")

    assert [str(error) for error in raised.value.exceptions] == ["bad 1", "bad 2"]
    assert done == ["a", "b"]
    assert in_turn([piece("c"), ("", lambda: True)], "Some failed.") == 3
