"""What every source has in common, and what each way of arriving adds to it.

Knows the three doors facts come in by: pushed over HTTP, read from a file, pulled from an address.
Refuses the database: a source turns what it received into records and rejects, `store` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from gpu_probe.wire import Batch
from ingest import outgoing
from ingest.error_records import ErrorWindow
from ingest.privacy import ProjectKey
from ingest.records import MetricRecord, Reject, ScoreRecord, SpanRecord


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


class Delayed(FetchError):
    """Nothing failed: the server, or our own budget of requests, says to go on at `until`."""

    def __init__(self, until: datetime, why: str, *, is_asked: bool) -> None:
        super().__init__(f"Delayed until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {why}")
        self.until = until
        self.is_asked = is_asked
        """Whether the server asked for it; a budget used up is nothing to be alarmed about."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of a source's configuration, as a form shows it."""

    name: str
    label: str
    help: str
    default: Any = None
    required: bool = False
    secret: bool = False
    """Goes in and never comes out: kept encrypted beside the config, not in it."""
    address: bool = False
    """A URL that is fetched; it must be one that the guard of `outgoing` lets pass."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one step of a pull brought, and from where the next one goes on."""

    records: Sequence[MetricRecord | SpanRecord | ScoreRecord]
    rejects: Sequence[Reject] = ()
    cursor: dict[str, Any] = field(default_factory=dict)
    reached: datetime | None = None
    """In a back-fill: everything before this has been read."""
    gpus: Sequence[Batch] = ()
    """Readings of whole GPUs, which are no series."""
    errors: Sequence[ErrorWindow] = ()
    """Counts of logged errors, in whole windows."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a pull of traces is held to."""

    key: ProjectKey
    """Of the project that owns them, for the fingerprints of prompts."""
    keeps_text: bool
    before_request: Callable[[], None]
    """Called before each request; raises Delayed when it must wait, and keeps the lease alive."""


class Source:
    """One kind of source. Adapters are stateless: a source's settings come in as `config`."""

    kind: ClassVar[str]
    label: ClassVar[str]
    help: ClassVar[str]
    pushes: ClassVar[bool] = False
    owner: ClassVar[str] = "project"
    """Whom its facts belong to: a project, a pool, or the organisation."""
    brings_bills: ClassVar[bool] = False
    """Whether its facts are bill lines, which come as whole deliveries."""
    brings_errors: ClassVar[bool] = False
    """Whether its facts are counts of logged errors alone: no request and no usage."""
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

    def check_entered(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The same while somebody enters them: also whether an address may be fetched, as far as
        it can be told without looking a name up. Raises BadConfig."""
        checked = self.check_config(config)
        for setting in self.settings:
            if setting.address and checked[setting.name]:
                try:
                    outgoing.check_entered(checked[setting.name])
                except outgoing.Refused as refused:
                    raise BadConfig(setting.name, str(refused)) from None
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


class BillFileSource(FileSource):
    """Its files are deliveries: each is stored whole or not at all."""

    brings_bills = True

    def read(self, path: Path, config: Mapping[str, Any], name: str = "") -> Reading:
        """`name` is what people call the file, when its path is that of a copy."""
        raise NotImplementedError


class PullSource(Source):
    usual_interval_s: ClassVar[int] = 15
    least_interval_s: ClassVar[int] = 5
    most_interval_s: ClassVar[int] = 3_600

    def fetch(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Page]:
        """What came since `cursor`, page by page. Raises FetchError."""
        raise NotImplementedError

    def check(self, config: Mapping[str, Any]) -> str:
        """Try the settings out: what was found, in a sentence. Raises FetchError."""
        page = next(iter(self.fetch(config, {}, datetime.now(UTC))), Page([]))
        found, refused = len(page.records), len(page.rejects)
        said = "1 reading" if found == 1 else f"{found:,} readings"
        return f"It answers: {said}" + (f", {refused:,} refused." if refused else ".")


class TracePullSource(PullSource):
    """Its rows hold prompts and its server counts requests, so it is told its terms."""

    def fetch_traces(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime, terms: Terms
    ) -> Iterator[Page]:
        """What came since `cursor`, page by page. Raises FetchError."""
        raise NotImplementedError

    def fetch_range(
        self,
        config: Mapping[str, Any],
        cursor: Mapping[str, Any],
        start: datetime,
        end: datetime,
        terms: Terms,
    ) -> Iterator[Page]:
        """What began from `start` to before `end`; `cursor` goes on where a dead one stopped."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class BillPage:
    """One delivery that lies ready, whether it was taken before or not."""

    name: str
    mark: str
    """Changes when the delivery does: what bears a known mark is not opened again."""
    sha256: bytes
    """The same for the same content."""
    complete: bool
    open: Callable[[], AbstractContextManager[Reading]]
    """Fetches it. Raises FetchError, and BadFile for what nobody can read."""
    note: str = ""
    """Why it is not complete."""


class BillPullSource(PullSource):
    """Its facts come as deliveries, each stored whole; intervals are hours, not seconds."""

    brings_bills = True
    usual_interval_s = 6 * 3_600
    least_interval_s = 900
    most_interval_s = 24 * 3_600

    def fetch_bills(self, config: Mapping[str, Any], now: datetime) -> Iterator[BillPage]:
        """Every delivery that lies ready, oldest first. Raises FetchError."""
        raise NotImplementedError
