"""Signatures: right to their stated error, equal to datasketch's, of no use without a key."""

import csv
import gzip
import json
from itertools import pairwise
from random import Random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import privacy, signature
from ingest.privacy import ProjectKey

KEY = ProjectKey(b"k1", b"a secret of the tests")
OTHER = ProjectKey(b"k1", b"a secret of another project")
SECRET = b"s" * 32
KEYS = [ProjectKey(b"k1", bytes([number]) * 32) for number in range(5)]
SOUNDS = ("ba", "ko", "mi", "tu", "sé")

VOCABULARY = [f"{sound}{end}" for sound in SOUNDS for end in range(1_000)]
TEXT = st.builds(
    lambda seed, words: " ".join(Random(seed).sample(VOCABULARY, words)),
    st.integers(0, 2**32),
    st.integers(60, 300),
)


def exact(one: str, other: str) -> float:
    """Jaccard similarity of the runs of three words, by sets alone."""
    a, b = runs(one), runs(other)
    return len(a & b) / len(a | b)


def runs(text: str) -> set[tuple[str, ...]]:
    words = signature.words_of(text)
    return {tuple(words[n : n + 3]) for n in range(max(1, len(words) - 2))}


def estimate(one: str, other: str, key: ProjectKey = KEY) -> float:
    found = privacy.similarity(
        privacy.prompt_signature(one, key), privacy.prompt_signature(other, key)
    )
    assert found is not None
    return found


def test_minima_are_datasketchs():
    from datasketch import MinHash

    words = [f"word{n}" for n in range(5000)]
    hashes = signature.shingles(words, SECRET)
    permutations = signature.permutations(SECRET)
    referee = MinHash(
        num_perm=signature.PERMUTATIONS,
        permutations=np.array(permutations),
        scheme="affine32",
        hashfunc=int,
    )
    referee.update_batch(hashes.tolist())

    assert signature.minima(hashes, permutations).tolist() == referee.hashvalues.tolist()


@given(st.text(st.characters(max_codepoint=127), max_size=400), st.integers(60, 140))
def test_words_of_plain_text_are_those_of_any_text(text, length):
    """ASCII is split in another way, which must not show: signatures are stored."""
    text = f"{text} {'x' * length} {text}"
    assert signature.words_of(text) == signature._WORDS.findall(text.lower())


def test_signature_never_changes_under_one_key():
    """Stored ones are compared with new ones: another value needs another key."""
    made = signature.of("Ignore case, count words: naive_2 means naive_2.", SECRET)
    assert made.hex() == (
        "46e2af3090e8c0254d64cae96dc23b5256b3070bdc3e19a4c456bc2b17c48f22"
        "9178212378ade53baadd1df0d415ee0fd6949fefafd188577e96fe31c4869e9e"
    )


def test_signature_is_a_key_id_and_64_bytes():
    made = privacy.prompt_signature("What is the capital of France?", KEY)

    assert len(made) == 2 + 64
    assert made[:2] == b"k1"


@pytest.mark.parametrize("text", ["", " \n", "?!…"])
def test_text_without_a_word_has_no_signature(text):
    assert privacy.prompt_signature(text, KEY) is None


def test_changed_key_makes_signatures_incomparable():
    old = privacy.prompt_signature("one two three four", KEY)
    new = privacy.prompt_signature("one two three four", ProjectKey(b"k2", KEY.secret))

    assert privacy.similarity(old, new) is None


@given(TEXT)
def test_same_text_has_the_same_signature_and_scores_one(text):
    assert estimate(text, text) == 1
    assert estimate(text, f"  {text.upper()}\r\n") == 1


@given(TEXT)
def test_projects_cannot_be_linked(text):
    """The same text under two keys agrees as unrelated texts do: in one place of sixteen."""
    one, other = privacy.prompt_signature(text, KEY), privacy.prompt_signature(text, OTHER)

    assert privacy.similarity(one, other) < 0.2
    assert privacy.fingerprint(text, KEY) != privacy.fingerprint(text, OTHER)
    assert not set(privacy.prefix_chain(text * 9, KEY)) & set(privacy.prefix_chain(text * 9, OTHER))


@given(TEXT, st.integers(0, 59))
def test_near_duplicate_scores_high(text, place):
    """One word changed of sixty or more changes three runs of at least 58."""
    words = text.split()
    words[place] = "CHANGED"

    changed = " ".join(words)

    assert exact(text, changed) >= 0.89
    assert estimate(text, changed) > 0.89 - 5 * 0.03


@given(TEXT)
def test_unrelated_texts_score_low(text):
    assert estimate(text, " ".join(f"z{n}" for n in range(200))) < 0.2


@given(TEXT, TEXT)
def test_extended_prompt_keeps_its_prefix_chain(text, more):
    long = text * 20

    chain, extended = privacy.prefix_chain(long, KEY), privacy.prefix_chain(long + more, KEY)

    assert len(chain) > 1
    assert extended[: len(chain)] == chain


def test_scripts_without_spaces_are_compared_by_characters():
    one = "北京是中华人民共和国的首都，也是全国的政治文化中心。" * 2
    other = one.replace("政治", "经济")

    assert estimate(one, other) == pytest.approx(exact(one, other), abs=0.15)
    assert estimate(one, "上海位于长江入海口，隔东中国海与日本九州岛相望。") < 0.2


def test_huge_prompt_is_bounded_in_work():
    head = " ".join(f"w{n}" for n in range(100_000))

    assert privacy.prompt_signature(head + " x" * 10**6, KEY) == privacy.prompt_signature(head, KEY)


# ---- on real prompts ----------------------------------------------------------------------------


def errors(pairs: list[tuple[str, str]]) -> tuple[float, float, float]:
    """Mean error, root mean square error, largest error of the estimate against exact.

    Under several keys: what prompts have in common errs alike under one.
    """
    differences = []
    for one, other in pairs:
        truth = exact(one, other)
        differences += [estimate(one, other, key) - truth for key in KEYS]
    return (
        fmean(differences),
        fmean(difference**2 for difference in differences) ** 0.5,
        max(map(abs, differences)),
    )


def prompts(shared) -> list[str]:
    with gzip.open(shared("llm_requests/agent_sessions_fulltext.jsonl.gz"), "rt") as lines:
        rows = [json.loads(line)["input"] for line in lines]
    return [row if isinstance(row, str) else json.dumps(row) for row in rows]


def test_error_on_agent_sessions_is_as_stated(shared):
    """Neighbouring steps of a session are near-duplicates, steps far apart are not."""
    rows = [row[:8_000] for row in prompts(shared)][::4]

    mean, rms, worst = errors([*pairwise(rows), *zip(rows[:40], rows[60:100], strict=True)])

    print(f"agent sessions: mean {mean:+.4f}, rms {rms:.4f}, worst {worst:.4f}")
    assert rms < 0.047
    assert abs(mean) < 0.01
    assert worst < 0.2


def test_error_on_short_paraphrases_is_as_stated(shared):
    with gzip.open(shared("semantic_cache/gptcache_paraphrase_pairs.csv.gz"), "rt") as lines:
        pairs = [(row["origin"], row["similar"]) for row in csv.DictReader(lines)]
    strangers = [(pairs[n][0], pairs[-n - 1][1]) for n in range(len(pairs) // 2)]

    near, far = errors(pairs), errors(strangers)

    for name, (mean, rms, worst) in (("paraphrases", near), ("strangers", far)):
        print(f"{name}: mean {mean:+.4f}, rms {rms:.4f}, worst {worst:.4f}")
    assert near[1] < 0.047
    assert far[1] < 0.047


def test_near_duplicates_and_strangers_are_told_apart(shared):
    rows = prompts(shared)
    long = [row for row in rows if len(row) > 2048][::4]
    edited = [(row, row.replace("the", "a", 3) + " Thanks.") for row in long]
    strangers = list(zip(rows[:100], rows[300:400], strict=True))

    assert min(estimate(*pair) for pair in edited) > 0.8
    assert max(estimate(*pair) for pair in strangers if exact(*pair) < 0.05) < 0.25
