"""Unit costs against figures worked out by hand, to the last digit."""

from datetime import date
from decimal import Decimal

import pytest
from django.http import QueryDict

from finops.models import BillMatch
from finops.queries import spend, unit_costs
from finops.queries.unit_costs import answers, parse
from ingest.models import SealedDay
from tests.factories.finops import billed, paid, spent
from tests.factories.ingest import PoolFactory
from tests.finops.queries.unit_costs.conftest import START, request, score

OCTOBER = "from=2025-10-01&to=2025-11-01"
HELPFUL = "score=helpful&at_least=0.8"
EACH = Decimal("0.004")
"""600 × 2.5, 400 cached × 1.25 and 200 × 10, in millionths of a dollar."""


def asked(query=""):
    found, errors = parse(QueryDict(query))
    assert errors == []
    return found


def units(filters, query=""):
    return unit_costs.unit_costs(filters, asked(query)).total.units


def numbers(unit):
    return unit.cost, unit.count, unit.value


def test_tokens_and_requests_are_priced_with_the_cache_in(ask, told):
    told([request(1), request(2)])
    found = units(ask(OCTOBER))
    assert numbers(found["tokens"]) == (2 * EACH, 2400, Decimal("3." + "3" * 49))
    assert numbers(found["input"]) == (EACH, 2000, 2)
    assert numbers(found["output"]) == (EACH, 400, 10)
    assert numbers(found["requests"]) == (2 * EACH, 2, 4)
    told_of = ("tokens", "input", "output", "requests")
    assert {found[key].coverage for key in told_of} == {""}


def test_spend_and_shared_figures_are_those_of_the_page_of_costs(ask, told, bills):
    told([request(1), request(2, model="nobody-prices-this")])
    BillMatch.objects.create(usage_provider="openai", bill_provider="OpenAI", bill_service="API")
    billed(bills, date(2025, 10, 1), range(1, 2), "5")
    for query in ("", "&basis=usage", "&f.model=gpt-4o", "&group_by=provider"):
        filters = ask(OCTOBER + query)
        table, total = unit_costs.unit_costs(filters, asked()), spend.spend_total(filters)
        assert table.spend == total
        assert (table.total.cost, table.provisional) == (total.cost, total.provisional)
        assert table.total.units["tokens"].value == total.per_million_tokens
        assert table.total.units["requests"].value == total.per_thousand_requests
    by_model = ask(f"{OCTOBER}&group_by=model")
    costs = {row.keys: row.cost for row in spend.spend_by(by_model).rows}
    assert {row.keys: row.cost for row in unit_costs.unit_costs(by_model, asked()).rows} == costs


def test_unpriced_requests_are_in_neither_number_and_are_told(ask, told):
    told([request(1), request(2, model="nobody-prices-this"), request(3, input_tokens=None,
          cache_read_tokens=None, output_tokens=None)])  # fmt: skip
    found = units(ask(OCTOBER))
    assert numbers(found["requests"]) == (EACH, 1, 4)
    said = "Of 3 requests 2 are unpriced: they are in neither number."
    assert (found["requests"].coverage, found["tokens"].coverage) == (said, said)
    assert numbers(found["input"]) == (Decimal("0.002"), 1000, 2)
    assert found["input"].coverage.startswith("1,200 tokens are in neither number")


def test_nothing_to_divide_by_is_unknown_with_the_reason(ask, told):
    told([request(1, model="nobody-prices-this")])
    for key, unit in units(ask(OCTOBER)).items():
        assert unit.value is None, key
        assert unit.reason.endswith("."), key
    assert units(ask("from=2025-09-01&to=2025-09-02"))["requests"].reason == "No requests here."


def test_two_currencies_are_never_added(ask, told):
    told([request(1), request(2, provider="mistral", model="mistral-large",
          cache_read_tokens=None, input_tokens=1000)])  # fmt: skip
    dollars, euros = units(ask(OCTOBER)), units(ask(f"{OCTOBER}&currency=EUR"))
    assert numbers(dollars["requests"]) == (EACH, 1, 4)
    assert numbers(euros["requests"]) == (Decimal("0.0032"), 1, Decimal("3.2"))
    assert numbers(euros["input"]) == (Decimal("0.002"), 1000, 2)
    table = unit_costs.unit_costs(ask(OCTOBER), asked())
    assert table.spend.others == (("EUR", Decimal("0.0032")),)


def test_conversation_costs_what_requests_that_name_one_cost(ask, told):
    told([request(1, session_id="a"), request(2, session_id="a"), request(3, session_id="b")])
    conversation = units(ask(OCTOBER))["conversation"]
    assert (numbers(conversation), conversation.coverage) == ((3 * EACH, 2, Decimal("0.006")), "")


def test_conversations_of_a_part_take_their_part_of_the_cost_and_say_so(ask, told):
    told([request(1, session_id="a"), request(2), request(3), request(4)])
    conversation = units(ask(OCTOBER))["conversation"]
    assert numbers(conversation) == (EACH, 1, EACH)
    assert conversation.coverage == (
        "1 of 4 requests name a session; the cost is their part by number."
    )


def test_session_of_two_projects_is_two_conversations(ask, told, chat, search):
    told([request(1, session_id="a")], project=chat)
    told([request(1, session_id="a")], project=search)
    assert units(ask(OCTOBER))["conversation"].count == 2


def test_conversation_of_two_days_is_one_in_total_and_one_on_each_day(ask, told):
    told([request(1, session_id="a", day=1), request(2, session_id="a", day=2)])
    filters = ask("from=2025-10-01&to=2025-10-03")
    assert units(filters)["conversation"].count == 1
    series = unit_costs.unit_series(filters, asked("unit=conversation"))
    assert [unit.count for unit in series.values] == [1, 1]


def test_answer_succeeds_from_the_threshold_on(ask, told):
    told([request(n) for n in (1, 2, 3, 4)],
         [score(1, 0.8), score(2, 0.79), score(3, 1.0), score(4, 0.1), score(4, 0.1, name="other"),
          ])  # fmt: skip
    answer = units(ask(OCTOBER), HELPFUL)["answer"]
    assert numbers(answer) == (4 * EACH, 2, Decimal("0.008"))
    assert units(ask(OCTOBER), "score=helpful&at_least=2")["answer"].reason == (
        "None of 4 scored answers reaches 2."
    )
    assert units(ask(OCTOBER), "score=missing")["answer"].reason == (
        "No answer has the score “missing”."
    )
    assert units(ask(OCTOBER))["answer"].reason == (
        "Choose the score that tells a successful answer."
    )


def test_several_scores_of_one_answer_count_as_their_mean_and_a_truth_as_one(ask, told):
    told([request(1), request(2), request(3)],
         [score(1, 1.0), score(1, 0.2), score(2, 0, number=None, truth=True),
          score(3, 0, number=None, label="fine")])  # fmt: skip
    answer = units(ask(OCTOBER), HELPFUL)["answer"]
    assert (answer.count, answer.coverage) == (
        1, "2 of 3 requests are of scored answers; the cost is their part by number.",
    )  # fmt: skip
    assert answer.cost == Decimal("0.008")


def test_hardware_counts_for_the_part_of_its_requests_that_traces_tell_of(ask, told, pool):
    """A pool at 3 dollars answered 5 requests by its own count; one of them was traced."""
    told([request(1, session_id="a", provider="triton", model="bert"),
          request(2, session_id="b")])  # fmt: skip
    paid(pool, START, idle="2", bert="1")
    conversation = units(ask(OCTOBER))["conversation"]
    assert numbers(conversation) == (Decimal("0.604"), 2, Decimal("0.302"))


def test_user_costs_what_those_named_cost(ask, told):
    told([request(1, user_id="u1"), request(2, user_id="u2"), request(3)])
    user = units(ask(OCTOBER))["user"]
    assert numbers(user) == (2 * EACH, 2, EACH)
    assert user.coverage == "2 of 3 priced requests name a user; the cost is theirs alone."


def test_days_whose_details_are_gone_are_not_counted_and_it_is_said(ask, told):
    told([request(1, session_id="a", day=1), request(2, session_id="b", day=9)])
    SealedDay.objects.create(table="ingest_span", day=date(2025, 10, 2))
    filters = ask("from=2025-10-01&to=2025-10-11")
    conversation = units(filters)["conversation"]
    assert numbers(conversation) == (EACH, 1, EACH)
    assert conversation.coverage == (
        "Counted over the newest 7 of 10 days, for details of earlier days are no longer kept."
    )
    SealedDay.objects.create(table="ingest_span", day=date(2025, 10, 10))
    assert units(filters)["conversation"].reason == (
        "Nothing could be counted: details of earlier days are no longer kept."
        " Choose a shorter or later range."
    )


def test_no_more_requests_are_read_one_by_one_than_a_page_may(ask, told, monkeypatch):
    monkeypatch.setattr(answers, "MOST_REQUESTS", 2)
    told([request(n, session_id=f"s{n}", day=n) for n in (1, 2, 3, 4)])
    conversation = units(ask("from=2025-10-01&to=2025-10-05"))["conversation"]
    assert numbers(conversation) == (2 * EACH, 2, EACH)
    assert conversation.coverage == (
        "Counted over the newest 2 of 4 days, for at most 2 requests or one day of them are counted"
        " one by one."
    )


def test_newest_day_is_counted_though_it_alone_has_more(ask, told, monkeypatch):
    monkeypatch.setattr(answers, "MOST_REQUESTS", 2)
    told([request(n, session_id=f"s{n}", day=2 if n > 1 else 1) for n in (1, 2, 3, 4)])
    filters = ask("from=2025-10-01&to=2025-10-05")
    assert units(filters)["conversation"].count == 3
    assert unit_costs.unit_costs(filters, asked()).counted.start == date(2025, 10, 2)
    monkeypatch.setattr(answers, "MOST_IN_A_DAY", 2)
    assert units(filters)["conversation"].reason.startswith("Nothing could be counted")


@pytest.mark.parametrize(
    ("group", "keys"),
    [("project", {("chat",): 4, ("search",): 8}), ("team", {("Support",): 4, ("Search team",): 8}),
     ("service", {("answers",): 4, ("other",): 8}), ("provider", {("openai",): 6})],
)  # fmt: skip
def test_groups_have_units_of_their_own(ask, told, chat, search, group, keys):
    """A search costs the double: it writes 600 tokens and reads none from the cache."""
    told([request(1, session_id="a")], project=chat)
    dear = {"input_tokens": 800, "cache_read_tokens": None, "output_tokens": 600}
    told([request(2, session_id="b", service="other", **dear)], project=search)
    table = unit_costs.unit_costs(ask(f"{OCTOBER}&group_by={group}"), asked())
    assert {row.keys: row.units["requests"].value for row in table.rows} == keys
    counted = {row.keys: row.units["conversation"].count for row in table.rows}
    assert counted == {key: 2 if group == "provider" else 1 for key in keys}
    assert sum(row.usage_cost for row in table.rows) == table.total.usage_cost


def test_two_groups_and_what_cannot_group_falls_back_to_models(ask, told):
    told([request(1, session_id="a"), request(2, model="gpt-4o-mini")])
    table = unit_costs.unit_costs(ask(f"{OCTOBER}&group_by=service,model"), asked())
    assert {row.keys for row in table.rows} == {("answers", "gpt-4o"), ("answers", "gpt-4o-mini")}
    assert unit_costs.unit_costs(ask(f"{OCTOBER}&group_by=sku"), asked()).group_by == ("model",)


def test_series_is_unknown_on_a_day_without_and_compares_with_the_days_before(ask, told):
    told([request(1, day=1), request(2, day=3), request(3, day=3, model="gpt-4o-mini")])
    filters = ask("from=2025-10-03&to=2025-10-05&compare=previous")
    series = unit_costs.unit_series(filters, asked("unit=requests"))
    mini = Decimal("0.00027")  # 1,000 × 0.15 and 200 × 0.6: without a price for the cache
    assert [unit.value for unit in series.values] == [(EACH + mini) * 500, None]
    assert [unit.value for unit in series.before] == [4, None]
    assert series.before_points == (date(2025, 10, 1), date(2025, 10, 2))
    total = units(filters)["requests"]
    assert (total.before, total.change) == (4, pytest.approx(-0.46625))


def test_hour_of_a_gpu_as_paid_and_as_used(ask, pool):
    """Two GPUs for three quarter hours: 3 dollars each quarter, one of them unobserved."""
    paid(pool, START, idle="2", bert="1")
    paid(pool, START.replace(minute=15), idle="1", bert="2")
    paid(pool, START.replace(minute=30), idle="3", covered_s=0)
    table = unit_costs.unit_costs(ask(OCTOBER), asked())
    [row] = table.pools
    assert numbers(row.paid) == (9, Decimal("1.5"), 6)
    assert numbers(row.used) == (6, Decimal("0.05"), 120)  # twice 90 GPU-seconds
    assert (row.utilization, row.coverage) == (0.5, pytest.approx(2 / 3))
    assert row.used.coverage == "Observed 67% of the time; the rest is in neither number."
    assert numbers(table.total.units["gpu-paid"]) == numbers(row.paid)
    day = unit_costs.unit_series(ask("from=2025-10-01&to=2025-10-02"), asked("unit=gpu-used"))
    assert numbers(day.values[0]) == numbers(row.used)


def test_gpus_without_a_price_or_a_number_are_unknown(ask, pool):
    paid(pool, START, idle=None)
    [row] = unit_costs.unit_costs(ask(OCTOBER), asked()).pools
    assert (row.paid.value, row.used.value) == (None, None)
    assert row.unpriced_hours == Decimal("0.5")
    paid(PoolFactory(name="of-unknown-size", gpu_count=None), START, idle="2")
    unknown = unit_costs.unit_costs(ask(OCTOBER), asked()).pools[1]
    assert unknown.paid.reason == "It is not known how many GPUs the pool has."


def test_cleo_sees_her_project_and_no_gpus(ask, told, chat, search, cleo, pool):
    told([request(1, session_id="a", user_id="u")], [score(1, 1.0)], project=chat)
    told([request(2, session_id="b", user_id="v")], [score(2, 1.0, name="hidden")], project=search)
    paid(pool, START, idle="2")
    table = unit_costs.unit_costs(ask(OCTOBER, cleo), asked(HELPFUL))
    assert (table.scores, table.pools) == (("helpful",), ())
    assert {key: unit.count for key, unit in table.total.units.items()} == {
        "tokens": 1200, "input": 1000, "output": 200, "requests": 1, "conversation": 1,
        "answer": 1, "user": 1, "gpu-paid": None, "gpu-used": None,
    }  # fmt: skip


def test_bills_alone_know_no_units(ask, bills):
    billed(bills, date(2025, 10, 1), range(1, 3), "5")
    table = unit_costs.unit_costs(ask(f"{OCTOBER}&basis=bill"), asked())
    assert table.total.cost == 10
    assert table.total.units["requests"].reason == (
        "Bills know no requests or tokens: choose the basis Book or Usage."
    )


def test_usage_priced_in_part_is_left_out_of_input_and_output(ask, told):
    told([request(1), request(2, provider="half", model="input-only", cache_read_tokens=None)])
    found = units(ask(OCTOBER))
    assert numbers(found["input"]) == (Decimal("0.002"), 1000, 2)
    assert found["output"].coverage.startswith("800 tokens are in neither number")


def test_costs_without_the_usage_behind_them_are_not_split(ask, chat):
    spent(chat, START, "1.25")
    found = units(ask(OCTOBER))
    assert found["requests"].value == 125
    assert found["input"].reason == "No tokens here that are priced as a whole."


@pytest.mark.parametrize(
    ("query", "field"),
    [("unit=joy", "unit"), ("at_least=much", "at_least"), ("at_least=nan", "at_least"),
     ("to1=gpt-4o", "to1"), ("score=a%00b", "score")],
)  # fmt: skip
def test_bad_parameter_is_named(query, field):
    found, errors = parse(QueryDict(query))
    assert [error.field for error in errors] == [field]
    assert found == unit_costs.Asked()
