"""Files that only their owner may read. Knows modes and names; refuses to leave half a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_private(path: Path, content: Any) -> None:
    """Whole or not at all, and readable by its owner only from the first byte on."""
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    fresh = path.with_name(f"{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    fresh.replace(path)
