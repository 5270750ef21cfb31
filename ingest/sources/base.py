"""What every source has in common, and what each way of arriving adds to it.

Knows the three doors facts come in by: pushed over HTTP, read from a file, pulled from an address.
Refuses the database: a source turns what it received into records and rejects, `store` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from ingest.records import MetricRecord, Reject


class BadConfig(ValueError):
    """A source's settings cannot work: `field` says which one, `message` how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class BadBody(ValueError):
    """A pushed body that cannot be read at all, in one sentence for its sender."""


class BodyTooLarge(BadBody):
    """A body that holds more than one request may."""


class BadFile(ValueError):
    """A file that cannot be read at all, in one sentence with the fix."""


class FetchError(Exception):
    """A pull that failed, in one sentence with the fix. It never quotes what the server said."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of a source's configuration, as a form shows it."""

    name: str
    label: str
    help: str
    default: Any = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What one step of a pull brought, and from where the next one goes on."""

    records: Sequence[MetricRecord]
    rejects: Sequence[Reject] = ()
    cursor: dict[str, Any] = field(default_factory=dict)


class Source:
    """One kind of source. Adapters are stateless: a source's settings come in as `config`."""

    kind: ClassVar[str]
    label: ClassVar[str]
    help: ClassVar[str]
    pushes: ClassVar[bool] = False
    owner: ClassVar[str] = "project"
    """Whom its facts belong to: a project, a pool, or the organisation."""
    settings: ClassVar[tuple[Setting, ...]] = ()

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with their defaults, each checked; BadConfig names the first bad one."""
        if not isinstance(config, Mapping):
            raise BadConfig("config", "must be an object with a name for each setting.")
        known = {setting.name: setting for setting in self.settings}
        for name in config:
            if name not in known:
                names = ", ".join(known) or "none"
                raise BadConfig(str(name), f"is no setting of {self.label}; it has {names}.")
        checked = {name: config.get(name, setting.default) for name, setting in known.items()}
        for name, setting in known.items():
            if setting.required and checked[name] in (None, "", {}, []):
                raise BadConfig(name, f"is missing. {setting.help}")
        return checked


class PushSource(Source):
    """Its sender calls us: a view decodes the body with the adapter's own function."""

    pushes = True
    path: ClassVar[str]
    """Where it posts to."""
    scope: ClassVar[str]
    """What its tokens must be allowed to do."""


@dataclass
class Reading:
    """A file being read: iterate once over its rows. `warnings` is complete at the end."""

    rows: Iterable[Any]
    warnings: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)


class FileSource(Source):
    def read(self, path: Path, config: Mapping[str, Any]) -> Reading:
        """The file's rows as records and rejects, in bounded memory. Raises BadFile."""
        raise NotImplementedError


class PullSource(Source):
    def fetch(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Page]:
        """What came since `cursor`, page by page. Raises FetchError."""
        raise NotImplementedError
