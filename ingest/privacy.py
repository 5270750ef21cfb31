"""Turns prompt text into salted fingerprints, and tells what is prompt text.

Knows keyed hashes and the names under which SDKs send text. Refuses to keep or return any text.

A fingerprint is HMAC-SHA256 over the normalised text, cut to 16 bytes, behind two bytes that name
the key. Keys are derived per project from BREAKEVEN_PRIVACY_KEY, which the database never sees, so
that equal prompts of two projects cannot be matched, nor guessed by whoever holds the database.

Normalised means: Unicode NFC, CRLF as LF, no white space at either end. Nothing else, because two
prompts that differ inside are two prompts to a model and to its cache.

A prefix chain has one hash per whole block of 2,048 UTF-8 bytes of the normalised text:
hash(block n) = HMAC(hash(block n-1) + block n). Two prompts share a prefix exactly as far as their
chains agree. The rest after the last whole block has no hash: no provider caches so little.

Parameters (temperature, tools, …) are hashed as JSON with sorted names, under a key of their own.
"""

from __future__ import annotations

import hmac
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings

from ingest import removable, signature

KEY_ID_BYTES = 2
BLOCK_BYTES = 2048
FINGERPRINT_BYTES = 16
BLOCK_HASH_BYTES = 8
MAX_BLOCKS = 4096
"""8 MiB of prompt, beyond every context window; a longer one shares at least this much."""

LONGEST_LABEL = 200
"""Characters of the longest string that may still be a label and not somebody's text."""
MOST_SPACES = 4
"""A label has a few words, a sentence has more."""

TEXT_WORDS = frozenset({
    "answer", "answers", "argument", "arguments", "body", "choice", "choices", "completion",
    "completions", "content", "contents", "conversation", "definitions", "document",
    "documents", "embedding", "embeddings", "function_call", "history", "input", "inputs",
    "instruction", "instructions", "invocation_parameters", "json_schema", "message",
    "messages", "output", "outputs", "prompt", "prompts", "query", "question", "questions",
    "reply", "result", "results", "schema", "system_instructions", "text", "texts",
    "thinking", "tool_calls", "tools", "transcript",
})  # fmt: skip
NOT_TEXT = frozenset(
    {
        "gen_ai.output.type",
        "gen_ai.prompt.name",
        "gen_ai.token.type",
        "input.mime_type",
        "langfuse.observation.prompt.name",
        "output.mime_type",
    }
)
_SEPARATORS = re.compile(r"[.\s:/-]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """`id` names the installation's key without telling it, so that a change of key shows."""

    id: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Everything that is kept of a prompt."""

    prompt: bytes
    prefixes: tuple[bytes, ...]
    signature: bytes | None
    """The key's id and `ingest.signature`; None for a prompt without a word."""
    removable_chars: int


def project_key(project_id: int) -> ProjectKey:
    return _derive(settings.PRIVACY_KEY, project_id)


@lru_cache(maxsize=10_000)
def _derive(master: str, project_id: int) -> ProjectKey:
    def derived(purpose: str) -> bytes:
        return hmac.digest(master.encode(), purpose.encode(), "sha256")

    return ProjectKey(
        derived("breakeven key id")[:KEY_ID_BYTES], derived(f"breakeven project {project_id}")
    )


def normalise(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return text.strip()


def fingerprint(text: str, key: ProjectKey) -> bytes:
    """Equal for equal prompts of one project, and of no use without its key."""
    return _fingerprint(_bytes(text), key)


def prefix_chain(text: str, key: ProjectKey) -> tuple[bytes, ...]:
    return _prefix_chain(_bytes(text), key)


def prompt(text: str, key: ProjectKey) -> Fingerprint:
    """All at once, normalising the text only once."""
    plain = normalise(text)
    data = _encoded(plain)
    return Fingerprint(
        _fingerprint(data, key),
        _prefix_chain(data, key),
        _signature(plain, key),
        removable.chars(plain),
    )


def prompt_signature(text: str, key: ProjectKey) -> bytes | None:
    return _signature(normalise(text), key)


def similarity(one: bytes, other: bytes) -> float | None:
    """How alike two prompts are, 0 to 1, by their signatures; None where the key has changed."""
    if one[:KEY_ID_BYTES] != other[:KEY_ID_BYTES]:
        return None
    return signature.similarity(one[KEY_ID_BYTES:], other[KEY_ID_BYTES:])


def _bytes(text: str) -> bytes:
    return _encoded(normalise(text))


def _encoded(plain: str) -> bytes:
    # A JSON source may hold half of a surrogate pair, which plain UTF-8 refuses.
    return plain.encode("utf-8", "surrogatepass")


def _signature(plain: str, key: ProjectKey) -> bytes | None:
    made = signature.of(plain, _secret_for("signature", key))
    return key.id + made if made is not None else None


@lru_cache(maxsize=10_000)
def _secret_for(purpose: str, key: ProjectKey) -> bytes:
    """A key for each use, so that nothing of one use can be matched with another."""
    return hmac.digest(key.secret, f"breakeven {purpose}".encode(), "sha256")


def _fingerprint(data: bytes, key: ProjectKey) -> bytes:
    return key.id + hmac.digest(key.secret, data, "sha256")[:FINGERPRINT_BYTES]


def _prefix_chain(data: bytes, key: ProjectKey) -> tuple[bytes, ...]:
    last = b""
    chain = []
    for start in range(0, min(len(data) // BLOCK_BYTES, MAX_BLOCKS) * BLOCK_BYTES, BLOCK_BYTES):
        last = hmac.digest(key.secret, last + data[start : start + BLOCK_BYTES], "sha256")
        chain.append(last[:BLOCK_HASH_BYTES])
    return tuple(chain)


def parameters_hash(parameters: Mapping[str, Any], key: ProjectKey) -> bytes | None:
    """Equal for calls whose answers are drawn the same way; None where nothing is known.

    Names may have a convention's prefix, and tools or a schema may come as JSON in a string.
    """
    told: dict[str, Any] = {}
    for name, value in parameters.items():
        plain = _unpacked(value)
        if name in _CARRIERS and isinstance(plain, Mapping):
            told |= {str(inner): _unpacked(found) for inner, found in plain.items()}
        elif name in _TOOLS:
            told["tools"] = plain
        else:
            told[name.rpartition(".")[2] if name.startswith(_REQUESTS) else name] = plain
    told = {
        name: value for name, value in told.items() if value is not None and name not in _NO_MATTER
    }
    if not told:
        return None
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), default=str)
    made = hmac.digest(_secret_for("parameters", key), _encoded(text), "sha256")
    return key.id + made[:FINGERPRINT_BYTES]


def names_parameter(key: str) -> bool:
    """Whether an attribute of this name says how the answer was to be drawn."""
    return key.startswith(_PARAMETERS) or key in _CARRIERS or key in _TOOLS


_REQUESTS = ("gen_ai.request.", "gen_ai.openai.request.", "llm.request.")
_PARAMETERS = (*_REQUESTS, "llm.tools.")
_TOOLS = frozenset({"gen_ai.tool.definitions", "tools"})
_CARRIERS = frozenset(
    {"llm.invocation_parameters", "langfuse.observation.model.parameters", "model_parameters"}
)
"""Names under which all parameters come as one JSON object."""
_NO_MATTER = frozenset({
    "extra_headers", "input", "instructions", "is_streaming", "messages", "metadata", "model",
    "prompt", "safety_identifier", "service_tier", "store", "stream", "stream_options",
    "streaming", "system", "timeout", "type", "user",
})  # fmt: skip
"""Kept elsewhere, or of no effect on the answer."""


def _unpacked(value: Any) -> Any:
    """1 for 1.0, and an object for JSON in a string, so that spelling makes no difference."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value, parse_float=_number)
        except (ValueError, RecursionError):
            return value
    return _number(value) if isinstance(value, float) else value


def _number(value: Any) -> float | int:
    number = float(value)
    return int(number) if number.is_integer() else number


def names_text(key: str) -> bool:
    """Whether a string under this name is to be taken for prompt or answer text.

    An SDK nobody has heard of yet is judged by the words in the name, so that its text stays out.
    """
    if key in NOT_TEXT:
        return False
    parts = _SEPARATORS.split(_CAMEL.sub(".", key).lower())
    return any(
        part in TEXT_WORDS or (set(part.split("_")) & TEXT_WORDS and not _is_measure(part))
        for part in parts
    )


def _is_measure(part: str) -> bool:
    """`input_tokens` or `prompt_id` speak about a text without being one."""
    return part.rsplit("_", 1)[-1] in _MEASURES


_MEASURES = frozenset({
    "bytes", "chars", "cost", "count", "format", "hash", "id", "ids", "language", "len",
    "length", "mime", "ms", "name", "price", "s", "size", "tokens", "type", "usd", "version",
})  # fmt: skip


def looks_like_text(value: str) -> bool:
    return len(value) > LONGEST_LABEL or value.count(" ") > MOST_SPACES or "\n" in value
