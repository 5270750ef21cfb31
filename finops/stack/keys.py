"""The secrets of one stack, made once and kept in files only their owner can read.

Knows how each is made. Refuses to print them, to change one that exists, and to make a new
encryption key beside a database that was written with another.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from finops.stack.home import Home
from finops.stack.problem import StackError


def fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def long_token() -> str:
    return secrets.token_urlsafe(48)


MAKERS: dict[str, Callable[[], str]] = {
    "secret-key": long_token,
    "encryption-keys": fernet_key,
    "privacy-key": long_token,
    "metrics-token": long_token,
    "valkey-password": long_token,
}

IRREPLACEABLE = ("encryption-keys", "privacy-key")
"""What is stored was encrypted or hashed with these; a new one would not fit."""


def make(home: Home, *, has_database: bool) -> None:
    for name, maker in MAKERS.items():
        file = home.keys / name
        if file.exists():
            file.chmod(0o600)
        elif has_database and name in IRREPLACEABLE:
            raise StackError(
                f"{file} is missing but the database that needs it is there: put the file back "
                f"from your backup, or start empty with ./run reset {home.kind}."
            )
        else:
            _write(file, maker())


def read(home: Home, name: str) -> str:
    return (home.keys / name).read_text()


def _write(file: Path, secret: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret)
        stream.flush()
        os.fsync(descriptor)
    fresh.rename(file)  # whole or absent, also after a power cut
