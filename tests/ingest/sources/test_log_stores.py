"""Loki and Elasticsearch: what they are asked, what comes of their answers, and of bad ones."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from ingest.error_records import QUARTER, ErrorTally
from ingest.outgoing import CONNECT_TIMEOUT_S
from ingest.privacy import ProjectKey
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, Delayed, FetchError, Terms
from ingest.sources.log_stores import lines
from tests.ingest.sources.log_store_stubs import ElasticsearchStub, Line, LokiStub, serving

NOON = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
NOW = NOON + timedelta(minutes=7)
TRACE = "ab" * 16
TERMS = Terms(ProjectKey(b"k1", b"a secret of the tests"), False, lambda: None)
KINDS = {"loki": LokiStub, "elasticsearch": ElasticsearchStub}
LINES = [
    Line(NOON + timedelta(minutes=1), message="Took 12 ms for asha@example.com", trace=TRACE),
    Line(NOON + timedelta(minutes=2), message="Took 9 ms for ben@example.com"),
    Line(NOON - timedelta(minutes=20), type="ValueError", message="bad 'prompt of Cleo'"),
    Line(NOON - timedelta(minutes=20), service="chat"),
    Line(NOON + timedelta(minutes=3), type=None, message="nobody knows"),
]


@pytest.fixture(autouse=True)
def private(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]


@pytest.fixture(params=KINDS)
def stub(request):
    with serving(KINDS[request.param](lines=list(LINES))) as running:
        running.kind = request.param
        yield running
    assert running.complaints == []


@pytest.fixture
def loki():
    with serving(LokiStub(lines=list(LINES))) as running:
        running.kind = "loki"
        yield running


@pytest.fixture
def elastic():
    with serving(ElasticsearchStub(lines=list(LINES))) as running:
        running.kind = "elasticsearch"
        yield running


def pages(stub, cursor=None, now=NOW, terms=TERMS, **config):
    adapter = REGISTRY[stub.kind]
    config = {"url": stub.url, "history_hours": 1, "timeout_s": 2, **config}
    return list(adapter.fetch_traces(config, cursor or {}, now, terms))


def tallies(found) -> list[ErrorTally]:
    told = [tally for page in found for window in page.errors for tally in window.tallies]
    return sorted(told, key=lambda tally: (tally.at, tally.service, tally.type))


def test_errors_are_counted_by_quarter_hour_service_and_type(stub):
    told = tallies(pages(stub))

    half_past, noon = NOON - timedelta(minutes=30), NOON
    assert [(t.at, t.service, t.type, t.count) for t in told] == [
        (half_past, "chat", "TimeoutError", 1),
        (half_past, "search", "ValueError", 1),
        (noon, "search", "TimeoutError", 2),
        (noon, "search", "unknown", 1),
    ]
    assert [t.exemplar for t in told] == [
        "It took too long",
        "bad <text>",
        "Took <n> ms for <email>",
        "nobody knows",
    ]


def test_example_brings_the_trace_of_its_own_line(stub):
    stub.lines[:] = [Line(NOON, message="broke", trace=TRACE.upper())]

    (tally,) = tallies(pages(stub))

    assert (tally.exemplar, tally.trace_id) == ("broke", TRACE)


def test_examples_are_not_asked_for_where_none_are_wanted(stub):
    told = tallies(pages(stub, exemplars="skip"))

    assert {tally.exemplar for tally in told} == {""}
    assert "top_hits" not in str(stub.asked)
    assert len(stub.asked) == 1


def test_windows_are_whole_quarter_hours_of_six_hours_at_most(stub):
    found = pages(stub, history_hours=13)

    windows = [window for page in found for window in page.errors]
    assert windows[0].start == NOON - timedelta(hours=13)
    assert [window.end - window.start for window in windows] == [
        timedelta(hours=6), timedelta(hours=6), timedelta(hours=1, minutes=15),
    ]  # fmt: skip
    assert windows[-1].end == NOON + QUARTER
    assert [page.cursor["to"] for page in found][-1] == NOON.isoformat()


def test_next_pull_goes_on_and_reads_the_overlap_again(stub):
    first = pages(stub)

    (page,) = pages(stub, cursor=first[-1].cursor, now=NOW + timedelta(minutes=5))

    (window,) = page.errors
    assert (window.start, window.end) == (NOON - timedelta(minutes=30), NOON + QUARTER)


def test_backfill_reads_its_range_in_whole_quarter_hours(stub):
    adapter = REGISTRY[stub.kind]
    start, end = NOON - timedelta(hours=1), NOON + timedelta(minutes=5)
    config = {"url": stub.url}

    (page,) = adapter.fetch_range(config, {}, start, end, TERMS)
    again = list(adapter.fetch_range(config, page.cursor, start, end, TERMS))

    assert (page.errors[0].start, page.errors[0].end) == (start, NOON + QUARTER)
    assert (page.reached, again) == (end, [])


def test_every_request_passes_the_budget(stub):
    passed = []
    pages(stub, terms=Terms(TERMS.key, False, lambda: passed.append(1)))

    assert len(passed) == len(stub.asked) > 0


def test_budget_that_is_used_up_sends_nothing(stub):
    def no() -> None:
        raise Delayed(NOW, "used up.", is_asked=False)

    with pytest.raises(Delayed):
        pages(stub, terms=Terms(TERMS.key, False, no))
    assert stub.asked == []


def test_connection_is_tried_out_without_asking_for_examples(stub, monkeypatch):
    stub.lines[:] = [Line(datetime.now(UTC) - timedelta(minutes=1)) for _ in range(3)]

    said = REGISTRY[stub.kind].check({"url": stub.url})

    name = REGISTRY[stub.kind].store
    assert said == f"{name} answers: 3 errors of 1 type in the last hour, from search."
    assert len(stub.asked) == 1


def test_connection_without_errors_says_so(stub):
    stub.lines.clear()

    said = REGISTRY[stub.kind].check({"url": stub.url})

    assert said.endswith("answers: no errors in the last hour by this query.")


# ---- answers that are none --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500", "answered 500"),
        ("401", "check the user or the key"),
        ("403", "check the user or the key"),
        ("400", r"refuses the query \(400\)"),
        ("html", "JSON, or it was cut off"),
        ("302", r"."),
        ("cut", "cannot be reached or broke off"),
        ("endless", "over 16,777,216 bytes"),
        ('{"data": {"resultType": "matrix", "result": 7}, "aggregations": 7}', "is not .*'s JSON"),
        ('{"data": {"resultType": "matrix", "result": [7]}, "aggregations": {}}', "is not .*JSON"),
        ('{"data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "x"]]}]},'
         '"aggregations": {"errors": {"buckets": [{"key": {}, "doc_count": "x"}]}}}',
         "is not .*'s JSON"),
        ('{"data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1e30, "1"]]}]},'
         '"aggregations": {"errors": {"buckets": [{"key": {"at": 1e30, "service": null,'
         ' "type": null}, "doc_count": 1}]}}}', "is not .*'s JSON"),
        ('{"data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "1.5"]]}]},'
         '"aggregations": {"errors": {"buckets": [{"key": {"at": 0, "service": null,'
         ' "type": null}, "doc_count": 1.5}]}}}', "is not .*'s JSON"),
        ('{"warnings": ["some series"], "timed_out": true}', "could answer only in part"),
    ],
)  # fmt: skip
def test_bad_answer_costs_one_sentence_and_takes_nothing(stub, fault, said):
    stub.faults.append(fault)

    with pytest.raises(FetchError, match=said) as failed:
        pages(stub)

    assert str(failed.value).endswith(".")
    assert "Cleo" not in str(failed.value)
    assert not isinstance(failed.value, Delayed)


@pytest.mark.parametrize("status", ["429", "503"])
def test_server_that_asks_to_wait_is_waited_for(stub, status):
    stub.faults.append(status)
    before = datetime.now(UTC)

    with pytest.raises(Delayed) as delayed:
        pages(stub)

    assert delayed.value.is_asked
    assert timedelta(seconds=6) < delayed.value.until - before < timedelta(seconds=9)


def test_server_that_hangs_is_not_waited_for(stub):
    stub.faults.append("hang")
    stub.hang_s = CONNECT_TIMEOUT_S

    with pytest.raises(FetchError, match="did not answer in time"):
        pages(stub, timeout_s=1)


def test_private_address_is_refused(stub, settings):
    settings.PRIVATE_ADDRESSES = []

    with pytest.raises(FetchError, match="BREAKEVEN_PRIVATE_ADDRESSES"):
        pages(stub)
    assert stub.asked == []


def test_shards_that_failed_make_the_answer_partial(elastic):
    elastic.faults.append('{"_shards": {"total": 2, "successful": 1, "failed": 1}}')

    with pytest.raises(FetchError, match="only in part"):
        pages(elastic)


def test_index_that_matches_nothing_is_said(elastic):
    elastic.faults.append('{"_shards": {"total": 0, "successful": 0, "failed": 0}}')
    with pytest.raises(FetchError, match="Nothing matches the index logs-\\*"):
        pages(elastic)

    with pytest.raises(FetchError, match="There is no index other"):
        pages(elastic, index="other")


def test_query_that_gives_numbers_is_no_query_for_lines(loki):
    loki.faults.append('{"data": {"resultType": "vector", "result": [{}]}}')

    with pytest.raises(FetchError, match="gives no log lines"):
        pages(loki)


# ---- what each is asked ------------------------------------------------------------------------


def test_loki_is_asked_for_counts_and_then_for_examples(loki):
    pages(loki, tenant="team-a|team-b", token="t0ken")

    counts, examples = loki.asked
    query = '{service_name=~".+"} | detected_level=~"error|fatal|critical"'
    assert counts.params == {
        "query": "sum by (service_name, exception_type, error_type)"
        f" (count_over_time({query} [15m]))",
        "start": "1794309300000000000",  # 11:15, the end of the first quarter hour
        "end": "1794312900000000000",
        "step": "900",
    }
    assert examples.params == {
        "query": query,
        "start": "1794308400000000000",
        "end": "1794312900000000000",
        "limit": "500",
        "direction": "backward",
    }
    for asked in (counts, examples):
        assert asked.headers["X-Scope-OrgID"] == "team-a|team-b"
        assert asked.headers["Authorization"] == "Bearer t0ken"


def test_elasticsearch_is_asked_as_its_search_api_documents_it(elastic):
    pages(elastic, query="env:prod", levels=["error"])

    (asked,) = elastic.asked
    assert asked.body == {
        "size": 0,
        "track_total_hits": False,
        "query": {
            "bool": {
                "filter": [
                    {
                        "range": {
                            "@timestamp": {
                                "gte": "2026-11-10T11:00:00Z",
                                "lt": "2026-11-10T12:15:00Z",
                                "format": "strict_date_optional_time",
                            }
                        }
                    },
                    {
                        "bool": {
                            "should": [
                                {"exists": {"field": "error.type"}},
                                {"terms": {"log.level": ["ERROR", "Error", "error"]}},
                            ],
                            "minimum_should_match": 1,
                        }
                    },
                    {"query_string": {"query": "env:prod"}},
                ]
            }
        },
        "aggs": {
            "errors": {
                "composite": {
                    "size": 1000,
                    "sources": [
                        {
                            "at": {
                                "date_histogram": {"field": "@timestamp", "fixed_interval": "15m"}
                            }
                        },
                        {"service": {"terms": {"field": "service.name", "missing_bucket": True}}},
                        {"type": {"terms": {"field": "error.type", "missing_bucket": True}}},
                    ],
                },
                "aggs": {
                    "example": {
                        "top_hits": {
                            "size": 1,
                            "sort": [{"@timestamp": {"order": "desc"}}],
                            "_source": ["message", "trace.id"],
                        }
                    }
                },
            }
        },
    }


def test_elasticsearch_is_read_page_by_page(elastic, monkeypatch):
    monkeypatch.setattr("ingest.sources.elasticsearch.PAGE", 3)
    elastic.page = 3

    told = tallies(pages(elastic))

    assert [tally.count for tally in told] == [1, 1, 2, 1]
    assert [asked.body["aggs"]["errors"]["composite"].get("after") for asked in elastic.asked] == [
        None,
        {"at": 1794312000000, "service": "search", "type": None},
    ]


def test_elasticsearch_without_an_end_is_given_up(elastic, monkeypatch):
    monkeypatch.setattr("ingest.sources.elasticsearch.PAGE", 1)
    monkeypatch.setattr("ingest.sources.elasticsearch.MOST_PAGES", 2)

    with pytest.raises(FetchError, match="narrow the query"):
        pages(elastic)


@pytest.mark.parametrize(
    ("config", "header"),
    [
        ({"api_key": "aWQ6a2V5"}, "ApiKey aWQ6a2V5"),
        ({"api_key": "id:key"}, "ApiKey aWQ6a2V5"),
        (
            {"username": "ben", "password": "s3cret"},
            "Basic " + base64.b64encode(b"ben:s3cret").decode(),
        ),
    ],
)
def test_elasticsearch_is_shown_who_asks(elastic, config, header):
    pages(elastic, **config)

    assert elastic.asked[0].headers["Authorization"] == header


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("loki", {}, "url"),
        ("loki", {"url": "ftp://loki"}, "url"),
        ("loki", {"url": "http://loki/?a=b"}, "url"),
        ("loki", {"query": "sum(rate({a=1}[5m]))"}, "query"),
        ("loki", {"query": ""}, "query"),
        ("loki", {"tenant": "a b"}, "tenant"),
        ("loki", {"service_label": "service.name"}, "service_label"),
        ("loki", {"type_labels": []}, "type_labels"),
        ("loki", {"type_labels": ["a-b"]}, "type_labels"),
        ("loki", {"type_labels": ["service_name"]}, "type_labels"),
        ("loki", {"token": "Bearer x"}, "token"),
        ("loki", {"exemplars": "all"}, "exemplars"),
        ("loki", {"overlap_minutes": 1}, "overlap_minutes"),
        ("elasticsearch", {"index": "_all"}, "index"),
        ("elasticsearch", {"index": "a/b"}, "index"),
        ("elasticsearch", {"api_key": "ApiKey x"}, "api_key"),
        ("elasticsearch", {"api_key": "x", "username": "ben"}, "api_key"),
        ("elasticsearch", {"username": "a:b"}, "username"),
        ("elasticsearch", {"type_field": "a b"}, "type_field"),
        ("elasticsearch", {"levels": "error"}, "levels"),
        ("elasticsearch", {"timeout_s": True}, "timeout_s"),
    ],
)
def test_bad_setting_is_named(kind, config, field):
    usual = {} if field == "url" and not config else {"url": "http://store:9200"}

    with pytest.raises(BadConfig) as bad:
        REGISTRY[kind].check_config({**usual, **config})

    assert bad.value.field == field
    assert str(bad.value).endswith(".")


def test_address_pasted_with_the_apis_path_is_the_server():
    checked = REGISTRY["loki"].check_config({"url": "http://loki:3100/loki/api/v1/push"})

    assert checked["url"] == "http://loki:3100"


# ---- lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plain text 7", "plain text <n>"),
        ('{"level": "error", "msg": "Took 7 ms", "prompt": "Cleo"}', "Took <n> ms"),
        ('{"prompt": "Where is Cleo?"}', ""),
        ('{"message": {"text": "Cleo"}}', ""),
        ('{"message": "cut off', "<data>"),
        ('level=error msg="Took \\"Cleo\\" 7 ms" prompt="Cleo"', "Took <text> <n> ms"),
        ("level=error prompt=Cleo", ""),
        ("[1, 2]", "<data>"),
        ("{" * 5_000, "<data>"),
    ],
)
def test_line_gives_its_message_alone(line, message):
    assert lines.message(line) == message


@pytest.mark.parametrize(
    ("labels", "line", "trace"),
    [
        ({"trace_id": TRACE.upper()}, "", TRACE),
        ({}, f'{{"traceId": "{TRACE}"}}', TRACE),
        ({"trace_id": "not one"}, "x", ""),
        ({}, "trace_id=" + TRACE, ""),
    ],
)
def test_trace_is_found_by_its_usual_names(labels, line, trace):
    assert lines.trace_id(line, labels) == trace
