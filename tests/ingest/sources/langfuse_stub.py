"""A Langfuse server on loopback, as its contract describes it: real HTTP over lists of our own.

Knows both generations of the API, what a request may say, and how a server misbehaves. It holds
observations, traces and scores as plain values, which a test may change between two pages, and
which it compares with the database afterwards. `test_langfuse_stub.py` holds its replies against
the models of Langfuse's own SDK.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PUBLIC, SECRET = "pk-lf-stub", "sk-lf-stub-0123456789"
PATHS = {
    "v4": ("v2/observations", "v3/scores"),
    "v3": ("observations", "traces", "v2/scores", "scores"),
    "v2": ("observations", "traces", "scores"),
}
MOST = {"v2/observations": 1000}
GROUPS = {
    "core": ("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type"),
    "basic": (
        "name", "level", "statusMessage", "version", "environment", "bookmarked", "public",
        "userId", "sessionId", "isRootObservation",
    ),
    "time": ("completionStartTime", "createdAt", "updatedAt"),
    "io": ("input", "output"),
    "metadata": ("metadata",),
    "model": ("providedModelName", "internalModelId", "modelParameters", "inputPrice"),
    "usage": ("usageDetails", "costDetails", "totalCost", "usagePricingTierName"),
    "prompt": ("promptId", "promptName", "promptVersion"),
    "metrics": ("latency", "timeToFirstToken"),
    "trace_context": ("tags", "release", "traceName"),
}  # fmt: skip
SUBJECTS = ("details", "subject", "annotation")


@dataclass
class Observation:
    """One call as the server knows it."""

    id: str
    trace_id: str
    started_at: datetime
    seconds: float | None = 1.5
    type: str = "GENERATION"
    model: str = "gpt-4o-mini"
    usage: dict[str, int] = field(default_factory=lambda: {"input": 100, "output": 20})
    cost: str | None = "0.000027"
    prompt: str = "What does the contract say?"
    updated_at: datetime | None = None
    parent_id: str | None = None


@dataclass
class Trace:
    id: str
    at: datetime
    user: str | None = "ann"
    session: str | None = "s1"
    tags: tuple[str, ...] = ("beta",)
    name: str = "chat"


@dataclass
class Score:
    id: str
    trace_id: str
    at: datetime
    value: float | str | bool = 0.5
    observation_id: str | None = None
    name: str = "correct"
    updated_at: datetime | None = None


@dataclass
class Fault:
    """What one request gets instead of its answer."""

    kind: str
    path: str = ""
    """Only requests to this path; empty for every one."""
    after: int = 0
    """Requests to let pass first."""
    retry_after: str = ""


@dataclass
class Stub:
    generation: str = "v4"
    observations: dict[str, Observation] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    between: Callable[[int, str], None] = lambda number, path: None
    """Called before each answer with the number of the request and its path."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    replies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What no server would have understood."""
    hang_s: float = 3.0
    url: str = ""

    def add(self, *rows: Observation | Trace | Score) -> None:
        for row in rows:
            kept: dict[str, Any] = {
                Observation: self.observations, Trace: self.traces, Score: self.scores,
            }[type(row)]  # fmt: skip
            kept[row.id] = row

    def fail(self, kind: str, **how: Any) -> None:
        self.faults.append(Fault(kind, **how))

    @property
    def config(self) -> dict[str, Any]:
        return {"url": self.url, "public_key": PUBLIC, "secret_key": SECRET}

    # ---- answers ----

    def answer(self, path: str, params: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path.startswith("traces/") and "traces" in PATHS[self.generation]:
            trace = self.traces.get(path.removeprefix("traces/"))
            if trace is None:
                return 404, {"error": "NotFound"}
            return 200, {**self.trace_row(trace), "observations": [], "scores": []}
        if path not in PATHS[self.generation]:
            return 404, {"error": "NotFound", "message": "no such path"}
        try:
            rows, meta = PAGES[path](self, params)
        except (KeyError, ValueError) as error:
            self.complaints.append(f"{path}: {error!r} of {params}")
            return 400, {"error": "InvalidRequestError", "message": str(error)}
        return 200, {"data": rows, "meta": meta}

    def observations_v2(self, params: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
        only(params, "limit", "cursor", "fields", "fromStartTime", "toStartTime")
        groups = params.get("fields", "core,basic").split(",")
        names = [name for group in groups for name in GROUPS[group]]
        kept = self._window(self.observations, params, "StartTime", "started_at")
        page, cursor = keyset(kept, params, 1000)
        rows = []
        for each in page:
            row = self.observation_row(each)
            rows.append({name: row[name] for name in names if name in row})
        return rows, {"cursor": cursor} if cursor else {}

    def observations_v1(self, params: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
        only(params, "limit", "page", "fromStartTime", "toStartTime")
        kept = self._window(self.observations, params, "StartTime", "started_at")
        page, meta = numbered(kept, params)
        return [self.legacy_row(each) for each in page], meta

    def traces_v1(self, params: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
        only(params, "limit", "page", "fields", "fromTimestamp", "toTimestamp")
        page, meta = numbered(self._window(self.traces, params, "Timestamp", "at"), params)
        return [self.trace_row(each) for each in page], meta

    def scores_v3(self, params: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
        only(params, "limit", "cursor", "fields", "fromTimestamp", "toTimestamp")
        asked = params.get("fields", "").split(",")
        if not set(asked) <= {*SUBJECTS, ""}:
            raise ValueError(f"unknown fields {asked}")
        page, cursor = keyset(self._window(self.scores, params, "Timestamp", "at"), params, 100)
        meta: dict[str, Any] = {"limit": int(params.get("limit", 50))}
        rows = [self.score_row(each, "subject" in asked) for each in page]
        return rows, {**meta, "cursor": cursor} if cursor else meta

    def scores_v1(self, params: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
        only(params, "limit", "page", "fromTimestamp", "toTimestamp")
        page, meta = numbered(self._window(self.scores, params, "Timestamp", "at"), params)
        return [self.legacy_score(each) for each in page], meta

    def _window(
        self, rows: dict[str, Any], params: dict[str, str], name: str, of: str
    ) -> list[Any]:
        start, end = moment(params.get(f"from{name}")), moment(params.get(f"to{name}"))
        found = [
            row
            for row in rows.values()
            if (start is None or getattr(row, of) >= start)
            and (end is None or getattr(row, of) < end)
        ]
        # Newest first; rows of one time are in the order of their ids.
        return sorted(found, key=lambda row: (getattr(row, of), row.id), reverse=True)

    # ---- rows ----

    def observation_row(self, each: Observation) -> dict[str, Any]:
        trace = self.traces.get(each.trace_id)
        ended = each.started_at + timedelta(seconds=each.seconds) if each.seconds else None
        return {
            "id": each.id,
            "traceId": each.trace_id,
            "projectId": "stub",
            "startTime": iso(each.started_at),
            "endTime": iso(ended),
            "parentObservationId": each.parent_id,
            "type": each.type,
            "name": "answer",
            "level": "DEFAULT",
            "statusMessage": None,
            "version": None,
            "environment": "production",
            "bookmarked": False,
            "public": False,
            "userId": trace.user if trace else None,
            "sessionId": trace.session if trace else None,
            "isRootObservation": each.parent_id is None,
            "completionStartTime": None,
            "createdAt": iso(each.started_at),
            "updatedAt": iso(each.updated_at or ended or each.started_at),
            "input": each.prompt,
            "output": "It says so.",
            "metadata": {"region": "eu"},
            "providedModelName": each.model,
            "internalModelId": None,
            "modelParameters": {"temperature": 0.5},
            "inputPrice": "0.00000015",
            "usageDetails": {**each.usage, "total": sum(each.usage.values())} if each.usage else {},
            "costDetails": {"total": float(each.cost)} if each.cost else {},
            "totalCost": float(each.cost) if each.cost else 0,
            "usagePricingTierName": "Standard",
            "promptId": None,
            "promptName": None,
            "promptVersion": None,
            "latency": each.seconds,
            "timeToFirstToken": None,
            "tags": list(trace.tags) if trace else [],
            "release": None,
            "traceName": trace.name if trace else None,
        }

    def legacy_row(self, each: Observation) -> dict[str, Any]:
        """v1 leaves users and tags at the trace, and writes 0 where it knows nothing."""
        row = self.observation_row(each)
        for name in (*GROUPS["trace_context"], "userId", "sessionId", "isRootObservation"):
            del row[name]
        given = sum(count for name, count in each.usage.items() if name.startswith("input"))
        said = sum(count for name, count in each.usage.items() if name.startswith("output"))
        counts = {"input": given, "output": said, "total": given + said}
        return {
            **row,
            "model": row.pop("providedModelName"),
            "usage": {**counts, "unit": "TOKENS"},
            "promptTokens": given,
            "completionTokens": said,
            "totalTokens": given + said,
            "calculatedTotalCost": float(each.cost) if each.cost else None,
            "inputPrice": 0.00000015,
        }

    def trace_row(self, each: Trace) -> dict[str, Any]:
        return {
            "id": each.id,
            "timestamp": iso(each.at),
            "name": each.name,
            "userId": each.user,
            "sessionId": each.session,
            "tags": list(each.tags),
            "environment": "production",
            "public": False,
            "release": None,
            "version": None,
            "metadata": {},
            "htmlPath": f"/project/stub/traces/{each.id}",
            "createdAt": iso(each.at),
            "updatedAt": iso(each.at),
        }

    def _score(self, each: Score) -> dict[str, Any]:
        return {
            "id": each.id,
            "name": each.name,
            "source": "API",
            "timestamp": iso(each.at),
            "createdAt": iso(each.at),
            "updatedAt": iso(each.updated_at or each.at),
            "environment": "production",
        }

    def score_row(self, each: Score, with_subject: bool) -> dict[str, Any]:
        row = {**self._score(each), "projectId": "stub", "value": each.value}
        row["dataType"] = data_type(each.value)
        if with_subject:
            row["subject"] = (
                {"kind": "observation", "id": each.observation_id, "traceId": each.trace_id}
                if each.observation_id
                else {"kind": "trace", "id": each.trace_id}
            )
        return row

    def legacy_score(self, each: Score) -> dict[str, Any]:
        row = {
            **self._score(each),
            "traceId": each.trace_id,
            "observationId": each.observation_id,
            "dataType": data_type(each.value),
        }
        if isinstance(each.value, str):
            return {**row, "value": 0, "stringValue": each.value}
        if isinstance(each.value, bool):
            return {**row, "value": float(each.value), "stringValue": str(each.value)}
        return {**row, "value": each.value}


PAGES: dict[str, Callable[[Stub, dict[str, str]], tuple[list[Any], dict[str, Any]]]] = {
    "v2/observations": Stub.observations_v2,
    "observations": Stub.observations_v1,
    "traces": Stub.traces_v1,
    "v3/scores": Stub.scores_v3,
    "v2/scores": Stub.scores_v1,
    "scores": Stub.scores_v1,
}


def only(params: dict[str, str], *names: str) -> None:
    if unknown := params.keys() - set(names):
        raise ValueError(f"unknown parameters {sorted(unknown)}")


def limit_of(params: dict[str, str], most: int) -> int:
    limit = int(params.get("limit", 50))
    if not 1 <= limit <= most:
        raise ValueError(f"limit must be from 1 to {most}")
    return limit


def keyset(rows: list[Any], params: dict[str, str], most: int) -> tuple[list[Any], str]:
    """A page by cursor: what comes after the row that the cursor names, even if that is gone."""
    if "cursor" in params:
        at, row_id = json.loads(base64.urlsafe_b64decode(params["cursor"]))
        rows = [row for row in rows if (iso(time_of(row)), row.id) < (at, row_id)]
    limit = limit_of(params, most)
    page = rows[:limit]
    if len(rows) <= limit:
        return page, ""
    position = json.dumps([iso(time_of(page[-1])), page[-1].id]).encode()
    return page, base64.urlsafe_b64encode(position).decode()


def numbered(rows: list[Any], params: dict[str, str]) -> tuple[list[Any], dict[str, int]]:
    """A page by number: it drifts when rows come or go."""
    limit, page = limit_of(params, 100), int(params.get("page", 1))
    if page < 1:
        raise ValueError("page begins at 1")
    pages = -(-len(rows) // limit)
    meta = {"page": page, "limit": limit, "totalItems": len(rows), "totalPages": pages}
    return rows[(page - 1) * limit : page * limit], meta


def time_of(row: Any) -> datetime:
    return row.started_at if isinstance(row, Observation) else row.at


def data_type(value: float | str | bool) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    return "CATEGORICAL" if isinstance(value, str) else "NUMERIC"


def iso(at: datetime | None) -> str | None:
    return at and at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(said: str | None) -> datetime | None:
    if said is None:
        return None
    at = datetime.fromisoformat(said)
    if at.tzinfo is None:
        raise ValueError(f"{said} has no zone")
    return at.astimezone(UTC)


# ---- HTTP ----------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    stub: Stub
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: two would wait for each other for 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/api/public/")
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        stub = self.stub
        stub.asked.append((path, params))
        wanted = "Basic " + base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self._send(401, {"error": "Unauthorized"})
            return
        stub.between(len(stub.asked), path)
        fault = self._fault(path)
        if fault is not None:
            getattr(self, f"_{fault.kind}")(fault)
            return
        status, body = stub.answer(path, params)
        if status == 200:
            stub.replies.append((path, body))
        self._send(status, body)

    def _fault(self, path: str) -> Fault | None:
        for fault in self.stub.faults:
            if fault.path in ("", path):
                if fault.after == 0:
                    self.stub.faults.remove(fault)
                    return fault
                fault.after -= 1
        return None

    def _throttle(self, fault: Fault) -> None:
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        self._send(429, {"message": "Rate limit exceeded"}, **headers)

    def _broken(self, fault: Fault) -> None:
        self._send(500, {"message": "a secret of the server"})

    def _gone(self, fault: Fault) -> None:
        self._send(404, {"error": "NotFound"})

    def _html(self, fault: Fault) -> None:
        self._body(200, b"<html>sign in</html>", "text/html")

    def _redirect(self, fault: Fault) -> None:
        self._send(307, {}, Location="http://127.0.0.1:9/elsewhere")

    def _truncate(self, fault: Fault) -> None:
        """Half of the JSON, as if that were all."""
        self._body(200, b'{"data": [{"id": "cut', "application/json")

    def _cut(self, fault: Fault) -> None:
        """The connection ends before the body does."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"data": [')
        self.close_connection = True

    def _hang(self, fault: Fault) -> None:
        threading.Event().wait(self.stub.hang_s)
        self.close_connection = True

    def _drip(self, fault: Fault) -> None:
        """A byte now and then, for ever."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b" ")
                self.wfile.flush()
                threading.Event().wait(self.stub.hang_s / 10)
        except OSError:
            self.close_connection = True

    def _send(self, status: int, body: dict[str, Any], **headers: str) -> None:
        self._body(status, json.dumps(body).encode(), "application/json", **headers)

    def _body(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up on us is no news."""


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    with Quiet(("127.0.0.1", 0), type("Bound", (Handler,), {"stub": stub})) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        stub.url = f"http://127.0.0.1:{http.server_port}"
        yield stub
        http.shutdown()
