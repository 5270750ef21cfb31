"""Golden cases of the one token rule; the shapes are those of real vendors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.usage import Usage, disjoint

GOLDEN = {
    "OpenAI, nothing cached": (
        disjoint(23, 7, total=30, cache_read=0, reasoning=0),
        Usage(input=23, cache_read=0, output=7, reasoning=0, convention="inclusive"),
    ),
    "OpenAI, cached prompt": (
        disjoint(1149, 353, total=1502, cache_read=1024, reasoning=0),
        Usage(input=125, cache_read=1024, output=353, reasoning=0, convention="inclusive"),
    ),
    "OpenAI, reasoning": (
        disjoint(11, 203, total=214, cache_read=0, reasoning=192),
        Usage(input=11, cache_read=0, output=11, reasoning=192, convention="inclusive"),
    ),
    "Anthropic through OpenTelemetry, cache written": (
        disjoint(1169, 207, total=1376, cache_read=0, cache_write_5m=1165),
        Usage(
            input=4, cache_read=0, cache_write_5m=1165, output=207, convention="inclusive"
        ),
    ),
    "Anthropic's own counts, more cached than input": (
        disjoint(4, 207, cache_read=1165, cache_write_5m=0),
        Usage(input=4, cache_read=1165, cache_write_5m=0, output=207, convention="exclusive"),
    ),
    "Anthropic's own counts, given away by the total": (
        disjoint(2000, 100, total=3100, cache_read=1000),
        Usage(input=2000, cache_read=1000, output=100, convention="exclusive"),
    ),
    "audio in and out": (
        disjoint(500, 300, cache_read=100, audio_input=350, audio_output=250),
        Usage(
            input=50, cache_read=100, output=50, audio_input=350, audio_output=250,
            convention="inclusive",
        ),
    ),
    "cached audio stands in both details": (
        disjoint(500, 0, cache_read=300, audio_input=400),
        Usage(input=0, cache_read=300, output=0, audio_input=200, convention="inclusive"),
    ),
    "Gemini, thoughts beside the candidates": (
        disjoint(10, 20, reasoning=100),
        Usage(input=10, output=20, reasoning=100, convention="inclusive"),
    ),
    "embedding": (disjoint(8, None, total=8), Usage(input=8, convention="inclusive")),
    "nothing said": (disjoint(None, None), Usage()),
    "only cached said": (disjoint(None, None, cache_read=10), Usage(cache_read=10)),
}  # fmt: skip


@pytest.mark.parametrize("case", GOLDEN)
def test_usage_is_disjoint(case):
    got, wanted = GOLDEN[case]
    assert got == wanted


counts = st.one_of(st.none(), st.integers(0, 10_000))


@given(
    st.integers(0, 10_000), st.integers(0, 10_000), counts, counts, counts, counts, counts, counts
)
def test_usage_is_never_negative_and_never_made_up(
    given_input, given_output, read, written, reasoning, audio_in, audio_out, image_in
):
    got = disjoint(
        given_input,
        given_output,
        cache_read=read,
        cache_write_5m=written,
        reasoning=reasoning,
        audio_input=audio_in,
        audio_output=audio_out,
        image_input=image_in,
    )

    assert min(count for count in got[:9] if count is not None) >= 0
    prompt = got.input + (got.audio_input or 0) + (got.image_input or 0)
    cached = (read or 0) + (written or 0)
    held = cached if got.convention == "inclusive" else 0
    assert prompt + held == given_input
