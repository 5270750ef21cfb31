"""Where facts come from: one file per kind of source, and the one list of them.

A new kind is a new file here and a line in REGISTRY.
"""

from .aws_cost_explorer import AwsCostExplorer
from .base import Source
from .bill_file import BillFile
from .elasticsearch import Elasticsearch
from .focus_csv import FocusCsv
from .gpu import GpuProbe
from .langfuse import Langfuse
from .loki import Loki
from .otlp import Otlp
from .prometheus import Prometheus
from .prometheus_text import PrometheusText
from .request_log import RequestLog
from .s3_bills import S3Bills
from .triton_statistics import TritonStatistics

REGISTRY: dict[str, Source] = {
    adapter.kind: adapter
    for adapter in (
        Otlp(),
        Langfuse(),
        RequestLog(),
        Loki(),
        Elasticsearch(),
        Prometheus(),
        PrometheusText(),
        TritonStatistics(),
        GpuProbe(),
        FocusCsv(),
        BillFile(),
        S3Bills(),
        AwsCostExplorer(),
    )
}
