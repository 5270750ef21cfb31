"""Raw replies of LLM providers, as a proxy or a log keeps them → model, tier, status and usage.

Knows OpenAI's and Azure OpenAI's chat completions, responses, completions, embeddings and runs, and
Anthropic's messages, each whole or as a stream of events. Refuses to guess: a reply that says no
usage has unknown usage, never none, and a reply of no known shape is refused. Keeps no text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.sources import usage
from ingest.sources.usage import Usage

APIS = {
    # What a reply calls itself → the kind of span.
    "chat.completion": "llm",
    "chat.completion.chunk": "llm",
    "text_completion": "llm",
    "response": "llm",
    "message": "llm",
    "thread.run": "llm",
    "list": "embedding",
}
UNKNOWN = Usage()


class NoReply(ValueError):
    """Not a provider's reply: what is wrong, in words that fit after "the reply"."""


@dataclass(frozen=True, slots=True)
class Reply:
    api: str
    """What the reply calls itself, such as `chat.completion`; `error` for a refusal."""
    kind: str
    provider: str = ""
    """Empty where the reply does not tell: many servers answer in OpenAI's shapes."""
    model: str = ""
    tier: str = ""
    reply_id: str = ""
    error_type: str = ""
    is_stream: bool = False
    is_whole: bool = True
    """False for a stream that was cut off before its last event."""
    usage: Usage = UNKNOWN
    raw_usage: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        return "error" if self.error_type else "ok"


def read(body: str | Mapping[str, Any]) -> Reply:
    """One reply, JSON or a stream of server-sent events. Raises NoReply and usage.BadUsage."""
    if isinstance(body, Mapping):
        return _whole(body)
    text = body.lstrip()
    if text.startswith(("data:", "event:", "id:", ":")):
        return _stream(text)
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise NoReply("is neither JSON nor a stream of events") from None
    if not isinstance(plain, Mapping):
        raise NoReply("is no JSON object")
    return _whole(plain)


# ---- whole replies ------------------------------------------------------------------------------


def _whole(plain: Mapping[str, Any]) -> Reply:
    api = _word(plain.get("object")) or _word(plain.get("type"))
    if api not in APIS:
        if plain.get("error"):
            return Reply("error", "llm", _provider(plain, api), error_type=_error(plain["error"]))
        raise NoReply("is of no provider we know; its object or type says what it is")
    return _reply(api, plain, plain.get("usage"))


def _reply(
    api: str, plain: Mapping[str, Any], told: Any, *, is_stream: bool = False, is_whole: bool = True
) -> Reply:
    counts = told if isinstance(told, Mapping) else {}
    # A run's error and a response's stand beside what was produced until then.
    error = plain.get("error") or plain.get("last_error")
    return Reply(
        api=api.removesuffix(".chunk"),
        kind=APIS[api],
        provider=_provider(plain, api),
        model=_word(plain.get("model")),
        tier=_word(plain.get("service_tier")) or _word(counts.get("service_tier")),
        reply_id=_word(plain.get("id")),
        error_type=_error(error) if error else "",
        is_stream=is_stream,
        is_whole=is_whole,
        usage=usage.of_vendor(counts) if counts else UNKNOWN,
        raw_usage=usage.raw(counts) if counts else None,
    )


def _provider(plain: Mapping[str, Any], api: str) -> str:
    if api in ("message", "error"):
        return "anthropic"
    # Only Azure says what its content filter made of the prompt.
    return "azure" if "prompt_filter_results" in plain else ""


def _error(error: Any) -> str:
    if not isinstance(error, Mapping):
        return "error"
    return _word(error.get("type")) or _word(error.get("code")) or "error"


def _word(value: Any) -> str:
    """A name or id; anything longer is no such thing."""
    return value if isinstance(value, str) and len(value) <= 200 and "\0" not in value else ""


# ---- streams ------------------------------------------------------------------------------------


def _stream(text: str) -> Reply:
    events = list(_events(text))
    if not events:
        raise NoReply("is a stream without a single event")
    first = events[0]
    kind = _word(first.get("type")) or _word(first.get("object"))
    if kind == "message_start":
        return _anthropic_stream(events)
    if kind.startswith("response."):
        return _responses_stream(events)
    if kind.startswith("thread"):
        return _run_stream(events)
    if kind in ("chat.completion.chunk", "text_completion") or "choices" in first:
        return _chunk_stream(events, "[DONE]" in text)
    if kind == "error" or first.get("error"):
        error = first.get("error")
        provider = _provider(first, kind)
        return Reply("error", "llm", provider, error_type=_error(error), is_stream=True)
    raise NoReply("is a stream of no provider we know")


def _events(text: str) -> Iterator[Mapping[str, Any]]:
    """The data of each event; one that is no JSON object was cut off, or is the end mark."""
    # Not splitlines: a separator of another kind may stand inside a JSON string.
    for line in text.split("\n"):
        if not line.startswith("data:"):
            continue
        try:
            plain = json.loads(line[5:])
        except (ValueError, RecursionError):
            continue
        if isinstance(plain, Mapping):
            yield plain


def _chunk_stream(events: list[Mapping[str, Any]], is_whole: bool) -> Reply:
    """Usage comes in one of the last chunks, and only to who asked for it."""
    said: dict[str, Any] = {}
    for event in events:
        said |= {name: value for name, value in event.items() if value}
    api = said.get("object")
    return _reply(
        api if api in APIS else "chat.completion",
        said,
        said.get("usage"),
        is_stream=True,
        is_whole=is_whole,
    )


def _anthropic_stream(events: list[Mapping[str, Any]]) -> Reply:
    """The start says what went in, each delta what came out so far; the last one is the sum."""
    message = _inner(events[0], "message")
    told = dict(_inner(message, "usage"))
    # At the start it is a beginning, not a count: without an end the output is unknown.
    told.pop("output_tokens", None)
    said = dict(message)
    is_whole = False
    for event in events[1:]:
        if event.get("type") == "message_delta":
            changed = _inner(event, "usage").items()
            told |= {name: value for name, value in changed if value is not None}
        elif event.get("type") == "error":
            said["error"] = event.get("error") or {}
        is_whole = is_whole or event.get("type") == "message_stop"
    return _reply("message", said, told, is_stream=True, is_whole=is_whole)


def _responses_stream(events: list[Mapping[str, Any]]) -> Reply:
    last = _inner(events[0], "response")
    is_whole = False
    for event in events:
        last = _inner(event, "response") or last
        ends = ("response.completed", "response.incomplete", "response.failed")
        is_whole = is_whole or event.get("type") in ends
    return _reply("response", last, last.get("usage"), is_stream=True, is_whole=is_whole)


def _run_stream(events: list[Mapping[str, Any]]) -> Reply:
    """The steps' usages are parts of the run's, so the run's alone counts."""
    runs = [event for event in events if event.get("object") == "thread.run"]
    if not runs:
        raise NoReply("is the stream of a thread without a run")
    ended = runs[-1].get("status") not in ("queued", "in_progress", "cancelling")
    usages = [run["usage"] for run in runs if run.get("usage")]
    told = usages[-1] if usages else None
    return _reply("thread.run", runs[-1], told, is_stream=True, is_whole=ended)


def _inner(plain: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = plain.get(name)
    return found if isinstance(found, Mapping) else {}
