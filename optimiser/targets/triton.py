"""One model of a Triton server as a target: read it, change it, put it back, count its work.

Knows Triton's model control over HTTP, what its errors mean, and that its answer "OK" proves
nothing: what counts is what is read back. Refuses to send a part of a config (it would replace the
whole), to load without one (that undoes nothing), to unload, and to send files. Who may change
the model at this moment is the rollout's lease; loads that cross are applied in any order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.parse import urlsplit

import gevent
import gevent.ssl
from gevent._hub_local import get_hub_if_exists
from tritonclient.http import InferenceServerClient as Client
from tritonclient.utils import InferenceServerException

from optimiser.plan import difference, listed
from optimiser.targets import model_config
from optimiser.targets.base import Config, Statistics, Target, TargetError

ADMIN_HEADER = "admin-key"
NANOSECONDS = 1_000_000_000
PHASES = ("compute_input", "compute_infer", "compute_output")

BUSY = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TritonModel(Target):
    """`timeout_s` bounds each whole operation, however many calls it makes."""

    url: str
    admin_key: str = field(repr=False)
    model_name: str
    timeout_s: float

    def read(self) -> Config:
        return self._within_time(self._read)

    def apply(self, config: Config) -> Config:
        """Sends nothing when the config is wrong, touches more than it may, or is live already."""
        wrong = self.problems(config)
        if wrong:
            raise TargetError(wrong[0], retriable=False)
        return self._within_time(lambda client: self._put(client, config, checked=True))

    def restore(self, config: Config) -> Config:
        """A snapshot was live once, so only its form is checked: coming back must always work."""
        try:
            self.canonical(config)
        except ValueError as error:
            raise TargetError(f"The stored config is damaged: {error}", retriable=False) from error
        return self._within_time(lambda client: self._put(client, config, checked=False))

    def is_ready(self) -> bool:
        try:
            return self._within_time(lambda client: bool(client.is_model_ready(self.model_name)))
        except TargetError:
            return False

    def statistics(self) -> Statistics:
        said = self._within_time(lambda client: client.get_inference_statistics(self.model_name))
        return counted(self.model_name, said["model_stats"], datetime.now(UTC))

    def problems(
        self, config: Mapping[str, Any], live: Mapping[str, Any] | None = None
    ) -> list[str]:
        return model_config.problems(self.model_name, config, live)

    def canonical(self, config: Mapping[str, Any]) -> Config:
        return model_config.canonical(config)

    # One operation, step by step

    def _put(self, client: Client, config: Config, *, checked: bool) -> Config:
        """1. Read. 2. Equal already: done. 3. Refuse what may not change. 4. Load. 5. Read back."""
        live = self._read_if_loaded(client)
        if live is not None:
            if self.canonical(live) == self.canonical(config):
                return live
            refused = model_config.forbidden(live, config) if checked else []
            if refused:
                raise TargetError(refused[0], retriable=False)
        elif checked:
            raise TargetError(f"{self._model} is not loaded.", retriable=False)
        text = json.dumps(config, allow_nan=False)
        client.load_model(self.model_name, headers=self._key, config=text)
        back = self._read(client)
        moved = difference(self.canonical(config), self.canonical(back))
        if moved:
            raise TargetError(
                f"{self._model} took the config but reads back otherwise: {listed(moved)}.",
                retriable=True,
            )
        return back

    def _read(self, client: Client) -> Config:
        found: Config = client.get_model_config(self.model_name)
        return found

    def _read_if_loaded(self, client: Client) -> Config | None:
        """None after somebody unloaded it: a snapshot brings it back."""
        try:
            return self._read(client)
        except InferenceServerException as error:
            if _is_unknown_model(error):
                return None
            raise

    # Talking to the server

    @property
    def _model(self) -> str:
        return f"{self.model_name} on {self.url}"

    @property
    def _key(self) -> dict[str, str]:
        return {ADMIN_HEADER: self.admin_key} if self.admin_key else {}

    def _within_time(self, operation: Callable[[Client], Result]) -> Result:
        with own_loop():
            # The client's own limits are per read from the socket: a slow drip would pass them.
            alarm = gevent.Timeout(self.timeout_s)
            with self._explained(alarm), alarm, self._client() as client:
                return operation(client)

    @contextmanager
    def _client(self) -> Iterator[Client]:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TargetError(
                f"{self.url!r} is no address of a Triton: write http://host:8000.", retriable=False
            )
        client = Client(
            f"{parts.netloc}{parts.path.rstrip('/')}",
            ssl=parts.scheme == "https",
            ssl_context_factory=gevent.ssl.create_default_context,
            connection_timeout=self.timeout_s,
            network_timeout=self.timeout_s,
        )
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def _explained(self, alarm: gevent.Timeout) -> Iterator[None]:
        """Whatever goes wrong becomes one TargetError that says whether to try again."""
        try:
            yield
        except InferenceServerException as error:
            raise self._refusal(error) from error
        except gevent.Timeout as error:
            if error is not alarm:
                raise
            raise self._too_slow() from error
        except TimeoutError as error:
            raise self._too_slow() from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise TargetError(
                f"Triton at {self.url} cannot be reached ({reason}): check that it runs and that "
                "the address is right.",
                retriable=True,
            ) from error
        except (HTTPException, ValueError, KeyError, TypeError) as error:
            raise TargetError(
                f"What answers at {self.url} is not Triton, or its answer was cut short.",
                retriable=True,
            ) from error

    def _too_slow(self) -> TargetError:
        return TargetError(
            f"Triton at {self.url} did not finish within {self.timeout_s:g} s; what it did is "
            "unknown until its config is read.",
            retriable=True,
        )

    def _refusal(self, error: InferenceServerException) -> TargetError:
        status, said = error.status(), " ".join(str(error.message()).split())[:300]
        if status in ("401", "403"):
            return TargetError(
                f"Triton at {self.url} refuses the admin key: enter the one that Triton was "
                "started with.",
                retriable=False,
            )
        if _is_unknown_model(error):
            return TargetError(
                f"{self._model} is not loaded: load it, or correct the model's name.",
                retriable=False,
            )
        if status == "404":
            return TargetError(f"What answers at {self.url} is not Triton.", retriable=False)
        if "failed to poll from model repository" in said:
            return TargetError(
                f"Triton could not use this config for {self.model_name}; its log says why and the "
                "old config keeps serving.",
                retriable=False,
            )
        # Without a status it is the client that speaks: the connection ended before the answer.
        passing = not status or (status.isdigit() and int(status) in BUSY)
        return TargetError(f"Triton at {self.url}: {said}", retriable=passing)


@contextmanager
def own_loop() -> Iterator[None]:
    """Give back the event loop that the client makes for this thread: it would outlive it.

    One that was here before stays, somebody else is using it.
    """
    was_here = get_hub_if_exists() is not None
    try:
        yield
    finally:
        hub = get_hub_if_exists()
        if hub is not None and not was_here:
            hub.destroy(destroy_loop=True)


def _is_unknown_model(error: InferenceServerException) -> bool:
    said = str(error.message())
    return "unknown model" in said or ("requested model" in said and "not available" in said)


def counted(model: str, versions: list[dict[str, Any]], at: datetime) -> Statistics:
    """Sums of a statistics answer over the model's versions.

    Busy time comes from `batch_stats`. The durations of `inference_stats`, and Prometheus's, add
    an execution once for every request of its batch.
    """
    batches = [batch for version in versions for batch in version.get("batch_stats", [])]
    by_size: dict[int, int] = {}
    for batch in batches:
        size = int(batch["batch_size"])
        by_size[size] = by_size.get(size, 0) + int(batch["compute_infer"]["count"])
    busy_ns = sum(int(batch[phase]["ns"]) for batch in batches for phase in PHASES)
    return Statistics(
        model=model,
        at=at,
        requests_ok=sum(int(one["inference_stats"]["success"]["count"]) for one in versions),
        failed=sum(int(one["inference_stats"]["fail"]["count"]) for one in versions),
        executions=sum(int(one["execution_count"]) for one in versions),
        busy_s=busy_ns / NANOSECONDS,
        executions_by_batch_size=by_size,
    )
