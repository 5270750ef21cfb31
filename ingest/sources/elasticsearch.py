"""Pulls counts of errors from Elasticsearch or OpenSearch, by its search API.

Knows one question: a composite aggregation of quarter hours, services and types, which is exact and
comes page by page, with the newest message of each as an example, masked. Refuses to copy logs.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.error_records import ErrorTally, ErrorWindow
from ingest.sources.base import BadConfig, FetchError, Setting
from ingest.sources.log_stores import lines
from ingest.sources.log_stores.server import LogServer, Unexpected
from ingest.sources.log_stores.source import (
    COMMON_SETTINGS,
    LogStoreSource,
    checked_names,
    service_of,
    type_of,
)

PAGE = 1_000
MOST_PAGES = 50
"""Of one window: fifty thousand counts of six hours are no types any more."""
MAX_QUERY_CHARS = 4_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_INDEX = re.compile(r"(?![_-])[^\s\"\\/?#<>|]{1,500}")
_FIELD = re.compile(r"[^\s\"\\*]{1,200}")
_LEVEL = re.compile(r"[^\s\"\\]{1,40}")
_KEY = re.compile(r"[A-Za-z0-9+/=_:.-]{1,1000}")

FIELDS = ("time_field", "service_field", "type_field", "level_field", "message_field",
          "trace_field")  # fmt: skip


class Elasticsearch(LogStoreSource):
    kind = "elasticsearch"
    label = "Elasticsearch or OpenSearch"
    help = "Counts errors by service and type in indices of logs; keeps one masked example of each."
    store = "Elasticsearch"
    settings = (
        Setting(
            "url", "URL", "Its address, as in https://elasticsearch:9200.", "", True, address=True
        ),
        Setting("username", "User name", "For HTTP Basic; empty without.", ""),
        Setting("password", "Password", "Of that user; kept encrypted.", "", secret=True),
        Setting(
            "api_key",
            "API key",
            "Instead of a user: the encoded key, or id:key; kept encrypted.",
            "",
            secret=True,
        ),
        Setting("index", "Index", "Or a data stream, an alias, a pattern.", "logs-*", True),
        Setting(
            "levels",
            "Levels",
            "Which levels are errors; a line with an error type is one as well.",
            ["error", "fatal", "critical", "alert", "emergency"],
        ),
        Setting("query", "Query", "Lucene's, to narrow the lines, as in env:prod.", ""),
        Setting("time_field", "Time field", "A date.", "@timestamp"),
        Setting("service_field", "Service field", "A keyword.", "service.name"),
        Setting("type_field", "Type field", "A keyword.", "error.type"),
        Setting("level_field", "Level field", "A keyword.", "log.level"),
        Setting("message_field", "Message field", "Of the example alone.", "message"),
        Setting("trace_field", "Trace field", "Of the example alone.", "trace.id"),
        *COMMON_SETTINGS,
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        _check_keys(checked)
        index = checked["index"]
        if (
            not isinstance(index, str)
            or not _INDEX.fullmatch(index)
            or index.startswith(("_", "-"))
        ):
            raise BadConfig("index", "must be names or patterns with commas, as in logs-*.")
        for name in FIELDS:
            if not isinstance(checked[name], str) or not _FIELD.fullmatch(checked[name]):
                raise BadConfig(name, "must be the name of one field, as in service.name.")
        if not isinstance(checked["query"], str) or len(checked["query"]) > MAX_QUERY_CHARS:
            raise BadConfig("query", "must be a Lucene query, as in env:prod, or empty.")
        levels = checked_names("levels", checked["levels"], _LEVEL.fullmatch, '["error"]')
        if len(levels) > 20:
            raise BadConfig("levels", f"has {len(levels)}; name at most 20.")
        return checked

    def connect(
        self, checked: Mapping[str, Any], before_request: Callable[[], None] = lambda: None
    ) -> LogServer:
        return LogServer(
            self.store,
            checked["url"],
            _headers(checked),
            timeout_s=checked["timeout_s"],
            before_request=before_request,
        )

    def read(
        self, server: LogServer, checked: Mapping[str, Any], start: datetime, end: datetime
    ) -> ErrorWindow:
        counts: dict[tuple[datetime, str, str], ErrorTally] = {}
        after: Mapping[str, Any] | None = None
        for _ in range(MOST_PAGES):
            found = _page(server, checked, start, end, after)
            for bucket in found["buckets"]:
                tally = _tally(bucket, checked)
                key = (tally.at, tally.service, tally.type)
                # Two keys come to one name where one is empty, or was too long.
                counts[key] = _together(counts.get(key), tally)
            after = found.get("after_key")
            # A page that is not full says that it is the last, with or without a key to go on.
            if len(found["buckets"]) < PAGE or after is None:
                return ErrorWindow(start, end, list(counts.values()))
        raise FetchError(
            f"There are over {MOST_PAGES * PAGE:,} counts in six hours; choose a type field with"
            " fewer values, or narrow the query."
        )


def _check_keys(checked: Mapping[str, Any]) -> None:
    for name in ("username", "password", "api_key"):
        text = checked[name]
        if not isinstance(text, str) or len(text) > 4096 or not text.isprintable():
            raise BadConfig(name, "must be one line of text.")
    if ":" in checked["username"]:
        raise BadConfig("username", "must not hold a colon; HTTP Basic cannot send one.")
    if checked["api_key"] and checked["username"]:
        raise BadConfig("api_key", "is given beside a user name; give one of the two.")
    if checked["api_key"] and not _KEY.fullmatch(checked["api_key"]):
        raise BadConfig("api_key", "must be the key alone, without the word ApiKey.")


def _headers(checked: Mapping[str, Any]) -> dict[str, str]:
    key = checked["api_key"]
    if key:
        # An id and a key, as the API that makes them tells them, are sent encoded together.
        encoded = base64.b64encode(key.encode()).decode() if ":" in key else key
        return {"Authorization": f"ApiKey {encoded}"}
    if checked["username"]:
        pair = f"{checked['username']}:{checked['password']}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _page(
    server: LogServer,
    checked: Mapping[str, Any],
    start: datetime,
    end: datetime,
    after: Mapping[str, Any] | None,
) -> Mapping[str, Any]:
    index = checked["index"]
    answer = server.ask(
        f"/{index}/_search",
        # Partial answers would be counts too low; without this they come with a 200.
        params={"allow_partial_search_results": "false"},
        body=question(checked, start, end, after),
        refused={
            400: f"Elasticsearch refuses the query (400): check the field names and that services"
            f" and types are keywords in {index}.",
            404: f"There is no index {index}; check its name on Elasticsearch's own page.",
        },
    )
    shards = answer["_shards"]
    if answer.get("timed_out") or shards["failed"]:
        raise server.in_part()
    if not shards["total"]:
        raise FetchError(
            f"Nothing matches the index {index}; check its name, and that the key may read it."
        )
    found: Mapping[str, Any] = answer["aggregations"]["errors"]
    if not isinstance(found["buckets"], list):
        raise Unexpected
    return found


def question(
    checked: Mapping[str, Any],
    start: datetime,
    end: datetime,
    after: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of one search: counts by quarter hour, service and type, the next page of them."""
    composite: dict[str, Any] = {
        "size": PAGE,
        "sources": [
            {"at": {"date_histogram": {"field": checked["time_field"], "fixed_interval": "15m"}}},
            {"service": {"terms": {"field": checked["service_field"], "missing_bucket": True}}},
            {"type": {"terms": {"field": checked["type_field"], "missing_bucket": True}}},
        ],
    }
    if after is not None:
        composite["after"] = dict(after)
    errors: dict[str, Any] = {"composite": composite}
    if checked["exemplars"] == "masked":
        errors["aggs"] = {
            "example": {
                "top_hits": {
                    "size": 1,
                    "sort": [{checked["time_field"]: {"order": "desc"}}],
                    "_source": [checked["message_field"], checked["trace_field"]],
                }
            }
        }
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": _filters(checked, start, end)}},
        "aggs": {"errors": errors},
    }


def _filters(checked: Mapping[str, Any], start: datetime, end: datetime) -> list[dict[str, Any]]:
    times = {"gte": _text(start), "lt": _text(end), "format": "strict_date_optional_time"}
    # A keyword is matched as it is written, and loggers write levels in three ways.
    levels = sorted(
        {
            spelt
            for level in checked["levels"]
            for spelt in (level, level.lower(), level.upper(), level.capitalize())
        }
    )
    is_error: list[dict[str, Any]] = [{"exists": {"field": checked["type_field"]}}]
    if levels:
        is_error.append({"terms": {checked["level_field"]: levels}})
    filters: list[dict[str, Any]] = [
        {"range": {checked["time_field"]: times}},
        {"bool": {"should": is_error, "minimum_should_match": 1}},
    ]
    if checked["query"].strip():
        filters.append({"query_string": {"query": checked["query"].strip()}})
    return filters


def _tally(bucket: Mapping[str, Any], checked: Mapping[str, Any]) -> ErrorTally:
    key, count = bucket["key"], bucket["doc_count"]
    if isinstance(count, bool) or not isinstance(count, int):
        raise Unexpected
    message, trace = _example(bucket, checked)
    return ErrorTally(
        service=service_of(key["service"]),
        type=type_of(key["type"]),
        at=EPOCH + timedelta(milliseconds=int(key["at"])),
        count=count,
        exemplar=message,
        trace_id=trace,
    )


def _example(bucket: Mapping[str, Any], checked: Mapping[str, Any]) -> tuple[str, str]:
    hits = bucket.get("example", {}).get("hits", {}).get("hits", [])
    source = hits[0].get("_source", {}) if hits else {}
    said = _field(source, checked["message_field"])
    message = lines.message(said) if isinstance(said, str) else ""
    # A trace without its message would be an example of nothing.
    return message, lines.trace(_field(source, checked["trace_field"])) if message else ""


def _field(source: Mapping[str, Any], name: str) -> Any:
    """A field by its path, as a document spells it: nested, or with dots in its names."""
    if name in source:
        return source[name]
    first, dot, rest = name.partition(".")
    while dot:
        inner = source.get(first)
        if isinstance(inner, Mapping):
            found = _field(inner, rest)
            if found is not None:
                return found
        more, dot, rest = rest.partition(".")
        first = f"{first}.{more}"
    return None


def _together(before: ErrorTally | None, tally: ErrorTally) -> ErrorTally:
    if before is None:
        return tally
    shown = before if before.exemplar else tally
    return ErrorTally(
        tally.service,
        tally.type,
        tally.at,
        before.count + tally.count,
        shown.exemplar,
        shown.trace_id,
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
