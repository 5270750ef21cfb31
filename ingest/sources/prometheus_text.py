"""Scrapes one /metrics address into readings.

Knows the text format and the quirks of those who write it; what the names mean it leaves to
`metrics`, so that its series are those that a Prometheus server gives. Refuses PromQL and guesses:
NaN, infinity and "not supported" are left out and counted, and a flood of series costs itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ingest import outgoing
from ingest.sources.base import BadConfig, FetchError, Page, PullSource, Setting
from ingest.sources.metrics import credentials, thinning
from ingest.sources.metrics.readings import Readings, Said, is_wanted, labels_of, read
from ingest.sources.metrics.sets import LABELS, SETS

PREFIXES = ("nv_", "vllm:", "DCGM_", "process_")
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_TIMEOUT_S = 30.0
MAX_SERIES = 50_000

_COUNTER_LINE = re.compile(r"^\s*#\s*TYPE\s+(\S+)\s+counter\s*$", re.MULTILINE)


class PrometheusText(PullSource):
    kind = "prometheus_text"
    label = "Prometheus metrics"
    help = "Reads one /metrics address: Triton's, vLLM's, DCGM exporter's or node exporter's."
    owner = "pool"
    most_interval_s = 300
    """Readings further apart say nothing about the time between them."""
    settings = (
        Setting(
            "url",
            "URL",
            "Where the metrics are, as in http://triton:8002/metrics.",
            "",
            True,
            address=True,
        ),
        *credentials.SETTINGS,
        Setting("sets", "Sets", f"Ready-made sets: {', '.join(SETS)}.", list(SETS)),
        Setting("prefixes", "Prefixes", "Keep also what begins so, as it is.", list(PREFIXES)),
        Setting("max_series", "Most series", "Metrics with the most series go first.", 5_000),
        Setting("timeout_s", "Timeout (s)", "How long one scrape may take.", 10),
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        try:
            outgoing.check_url(checked["url"])
        except outgoing.Refused as refused:
            raise BadConfig("url", str(refused)) from None
        credentials.check(checked)
        sets, prefixes = checked["sets"], checked["prefixes"]
        if not isinstance(sets, list) or not all(name in SETS for name in sets):
            raise BadConfig("sets", f'must be a list from {", ".join(SETS)}, as in ["triton"].')
        if not (
            isinstance(prefixes, list)
            and all(isinstance(prefix, str) and prefix for prefix in prefixes)
        ):
            raise BadConfig("prefixes", 'must be a list of prefixes, as in ["nv_"].')
        if not sets and not prefixes:
            raise BadConfig("sets", "is empty and there are no prefixes; name at least one set.")
        _check_limit(checked, "max_series", MAX_SERIES)
        _check_limit(checked, "timeout_s", MAX_TIMEOUT_S)
        return checked

    def fetch(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Page]:
        """One page: what the address says now. There is no past to catch up with."""
        checked, found = self._read(config, now)
        found = thinning.within(found, int(checked["max_series"]))
        yield Page(found.records, found.rejects, {"at": now.isoformat()}, gpus=found.gpus)

    def check(self, config: Mapping[str, Any]) -> str:
        """What a scrape brings now, set by set, without keeping it."""
        now = datetime.now(UTC)
        checked, found = self._read(config, now)
        told = {record.series.name for record in found.records}
        gpus = sum(len(batch.readings) for batch in found.gpus)
        said = [f"The address answers with {len(found.records):,} series"]
        if gpus:
            said.append(f"{gpus:,} GPUs are read")
        for name in checked["sets"]:
            own = {metric.name for metric in SETS[name] if not metric.gpu}
            if own & told:
                said.append(f"{len(own & told)} of {len(own)} of the {LABELS[name]} set are there")
        return "; ".join(said) + "."

    def _read(self, config: Mapping[str, Any], now: datetime) -> tuple[dict[str, Any], Readings]:
        try:
            checked = self.check_config(config)
        except BadConfig as bad:
            raise FetchError(str(bad)) from None
        try:
            answer = outgoing.fetch(
                checked["url"],
                timeout_s=checked["timeout_s"],
                max_bytes=MAX_BODY_BYTES,
                headers=credentials.headers(checked),
            )
        except outgoing.Refused as refused:
            raise FetchError(str(refused)) from None
        if answer.status in (401, 403):
            raise FetchError(
                f"The address answered {answer.status}; check the user name and password, or the"
                " token."
            )
        if answer.status != 200:
            raise FetchError(f"The address answered {answer.status}; check the URL.")
        found = parse(
            answer.content,
            now,
            tuple(checked["prefixes"]),
            sets=tuple(checked["sets"]),
            instance=instance_of(checked["url"]),
        )
        return checked, found


def instance_of(url: str) -> str:
    """The address as Prometheus labels it."""
    parsed = httpx.URL(url)
    port = parsed.port or outgoing.DEFAULT_PORTS[parsed.scheme]
    return f"[{parsed.host}]:{port}" if ":" in parsed.host else f"{parsed.host}:{port}"


def _check_limit(checked: Mapping[str, Any], name: str, most: float) -> None:
    value = checked[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise BadConfig(name, f"must be a number above 0, at most {most:g}.")


def parse(
    body: bytes,
    now: datetime,
    prefixes: tuple[str, ...],
    *,
    sets: tuple[str, ...] = tuple(SETS),
    instance: str = "",
) -> Readings:
    """The wanted readings in an exposition, all stamped with the time of the scrape."""
    try:
        said = list(_said(_text(body), now, frozenset(sets), prefixes, instance))
    except (ValueError, KeyError, IndexError):
        raise FetchError(
            "The answer is not in Prometheus' text format; check that the URL ends in /metrics."
        ) from None
    return read(said, sets, prefixes)


def _said(
    text: str, now: datetime, sets: frozenset[str], prefixes: tuple[str, ...], instance: str
) -> Iterator[Said]:
    plain_counters = {name for name in _COUNTER_LINE.findall(text) if not name.endswith("_total")}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name
            # The parser gives every counter the suffix that Triton's do not have.
            if family.type == "counter" and family.name in plain_counters:
                name = family.name
            if not is_wanted(name, sets, prefixes):
                continue
            labels = sample.labels
            if instance:
                labels = _with_instance(labels, instance)
            kind = _kind(family.type, sample)
            yield Said(name, labels_of(labels), [(now, float(sample.value))], kind)


def _with_instance(labels: Mapping[str, str], instance: str) -> dict[str, str]:
    """As Prometheus does: what the exporter calls so itself steps aside."""
    moved = dict(labels)
    if "instance" in moved:
        moved["exported_instance"] = moved["instance"]
    return moved | {"instance": instance}


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise FetchError("The answer is not UTF-8 text; check the URL.") from None


def _kind(family: str, sample: Sample) -> str:
    """A summary's and a histogram's counts, sums and buckets only grow: they are counters."""
    if "quantile" in sample.labels:
        return "summary"
    if family in ("summary", "histogram") or "le" in sample.labels:
        return "counter"
    return {"counter": "counter", "gauge": "gauge"}.get(family, "untyped")
