"""Keeps secrets and quarantined rows unreadable for whoever has only the database.

Knows the configured Fernet keys, newest first. Refuses to guess: without the key nothing opens.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class CannotDecrypt(Exception):
    """None of the configured keys opens this."""


def encrypt(payload: bytes) -> bytes:
    """Encrypt with the newest key."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(payload)


def decrypt(token: bytes) -> bytes:
    """Decrypt with whichever key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(bytes(token))
    except InvalidToken:
        raise CannotDecrypt(
            "None of BREAKEVEN_ENCRYPTION_KEYS opens this; add the key it was written with."
        ) from None


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def rotate(token: bytes) -> bytes:
    """The same secret under the newest key."""
    return encrypt(decrypt(token))
