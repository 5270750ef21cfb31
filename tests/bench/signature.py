"""What it costs to keep nothing of a prompt: fingerprint, chain, signature, removable characters.

Peer in the same run: plain SHA-256 of the same text, which tells equal prompts apart and no more.
The signature is timed apart as well, against datasketch's MinHash over the same shingles.

`--data FILE` takes JSON lines with the prompt under `input`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.bench.common import arguments, report, setup_django

PROMPTS = 2_000
PROMPT_CHARS = 2_048
ROUNDS = 5
VOCABULARY = 20_000


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    setup_django()
    from datasketch import MinHash

    from ingest import privacy, removable, signature

    key = privacy.ProjectKey(b"k1", b"a key of the bench")
    prompts = _recorded(options.data) if options.data else _made_up()
    permutations = signature.permutations(key.secret)

    def datasketch(text: str) -> None:
        words = signature.words_of(text)
        sketch = MinHash(
            permutations=np.array(permutations), scheme="affine32", hashfunc=int,
            num_perm=signature.PERMUTATIONS,
        )  # fmt: skip
        sketch.update_batch(signature.shingles(words, key.secret).tolist())

    rates = {
        "plain SHA-256": _rate(lambda text: hashlib.sha256(text.encode()), prompts),
        "fingerprint and prefix chain": _rate(
            lambda text: (privacy.fingerprint(text, key), privacy.prefix_chain(text, key)), prompts
        ),
        "signature": _rate(lambda text: signature.of(text, key.secret), prompts),
        "  the same through datasketch": _rate(datasketch, prompts),
        "removable characters": _rate(removable.chars, prompts),
        "everything": _rate(lambda text: privacy.prompt(text, key), prompts),
    }
    plain, everything = rates["plain SHA-256"], rates["everything"]
    without = 1 / (1 / everything - 1 / rates["signature"])
    result = {
        "hash_2kb_prompts_per_s": round(everything),
        "hash_2kb_prompts_without_signature_per_s": round(without),
        "ratio_to_sha256": round(everything / plain, 4),
        "signatures_per_s": round(rates["signature"]),
        "signature_ratio_to_datasketch": round(
            rates["signature"] / rates["  the same through datasketch"], 2
        ),
        "prompts": len(prompts),
        "mean_chars": round(statistics.fmean(map(len, prompts))),
    }
    rows = [[name, f"{rate:,.0f}", f"{rate / plain:.4f}"] for name, rate in rates.items()]
    report(
        "Prompts hashed on one core", ["path", "prompts/s", "ratio to SHA-256"], rows, result,
        options.out,
    )  # fmt: skip


def _rate(work: Callable[[str], object], prompts: list[str]) -> float:
    """Prompts per second of one core's time: the median of rounds after one to warm up."""
    rates = []
    for number in range(ROUNDS + 1):
        started = time.process_time()
        for text in prompts:
            work(text)
        if number:
            rates.append(len(prompts) / (time.process_time() - started))
    return statistics.median(rates)


def _made_up() -> list[str]:
    """Words by Zipf's law, as in any language, so that the memory of words is not flattered."""
    dice = random.Random(20260822)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 9))) for _ in range(VOCABULARY)]
    weights = [1 / rank for rank in range(1, VOCABULARY + 1)]
    drawn = (dice.choices(words, weights, k=PROMPT_CHARS // 3) for _ in range(PROMPTS))
    return [" ".join(chosen)[:PROMPT_CHARS] for chosen in drawn]


def _recorded(path: Path) -> list[str]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        found = [str(json.loads(line)["input"])[:PROMPT_CHARS] for line in lines]
    return [text for text in found if len(text) == PROMPT_CHARS]


if __name__ == "__main__":
    main()
