"""Pulls counts of errors from Grafana Loki: one LogQL question per window, and one for examples.

Knows Loki's query API. Loki counts; what comes here are counts per quarter hour, service and type,
and of each type one message, masked. Refuses to copy logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.error_records import QUARTER, ErrorTally, ErrorWindow, quarter_of
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
from ingest.sources.metrics import credentials

PATH = "/loki/api/v1/query_range"
MOST_LINES = 500
"""Asked for at once; the newest ones serve as examples."""
MAX_QUERY_CHARS = 4_000
MOST_TYPE_LABELS = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,199}")
_TENANT = re.compile(r"[A-Za-z0-9!\-_.*'()|]{1,300}")

REFUSED = (
    "Loki refuses the query (400): check it on Loki's own page; if it says too many series, choose"
    " fewer types with a narrower query."
)


class Loki(LogStoreSource):
    kind = "loki"
    label = "Grafana Loki"
    help = "Counts errors by service and type with LogQL, and keeps one masked example of each."
    store = "Loki"
    settings = (
        Setting("url", "URL", "Loki's address, as in http://loki:3100.", "", True, address=True),
        *credentials.SETTINGS,
        Setting("tenant", "Tenant", "X-Scope-OrgID, where Loki has several tenants.", ""),
        Setting(
            "query",
            "Query",
            "LogQL of the error lines alone; what counts as an error is yours to say.",
            '{service_name=~".+"} | detected_level=~"error|fatal|critical"',
        ),
        Setting("service_label", "Service label", "Whose value is the service.", "service_name"),
        Setting(
            "type_labels",
            "Type labels",
            "Whose value is the error's type; the first that a line has counts.",
            ["exception_type", "error_type"],
        ),
        *COMMON_SETTINGS,
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        credentials.check(checked)
        checked["url"] = re.sub(r"/loki(/api/v1.*)?$", "", checked["url"])
        tenant = checked["tenant"]
        if not isinstance(tenant, str) or (tenant and not _TENANT.fullmatch(tenant)):
            raise BadConfig("tenant", "must be a tenant's id, or several with | between them.")
        query = checked["query"]
        if not isinstance(query, str) or not 0 < len(query.strip()) <= MAX_QUERY_CHARS:
            raise BadConfig("query", 'must be LogQL, as in {app="search"} |= "error".')
        if not query.lstrip().startswith("{"):
            raise BadConfig(
                "query", 'must pick lines and begin with {, as in {app="search"}; we count them.'
            )
        if not isinstance(checked["service_label"], str) or not _LABEL.fullmatch(
            checked["service_label"]
        ):
            raise BadConfig("service_label", "must be one label, as in service_name.")
        labels = checked_names(
            "type_labels", checked["type_labels"], _LABEL.fullmatch, '["exception_type"]'
        )
        if not 0 < len(labels) <= MOST_TYPE_LABELS or checked["service_label"] in labels:
            raise BadConfig(
                "type_labels",
                f"must be one to {MOST_TYPE_LABELS} labels other than the service's.",
            )
        return checked

    def connect(
        self, checked: Mapping[str, Any], before_request: Callable[[], None] = lambda: None
    ) -> LogServer:
        headers = credentials.headers(checked)
        if checked["tenant"]:
            headers["X-Scope-OrgID"] = checked["tenant"]
        return LogServer(
            self.store,
            checked["url"],
            headers,
            timeout_s=checked["timeout_s"],
            before_request=before_request,
        )

    def read(
        self, server: LogServer, checked: Mapping[str, Any], start: datetime, end: datetime
    ) -> ErrorWindow:
        counts = _counts(server, checked, start, end)
        examples = _examples(server, checked, start, end) if _wants(checked, counts) else {}
        return ErrorWindow(
            start,
            end,
            [
                ErrorTally(service, kind, at, count, *_example(examples, service, kind, at))
                for (service, kind, at), count in sorted(counts.items())
            ],
        )


Example = tuple[str, str]
"""(masked message, trace id)"""
Examples = dict[tuple[str, str], dict[datetime, Example]]


def _wants(checked: Mapping[str, Any], counts: Mapping[Any, int]) -> bool:
    return checked["exemplars"] == "masked" and bool(counts)


def _counts(
    server: LogServer, checked: Mapping[str, Any], start: datetime, end: datetime
) -> dict[tuple[str, str, datetime], int]:
    """`count_over_time` at a moment counts what came in the quarter hour up to it.

    So the first question is about the end of the first quarter hour, and the last about `end`,
    which may be yet to come: then it counts what has come so far.
    """
    labels = ", ".join([checked["service_label"], *checked["type_labels"]])
    result = _result(
        server,
        "matrix",
        {
            "query": f"sum by ({labels}) (count_over_time({checked['query'].strip()} [15m]))",
            "start": _nanoseconds(start + QUARTER),
            "end": _nanoseconds(end),
            "step": "900",
        },
    )
    counts: dict[tuple[str, str, datetime], int] = {}
    for series in result:
        service, kind = _names(series["metric"], checked)
        for seconds, said in series["values"]:
            at = EPOCH + timedelta(seconds=round(float(seconds))) - QUARTER
            count = float(said)
            if not count.is_integer():
                raise Unexpected
            if count > 0:
                # Two series come to one name where labels are empty or were too long.
                counts[service, kind, at] = counts.get((service, kind, at), 0) + int(count)
    return counts


def _examples(
    server: LogServer, checked: Mapping[str, Any], start: datetime, end: datetime
) -> Examples:
    result = _result(
        server,
        "streams",
        {
            "query": checked["query"].strip(),
            "start": _nanoseconds(start),
            "end": _nanoseconds(end),
            "limit": str(MOST_LINES),
            "direction": "backward",
        },
    )
    found: Examples = {}
    for labels, at, line in _lines(result):
        kept = found.setdefault(_names(labels, checked), {})
        # As it is counted: what came at the very end of a quarter hour is still of that one.
        quarter = quarter_of(at - timedelta(microseconds=1))
        if quarter in kept:
            continue
        message = lines.message(line)
        if message:
            kept[quarter] = (message, lines.trace_id(line, labels))
    return found


def _lines(result: list[Any]) -> Iterator[tuple[Mapping[str, Any], datetime, str]]:
    """The newest first, whatever stream they are of."""
    told = [
        (int(entry[0]), str(entry[1]), stream["stream"])
        for stream in result
        for entry in stream["values"]
    ]
    for nanoseconds, line, labels in sorted(told, key=lambda one: -one[0]):
        yield labels, EPOCH + timedelta(microseconds=nanoseconds // 1000), line


def _example(examples: Examples, service: str, kind: str, at: datetime) -> Example:
    """Of its own quarter hour alone: another one's would say the wrong trace."""
    return examples.get((service, kind), {}).get(at, ("", ""))


def _names(labels: Mapping[str, Any], checked: Mapping[str, Any]) -> tuple[str, str]:
    kinds = (labels[name] for name in checked["type_labels"] if labels.get(name))
    return service_of(labels.get(checked["service_label"])), type_of(next(kinds, None))


def _result(server: LogServer, wanted: str, params: Mapping[str, str]) -> list[Any]:
    answer = server.ask(PATH, params=params, refused={400: REFUSED, 422: REFUSED})
    if answer.get("warnings"):
        raise server.in_part()
    data = answer["data"]
    if answer.get("status") != "success" or not isinstance(data["result"], list):
        raise Unexpected
    # Loki says `streams` for no lines, and may for no series.
    if data["result"] and data["resultType"] != wanted:
        raise FetchError(
            'The query gives no log lines; it must pick lines, as in {app="search"} |= "error".'
        )
    return data["result"]


def _nanoseconds(at: datetime) -> str:
    return str((at - EPOCH) // timedelta(microseconds=1) * 1000)
