"""The Langfuse source against a server of its contract, in both generations of the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from ingest.records import ScoreRecord, SpanRecord
from ingest.sources import REGISTRY, langfuse_api
from ingest.sources.base import BadConfig, Delayed, FetchError, Terms

from .langfuse_stub import SECRET, Observation, Score, Stub, Trace, serving

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LANGFUSE = REGISTRY["langfuse"]
GENERATIONS = ("v4", "v3", "v2")


@pytest.fixture(params=GENERATIONS)
def stub(request, settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub(generation=request.param)) as serves:
        yield serves
    assert serves.complaints == []


@pytest.fixture
def newest(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub()) as serves:
        yield serves
    assert serves.complaints == []


@pytest.fixture
def terms(key):
    return Terms(key=key, keeps_text=False, before_request=lambda: None)


def some(stub: Stub, count: int = 5, ago: timedelta = 10 * MINUTE, **changes) -> None:
    """Calls a second apart, each in a trace of its own with a score."""
    for number in range(count):
        at = NOW - ago + timedelta(seconds=number)
        trace = f"trace-{number}-{ago}"
        stub.add(
            Trace(trace, at, user=f"user-{number}"),
            Observation(f"call-{number}-{ago}", trace, at, **changes),
            Score(f"score-{number}-{ago}", trace, at, observation_id=f"call-{number}-{ago}"),
        )


def pull(stub: Stub, terms: Terms, cursor=None, now=NOW, **config):
    """(spans by id, scores by id, the last cursor) of one pull."""
    spans, scores, cursor = {}, {}, cursor or {}
    for page in LANGFUSE.fetch_traces({**stub.config, **config}, cursor, now, terms):
        assert page.rejects == []
        spans |= {span.span_id: span for span in page.records if isinstance(span, SpanRecord)}
        scores |= {one.external_id: one for one in page.records if isinstance(one, ScoreRecord)}
        cursor = page.cursor
    return spans, scores, cursor


def test_every_generation_tells_the_same(stub, terms):
    some(stub, usage={"input": 80, "input_cached_tokens": 20, "output": 9})
    stub.add(Score("s-word", "trace-0", NOW - 2 * MINUTE, value="good"))
    stub.add(Score("s-truth", "trace-0", NOW - 2 * MINUTE, value=True))

    spans, scores, _ = pull(stub, terms)

    assert spans.keys() == stub.observations.keys()
    assert scores.keys() == stub.scores.keys()
    one = spans[f"call-3-{10 * MINUTE}"]
    assert (one.user_id, one.session_id) == ("user-3", "s1")
    assert one.attributes["langfuse.trace.tags"] == ["beta"]
    assert (one.input_tokens, one.cache_read_tokens, one.output_tokens) == (80, 20, 9)
    assert (one.model, one.source_cost_usd) == ("gpt-4o-mini", Decimal("0.000027"))
    assert one.prompt_hash is not None
    assert (scores["s-word"].label, scores["s-truth"].truth) == ("good", True)
    assert scores[f"score-3-{10 * MINUTE}"].span_id == one.span_id


def test_door_is_chosen_by_what_answers_and_remembered(stub, terms):
    some(stub)
    _, _, cursor = pull(stub, terms)
    probes = len(stub.asked)
    pull(stub, terms, cursor, NOW + MINUTE)

    observations, scores = {
        "v4": ("v2/observations", "v3/scores"),
        "v3": ("observations", "v2/scores"),
        "v2": ("observations", "scores"),
    }[stub.generation]
    assert cursor["api"] == {"observations": observations, "scores": scores}
    later = {path.partition("/trace")[0] for path, _ in stub.asked[probes:]}
    assert later <= {observations, scores, "traces"}


@pytest.mark.parametrize(("before", "after"), [("v3", "v4"), ("v4", "v3")])
def test_server_of_another_generation_is_found_again(newest, terms, before, after):
    newest.generation = before
    some(newest)
    _, _, cursor = pull(newest, terms)
    newest.generation = after

    spans, scores, cursor = pull(newest, terms, cursor, NOW + MINUTE)

    assert len(spans) == len(scores) == 5
    assert cursor["api"]["observations"].startswith("v2/") == (after == "v4")


def test_server_that_changes_between_two_pages_is_read_from_the_slice_on(newest, terms):
    some(newest, 30)

    def upgraded(number: int, path: str) -> None:
        newest.generation = "v3" if number < 6 else "v4"

    newest.between = upgraded
    spans, _, _ = pull(newest, terms, page_size=10)
    assert spans.keys() == newest.observations.keys()


def test_twelve_calls_of_one_moment_all_come(stub, terms):
    at = NOW - 5 * MINUTE
    stub.add(*(Observation(f"tie-{number:02}", "t", at) for number in range(12)))
    stub.add(Trace("t", at))

    spans, _, _ = pull(stub, terms, page_size=5)
    assert spans.keys() == stub.observations.keys()


def test_trace_that_straddles_pages_is_known_on_each(stub, terms):
    """It began before the page that names it, so that its time does not find it."""
    stub.add(Trace("long", NOW - 29 * MINUTE, user="zoe"))
    stub.add(
        *(
            Observation(f"c{number:02}", "long", NOW - (20 - number) * MINUTE)
            for number in range(15)
        )
    )
    spans, _, _ = pull(stub, terms, page_size=4)

    assert {span.user_id for span in spans.values()} == {"zoe"}
    assert len(spans) == 15


def test_trace_that_nobody_wrote_leaves_its_user_unknown(stub, terms):
    stub.add(Observation("c", "lost", NOW - MINUTE))

    spans, _, _ = pull(stub, terms)
    assert spans["c"].user_id == ""


def test_pull_reads_the_overlap_again_and_once_a_day_the_last_days(newest, terms):
    some(newest, 1, ago=3 * MINUTE)
    some(newest, 1, ago=timedelta(days=3))
    some(newest, 1, ago=timedelta(days=30))
    first, _, cursor = pull(newest, terms)
    second, _, cursor = pull(newest, terms, cursor, NOW + 10 * MINUTE)
    third, _, cursor = pull(newest, terms, cursor, NOW + timedelta(days=1))
    fourth, _, cursor = pull(newest, terms, cursor, NOW + timedelta(days=1, minutes=40))

    young, old = f"call-0-{3 * MINUTE}", f"call-0-{timedelta(days=3)}"
    assert [set(found) for found in (first, second, third, fourth)] == [
        {young, old},
        {young},
        {young, old},
        set(),
    ]


def test_time_while_nobody_pulled_is_read_whole(newest, terms):
    _, _, cursor = pull(newest, terms)
    some(newest, 1, ago=-timedelta(hours=5))

    spans, _, _ = pull(newest, terms, cursor, NOW + timedelta(hours=40))
    assert len(spans) == 1


def test_pull_that_was_stopped_goes_on_at_its_page(newest, terms):
    some(newest, 30)
    pages = LANGFUSE.fetch_traces({**newest.config, "page_size": 10}, {}, NOW, terms)
    cursor = next(pages).cursor
    pages.close()
    asked = len(newest.asked)

    rest, _, _ = pull(newest, terms, cursor, NOW + MINUTE, page_size=10)

    assert len(rest) == 20
    assert newest.asked[asked][1]["cursor"]


def test_pages_that_drift_while_they_are_read_lose_nothing(stub, terms):
    some(stub, 30)
    victim = f"call-25-{10 * MINUTE}"

    def shifted(number: int, path: str) -> None:
        # All pages after the first move up by one: a reader by number misses a row.
        if number == 6:
            stub.observations.pop(victim, None)

    stub.between = shifted
    spans, _, _ = pull(stub, terms, page_size=10)
    assert spans.keys() >= stub.observations.keys()


def test_prompts_are_not_asked_for_when_they_are_to_be_skipped(newest, terms):
    some(newest)
    spans, _, _ = pull(newest, terms, prompts="skip")

    assert {span.prompt_hash for span in spans.values()} == {None}
    asked = [params["fields"] for path, params in newest.asked if path == "v2/observations"]
    assert not any("io" in fields.split(",") for fields in asked)


def test_row_that_cannot_be_taken_costs_itself(newest, terms):
    some(newest)
    newest.add(Observation("bad", "t", NOW - MINUTE, usage={"input": -5}))
    [page] = [page for page in LANGFUSE.fetch_traces(newest.config, {}, NOW, terms) if page.rejects]

    assert len(page.records) == 5
    assert [(reject.reason, reject.external_id) for reject in page.rejects] == [
        ("bad_tokens", "t/bad")
    ]


# ---- a range ----


def test_range_is_read_in_slices_and_may_be_stopped(stub, terms):
    start = NOW - timedelta(days=2)
    for hours in range(1, 48, 3):
        some(stub, 2, ago=timedelta(hours=hours))
    some(stub, 1, ago=timedelta(hours=49))
    some(stub, 1, ago=timedelta(0))
    found, reached, cursor = set(), [start], {}
    for _ in range(1000):
        pages = LANGFUSE.fetch_range({**stub.config, "page_size": 3}, cursor, start, NOW, terms)
        page = next(pages, None)
        if page is None:
            break
        pages.close()
        found |= {span.span_id for span in page.records if isinstance(span, SpanRecord)}
        reached.append(page.reached)
        cursor = page.cursor

    assert found == {one.id for one in stub.observations.values() if start <= one.started_at < NOW}
    assert len(found) == 32
    assert reached[-1] == NOW
    assert all(before <= after for before, after in pairwise(reached))
    assert len(set(reached)) == 9


# ---- servers that misbehave ----

SAME_PLACE = "The next pull goes on from the same place."


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("broken", f"Langfuse answered 500; look at its own log. {SAME_PLACE}"),
        ("html", "not Langfuse's JSON, or that was cut off"),
        ("truncate", "not Langfuse's JSON, or that was cut off"),
        ("cut", "cannot be reached, or the answer broke off"),
        ("redirect", "redirects elsewhere, which is not followed"),
        ("hang", "did not answer in time"),
        ("drip", "did not answer in time"),
    ],
)
def test_server_that_fails_is_one_sentence_and_keeps_the_cursor(newest, terms, fault, sentence):
    some(newest, 30)
    newest.fail(fault, after=1)
    config = {**newest.config, "page_size": 10, "timeout_s": 1}
    pages = LANGFUSE.fetch_traces(config, {}, NOW, terms)
    cursor = next(pages).cursor
    with pytest.raises(FetchError) as failed:
        next(pages)

    assert sentence in str(failed.value)
    assert str(failed.value).endswith(".")
    assert SECRET not in str(failed.value)
    assert "a secret of the server" not in str(failed.value)
    spans, _, _ = pull(newest, terms, cursor, NOW + MINUTE, page_size=10)
    assert len(spans) == 20


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("30", 30), ("", 60), ("soon", 60), ("-5", 0), ("1e9", 86_400), ("nan", 60)],
)
def test_server_that_asks_to_wait_is_told_when(newest, terms, said, seconds):
    newest.fail("throttle", retry_after=said)
    before = datetime.now(UTC)
    with pytest.raises(Delayed) as delayed:
        pull(newest, terms)

    wait = (delayed.value.until - before).total_seconds()
    assert wait == pytest.approx(seconds, abs=2)
    assert delayed.value.is_asked
    assert str(delayed.value).startswith(f"Delayed until {delayed.value.until:%Y-%m-%d %H:%M} UTC:")


def test_date_to_wait_for_is_understood(newest, terms):
    newest.fail("throttle", retry_after="Sat, 21 Nov 2099 12:00:00 GMT")
    with pytest.raises(Delayed) as delayed:
        pull(newest, terms)
    assert delayed.value.until - datetime.now(UTC) > timedelta(hours=23)


def test_wrong_keys_are_named(newest, terms):
    with pytest.raises(FetchError, match="refuses the keys; check the public key"):
        pull(newest, terms, secret_key="sk-lf-other")


def test_address_of_something_else_is_named(newest, terms):
    for _ in range(5):
        newest.fail("gone")
    with pytest.raises(FetchError, match="none of Langfuse's paths"):
        pull(newest, terms)
    newest.faults.clear()


def test_private_address_is_refused(newest, terms, settings):
    settings.PRIVATE_ADDRESSES = []
    with pytest.raises(FetchError, match="not a public address"):
        pull(newest, terms)
    assert newest.asked == []


def test_page_that_is_too_large_is_refused(newest, terms, monkeypatch):
    monkeypatch.setattr(langfuse_api, "MAX_BODY_BYTES", 100)
    some(newest)
    with pytest.raises(FetchError, match="set a smaller page size"):
        pull(newest, terms)


def test_each_request_passes_the_gate(newest, key):
    passed = []
    pull(newest, Terms(key=key, keeps_text=False, before_request=lambda: passed.append(1)))
    assert len(passed) == len(newest.asked) > 0


# ---- settings ----


@pytest.mark.parametrize("rest", ["", "/", "/api/public", "/api/public/"])
def test_check_says_what_was_found(newest, rest):
    some(newest)
    said = LANGFUSE.check({**newest.config, "url": newest.url + rest})

    assert said == (
        "Observations come by v2/observations and scores by v3/scores;"
        " the newest observation began at 2026-11-10 11:50 UTC."
    )


def test_check_of_an_empty_server_and_of_a_wrong_key(newest):
    assert LANGFUSE.check(newest.config).endswith("there are no observations yet.")
    with pytest.raises(FetchError, match="refuses the keys"):
        LANGFUSE.check({**newest.config, "public_key": "pk-lf-other"})
    with pytest.raises(FetchError, match=r"^url: is missing"):
        LANGFUSE.check({})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": ""}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://pk:sk@cloud.langfuse.com"}, "url"),
        ({"url": "https://cloud.langfuse.com/?a=b"}, "url"),
        ({"public_key": ""}, "public_key"),
        ({"public_key": "pk:1"}, "public_key"),
        ({"secret_key": None}, "secret_key"),
        ({"secret_key": 7}, "secret_key"),
        ({"secret_key": "sk\r\nX: y"}, "secret_key"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_day": "many"}, "requests_per_day"),
        ({"overlap_minutes": 1}, "overlap_minutes"),
        ({"late_days": True}, "late_days"),
        ({"page_size": 1001}, "page_size"),
        ({"prompts": "keep"}, "prompts"),
        ({"timeout_s": 61}, "timeout_s"),
    ],
)
def test_bad_setting_is_named(changes, field):
    good = {"url": "https://cloud.langfuse.com", "public_key": "pk-lf-1", "secret_key": "sk-lf-1"}
    with pytest.raises(BadConfig) as bad:
        LANGFUSE.check_config({**good, **changes})

    assert bad.value.field == field
    assert bad.value.message.endswith(".")
