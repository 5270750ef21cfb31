"""What the instrumentations of LLM calls call the things we record.

One table for OpenTelemetry's GenAI conventions (old and new), OpenInference, Traceloop, vLLM and
Langfuse's own attributes. Knows names; refuses to read a span.
"""

from __future__ import annotations

ALIASES: dict[str, tuple[str, ...]] = {
    # What we call it: what others call it, the most trustworthy first.
    "operation": ("gen_ai.operation.name",),
    "span_kind": (
        "openinference.span.kind",
        "langfuse.observation.type",
        "traceloop.span.kind",
        "llm.request.type",
    ),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "model": (
        "gen_ai.response.model",
        "llm.response.model",
        "llm.model_name",
        "embedding.model_name",
        "langfuse.observation.model.name",
        "triton.model_name",
    ),
    "request_model": ("gen_ai.request.model", "llm.request.model"),
    "tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "gen_ai.response.service_tier",
        "openai.request.service_tier",
        "gen_ai.openai.request.service_tier",
        "gen_ai.request.service_tier",
    ),
    "user_id": (
        "user.id",
        "enduser.id",
        "langfuse.user.id",
        "traceloop.association.properties.user_id",
    ),
    "session_id": (
        "session.id",
        "gen_ai.conversation.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
    ),
    "error_type": ("error.type",),
    "input": (
        "gen_ai.usage.input_tokens",
        "llm.token_count.prompt",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
    ),
    "output": (
        "gen_ai.usage.output_tokens",
        "llm.token_count.completion",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
    ),
    "total": (
        "gen_ai.usage.total_tokens",
        "llm.token_count.total",
        "llm.usage.total_tokens",
    ),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.token_count.prompt_details.cache_read",
        "llm.usage.cache_read_input_tokens",
    ),
    "cache_write_5m": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "llm.token_count.prompt_details.cache_write",
        "llm.usage.cache_creation_input_tokens",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens",
    ),
    "audio_input": ("llm.token_count.prompt_details.audio",),
    "audio_output": ("llm.token_count.completion_details.audio",),
    "ttft_s": (
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.ttft",
        "gen_ai.latency.time_to_first_token",
    ),
    "cost_usd": ("gen_ai.usage.cost", "llm.cost.total"),
    "langfuse_usage": ("langfuse.observation.usage_details",),
    "langfuse_cost": ("langfuse.observation.cost_details",),
    "langfuse_first_token_at": ("langfuse.observation.completion_start_time",),
}

COUNTS = frozenset({
    "audio_input", "audio_output", "cache_read", "cache_write_5m", "input", "output",
    "reasoning", "total",
})  # fmt: skip
NUMBERS = frozenset({"ttft_s", "cost_usd"})

LANGFUSE_USAGE = {
    # Langfuse's own details are disjoint already.
    "input": "input",
    "output": "output",
    "input_cached_tokens": "cache_read",
    "input_cache_read": "cache_read",
    "cache_read_input_tokens": "cache_read",
    "input_cache_creation": "cache_write_5m",
    "cache_creation_input_tokens": "cache_write_5m",
    "input_cache_creation_5m": "cache_write_5m",
    "input_cache_creation_1h": "cache_write_1h",
    "output_reasoning_tokens": "reasoning",
    "output_reasoning": "reasoning",
    "input_audio_tokens": "audio_input",
    "input_audio": "audio_input",
    "output_audio_tokens": "audio_output",
    "output_audio": "audio_output",
    "input_image": "image_input",
}

KINDS = {
    # gen_ai.operation.name
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "embeddings": "embedding",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "chain",
    "retrieval": "retriever",
    "inference": "inference",
    "rerank": "rerank",
    # openinference.span.kind, langfuse.observation.type, traceloop.span.kind, llm.request.type
    "llm": "llm",
    "generation": "llm",
    "completion": "llm",
    "embedding": "embedding",
    "reranker": "rerank",
    "retriever": "retriever",
    "tool": "tool",
    "agent": "agent",
    "chain": "chain",
    "workflow": "chain",
    "task": "chain",
    "guardrail": "guardrail",
    "evaluator": "evaluator",
    "span": "span",
    "event": "span",
    "prompt": "span",
    "decision": "span",
}

MODEL_SERVERS = frozenset(
    {"triton", "kserve", "torchserve", "tensorflow_serving", "bentoml", "ray_serve", "seldon"}
)
"""They serve any model, so a call to them without tokens is an inference, not an unmetered LLM."""

PROVIDERS = {
    # Other spellings → the price book's.
    "amazon_bedrock": "aws",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google_genai": "google",
    "google_generativeai": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot_ai": "moonshotai",
    "nvidia.triton": "triton",
    "triton_inference_server": "triton",
    "together_ai": "together",
    "togetherai": "together",
    "x_ai": "x-ai",
    "xai": "x-ai",
}

TIERS = {"": "standard", "auto": "standard", "default": "standard", "standard_only": "standard"}

FIRST_TOKEN_EVENTS = frozenset(
    {"First Token Stream Event", "gen_ai.content.completion.chunk", "gen_ai.first_token"}
)
EVALUATION_EVENT = "gen_ai.evaluation.result"
TEXT_EVENTS = frozenset(
    {
        "gen_ai.client.inference.operation.details",
        "gen_ai.content.completion",
        "gen_ai.content.prompt",
    }
)
"""Events whose attributes are prompts and answers."""

PROMPTS = (
    # Where the prompt may stand, the best place first; what stands in one place belongs together.
    # A dot at the end: numbered messages follow.
    ("gen_ai.system_instructions", "gen_ai.input.messages"),
    ("gen_ai.prompt.", "llm.input_messages.", "llm.prompts."),
    ("langfuse.observation.input",),
    ("ai.prompt.messages",),
    ("ai.prompt",),
    ("gen_ai.prompt",),
    ("llm.prompts",),
    ("embedding.embeddings.",),
    ("gen_ai.retrieval.query.text",),
    ("gen_ai.tool.call.arguments",),
    ("input.value",),
    ("traceloop.entity.input",),
)
ANSWERS = (
    ("gen_ai.output.messages",),
    ("gen_ai.completion.", "llm.output_messages.", "llm.completions."),
    ("langfuse.observation.output",),
    ("ai.response.text",),
    ("gen_ai.completion",),
    ("llm.completions",),
    ("gen_ai.tool.call.result",),
    ("output.value",),
    ("traceloop.entity.output",),
)


def provider(name: str) -> str:
    plain = name.strip().lower()
    return PROVIDERS.get(plain, plain)


def tier(name: str) -> str:
    plain = name.strip().lower()
    return TIERS.get(plain, plain)
