"""Loki and Elasticsearch on loopback, as their API documents describe them, over lists of our own.

Each holds log lines as plain values, counts what it is asked as the real one would, and notes what
no real one would have understood. A test may make the next answers fail. Real HTTP, no real store.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

QUARTER_S = 900
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    at: datetime
    service: str | None = "search"
    type: str | None = "TimeoutError"
    message: str = "It took too long"
    trace: str = ""

    @property
    def nanoseconds(self) -> int:
        return (self.at - EPOCH) // timedelta(microseconds=1) * 1000


@dataclass
class Asked:
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: Any = None


@dataclass
class Stub:
    """What both have in common."""

    lines: list[Line] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What the next requests get instead of an answer, first come first served."""
    asked: list[Asked] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    hang_s: float = 3.0
    retry_after: str = "7"
    url: str = ""

    def answer(self, asked: Asked) -> tuple[int, Any]:
        raise NotImplementedError

    def need(self, sound: bool, complaint: str) -> None:
        if not sound:
            self.complaints.append(complaint)


class LokiStub(Stub):
    """GET /loki/api/v1/query_range: metric queries give a matrix, log queries give streams."""

    query = '{service_name=~".+"} | detected_level=~"error|fatal|critical"'
    counting = re.compile(
        r"sum by \((?P<labels>[a-z_, ]+)\) \(count_over_time\((?P<query>.*) \[15m\]\)\)"
    )

    def answer(self, asked: Asked) -> tuple[int, Any]:
        self.need(asked.method == "GET", f"method {asked.method}")
        if asked.path != "/loki/api/v1/query_range":
            return 404, "404 page not found\n"
        known = {"query", "start", "end", "step", "limit", "direction"}
        self.need(set(asked.params) <= known, f"params {sorted(asked.params)}")
        start, end = int(asked.params["start"]), int(asked.params["end"])
        self.need(len(str(start)) == 19 and start <= end, f"times {start} to {end}")
        found = self.counting.fullmatch(asked.params["query"])
        if found is None:
            self.need(asked.params["query"] == self.query, asked.params["query"])
            return 200, self._streams(start, end, int(asked.params["limit"]))
        self.need(found["query"] == self.query, found["query"])
        labels = found["labels"].split(", ")
        return 200, self._matrix(labels, start, end, int(asked.params["step"]))

    def labels(self, line: Line) -> dict[str, str]:
        said = {
            "service_name": line.service,
            "exception_type": line.type,
            "detected_level": "error",
            "trace_id": line.trace,
        }
        return {name: value for name, value in said.items() if value}

    def _matrix(self, names: list[str], start: int, end: int, step_s: int) -> dict:
        series: dict[tuple, list] = {}
        for at in range(start // 10**9, end // 10**9 + 1, step_s):
            counts: dict[tuple, int] = {}
            for line in self.lines:
                # From just after a quarter hour before, up to and including this moment.
                if at - QUARTER_S < line.nanoseconds / 1e9 <= at:
                    own = self.labels(line)
                    key = tuple((name, own[name]) for name in names if name in own)
                    counts[key] = counts.get(key, 0) + 1
            for key, count in counts.items():
                series.setdefault(key, []).append([at, str(count)])
        result = [{"metric": dict(key), "values": values} for key, values in series.items()]
        return self._success("matrix", result)

    def _streams(self, start: int, end: int, limit: int) -> dict:
        self.need(0 < limit <= 5_000, f"limit {limit}")
        told = [line for line in self.lines if start <= line.nanoseconds < end]
        told.sort(key=lambda line: -line.nanoseconds)
        streams: dict[str, dict] = {}
        for line in told[:limit]:
            own = self.labels(line)
            stream = streams.setdefault(json.dumps(own), {"stream": own, "values": []})
            stream["values"].append([str(line.nanoseconds), line.message])
        return self._success("streams", list(streams.values()))

    def _success(self, kind: str, result: list) -> dict:
        return {
            "status": "success",
            "data": {"resultType": kind, "result": result, "stats": {"summary": {}}},
        }


class ElasticsearchStub(Stub):
    """POST /{index}/_search with one composite aggregation, as the Search API documents it."""

    index = "logs-*"
    page = 10_000
    """Buckets it gives at most, whatever it is asked for."""

    def answer(self, asked: Asked) -> tuple[int, Any]:
        self.need(asked.method == "POST", f"method {asked.method}")
        self.need(asked.headers.get("Content-Type") == "application/json", "content type")
        if asked.path.rpartition("/_search")[0] != f"/{self.index}":
            return 404, {"error": {"type": "index_not_found_exception"}, "status": 404}
        self.need(asked.params == {"allow_partial_search_results": "false"}, str(asked.params))
        body = asked.body
        self.need(set(body) == {"size", "track_total_hits", "query", "aggs"}, str(sorted(body)))
        self.need(body["size"] == 0, "wants documents")
        composite = body["aggs"]["errors"]["composite"]
        self.need(
            [next(iter(source)) for source in composite["sources"]] == ["at", "service", "type"],
            "sources",
        )
        histogram = composite["sources"][0]["at"]["date_histogram"]
        self.need(histogram == {"field": "@timestamp", "fixed_interval": "15m"}, str(histogram))
        inner = body["aggs"]["errors"].get("aggs")
        buckets = self._buckets(body["query"]["bool"]["filter"], wants_example=inner is not None)
        after = composite.get("after")
        if after is not None:
            self.need(set(after) == {"at", "service", "type"}, f"after {after}")
            buckets = [one for one in buckets if self._order(one["key"]) > self._order(after)]
        buckets = buckets[: min(composite["size"], self.page)]
        found: dict[str, Any] = {"buckets": buckets}
        if buckets:
            found["after_key"] = buckets[-1]["key"]
        return 200, {
            "took": 3,
            "timed_out": False,
            "_shards": {"total": 2, "successful": 2, "skipped": 0, "failed": 0},
            "hits": {"max_score": None, "hits": []},
            "aggregations": {"errors": found},
        }

    def _order(self, key: dict) -> tuple:
        """Nulls first, as a composite aggregation sorts them."""
        return (key["at"], key["service"] or "", key["type"] or "")

    def _buckets(self, filters: list, *, wants_example: bool) -> list[dict]:
        times = filters[0]["range"]["@timestamp"]
        start, end = (datetime.fromisoformat(times[name]) for name in ("gte", "lt"))
        self.need(filters[1]["bool"]["minimum_should_match"] == 1, "should")
        groups: dict[tuple, list[Line]] = {}
        for line in self.lines:
            if start <= line.at < end:
                at = line.nanoseconds // 10**9 // QUARTER_S * QUARTER_S * 1000
                groups.setdefault((at, line.service or "", line.type or ""), []).append(line)
        buckets = []
        for (at, service, kind), lines in sorted(groups.items()):
            key = {"at": at, "service": service or None, "type": kind or None}
            bucket: dict[str, Any] = {"key": key, "doc_count": len(lines)}
            if wants_example:
                newest = max(lines, key=lambda line: line.at)
                source = {"message": newest.message, "trace": {"id": newest.trace}}
                hit = {"_index": "logs-1", "_id": "1", "_score": None, "_source": source,
                       "sort": [newest.nanoseconds // 10**6]}  # fmt: skip
                total = {"value": len(lines), "relation": "eq"}
                bucket["example"] = {"hits": {"total": total, "max_score": None, "hits": [hit]}}
            buckets.append(bucket)
        return buckets


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            parts = urlsplit(self.path)
            params = dict(parse_qsl(parts.query, keep_blank_values=True))
            body = json.loads(raw) if raw else None
            asked = Asked(self.command, parts.path, params, dict(self.headers), body)
            stub.asked.append(asked)
            fault = stub.faults.pop(0) if stub.faults else ""
            if fault == "hang":
                time.sleep(stub.hang_s)
                return
            status, told = (int(fault), "no") if fault.isdigit() else stub.answer(asked)
            if fault.startswith("{"):
                told = {**told, **json.loads(fault)}
            text = told if isinstance(told, str) else json.dumps(told)
            if fault == "html":
                text = "<html>Sign in</html>"
            if fault == "endless":
                text = '{"status": "' + "x" * 20_000_000
            data = text.encode()
            if fault == "cut":
                data = data[: len(data) // 2]
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            if status in (429, 503):
                self.send_header("Retry-After", stub.retry_after)
            self.end_headers()
            with suppress(OSError):  # who asked may have gone, which is what some tests are about
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
