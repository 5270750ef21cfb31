"""Reads Triton's own statistics: how long its executions took, each counted once.

Knows GET /v2/models/stats. Refuses to guess: an answer without the counts it needs is a reject, and
a model that is not loaded has no reading. Its counters begin again at every full reload of a model,
as those of a restarted server do; whoever sums them up takes a fall for a reset.

Why beside `prometheus_text`: Triton's Prometheus counters of compute time count the time of a batch
once for each request in it, so they say 8 s for one second of work on batches of eight.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ingest import outgoing
from ingest.records import MetricRecord, Reject, SeriesKey
from ingest.sources.base import BadConfig, FetchError, Page, PullSource, Setting

EXECUTION_SECONDS = "triton_model_execution_seconds"
"""Seconds in which an instance moved data in, computed or moved data out, batch by batch."""

EXECUTIONS = "triton_model_executions"
REQUESTS_OK = "triton_model_requests_ok"
REQUESTS_FAILED = "triton_model_requests_failed"

UNITS = {EXECUTION_SECONDS: "s", EXECUTIONS: "", REQUESTS_OK: "", REQUESTS_FAILED: ""}

PATH = "/v2/models/stats"
WORK = ("compute_input", "compute_infer", "compute_output")
NANOSECONDS = 1e9
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_MODELS = 5_000
MAX_TIMEOUT_S = 30.0
MAX_LABEL_CHARS = 500


class TritonStatistics(PullSource):
    kind = "triton_statistics"
    label = "Triton statistics"
    help = "Reads how long Triton's models really worked, each batch counted once."
    owner = "pool"
    settings = (
        Setting(
            "url",
            "URL",
            "Where Triton answers HTTP, as in http://triton:8000.",
            "",
            True,
            address=True,
        ),
        Setting(
            "routers",
            "Routers",
            "Models that only pass requests on; while they wait for others they do no work.",
            [],
        ),
        Setting("timeout_s", "Timeout (s)", "How long one reading may take.", 10),
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        try:
            outgoing.check_url(checked["url"])
        except outgoing.Refused as refused:
            raise BadConfig("url", str(refused)) from None
        routers, timeout_s = checked["routers"], checked["timeout_s"]
        if not isinstance(routers, list) or not all(isinstance(name, str) for name in routers):
            raise BadConfig("routers", 'must be a list of names, as in ["gate"].')
        if (
            isinstance(timeout_s, bool)
            or not isinstance(timeout_s, int | float)
            or not 0 < timeout_s <= MAX_TIMEOUT_S
        ):
            raise BadConfig("timeout_s", f"must be a number above 0, at most {MAX_TIMEOUT_S:g}.")
        return checked

    def fetch(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Page]:
        """One page: what the server says now. There is no past to catch up with."""
        try:
            checked = self.check_config(config)
        except BadConfig as bad:
            raise FetchError(str(bad)) from None
        try:
            answer = outgoing.fetch(
                checked["url"].rstrip("/").removesuffix(PATH) + PATH,
                timeout_s=checked["timeout_s"],
                max_bytes=MAX_BODY_BYTES,
            )
        except outgoing.Refused as refused:
            raise FetchError(str(refused)) from None
        if answer.status != 200:
            raise FetchError(
                f"The address answered {answer.status}; give Triton's HTTP address, not that of"
                " its metrics."
            )
        records, rejects = parse(answer.content, now, frozenset(checked["routers"]))
        yield Page(records, rejects, {"at": now.isoformat()})


def parse(
    body: bytes, now: datetime, routers: frozenset[str] = frozenset()
) -> tuple[list[MetricRecord], list[Reject]]:
    """The readings of each model and version, all stamped with the time of the reading."""
    records: list[MetricRecord] = []
    rejects: list[Reject] = []
    for model in _models(body):
        try:
            labels, values = _labels(model), _values(model)
            if model["name"] in routers:
                values[EXECUTION_SECONDS] = 0.0
        except (KeyError, TypeError, AttributeError):
            name = model.get("name", "") if isinstance(model, dict) else ""
            detail = "This model's statistics lack the counts of batches; update Triton."
            rejects.append(Reject("no_counts", "batch_stats", detail, external_id=str(name)[:200]))
            continue
        records += (
            MetricRecord(SeriesKey(name, "counter", UNITS[name], labels), now, value)
            for name, value in values.items()
        )
    return records, rejects


def _models(body: bytes) -> list[Any]:
    try:
        models = json.loads(body)["model_stats"]
    except (ValueError, KeyError, TypeError):
        models = None
    if not isinstance(models, list):
        raise FetchError(
            "The answer is not Triton's statistics; check that the URL is its HTTP address."
        )
    if len(models) > MAX_MODELS:
        raise FetchError(f"The server has {len(models):,} models, more than {MAX_MODELS:,}.")
    return models


def _labels(model: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (label, str(model[name])[:MAX_LABEL_CHARS].replace("\0", "\ufffd"))
        for label, name in (("model", "name"), ("version", "version"))
    )


def _values(model: Mapping[str, Any]) -> dict[str, float]:
    """`inference_stats` has a batch's time once per request in it; `batch_stats` has it once."""
    worked_ns = sum(batch[work]["ns"] for batch in model["batch_stats"] for work in WORK)
    requests = model["inference_stats"]
    return {
        EXECUTION_SECONDS: worked_ns / NANOSECONDS,
        EXECUTIONS: float(model["execution_count"]),
        REQUESTS_OK: float(requests["success"]["count"]),
        REQUESTS_FAILED: float(requests["fail"]["count"]),
    }
