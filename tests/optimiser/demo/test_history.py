from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from gpu_probe.wire import MAX_READINGS
from ingest.sources import REGISTRY
from optimiser.demo import history

END = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)


def of_days_before(service, days):
    return history.spans(service, END.date() - timedelta(days=days), END)


def test_same_seed_gives_the_same_history_and_another_a_different_one():
    day = END.date() - timedelta(days=5)
    assert history.spans("support-chat", day, END) == history.spans("support-chat", day, END)
    assert history.spans("support-chat", day, END, seed=1) != history.spans(
        "support-chat", day, END
    )


def test_no_span_lies_after_the_end_and_none_is_repeated():
    today = history.spans("code-assist", END.date(), END)
    assert max(record.ended_at for record in today) <= END
    assert len({record.span_id for record in today}) == len(today)
    assert all(record.problem(END) is None for record in today)


def test_weekends_are_quiet_and_the_business_grows():
    friday, sunday = of_days_before("support-chat", 0 + 7), of_days_before("support-chat", 5)
    assert len(sunday) < 0.7 * len(friday)
    early, late = of_days_before("support-chat", 59), of_days_before("support-chat", 3)
    assert len(late) > 1.2 * len(early)


def test_planted_anomalies_are_where_the_list_says():
    agent, dear, storm = history.PLANTED
    usual = len(of_days_before(agent.service, agent.days_before_end + 7))
    assert len(of_days_before(agent.service, agent.days_before_end)) > 3 * usual
    models = Counter(r.model for r in of_days_before(dear.service, dear.days_before_end))
    assert set(models) == {"gpt-4o"}
    assert all(
        not r.cache_read_tokens for r in of_days_before(storm.service, storm.days_before_end)
    )


def test_each_planted_anomaly_has_an_event_that_explains_it():
    begin = END.date() - timedelta(days=60)
    told = [
        one for traffic in history.HOSTED for one in history.events(traffic.service, begin, END)
    ]
    assert len(told) == len(history.PLANTED)
    assert all(event.problem(END) is None for event in told)
    firsts = {END.date() - timedelta(days=one.days_before_end) for one in history.PLANTED}
    near = {(event.happened_at + timedelta(hours=2)).date() for event in told}
    assert near == firsts
    assert history.events("support-chat", END.date() - timedelta(days=10), END)[0].ended_at
    assert history.events("code-assist", END.date() - timedelta(days=10), END) == []


def test_each_failed_call_was_logged_once():
    spans = history.spans("support-chat", END.date() - timedelta(days=1), END)
    told = history.errors(spans)
    logged = Counter(one.type for one in told)
    assert logged["openai.RateLimitError"] == sum(span.status == "error" for span in spans) > 10
    assert logged["json.JSONDecodeError"] > 2
    assert len({one.identity for one in told}) == len(told)
    assert all(one.problem(END) is None for one in told)


def test_batch_callers_wait_for_their_answer_before_they_ask_again():
    day = END.date() - timedelta(days=2)
    made = history.batch_spans(day, END)
    assert made == history.batch_spans(day, END)
    assert all(record.problem(END) is None for record in made)
    by_caller = {}
    for record in made:
        by_caller.setdefault(record.user_id, []).append(record)
    assert [len(one) for one in by_caller.values()] == [25] * 16
    for requests in by_caller.values():
        pairs = pairwise(requests)
        assert all(first.ended_at < second.started_at for first, second in pairs)
    today = datetime.combine(END.date(), datetime.min.time(), UTC) + timedelta(hours=2, seconds=1)
    assert 0 < len(history.batch_spans(END.date(), today)) < len(made) / 2


def test_counters_only_rise_within_a_day_and_gpus_are_marked_as_simulated():
    day = END.date() - timedelta(days=2)
    by_series = {}
    for record in history.triton_metrics(day, END):
        assert record.value >= by_series.get(record.series, 0)
        by_series[record.series] = record.value
    batch = history.gpu_batch(day, END, "demo-triton")
    assert batch.simulated
    assert len(batch.readings) == 2 * 24 * 12 <= MAX_READINGS


def test_bill_is_a_focus_file_that_our_own_source_reads(tmp_path):
    charge = history.Charge(
        END.date(), "gpt-4o", "gpt-4o tokens", history.Decimal("1.230000001"),
        history.Decimal(10), "Tokens",
    )  # fmt: skip
    file = tmp_path / "bill.csv"
    file.write_bytes(history.focus_csv(history.BILLERS["openai"], END.date(), [charge]))
    (line,) = REGISTRY["focus_csv"].read(file, {})
    assert (line.billed_cost, line.service_name) == (charge.cost, "OpenAI API")
    assert line.billing_month == END.date().replace(day=1)
