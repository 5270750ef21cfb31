"""The doors machines push facts through. One body in, one honest answer out.

Knows HTTP: tokens, sizes, compression, status codes. Refuses to acknowledge what is not committed:
a 200 is sent only after the store's transaction, and a database that is away is a 503 to retry.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from functools import wraps

from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ingest import failpoints, privacy, store, tokens
from ingest.models import Source
from ingest.records import Reject
from ingest.sources import gpu, otlp
from ingest.sources.base import BadBody, BodyTooLarge
from ingest.sources.otlp import JSON, PROTOBUF, Decoded, log_events
from ingest.sources.otlp import logs as error_logs
from ingest.sources.otlp.log_bodies import log_groups
from ingest.store import errors
from ingest.store.counting import Counts, project_of

log = logging.getLogger(__name__)

MAX_SENT_BYTES = 16 * 1024 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
RETRY_AFTER_S = 5
OTLP_TYPES = (
    f"OTLP is taken as {PROTOBUF} or {JSON}; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf."
)

View = Callable[[HttpRequest, Source], HttpResponse]
Answer = Callable[[HttpRequest, "Refusal"], HttpResponse]


class Refusal(Exception):
    """An answer other than 200: its status, and one sentence for the sender's log."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """RFC 9457."""
    told = {"type": "about:blank", "status": refusal.status, "detail": refusal.detail}
    return JsonResponse(told, content_type="application/problem+json")


def rpc_status(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """OTLP wants google.rpc.Status in the encoding of the request."""
    if request.content_type == PROTOBUF:
        return HttpResponse(_rpc_status(refusal.detail), content_type=PROTOBUF)
    if request.content_type == JSON:
        return JsonResponse({"message": refusal.detail})
    return problem(request, refusal)


def pushed(
    scope: str, answer: Answer = problem, method: str = "POST"
) -> Callable[[View], Callable[[HttpRequest], HttpResponse]]:
    """A door for tokens with `scope`: the view gets their source, every refusal gets its answer."""

    def decorate(view: View) -> Callable[[HttpRequest], HttpResponse]:
        @wraps(view)
        def door(request: HttpRequest) -> HttpResponse:
            try:
                response = view(request, _source(request, scope, method))
                failpoints.hit("push.before_answer")
                return response
            except Refusal as refusal:
                return refuse(request, refusal, answer)
            except BadBody as bad:
                status = 413 if isinstance(bad, BodyTooLarge) else 400
                return refuse(request, Refusal(status, str(bad)), answer)
            except (OperationalError, InterfaceError) as error:
                log.warning("push_deferred path=%s error=%s", request.path, error)
                detail = "The database is away for now; nothing was taken, send it again."
                away = Refusal(503, detail, Retry_After=str(RETRY_AFTER_S))
                return refuse(request, away, answer)

        # A machine with a token has no cookie that another site could borrow.
        exempt: Callable[[HttpRequest], HttpResponse] = csrf_exempt(door)
        return exempt

    return decorate


@pushed(otlp.Otlp.scope, rpc_status)
def traces(request: HttpRequest, source: Source) -> HttpResponse:
    """OTLP/HTTP: ExportTraceServiceRequest in protobuf or JSON."""
    require_type(
        request,
        (PROTOBUF, JSON),
        OTLP_TYPES,
    )
    decoded = otlp.decode(
        read_body(request),
        key=privacy.project_key(project_of(source)),
        keeps_text=keeps_text(source),
        encoding=request.content_type,
    )
    failpoints.hit("push.decoded")
    if decoded.traces:
        counts = store.parts.spread(source, decoded.traces, decoded.spans, decoded.rejects)
    else:
        counts = store.spans(source, decoded.spans, decoded.rejects)
    refused_scores = store.scores(source, decoded.scores).rejected if decoded.scores else 0
    response = ExportTraceServiceResponse()
    if counts.rejected or refused_scores:
        partial = response.partial_success
        partial.rejected_spans = counts.rejected
        partial.error_message = _what_was_refused(source, decoded, counts, refused_scores)
    if request.content_type == JSON:
        # It spells as OTLP/JSON does: names in camel case, 64-bit numbers as strings.
        return JsonResponse(json_format.MessageToDict(response))
    return HttpResponse(response.SerializeToString(), content_type=PROTOBUF)


def _what_was_refused(source: Source, decoded: Decoded, counts: Counts, refused_scores: int) -> str:
    first = f" The first: {decoded.rejects[0].detail}" if decoded.rejects else ""
    return (
        f"{counts.rejected} of {counts.rows_in} spans and {refused_scores} of"
        f" {len(decoded.scores)} evaluations were not taken;"
        f" the page of the source {source.name} says why.{first}"
    )


@pushed(otlp.Otlp.scope, rpc_status)
def logs(request: HttpRequest, source: Source) -> HttpResponse:
    """OTLP/HTTP: events and errors are taken from an ExportLogsServiceRequest, the rest is not."""
    require_type(request, (PROTOBUF, JSON), OTLP_TYPES)
    rejects: list[Reject] = []
    groups = log_groups(read_body(request), request.content_type, rejects)
    found = log_events.split(groups)
    found_errors = error_logs.error_records(found.others)
    rejects += found.rejects
    counts = Counts()
    has_events = bool(found.events or rejects)
    with transaction.atomic():
        if has_events:
            store.events.hold(source.project_id)
        # Also of none: a service that logs no error is heard of.
        counts += errors.take(source, found_errors.records, found_errors.rejects)
        if has_events:
            counts += store.events.take(source, found.events, rejects)
    response = ExportLogsServiceResponse()
    if counts.rejected:
        first = next((one.detail for one in (*rejects, *found_errors.rejects)), "")
        response.partial_success.rejected_log_records = counts.rejected
        response.partial_success.error_message = (
            f"{counts.rejected} of {counts.rows_in} events and errors were not taken; the page of"
            f" the source {source.name} says why."
        ) + (f" The first: {first}" if first else "")
    if request.content_type == JSON:
        return JsonResponse(json_format.MessageToDict(response))
    return HttpResponse(response.SerializeToString(), content_type=PROTOBUF)


@pushed(gpu.GpuProbe.scope)
def gpu_samples(request: HttpRequest, source: Source) -> HttpResponse:
    """One batch of a GPU probe; answers what became of each reading."""
    require_type(request, (JSON,), "GPU samples are taken as application/json.")
    if source.pool is None:
        detail = f"The source {source.name} has no pool yet; choose the pool of its GPUs first."
        raise Refusal(409, detail)
    batch = gpu.decode(read_body(request))
    if batch.pool != source.pool.name:
        raise Refusal(
            422,
            f"The batch is of pool {batch.pool} and this token is for pool {source.pool.name};"
            f" start the probe with --pool {source.pool.name}, or with the other pool's token.",
        )
    return JsonResponse(store.gpus(source, batch).as_dict())


# ---- reading ----------------------------------------------------------------------------------


def _source(request: HttpRequest, scope: str, method: str) -> Source:
    if request.method != method:
        raise Refusal(405, f"Send {method}.", Allow=method)
    try:
        token = tokens.authenticate(request.headers.get("Authorization"), scope)
    except tokens.NotAuthenticated as error:
        raise Refusal(401, str(error), WWW_Authenticate='Bearer realm="breakeven"') from None
    except tokens.NotPermitted as error:
        raise Refusal(403, str(error)) from None
    source: Source = token.source
    return source


def keeps_text(source: Source) -> bool:
    return source.project is not None and source.project.keeps_text


def require_type(request: HttpRequest, wanted: tuple[str, ...], detail: str) -> None:
    if request.content_type not in wanted:
        raise Refusal(415, detail, Accept=", ".join(wanted))


def read_body(request: HttpRequest) -> bytes:
    """The body, unpacked, within bounds on either side."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        detail = f"Content-Encoding {encoding} is not taken; use gzip or none."
        raise Refusal(415, detail, Accept_Encoding="gzip, identity")
    length = request.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise Refusal(411, "Say the body's length: send Content-Length, not chunks.")
    if int(length) > MAX_SENT_BYTES:
        raise _too_large(MAX_SENT_BYTES)
    try:
        body = request.read(int(length))
    except UnreadablePostError:
        body = b""
    if len(body) != int(length):
        raise Refusal(400, "The body was cut off on the way; send it again.")
    failpoints.hit("push.read")
    return _unpack(body) if encoding == "gzip" else body


def _unpack(packed: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        # Never more than one byte past the limit, whatever a bomb would unpack to.
        body = stream.decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise Refusal(400, "The body is no gzip data; send it as it is or gzipped.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_large(MAX_BODY_BYTES)
    if not stream.eof or stream.unused_data:
        raise Refusal(400, "The gzip data is cut off or has something behind it; send it again.")
    return body


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"The body is over {limit // 1024**2} MiB; send smaller batches.")


# ---- answering --------------------------------------------------------------------------------


def refuse(request: HttpRequest, refusal: Refusal, answer: Answer) -> HttpResponse:
    response = answer(request, refusal)
    response.status_code = refusal.status
    for name, value in refusal.headers.items():
        response[name] = value
    return response


def _rpc_status(message: str) -> bytes:
    """google.rpc.Status with its message alone: one length-delimited field, number 2."""
    data = message.encode()
    size, length = len(data), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return b"\x12" + bytes(length) + data
