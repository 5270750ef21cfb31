import json

from ingest import quarantine


def test_redacted_row_tells_lengths_and_no_text():
    row = {
        "prompt": "hello",
        "note": "five words are a sentence already",
        "model": "gpt-4o",
        "input_tokens": -1,
        "request": {"messages": [{"content": "hi"}], "seed": 3},
        "blob": b"\0\1",
    }

    assert quarantine.redact(row) == {
        "prompt": "[text of 5 characters]",
        "note": "[text of 33 characters]",
        "model": "gpt-4o",
        "input_tokens": -1,
        "request": {"messages": [{"content": "[text of 2 characters]"}], "seed": 3},
        "blob": "[2 bytes]",
    }


def test_deep_and_large_rows_stay_small():
    deep = {}
    inner = deep
    for _ in range(2_000):
        inner["a"] = {}
        inner = inner["a"]

    payload = quarantine.payload({"deep": deep, **{f"k{n}": n for n in range(10_000)}})

    assert len(payload) <= quarantine.MAX_PAYLOAD_BYTES
    assert json.loads(quarantine.payload({"deep": deep}))["deep"]
