"""Scrapes one Prometheus /metrics address into readings.

Knows the text format and the quirks of those who write it. Refuses PromQL, guesses and floods:
NaN, infinity and "not supported" are left out and counted, and too many series stop the scrape.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ingest import outgoing
from ingest.records import MetricRecord, Reject, SeriesKey
from ingest.sources.base import BadConfig, FetchError, Page, PullSource, Setting

PREFIXES = ("nv_", "vllm:", "DCGM_", "process_", "node_")
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_TIMEOUT_S = 30.0
MAX_SERIES = 50_000
MAX_LABEL_CHARS = 500

DCGM_BLANKS = frozenset(
    float(start + offset)
    for start in (0x7FFFFFF0, 2**47, 0x7FFFFFFFFFFFFFF0)
    for offset in range(4)
)
"""What DCGM writes for blank, not found, not supported and not permitted."""

_COUNTER_LINE = re.compile(r"^\s*#\s*TYPE\s+(\S+)\s+counter\s*$", re.MULTILINE)


class PrometheusText(PullSource):
    kind = "prometheus_text"
    label = "Prometheus metrics"
    help = "Reads one /metrics address, such as Triton's, vLLM's or DCGM exporter's."
    owner = "pool"
    settings = (
        Setting("url", "URL", "Where the metrics are, as in http://triton:8002/metrics.", "", True),
        Setting("prefixes", "Prefixes", "Keep the metrics whose name starts so.", list(PREFIXES)),
        Setting("max_series", "Most series", "More than these stop the scrape.", 5_000),
        Setting("timeout_s", "Timeout (s)", "How long one scrape may take.", 10),
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        try:
            outgoing.check_url(checked["url"])
        except outgoing.Refused as refused:
            raise BadConfig("url", str(refused)) from None
        prefixes = checked["prefixes"]
        if not (
            isinstance(prefixes, list)
            and prefixes
            and all(isinstance(prefix, str) and prefix for prefix in prefixes)
        ):
            raise BadConfig("prefixes", 'must be a list of prefixes, as in ["nv_"].')
        _check_limit(checked, "max_series", MAX_SERIES)
        _check_limit(checked, "timeout_s", MAX_TIMEOUT_S)
        return checked

    def fetch(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Page]:
        """One page: what the address says now. There is no past to catch up with."""
        try:
            checked = self.check_config(config)
        except BadConfig as bad:
            raise FetchError(str(bad)) from None
        try:
            answer = outgoing.fetch(
                checked["url"], timeout_s=checked["timeout_s"], max_bytes=MAX_BODY_BYTES
            )
        except outgoing.Refused as refused:
            raise FetchError(str(refused)) from None
        if answer.status != 200:
            raise FetchError(f"The address answered {answer.status}; check the URL.")
        records, rejects = parse(answer.content, now, tuple(checked["prefixes"]))
        if len(records) > checked["max_series"]:
            raise FetchError(
                f"The address has {len(records):,} series, more than {checked['max_series']:,};"
                " narrow the prefixes or raise max_series."
            )
        yield Page(records, rejects, {"at": now.isoformat()})


def _check_limit(checked: Mapping[str, Any], name: str, most: float) -> None:
    value = checked[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise BadConfig(name, f"must be a number above 0, at most {most:g}.")


def parse(
    body: bytes, now: datetime, prefixes: tuple[str, ...]
) -> tuple[list[MetricRecord], list[Reject]]:
    """The wanted readings in an exposition, all stamped with the time of the scrape."""
    text = _text(body)
    plain_counters = {name for name in _COUNTER_LINE.findall(text) if not name.endswith("_total")}
    readings: dict[SeriesKey, MetricRecord] = {}
    rejects: list[Reject] = []
    try:
        for family in text_string_to_metric_families(text):
            if not family.name.startswith(prefixes):
                continue
            for sample in family.samples:
                name = sample.name
                # The parser gives every counter the suffix that Triton's do not have.
                if family.type == "counter" and family.name in plain_counters:
                    name = family.name
                series = SeriesKey(name, _kind(family.type, name, sample), "", _labels(sample))
                if _is_gap(sample):
                    continue
                problem = _problem(name, sample.value, series in readings)
                if problem:
                    rejects.append(Reject(*problem, external_id=name))
                else:
                    readings[series] = MetricRecord(series, now, float(sample.value))
    except (ValueError, KeyError, IndexError):
        raise FetchError(
            "The answer is not in Prometheus' text format; check that the URL ends in /metrics."
        ) from None
    return list(readings.values()), rejects


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise FetchError("The answer is not UTF-8 text; check the URL.") from None


def _kind(family: str, name: str, sample: Sample) -> str:
    """A summary's and a histogram's counts, sums and buckets only grow: they are counters."""
    if "quantile" in sample.labels:
        return "summary"
    if family in ("summary", "histogram") or "le" in sample.labels:
        return "counter"
    return {"counter": "counter", "gauge": "gauge"}.get(family, "untyped")


def _labels(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value[:MAX_LABEL_CHARS].replace("\0", "\ufffd"))
        for name, value in sorted(sample.labels.items())
    )


def _is_gap(sample: Sample) -> bool:
    """A quantile of no observations is NaN: nothing happened, and nothing is wrong."""
    return "quantile" in sample.labels and math.isnan(sample.value)


def _problem(name: str, value: float, is_known: bool) -> tuple[str, str, str] | None:
    if not math.isfinite(value):
        return "not_finite", "value", "NaN and infinity are no readings; this one was left out."
    if name.startswith("DCGM_") and float(value) in DCGM_BLANKS:
        return "not_supported", "value", "The exporter says that it cannot measure this."
    if is_known:
        return "repeated_series", "labels", "The same series stands twice; the first one counts."
    return None
