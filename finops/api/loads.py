"""How loaded hosts, model servers and GPU memory were."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, FloatField, Serializer

from finops.queries.loads import loads

from .base import Api, told
from .parameters import FILTERS, read_filters
from .shapes import StampedShape


class HostShape(Serializer):
    pool = CharField()
    host = CharField()
    cpus = FloatField(allow_null=True)
    cpu_busy = FloatField(allow_null=True, help_text="Share of CPU time not idle, 0 to 1.")
    memory_total_bytes = FloatField(allow_null=True)
    memory_used = FloatField(allow_null=True, help_text="Mean share, 0 to 1.")
    load_1m = FloatField(allow_null=True)
    runnable = FloatField(allow_null=True, help_text="Processes that run or wait for a CPU.")
    blocked = FloatField(allow_null=True, help_text="Processes that wait for a disk.")


class ServingShape(Serializer):
    pool = CharField()
    model = CharField()
    server = CharField()
    running = FloatField(allow_null=True, help_text="Requests answered at once, on average.")
    running_most = FloatField(allow_null=True)
    waiting = FloatField(allow_null=True, help_text="Requests in the queue, on average.")
    waiting_most = FloatField(allow_null=True)
    kv_cache_used = FloatField(allow_null=True, help_text="Mean share, 0 to 1.")
    kv_cache_most = FloatField(allow_null=True)


class GpuMemoryShape(Serializer):
    pool = CharField()
    gpu = CharField()
    dram_active = FloatField(allow_null=True, help_text="Share of bandwidth used, 0 to 1.")
    memory_busy = FloatField(allow_null=True, help_text="Share of time in use, 0 to 1.")


class LoadsShape(StampedShape):
    """null is unknown: nothing was observed."""

    hosts = HostShape(many=True)
    servers = ServingShape(many=True)
    memory = GpuMemoryShape(many=True)


class Loads(Api):
    permissions = {"GET": "finops.view_bills"}
    over_everything = True

    @told(
        "Hosts, model servers and GPU memory: CPU, memory, concurrency, queue and KV cache",
        LoadsShape,
        parameters=FILTERS,
        name="loads",
        group="GPUs",
    )
    def get(self, request: Request) -> Response:
        return self.answer(LoadsShape, loads(read_filters(request)))
