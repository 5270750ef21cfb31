"""Where facts come from: one file per kind of source, and the one list of them.

A new kind is a new file here and a line in REGISTRY.
"""

from .base import Source
from .focus_csv import FocusCsv
from .gpu import GpuProbe
from .otlp import Otlp
from .prometheus_text import PrometheusText
from .request_log import RequestLog
from .triton_statistics import TritonStatistics

REGISTRY: dict[str, Source] = {
    adapter.kind: adapter
    for adapter in (
        Otlp(),
        RequestLog(),
        PrometheusText(),
        TritonStatistics(),
        GpuProbe(),
        FocusCsv(),
    )
}
