"""Every charge lands once: whatever the rule and the weights, the parts are the whole."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops.costing.allocating import (
    Rule,
    Weights,
    digest,
    in_one_unit,
    parts_of,
    weights_of,
    within,
)
from finops.money import CONTEXT

AMOUNTS = st.integers(-(10**31), 10**31).map(lambda units: Decimal(units).scaleb(-20))
UNITS = st.lists(st.integers(0, 10**18), min_size=1, max_size=9)


def summed(parts) -> Decimal:
    total = Decimal(0)
    for part in parts:
        total = CONTEXT.add(total, part)
    return total


@given(AMOUNTS, UNITS)
def test_parts_are_the_whole_to_the_last_digit(amount, units):
    weights = {project: Decimal(unit).scaleb(-12) for project, unit in enumerate(units)}
    parts = parts_of(amount, weights)
    heavy = {project for project, weight in weights.items() if weight > 0}
    assert set(parts) == heavy
    if heavy:
        assert summed(parts.values()) == amount
        # Nobody is given more than the last stored digit beyond a fair share, but the last one.
        last = max(heavy)
        whole = summed(weights.values())
        for project in heavy - {last}:
            fair = CONTEXT.divide(CONTEXT.multiply(amount, weights[project]), whole)
            assert abs(CONTEXT.subtract(fair, parts[project])) < Decimal("1e-20")


@given(UNITS, st.integers(0, 10**19))
def test_costs_are_never_more_than_there_is_and_otherwise_as_they_were(units, most):
    costs = {at: Decimal(unit).scaleb(-12) for at, unit in enumerate(units)}
    whole = Decimal(most).scaleb(-12)
    found = within(costs, whole)
    assert set(found) == set(costs)
    if summed(costs.values()) <= whole:
        assert found == costs
    else:
        left = CONTEXT.subtract(whole, summed(found.values()))
        assert 0 <= left < Decimal("1e-20") * len(costs)


def rule(split: str, *targets) -> Rule:
    return Rule(1, "bill", (), split, targets)


@pytest.mark.parametrize(
    ("asked", "measured", "weights", "why"),
    [
        (rule("one", (3, None)), None, {3: 1}, ""),
        (rule("even", (3, None), (4, None)), None, {3: 1, 4: 1}, ""),
        (rule("share", (3, Decimal(60)), (4, Decimal(40))), None, {3: 60, 4: 40}, ""),
        (rule("usage"), Weights({3: Decimal(2), 4: Decimal(0)}), {3: 2}, ""),
        (rule("usage", (4, None)), Weights({3: Decimal(2)}), {},
         "None of its projects had any use to split by."),
        (rule("telemetry"), Weights({}, "No request was seen."), {}, "No request was seen."),
        (rule("usage"), None, {}, "Nothing was measured."),
    ],
)  # fmt: skip
def test_weights_come_from_the_rule_or_the_day_and_never_from_nothing(
    asked, measured, weights, why
):
    found = weights_of(asked, measured)
    assert (found.of, found.why) == (weights, why)


def test_weights_of_two_currencies_are_never_added():
    dollars, euros = {1: Decimal(2)}, {1: Decimal(1), 2: Decimal(5)}
    assert in_one_unit({"USD": dollars, "EUR": euros}, "EUR").of == euros
    assert in_one_unit({"USD": dollars, "EUR": {2: Decimal(0)}}, "GBP").of == dollars
    assert in_one_unit({"USD": dollars, "EUR": euros}, "GBP").why == (
        "Its use is priced in EUR and USD: two units."
    )
    assert in_one_unit({}, "USD").why == "Nothing was used that has a price."


def test_digest_changes_with_the_rules_and_their_order():
    one, other = rule("even", (3, None), (4, None)), rule("one", (3, None))
    assert len({digest(rules) for rules in ([], [one], [one, other], [other, one])}) == 4
