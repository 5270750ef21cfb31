"""Near-duplicate signatures: alike for prompts that are nearly alike, and telling nothing else.

Knows keyed MinHash. Refuses to keep text, and to be compared across keys.

The shingles are runs of three words, case apart; each character of a script that writes without
spaces counts as a word. Every word is hashed with the project's key (BLAKE2b), 128 permutations
drawn from the same key each keep their smallest shingle, and of each minimum four bits stay. Two
prompts that share the part J of their shingles agree in J + (1 - J)/16 of the 128 places, so that
the estimate of J has a standard error of at most 0.047 (0.037 at J = 0.8, 0.023 at J = 0).

Without the key no shingle can be tried: four bits of a minimum under an unknown permutation of an
unknown hash fit every text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
BITS = 4
SIGNATURE_BYTES = PERMUTATIONS * BITS // 8
WORDS_A_SHINGLE = 3
MAX_CHARS = 512 * 1024
"""Beyond most context windows; of a longer prompt this much is compared."""
MOST_WORDS = 32_768
"""Remembered of each of the last eight projects, in memory alone: 40 MB at the most."""

LONGEST_WORD = 64
_WORDS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\w{1,64}")
"""Thai, Lao, Chinese and Japanese one character at a time, all else by words."""
_ONLY_WORDS = re.sub(r"\W", " ", "".join(map(chr, range(128))))
"""What is no part of a word in ASCII becomes a space."""
_CHUNK = 2_048
"""Shingles × permutations at once: a megabyte, which the cache holds."""

_U32 = NDArray[np.uint32]
_U64 = NDArray[np.uint64]


def of(text: str, secret: bytes) -> bytes | None:
    """64 bytes, or None for a text without a word."""
    words = words_of(text)
    if not words:
        return None
    return packed(minima(shingles(words, secret), permutations(secret)))


def words_of(text: str) -> list[str]:
    text = text[:MAX_CHARS].lower()
    if text.isascii():
        # The same words, in half the time.
        words = text.translate(_ONLY_WORDS).split()
        if max(map(len, words), default=0) <= LONGEST_WORD:
            return words
    return _WORDS.findall(text)


def similarity(one: bytes, other: bytes) -> float:
    """The estimated Jaccard similarity of two signatures made with one key, from 0 to 1."""
    agreeing = int(np.count_nonzero(_places(one) == _places(other))) / PERMUTATIONS
    by_chance: float = 1 / 2**BITS
    return max(0.0, (agreeing - by_chance) / (1 - by_chance))


def shingles(words: list[str], secret: bytes) -> _U32:
    """One keyed hash for each run of three words; a shorter text is one run."""
    known = _words_of(secret)
    if len(known) > MOST_WORDS:
        known.clear()
    hashed: _U64 = np.frombuffer(b"".join(map(known.__getitem__, words)), "<u8")
    runs = max(1, len(words) - WORDS_A_SHINGLE + 1)
    mixed = hashed[:runs] ^ (hashed[:runs] >> _SHIFT)
    for place in range(1, min(WORDS_A_SHINGLE, len(words))):
        # Horner's rule, so that the same words in another order are another run.
        mixed *= _FACTOR
        mixed += hashed[place : place + runs]
        mixed ^= mixed >> _SHIFT
    return (mixed >> np.uint64(32)).astype(np.uint32)


_FACTOR, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


class _Words(dict[str, bytes]):
    """Word → its keyed hash. Most have been seen before, and looking up is ten times as fast."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def __missing__(self, word: str) -> bytes:
        data = word.encode("utf-8", "surrogatepass")
        self[word] = hashed = hashlib.blake2b(data, key=self.secret, digest_size=8).digest()
        return hashed


@lru_cache(maxsize=8)
def _words_of(secret: bytes) -> _Words:
    return _Words(secret)


@lru_cache(maxsize=1_000)
def permutations(secret: bytes) -> tuple[_U32, _U32]:
    """h → a·h + b mod 2^32 with an odd `a`, which moves every h to another place."""
    seed = hmac.digest(secret, b"permutations", "sha256")
    drawn = np.frombuffer(hashlib.shake_256(seed).digest(PERMUTATIONS * 8), "<u4")
    return drawn[:PERMUTATIONS] | np.uint32(1), drawn[PERMUTATIONS:].copy()


def minima(hashes: _U32, permuted: tuple[_U32, _U32]) -> _U32:
    """What datasketch's MinHash (scheme affine32) keeps, without its two seconds of import."""
    a, b = permuted
    mixed = _finalised(hashes).reshape(-1, 1)
    least = np.full(PERMUTATIONS, 0xFFFFFFFF, np.uint32)
    for start in range(0, len(mixed), _CHUNK):
        permuted_hashes = mixed[start : start + _CHUNK] * a
        permuted_hashes += b
        np.minimum(least, permuted_hashes.min(axis=0), out=least)
    return least


def _finalised(hashes: _U32) -> _U32:
    """MurmurHash3's last step: close hashes go far apart before the permutations."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))


def packed(least: _U32) -> bytes:
    """Four bits of each minimum. Not its lowest: they are the permutation of four bits alone."""
    nibbles = ((least * np.uint32(0x9E3779B1)) >> np.uint32(28)).astype(np.uint8)
    return (nibbles[0::2] << 4 | nibbles[1::2]).tobytes()


def _places(signature: bytes) -> NDArray[np.uint8]:
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"A signature has {SIGNATURE_BYTES} bytes, this one {len(signature)}.")
    data = np.frombuffer(signature, np.uint8)
    return np.concatenate((data >> 4, data & 0x0F))
