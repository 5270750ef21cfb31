"""What counts as removable is exact and a floor."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import removable
from tests.ingest.make import span

BLOCK = "Answer in one sentence and name your source. " * 5 + "Never guess."


@pytest.mark.parametrize(
    ("text", "chars"),
    [
        ("", 0),
        ("What is the capital of France?", 0),
        ("one  two", 1),
        ("one     two", 4),
        ("one                     two", 4),
        ("one\t\ttwo", 1),
        ("one\ttwo", 0),
        ("one \ntwo", 1),
        ("one   \ntwo", 3),
        ("one\n\ntwo", 0),
        ("one\n\n\ntwo", 1),
        ("one\n\n\n\n\n\n\n\n\ntwo", 4),
        ("def f():\n    return 1\n\n\tx", 0),
        ("one\n-----", 4),
        ("one\n-----\n=====", 8),
        ("one\n---", 0),
        ("one\n-----\ntwo", 0),
        ("one\n```", 0),
    ],
)
def test_removable_characters(text, chars):
    assert removable.chars(text) == chars


def test_block_again_counts_whole_each_time_after_the_first():
    assert removable.chars(f"{BLOCK}\n\nFirst.\n\n{BLOCK}\n\nSecond.\n\n{BLOCK}") == 2 * len(BLOCK)


def test_message_again_counts_in_json_too():
    messages = (
        f'[{{"role": "user", "content": "{BLOCK}"}}, {{"role": "user", "content": "{BLOCK}"}}]'
    )

    assert removable.chars(messages) == len(BLOCK) + 1  # and the quote it begins with


@pytest.mark.parametrize("again", [BLOCK[:199], BLOCK + "!", BLOCK.lower()])
def test_short_or_different_block_is_no_repeat(again):
    assert removable.chars(f"{BLOCK}\n\n{again}") == 0


def test_white_space_of_a_repeated_block_is_not_counted_twice():
    block = BLOCK.replace(". ", ".  ")

    assert removable.chars(f"{block}\n\n{block}") == 5 + len(block)


@given(st.text('ab \t\n-"\\n,:}', max_size=2000))
def test_never_more_than_there_is(text):
    assert 0 <= removable.chars(text.strip()) <= len(text)


@pytest.mark.parametrize("text", ["\t", " ", "\n", '" ', "\n ", "\\n", "-\n", "a " * 150 + "\n\n"])
def test_hostile_prompt_takes_no_longer(text):
    hostile = "a" + text * (2_000_000 // len(text)) + "a"
    started = time.process_time()

    removable.chars(hostile)

    assert time.process_time() - started < 10


def test_characters_become_tokens_at_the_calls_own_ratio():
    call = span(input_tokens=50, cache_read_tokens=200, input_chars=1000, removable_chars=400)

    assert call.removable_tokens == 100


@pytest.mark.parametrize(
    "unknown",
    [
        {"removable_chars": None},
        {"input_tokens": None},
        {"input_chars": 0},
        {"input_chars": None},
        {"input_tokens": 1001},  # most of them came from elsewhere
    ],
)
def test_removable_tokens_are_unknown_without_text_or_count(unknown):
    told = {"input_tokens": 250, "input_chars": 1000, "removable_chars": 400, **unknown}

    assert span(**told).removable_tokens is None
