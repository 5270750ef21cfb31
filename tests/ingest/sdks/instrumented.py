"""Run by test_sdks in an environment of its own: OpenAI and Anthropic clients under OpenTelemetry.

Arguments: the instrumentation, the stub of the providers, a file of calls. Where traces go to comes
from OpenTelemetry's own variables, as in production.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

INSTRUMENTORS = {
    "opentelemetry": ["opentelemetry.instrumentation.openai_v2.OpenAIInstrumentor"],
    "openinference": ["openinference.instrumentation.openai.OpenAIInstrumentor"],
    "traceloop": [
        "opentelemetry.instrumentation.openai.OpenAIInstrumentor",
        "opentelemetry.instrumentation.anthropic.AnthropicInstrumentor",
    ],
}

kind, stub, file = sys.argv[1:]
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
for place in INSTRUMENTORS[kind]:
    module, _, name = place.rpartition(".")
    getattr(import_module(module), name)().instrument(tracer_provider=provider)


def call(number, vendor, request):
    if vendor == "anthropic":
        from anthropic import Anthropic

        client = Anthropic(api_key="x", base_url=f"{stub}/{number}", max_retries=0)
        return client.messages.create(**request)
    from openai import OpenAI

    client = OpenAI(api_key="x", base_url=f"{stub}/{number}/v1", max_retries=0)
    return client.chat.completions.create(**request)


tracer = trace.get_tracer("program")
for number, vendor, request in json.loads(Path(file).read_text(encoding="utf-8")):
    with tracer.start_as_current_span(f"exchange {number}"):
        answer = call(number, vendor, request)
        if request.get("stream"):
            for _ in answer:
                pass
provider.shutdown()
