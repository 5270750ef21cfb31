import json

import pytest
from cryptography.fernet import Fernet

from ingest import quarantine


def test_payload_survives_a_new_key_but_not_the_loss_of_the_old_one(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    sealed = quarantine.encrypt(b"a row")

    settings.ENCRYPTION_KEYS = [new, old]
    assert quarantine.decrypt(memoryview(sealed)) == b"a row"

    settings.ENCRYPTION_KEYS = [new]
    with pytest.raises(quarantine.CannotDecrypt, match="ENCRYPTION_KEYS"):
        quarantine.decrypt(sealed)


def test_encrypted_payload_does_not_show():
    assert b"a row" not in quarantine.encrypt(b"a row")


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
