"""A log message → what may be kept of it: its words, without what it says about anybody.

Knows what to mask: everything in quotes or braces, sentences behind a colon, e-mail addresses,
secrets, ids, addresses and numbers, and all lines after the first. What is left tells one kind of
error from another. Refuses to keep the message itself.
"""

from __future__ import annotations

import re

MAX_EXEMPLAR_CHARS = 200
MAX_SHAPE_CHARS = 100
MAX_READ_CHARS = 2_000
"""Of a message; masking a longer one would cost time and show nothing more."""

MOST_WORDS = 25
"""A program says what failed in fewer; a longer run of words is somebody's text."""
MOST_WORDS_BEHIND_A_COLON = 5
"""There a message goes on with what it got, be it another program's words or a person's."""

_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A key of any make, before its parts look like something else.
    (re.compile(r"-----BEGIN[^-]*-----.*", re.S), "<secret>"),
    (re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*){1,2}"), "<secret>"),
    (re.compile(r"\b(?:sk|pk|rk|xox[a-z]|gh[a-z]|glpat|brk|hf|AKIA|ASIA|AIza)[-_]?[\w-]{12,}"),
     "<secret>"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 <secret>"),
    (re.compile(
        r"(?i)\b([\w-]*(?:password|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|credential"
        r"|authorization|cookie|session)[\w-]*)(\s*[=:]\s*)(?!<secret>|(?:bearer|basic)\s)"
        r"(?:\"[^\"]*\"?|'[^']*'?|[^\s,;&]+)"),
     r"\1\2<secret>"),
    (re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"), "<email>"),
    (re.compile(r"\b([a-z][a-z0-9+.-]{1,15}://)[^\s\"'<>]+", re.I), r"\1<url>"),
    # What is quoted is what somebody said; what is in braces is somebody's data.
    (re.compile(r"\"(?:[^\"\\]|\\.)*(?:\"|$)"), "<text>"),
    (re.compile(r"“[^”]*(?:”|$)|«[^»]*(?:»|$)|`[^`]*(?:`|$)"), "<text>"),
    (re.compile(r"(?<!\w)'(?:[^'\\]|\\.|(?<=\w)'(?=\w))*(?:'(?!\w)|$)"), "<text>"),
    (re.compile(r"[{\[].*[}\]]|[{\[].*$"), "<data>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.I), "<id>"),
    (re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.I), "<address>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    # Long runs of letters and digits together are ids or keys, not words.
    (re.compile(r"(?<![\w<])(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[\w+/=-]{16,}"), "<id>"),
    (re.compile(r"(?<![\w<])[A-Za-z0-9+/_-]{40,}={0,2}"), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.I), "<n>"),
    (re.compile(r"\d+(?:[.,:_]\d+)*"), "<n>"),
)  # fmt: skip


def exemplar(message: str) -> str:
    """One message with everything particular masked, cut to 200 characters."""
    return _masked(message)[:MAX_EXEMPLAR_CHARS]


def shape(message: str) -> str:
    """What messages of one kind have in common; empty where nothing is left."""
    return _masked(message)[:MAX_SHAPE_CHARS].strip()


def _masked(message: str) -> str:
    line = next((one for one in message[:MAX_READ_CHARS].splitlines() if one.strip()), "")
    for pattern, mask in _MASKS:
        line = pattern.sub(mask, line)
    first, *rest = re.split(r":\s", " ".join(line.split()))
    parts = [_words(first, MOST_WORDS), *(_words(part, MOST_WORDS_BEHIND_A_COLON) for part in rest)]
    return "".join(sign if sign.isprintable() else " " for sign in ": ".join(parts))


def _words(part: str, most: int) -> str:
    return part if part.count(" ") < most else "<text>"
