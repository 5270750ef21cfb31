"""Environments with the SDKs and instrumentations people use: pinned, no part of the product."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from uv import find_uv_bin

EXPORTER = ("opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-http==1.45.2")
PINS = {
    "langfuse-2": ("langfuse==2.60.10",),
    "langfuse-3": ("langfuse==3.15.0",),
    "langfuse-4": ("langfuse==4.18.0",),
    "langfuse-5": ("langfuse==5.0.4",),
    "opentelemetry": (
        "opentelemetry-instrumentation-openai-v2==2.4b0",
        "opentelemetry-util-genai==1.0b0",
        "openinference-instrumentation-openai==0.1.31",
        "openai==1.109.1",
        "wrapt==1.17.3",
        *EXPORTER,
    ),
    "traceloop": (
        "opentelemetry-instrumentation-openai==0.62.4",
        "opentelemetry-instrumentation-anthropic==0.62.4",
        "openai==3.52.0",
        "anthropic==2.11.0",
        *EXPORTER,
    ),
}
MAKING_S = 240


def make(folder: Path, pins: Sequence[str]) -> tuple[Path, str | None]:
    """Its Python, and why it cannot be had."""
    python = folder / "bin" / "python"
    uv = find_uv_bin()
    steps = [
        [uv, "venv", "-q", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "-q", "--python", str(python), *pins],
    ]
    # The system's certificates, as ./run takes them.
    env = {**os.environ, "UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
    for step in steps:
        try:
            done = subprocess.run(
                step, env=env, capture_output=True, text=True, check=False, timeout=MAKING_S
            )
        except subprocess.TimeoutExpired:
            return python, f"{' '.join(pins)} took over {MAKING_S} s to install"
        if done.returncode:
            return python, f"{' '.join(pins)}: {done.stderr.strip()[-300:]}"
    return python, None
