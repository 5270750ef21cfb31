"""Whether the caller waited for the answer, as far as a span tells.

Knows what clients, servers and SDKs call it when the caller goes away. Refuses guesses: a call that
ended well but names no usage may have been cut short unseen, and a failure without a type may have
been anything. Pure: no database.

The names: OpenTelemetry's `error.type` holds an exception's class, an HTTP status or a gRPC code
(https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/); 499 is what nginx writes
for a request that its client closed; gRPC's CANCELLED is "typically by the caller"
(https://grpc.io/docs/guides/status-codes/).
"""

from __future__ import annotations

CLOSED = "client_disconnected"
"""Our own name, for sources that tell it in a sentence."""

ABANDONED_TYPES = (
    CLOSED, "client_disconnect", "clientdisconnect", "clientdisconnected",
    "starlette.requests.clientdisconnect", "clientconnectionreseterror",
    "aiohttp.clientconnectionreseterror", "aiohttp.client_exceptions.clientconnectionreseterror",
    "cancellederror", "asyncio.cancellederror", "asyncio.exceptions.cancellederror",
    "concurrent.futures._base.cancellederror", "generatorexit",
    "aborterror", "apiuseraborterror", "openai.apiuseraborterror",
    "499", "client_closed_request", "client closed request",
    "context canceled", "context.canceled", "context_canceled", "cancelled", "canceled",
    "request_cancelled", "request_canceled", "request_aborted", "stream_closed_by_client",
)  # fmt: skip
"""In lower case."""

SENTENCES = (
    "context canceled", "client disconnected", "client closed", "closed by the client",
    "closed by client", "request was aborted", "request aborted", "aborted by the user",
    "aborted by user", "cancelled by the client", "canceled by the client",
    "cancelled by client", "canceled by client", "cancelled by the user", "canceled by the user",
)  # fmt: skip
"""How a status message says it, in lower case."""

SENTENCE_CHARS = 300
"""A longer message may quote a prompt, and a prompt may speak of anything."""


def says_abandoned(message: str) -> bool:
    """Whether a status message of few words says that the caller went away."""
    if len(message) > SENTENCE_CHARS:
        return False
    said = message.lower()
    return any(sentence in said for sentence in SENTENCES)


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


ABANDONED_SQL = f"lower({{s}}.error_type) IN ({_listed(ABANDONED_TYPES)})"
"""`.format(s=alias)`. The type alone tells: an SDK may close a cancelled span without an error."""

KNOWN_SQL = (
    "({s}.error_type <> '' OR {s}.status = 'ok' AND {s}.ended_at IS NOT NULL"
    " AND ({s}.kind <> 'llm' OR {s}.output_tokens IS NOT NULL))"
)
"""`.format(s=alias)`. A language model's usage comes at the end of its stream, so who has it was
there; other kinds answer in one piece."""


def is_abandoned(error_type: str) -> bool:
    return error_type.lower() in ABANDONED_TYPES


def is_known(
    *, error_type: str, status: str, has_end: bool, kind: str, output_tokens: int | None
) -> bool:
    """The same as `KNOWN_SQL`."""
    if error_type:
        return True
    return status == "ok" and has_end and (kind != "llm" or output_tokens is not None)
