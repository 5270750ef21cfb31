"""Secrets under rotating keys."""

import pytest
from cryptography.fernet import Fernet

from ingest import encryption


def test_payload_survives_a_new_key_but_not_the_loss_of_the_old_one(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    sealed = encryption.encrypt(b"a row")

    settings.ENCRYPTION_KEYS = [new, old]
    assert encryption.decrypt(memoryview(sealed)) == b"a row"

    settings.ENCRYPTION_KEYS = [new]
    with pytest.raises(encryption.CannotDecrypt, match="ENCRYPTION_KEYS"):
        encryption.decrypt(sealed)


def test_encrypted_payload_does_not_show():
    assert b"a row" not in encryption.encrypt(b"a row")


def test_rotated_secret_opens_without_the_old_key(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    sealed = encryption.encrypt(b"a key")
    settings.ENCRYPTION_KEYS = [new, old]
    turned = encryption.rotate(sealed)

    settings.ENCRYPTION_KEYS = [new]
    assert encryption.decrypt(turned) == b"a key"
