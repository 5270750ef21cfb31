"""What of a prompt could go without anybody missing it.

Knows three kinds and no more, so that what it counts is a floor:

- the same block of at least 200 characters again within one prompt (all but its first time); blocks
  end at a blank line or at the end of a JSON string;
- white space that separates nothing: at the end of a line, a second blank line and more, a second
  space and more between words (indentation stays, it may be code);
- rulers such as `-----` at the very end.

A run of white space or a ruler counts for four characters at most: tokenisers make one token of a
long run. Refuses to judge words: shorter ways to say the same are a matter of taste and of tests.
"""

from __future__ import annotations

import re
from collections import Counter

MAX_CHARS = 512 * 1024
"""Beyond most context windows; of a longer prompt this much is looked at."""
MIN_BLOCK_CHARS = 200
MOST_CHARS_A_RUN = 4
LONGEST_END = 400
"""Characters at the end of a prompt in which rulers are looked for."""

_BLOCK_ENDS = re.compile(r'\n[ \t]*\n|\\n\\n|"\s*[,:}\]]')
"""A blank line, also as JSON writes it, or the end of a JSON string."""
_RUNS = re.compile(r" (?:[ \t]+\n?|\n)|\t[ \t]*\n?|\n{3,}")
"""White space that may be too much. Each branch begins with its own character, which is fast, and
takes the whole run, so that no run is looked at twice."""
_SIGNS = ("  ", " \n", "\t", "\n\n\n")
"""One of these stands in every run that is too much."""
_RULER_SIGNS = ("-", "=", "*", "#", "_", "~")
_RULERS = re.compile(r"(?:\n[ \t]*([-=*#_~])\1{3,}[ \t]*)+\Z")


def chars(text: str) -> int:
    """Removable characters of a prompt whose ends are stripped of white space."""
    found, text = 0, text[:MAX_CHARS]
    ends_ruled = text.rstrip(" \t").endswith(_RULER_SIGNS)
    ruler = _RULERS.search(text, max(0, len(text) - LONGEST_END)) if ends_ruled else None
    if ruler:
        found = MOST_CHARS_A_RUN * len(ruler[0].split())
        text = text[: ruler.start()]
    for block, times in _repeats(text).items():
        # Its white space is counted with that of the whole text.
        found += times * (len(block) - _white_space(block))
    return found + _white_space(text)


def _repeats(text: str) -> dict[str, int]:
    """Blocks that stand there more than once, and how often more."""
    if len(text) < 2 * MIN_BLOCK_CHARS:
        return {}
    blocks = (block.strip() for block in _BLOCK_ENDS.split(text))
    times = Counter(block for block in blocks if len(block) >= MIN_BLOCK_CHARS)
    return {block: count - 1 for block, count in times.items() if count > 1}


def _white_space(text: str) -> int:
    if not any(needless in text for needless in _SIGNS):
        return 0  # most prompts are plain prose, and this costs next to nothing
    found = 0
    for match in _RUNS.finditer(text):
        start, end = match.span()
        if text[start] == "\n":
            extra = end - start - 2
        elif text[end - 1] != "\n" and text[start - 1] == "\n":
            extra = 0  # indentation
        else:
            extra = end - start - 1
        found += min(MOST_CHARS_A_RUN, extra)
    return found
