"""The settings of a source that nobody may read again, such as a key of its server.

Knows how they are kept: encrypted, beside the config and never in it. Refuses to show them: they
are opened only for a pull or a test of the connection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ingest import encryption
from ingest.models import Source as SourceRow
from ingest.sources.base import Source


def split(adapter: Source, config: Mapping[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    """What may be shown of checked settings, and the rest encrypted; None when there is none."""
    names = {setting.name for setting in adapter.settings if setting.secret}
    plain = {name: value for name, value in config.items() if name not in names}
    secret = {name: config[name] for name in sorted(names) if config.get(name) not in (None, "")}
    return plain, _locked(secret) if secret else None


def opened(source: SourceRow) -> dict[str, Any]:
    """The whole config. Raises `encryption.CannotDecrypt`."""
    if source.secrets is None:
        return dict(source.config)
    return {**source.config, **json.loads(encryption.decrypt(source.secrets))}


def rotate(source: SourceRow) -> None:
    """The same secrets under the newest encryption key."""
    if source.secrets is not None:
        source.secrets = encryption.rotate(source.secrets)
        source.save(update_fields=["secrets"])


def _locked(secret: Mapping[str, Any]) -> bytes:
    return encryption.encrypt(json.dumps(secret).encode())
