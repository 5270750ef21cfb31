"""Self-hosted models: how much of their GPUs' memory bandwidth they use, and who left early.

Knows the series of model servers, the sums of spans and what operators say of their models; the
definitions are in docs/measures.md. Refuses guesses: what is not known is None with what to do.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from ingest import gpu_bandwidth
from ingest.models import Gpu, Pool, Series, ServedModel
from ingest.sources.metrics import sets

from .book import REQUEST_KINDS, rows
from .filters import Filters
from .stamp import Stamped, newest, notes

TRITON_OK, TRITON_FAILED = "nv_inference_request_success", "nv_inference_request_failure"
VLLM_DONE = "vllm:request_success_total"
TOKEN_SUM, TOKEN_COUNT = (f"vllm:inter_token_latency_seconds_{part}" for part in ("sum", "count"))
NAMES = (
    TRITON_OK, TRITON_FAILED, VLLM_DONE, TOKEN_SUM, TOKEN_COUNT, sets.KV_CACHE_USED,
    sets.DRAM_ACTIVE,
)  # fmt: skip
CANCELLED, ABORTED = "CANCELED", "abort"
"""What Triton and vLLM call a request that its client gave up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerModel:
    """One model of one pool; the empty model stands for all of a pool whose models are unknown."""

    pool: str
    model: str
    hardware: str
    ended: float | None
    """Requests that ended one way or another, by the server's own count."""
    abandoned: float | None
    """Of these, the ones whose client gave them up."""
    tpot_ms: float | None
    """Mean time per output token after the first."""
    tpot_from: str
    """`server` or `requests`; empty when unknown."""
    parameter_bytes: int | None
    kv_cache_bytes: float | None
    """Of the KV cache, what was in use on average; None is left out of the bandwidth."""
    peak_bytes_per_s: float | None
    """Of all GPUs that one copy of the model is spread over."""
    bandwidth_used: float | None
    """Share of the peak, 0 to 1."""
    bandwidth_from: str
    """`measured`, `computed`, or empty when unknown."""
    note: str
    """What the share is, or why it is unknown and what to do."""

    @property
    def abandonment_rate(self) -> float | None:
        if self.abandoned is None or not self.ended:
            return None
        return self.abandoned / self.ended


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelServers(Stamped):
    models: tuple[ServerModel, ...]


@dataclass(slots=True)
class _Told:
    """What the series of one model of one pool say."""

    ended: float = 0.0
    abandoned: float = 0.0
    says_ended: bool = False
    says_abandoned: bool = False
    token_s: float = 0.0
    tokens: float = 0.0
    kv_weighted: float = 0.0
    kv_s: float = 0.0


@dataclass(slots=True)
class _Pool:
    models: dict[str, _Told] = field(default_factory=lambda: defaultdict(_Told))
    dram_weighted: float = 0.0
    dram_s: float = 0.0

    @property
    def dram_active(self) -> float | None:
        return self.dram_weighted / self.dram_s if self.dram_s else None


def model_servers(filters: Filters) -> ModelServers:
    """For members of the organisation; pools are shared, so filters by project change nothing."""
    pools = list(Pool.objects.order_by("name", "pk")) if filters.bills else []
    sources = notes(filters, usage=True, hardware=True) if pools else ()
    told, spans = (_told(filters), _spans(filters)) if pools else ({}, {})
    sizes: dict[int, dict[str, ServedModel]] = defaultdict(dict)
    for size in ServedModel.objects.all() if pools else ():
        sizes[size.pool_id][size.model] = size
    hardware = _hardware() if pools else {}
    models: list[ServerModel] = []
    for pool in pools:
        said = told.get(pool.pk, _Pool())
        by_spans = spans.get(pool.provider.lower(), {}) if pool.provider else {}
        names = {*said.models, *sizes[pool.pk], *by_spans}
        if not names and said.dram_active is not None:
            names = {""}
        gpus = hardware.get(pool.pk) or ((pool.hardware,) if pool.hardware else ())
        models += (
            _model(pool, name, said, by_spans.get(name), sizes[pool.pk].get(name), gpus)
            for name in sorted(names)
        )
    return ModelServers(
        models=tuple(models),
        as_of=newest(filters, sources),
        provisional=False,
        sources=sources,
    )


# ---- what is known -----------------------------------------------------------------------------

SERIES = """
SELECT series_id, sum(increase), sum(mean * covered_s), sum(covered_s)
FROM ingest_series_quarter
WHERE pool_id = ANY(%(pools)s) AND at >= %(start)s AND at < %(end)s AND series_id = ANY(%(series)s)
GROUP BY 1"""


def _told(filters: Filters) -> dict[int, _Pool]:
    known = {series.pk: series for series in Series.objects.filter(name__in=NAMES)}
    if not known:
        return {}
    given = {
        "pools": sorted({series.pool_id for series in known.values()}),
        "series": list(known),
        "start": filters.start_at,
        "end": filters.end_at,
    }
    pools: dict[int, _Pool] = defaultdict(_Pool)
    for pk, increase, weighted, seconds in rows(SERIES, given):
        series = known[pk]
        _take(pools[series.pool_id], series, increase, weighted or 0.0, seconds or 0.0)
    return pools


def _take(
    pool: _Pool, series: Series, increase: float | None, weighted: float, seconds: float
) -> None:
    if series.name == sets.DRAM_ACTIVE:
        pool.dram_weighted += weighted
        pool.dram_s += seconds
        return
    labels = series.labels
    told = pool.models[labels.get("model_name") or labels.get("model") or ""]
    if series.name == sets.KV_CACHE_USED:
        told.kv_weighted += weighted
        told.kv_s += seconds
    elif series.name == TOKEN_SUM:
        told.token_s += increase or 0.0
    elif series.name == TOKEN_COUNT:
        told.tokens += increase or 0.0
    elif increase is not None:
        # A server that tells no reasons cannot say who left: then it stays unknown.
        reason = labels.get("finished_reason" if series.name == VLLM_DONE else "reason")
        told.ended += increase
        told.says_ended = True
        told.says_abandoned |= reason is not None
        told.abandoned += increase if reason in (CANCELLED, ABORTED) else 0.0


SPANS = """
SELECT lower(provider), model, sum(tpot_ms_sum), sum(tpot_count)
FROM ingest_span_day
WHERE day >= %(start)s AND day < %(end)s AND kind = ANY(%(kinds)s)
    AND lower(provider) IN (SELECT lower(provider) FROM ingest_pool WHERE provider <> '')
GROUP BY 1, 2"""


def _spans(filters: Filters) -> dict[str, dict[str, float | None]]:
    """Provider → model → mean time per token, by the requests of every project."""
    given = {"start": filters.start, "end": filters.end, "kinds": list(REQUEST_KINDS)}
    found: dict[str, dict[str, float | None]] = defaultdict(dict)
    for provider, model, total, count in rows(SPANS, given):
        found[provider][model] = total / int(count) if count else None
    return found


def _hardware() -> dict[int, tuple[str, ...]]:
    found: dict[int, set[str]] = defaultdict(set)
    for pool, name in Gpu.objects.values_list("pool_id", "name"):
        found[pool].add(name)
    return {pool: tuple(sorted(names)) for pool, names in found.items()}


# ---- what follows from it ----------------------------------------------------------------------


def _model(
    pool: Pool,
    name: str,
    said: _Pool,
    span_tpot_ms: float | None,
    size: ServedModel | None,
    gpus: tuple[str, ...],
) -> ServerModel:
    # Not `said.models[name]`: to look must not make one.
    told = said.models.get(name, _Told())
    tpot_ms, tpot_from = span_tpot_ms, "requests" if span_tpot_ms is not None else ""
    if told.tokens:
        tpot_ms, tpot_from = 1000 * told.token_s / told.tokens, "server"
    peak = _peak(gpus, size)
    kv_bytes = _kv_bytes(told, size)
    used, origin, note = _bandwidth(name, said, tpot_ms, size, peak, kv_bytes, gpus)
    return ServerModel(
        pool=pool.name,
        model=name,
        hardware=", ".join(gpus),
        ended=told.ended if told.says_ended else None,
        abandoned=told.abandoned if told.says_abandoned else None,
        tpot_ms=tpot_ms,
        tpot_from=tpot_from,
        parameter_bytes=size.parameter_bytes if size else None,
        kv_cache_bytes=kv_bytes,
        peak_bytes_per_s=peak,
        bandwidth_used=used,
        bandwidth_from=origin,
        note=note,
    )


def _peak(gpus: tuple[str, ...], size: ServedModel | None) -> float | None:
    """A copy spread over several GPUs reads from all of them at once."""
    kinds = {gpu_bandwidth.of(name) for name in gpus}
    if len(kinds) != 1:
        return None
    [kind] = kinds
    gpus_of_copy: int = size.gpus if size else 1
    return kind.bytes_per_s * gpus_of_copy if kind else None


def _kv_bytes(told: _Told, size: ServedModel | None) -> float | None:
    if size is None or size.kv_cache_bytes is None or not told.kv_s:
        return None
    return size.kv_cache_bytes * told.kv_weighted / told.kv_s


def _bandwidth(
    name: str,
    said: _Pool,
    tpot_ms: float | None,
    size: ServedModel | None,
    peak: float | None,
    kv_bytes: float | None,
    gpus: tuple[str, ...],
) -> tuple[float | None, str, str]:
    """(share, where it comes from, what it is or why it is unknown)."""
    if said.dram_active is not None:
        note = "Measured by DCGM on the pool's GPUs, all models and idle time included."
        return said.dram_active, "measured", note
    missing = _missing(name, tpot_ms, size, peak, gpus)
    if missing or tpot_ms is None or size is None or peak is None:
        return None, "", missing
    used = (size.parameter_bytes + (kv_bytes or 0.0)) / (tpot_ms / 1000) / peak
    if used > 1:
        return None, "", (
            f"Computed {used:.0%}, which cannot be: check the bytes and GPUs given for the model. "
            "Speculative decoding and mixtures of experts read less than all parameters a token."
        )  # fmt: skip
    what = "parameters and KV cache" if kv_bytes is not None else "parameters alone, so at least"
    return used, "computed", f"Computed from {what}, while tokens were made."


def _missing(
    name: str,
    tpot_ms: float | None,
    size: ServedModel | None,
    peak: float | None,
    gpus: tuple[str, ...],
) -> str:
    if size is None:
        return (
            "Say how large the model is: manage.py served_model POOL "
            f"{name or 'MODEL'} --parameter-bytes 16e9. Or have DCGM export "
            "DCGM_FI_PROF_DRAM_ACTIVE."
        )
    if tpot_ms is None:
        return (
            "Time per output token is unknown: read vLLM's metrics, or send traces with the time "
            "of the first token."
        )
    if peak is None and not gpus:
        return "Name the pool's hardware, as in H100 SXM, or run gpu_probe on its hosts."
    if peak is None:
        return (
            f"The peak bandwidth of {', '.join(gpus)} is not in our list; name one GPU exactly, as "
            "in H100 SXM or A100 80GB PCIe."
        )
    return ""
