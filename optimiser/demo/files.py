"""Files that are whole or absent. Knows paths and bytes; refuses to know what is in them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace `path` in one step; after a kill or a power cut it holds the old or the new."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as temporary:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def write_if_different(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Leave an equal file alone: Triton decides by modification time what to load again."""
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, mode)


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode(), mode)


def _sync_directory(directory: Path) -> None:
    """The rename itself must survive a power cut, not only the bytes."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
