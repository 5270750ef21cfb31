"""The stub's replies are what Langfuse's own SDK takes for a server's."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.sources import REGISTRY
from ingest.sources.base import Terms

from .langfuse_stub import PATHS, Observation, Score, Stub, Trace, serving

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)

PROGRAM = """
import json, sys
from langfuse.api.core.pydantic_utilities import parse_obj_as
from langfuse.api.commons.types.trace_with_full_details import TraceWithFullDetails
from langfuse.api.legacy.observations_v1.types.observations_views import ObservationsViews
from langfuse.api.observations.types.observations_v2response import ObservationsV2Response
from langfuse.api.scores.types.get_scores_response import GetScoresResponse
from langfuse.api.scores_v3.types.get_scores_v3response import GetScoresV3Response
from langfuse.api.trace.types.traces import Traces

MODELS = {
    "v2/observations": ObservationsV2Response,
    "v3/scores": GetScoresV3Response,
    "observations": ObservationsViews,
    "v2/scores": GetScoresResponse,
    "scores": GetScoresResponse,
    "traces": Traces,
    "one trace": TraceWithFullDetails,
}
for line in sys.stdin:
    path, body = json.loads(line)
    model = MODELS["one trace" if path.startswith("traces/") else path]
    found = parse_obj_as(model, body)
    print(json.dumps([path, len(getattr(found, "data", ["itself"]))]))
"""


@pytest.fixture
def sdk(environment) -> Path:
    """A Python with the last SDK that has the models of both APIs."""
    return environment("langfuse-4")


@pytest.fixture
def replies(settings, key):
    """Everything that three generations answered to a pull."""
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    found = []
    for generation in PATHS:
        with serving(Stub(generation=generation)) as stub:
            for number in range(12):
                at = NOW - timedelta(minutes=number)
                stub.add(
                    Trace(f"t{number}", at - timedelta(hours=number)),
                    Observation(f"c{number}", f"t{number}", at, cost=None if number else "0.5"),
                    Observation(
                        f"e{number}", f"t{number}", at, seconds=None, type="EVENT", usage={}
                    ),
                    Score(f"s{number}", f"t{number}", at, value=(0.5, "good", True)[number % 3]),
                )
            terms = Terms(key=key, keeps_text=False, before_request=lambda: None)
            config = {**stub.config, "page_size": 7, "late_days": 1}
            for _ in REGISTRY["langfuse"].fetch_traces(config, {}, NOW, terms):
                pass
            assert stub.complaints == []
            found += stub.replies
    return found


def test_every_reply_is_one_that_the_sdk_reads(sdk, replies):
    lines = "\n".join(json.dumps(reply) for reply in replies)
    done = subprocess.run(
        [str(sdk), "-c", PROGRAM], input=lines, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert read == [[path, len(body.get("data", ["itself"]))] for path, body in replies]
    kinds = {path.partition("/t")[0] for path, _ in read}
    assert kinds == {
        "observations", "scores", "traces", "v2/observations", "v2/scores", "v3/scores",
    }  # fmt: skip
