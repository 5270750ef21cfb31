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
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

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
    prompt: bytes
    prefixes: tuple[bytes, ...]


def project_key(project_id: int) -> ProjectKey:
    return _derive(settings.PRIVACY_KEY, project_id)


@lru_cache(maxsize=10_000)
def _derive(master: str, project_id: int) -> ProjectKey:
    def derived(purpose: str) -> bytes:
        return hmac.digest(master.encode(), purpose.encode(), "sha256")

    return ProjectKey(derived("breakeven key id")[:2], derived(f"breakeven project {project_id}"))


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
    """Both at once, normalising the text only once."""
    data = _bytes(text)
    return Fingerprint(_fingerprint(data, key), _prefix_chain(data, key))


def _bytes(text: str) -> bytes:
    # A JSON source may hold half of a surrogate pair, which plain UTF-8 refuses.
    return normalise(text).encode("utf-8", "surrogatepass")


def _fingerprint(data: bytes, key: ProjectKey) -> bytes:
    return key.id + hmac.digest(key.secret, data, "sha256")[:FINGERPRINT_BYTES]


def _prefix_chain(data: bytes, key: ProjectKey) -> tuple[bytes, ...]:
    last = b""
    chain = []
    for start in range(0, min(len(data) // BLOCK_BYTES, MAX_BLOCKS) * BLOCK_BYTES, BLOCK_BYTES):
        last = hmac.digest(key.secret, last + data[start : start + BLOCK_BYTES], "sha256")
        chain.append(last[:BLOCK_HASH_BYTES])
    return tuple(chain)


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
