"""Why a bill differs from priced usage: each class by hand, and that they always add up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops.costing.reconciling import (
    CLASSES,
    BillSum,
    UsageSum,
    meets,
    model_key,
    reconcile,
    total,
)


def charged(cost, name="gpt-4o", tokens=None, lines=1, decimals=20, kind="usage"):
    counted = None if tokens is None else Decimal(tokens)
    return BillSum(
        kind=kind, name=name, cost=Decimal(cost), lines=lines, decimals=decimals, tokens=counted
    )


def seen(cost, model="gpt-4o", tokens=1000, **more):
    return UsageSum(
        model=model, cost=Decimal(cost), tokens=tokens, late=Decimal(more.pop("late", 0)), **more
    )


def told(*items):
    """Kind, name, classes and what is unexplained, each to the last digit."""
    return [(item.kind, item.name, dict(item.classes), item.unexplained) for item in items]


def test_bill_that_agrees_leaves_nothing_to_explain():
    [item] = reconcile([charged("1.25")], [seen("1.25")])
    assert (item.gap, item.classes, item.unexplained) == (0, {}, 0)


def test_same_quantity_at_another_price_is_a_difference_of_price():
    [item] = reconcile([charged("1.5", tokens=1000)], [seen("1.25")])
    assert told(item) == [("model", "gpt-4o", {"price": Decimal("0.25")}, 0)]


def test_more_tokens_than_were_seen_are_untracked_at_the_bills_price():
    [item] = reconcile([charged("3", tokens=3000)], [seen("0.9")])
    assert item.classes == {"untracked": Decimal(2), "price": Decimal("0.1")}


def test_share_that_does_not_divide_is_given_to_the_last_digit_and_the_rest_is_exact():
    [item] = reconcile([charged("1", tokens=3)], [seen("0.3", tokens=1)])
    assert item.classes == {
        "untracked": Decimal("0.66666666666666666667"),
        "price": Decimal("0.03333333333333333333"),
    }
    assert item.unexplained == 0


def test_fewer_tokens_than_were_seen_are_unexplained_at_our_price():
    [item] = reconcile([charged("0.6", tokens=500)], [seen("1")])
    assert told(item) == [("model", "gpt-4o", {"price": Decimal("0.1")}, Decimal("-0.5"))]


def test_tokens_without_a_price_take_their_part_before_any_is_untracked():
    usage = seen("1", unpriced_tokens=500, unpriced=2)
    [item] = reconcile([charged("2", tokens=2000)], [usage])
    assert item.classes == {"unpriced": Decimal("0.5"), "untracked": Decimal("0.5")}


def test_model_without_any_price_costs_what_the_bill_says():
    usage = seen("0", tokens=0, unpriced_tokens=1000, unpriced=10)
    assert told(*reconcile([charged("2")], [usage])) == [
        ("model", "gpt-4o", {"unpriced": Decimal(2)}, 0)
    ]
    [item] = reconcile([charged("2", tokens=4000)], [usage])
    assert item.classes == {"unpriced": Decimal("0.5"), "untracked": Decimal("1.5")}


def test_difference_within_the_rounding_of_the_lines_is_rounding():
    """Three lines rounded to cents may be off by half a cent each, and no more."""
    lines = charged("1.00", lines=3, decimals=2)
    [item] = reconcile([lines], [seen("1.015")])
    assert item.classes == {"rounding": Decimal("-0.015")}
    [item] = reconcile([lines], [seen("1.0151")])
    assert told(item) == [("model", "gpt-4o", {}, Decimal("-0.0151"))]


def test_bill_in_whole_dollars_explains_no_dollar_away():
    [item] = reconcile([charged("5", decimals=0)], [seen("4.6")])
    assert (item.classes, item.unexplained) == ({}, Decimal("0.4"))
    [item] = reconcile([charged("5", decimals=0)], [seen("4.6")], minor_units=0)
    assert item.classes == {"rounding": Decimal("0.4")}


def test_usage_after_the_bill_ends_is_late():
    [item] = reconcile([charged("1")], [seen("1", late="0.125")])
    assert (item.usage, item.gap) == (Decimal("1.125"), Decimal("-0.125"))
    assert (item.classes, item.unexplained) == ({"late": Decimal("-0.125")}, 0)


def test_credits_and_taxes_stand_alone():
    items = reconcile(
        [charged("1"), charged("-0.4", "Credit", kind="credits"),
         charged("0.19", "Tax", kind="other_charges")],
        [seen("1")],
    )  # fmt: skip
    assert told(*items) == [
        ("credits", "Credit", {"credits": Decimal("-0.4")}, 0),
        ("other_charges", "Tax", {"other_charges": Decimal("0.19")}, 0),
        ("model", "gpt-4o", {}, 0),
    ]


def test_sku_of_a_model_never_seen_is_untracked_when_every_model_was_met():
    items = reconcile([charged("1"), charged("7", "gpt-4o-mini")], [seen("1")])
    assert told(*items) == [
        ("sku", "gpt-4o-mini", {"untracked": Decimal(7)}, 0),
        ("model", "gpt-4o", {}, 0),
    ]


def test_model_that_a_named_bill_does_not_have_is_unexplained():
    items = reconcile([charged("1")], [seen("1"), seen("2", "o3")])
    assert told(*items) == [("not_billed", "o3", {}, Decimal(-2)), ("model", "gpt-4o", {}, 0)]


def test_skus_and_models_that_do_not_meet_are_compared_together():
    """One may be the other under its name: two large classes would cancel out and mislead."""
    [item] = reconcile([charged("5", "MQ7-X", decimals=2)], [seen("4"), seen("0.999", "o3")])
    assert (item.kind, item.skus, item.models) == ("unnamed", ("MQ7-X",), ("gpt-4o", "o3"))
    assert (item.classes, item.unexplained) == ({"rounding": Decimal("0.001")}, 0)
    [item] = reconcile([charged("5", "MQ7-X", tokens=9)], [seen("4")])
    assert (item.classes, item.unexplained) == ({}, 1)


def test_usage_priced_in_another_currency_makes_nothing_untracked():
    [item] = reconcile([charged("5")], [seen("0", tokens=0, elsewhere=True)])
    assert told(item) == [("model", "gpt-4o", {}, Decimal(5))]


@pytest.mark.parametrize(
    ("sku", "model"),
    [
        ("gpt-4o", "gpt-4o"),
        ("GPT-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o", "openai/gpt-4o-2024-11-20"),
        ("gpt-4o Input Tokens (cached)", "gpt-4o"),
        ("Azure OpenAI gpt 4o output", "gpt-4o"),
        ("claude-3-5-sonnet-20241022, batch", "claude-3-5-sonnet"),
    ],
)
def test_sku_meets_the_model_it_names(sku, model):
    assert meets(sku, [model_key(model), "other"]) == model_key(model)


@pytest.mark.parametrize(
    ("sku", "model"),
    [
        ("gpt-4o-mini", "gpt-4o"),
        ("gpt-4.1", "gpt-4"),
        ("gpt-4o", "gpt-4o-mini"),
        ("o3-deep-research", "o3"),
        ("", "gpt-4o"),
    ],
)
def test_sku_does_not_meet_a_model_whose_name_is_part_of_its_own(sku, model):
    assert meets(sku, [model_key(model)]) is None


def test_longest_name_wins():
    assert meets("gpt-4o-mini input", ["gpt 4o", "gpt 4o mini"]) == "gpt 4o mini"


AMOUNTS = st.decimals(0, 10**9, places=20, allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-mini input", "o3", "", "MQ7-X"])
LINES = st.builds(
    BillSum,
    kind=st.sampled_from(["usage", "usage", "usage", "credits", "other_charges"]),
    name=NAMES,
    cost=AMOUNTS,
    lines=st.integers(1, 800),
    decimals=st.integers(0, 20),
    tokens=st.none() | st.decimals(0, 10**12, places=3, allow_nan=False, allow_infinity=False),
)
SEEN = st.builds(
    UsageSum,
    model=NAMES,
    cost=AMOUNTS,
    late=AMOUNTS,
    tokens=st.integers(0, 10**12),
    unpriced_tokens=st.integers(0, 10**12),
    unpriced=st.integers(0, 100),
    elsewhere=st.booleans(),
)


@given(st.lists(LINES, max_size=6), st.lists(SEEN, max_size=6))
def test_classes_and_the_unexplained_are_always_the_gap_and_nothing_is_lost(lines, usage):
    items = reconcile(lines, usage)
    bill = total(line.cost for line in lines)
    priced = total(amount for one in usage for amount in (one.cost, one.late))
    assert total(item.bill for item in items) == bill
    assert total(item.usage for item in items) == priced
    parts = [item.amount(name) for item in items for name in CLASSES]
    assert total([*parts, *(item.unexplained for item in items)]) == total(
        [bill, priced.copy_negate()]
    )
    assert all(set(item.classes) <= set(CLASSES) for item in items)


@given(st.lists(LINES, max_size=6), st.lists(SEEN, max_size=6))
def test_comparison_does_not_depend_on_the_order_of_the_facts(lines, usage):
    """The same facts in another order are the same figure on the next page view."""
    one, other = reconcile(lines, usage), reconcile(lines[::-1], usage[::-1])
    assert sorted(map(repr, map(told, one))) == sorted(map(repr, map(told, other)))
