"""One real Triton for the tests of targets, with a router in front of two quick models."""

import json
import threading
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
import tritonclient.http as triton_http

from optimiser.demo import triton
from optimiser.demo.endpoints import ADMIN_HEADER
from optimiser.targets.triton import TritonModel
from tests.conftest import require

MODELS = Path(triton.__file__).parent / "models"
TIMEOUT_S = 15.0
ROUTERS = {"router": 10_000, "hasty_router": 300}
"""How many milliseconds each waits for its canary: no busy machine makes a quick model as late as
the first of them allows."""


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    require("triton", triton.why_not())
    directory = tmp_path_factory.mktemp("targets")
    with triton.start(directory, with_digits=False) as running:
        lay_out_a_router(directory)
        for model in ("arm_base", "arm_canary", "arm_stuck", *ROUTERS):
            running.endpoints.load(model)
        yield running


@pytest.fixture
def fixedcost(server):
    target = model_of(server, "fixedcost")
    before = target.read()
    yield target
    target.restore(before)


def model_of(server, name, **other):
    """The adapter of one model, with one thing or another wrong if asked for."""
    endpoints = server.endpoints
    settings = {
        "url": endpoints.http,
        "admin_key": endpoints.admin_key,
        "model_name": name,
        "timeout_s": TIMEOUT_S,
    }
    return TritonModel(**{**settings, **other})


def batching(config, delay_us=2000):
    return {
        **config,
        "dynamic_batching": {
            "preferred_batch_size": [8],
            "max_queue_delay_microseconds": delay_us,
        },
    }


def lay_out_a_router(directory):
    """The demo's routers and stand-in under other names: quick arms, and one that hangs."""
    arm = (MODELS / "fixedcost.pbtxt").read_text().replace('string_value: "1"', 'string_value: "0"')
    for name, fixed_ms in (("arm_base", 1), ("arm_canary", 1), ("arm_stuck", 1500)):
        config = arm.replace('name: "fixedcost"', f'name: "{name}"')
        config = config.replace('string_value: "20"', f'string_value: "{fixed_ms}"')
        lay_out(directory, name, "fixed_cost_model.py", config)
    gate = (MODELS / "digits.pbtxt").read_text()
    for old, new in (
        ('"digits_fp32"', '"arm_base"'),
        ('"PIXELS"', '"INPUT"'),
        ('"PROBABILITIES"', '"OUTPUT"'),
        ("[ 64 ]", "[ 16 ]"),
        ("TYPE_UINT8\n    dims: [ 16 ]", "TYPE_UINT8\n    dims: [ 64 ]"),
        ("[ 10 ]", "[ 1 ]"),
    ):
        assert old in gate
        gate = gate.replace(old, new)
    for name, patience_ms in ROUTERS.items():
        own = gate
        for old, new in (('"digits"', f'"{name}"'), ('"2000"', f'"{patience_ms}"')):
            assert own.count(old) == 1
            own = own.replace(old, new)
        lay_out(directory, name, "gate_model.py", own)


def lay_out(directory, name, code, config):
    folder = directory / "models" / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_bytes((MODELS / code).read_bytes())
    (folder / "tensors.py").write_bytes((MODELS / "tensors.py").read_bytes())
    (folder.parent / "config.pbtxt").write_text(config)


def unload(server, model):
    httpx.post(
        f"{server.endpoints.http}/v2/repository/models/{model}/unload",
        json={},
        headers={ADMIN_HEADER: server.endpoints.admin_key},
        timeout=TIMEOUT_S,
    ).raise_for_status()


class Caller:
    """Asks one model through Triton's own client, as an application would."""

    def __init__(self, server, model):
        self.client = triton_http.InferenceServerClient(
            server.endpoints.http.removeprefix("http://"), network_timeout=TIMEOUT_S
        )
        self.model = model

    def ask(self, rows=None):
        """The answer's first output and, where there is one, the name of who gave it."""
        values = np.ones((1, 16), np.float32) if rows is None else rows
        question = triton_http.InferInput("INPUT", list(values.shape), "FP32")
        question.set_data_from_numpy(values)
        answer = self.client.infer(self.model, [question])
        names = answer.as_numpy("SERVED_BY")
        said = {bytes(name).rstrip(b"\0").decode() for name in names} if names is not None else {""}
        return answer.as_numpy("OUTPUT"), *said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()


class Answer(NamedTuple):
    asked_at: float
    at: float
    who: str


class Traffic:
    """Callers who each wait for their answer, for as long as the block lasts."""

    def __init__(self, server, model, callers=4):
        self.server, self.model = server, model
        self.threads = [threading.Thread(target=self._call) for _ in range(callers)]
        self.ending = threading.Event()
        self.answers: list[Answer] = []
        self.failures: list[str] = []

    def _call(self):
        with Caller(self.server, self.model) as caller:
            while not self.ending.is_set():
                asked_at = time.time()
                try:
                    output, who = caller.ask()
                    assert output.tolist() == [[16.0]]
                    self.answers.append(Answer(asked_at, time.time(), who))
                except Exception as error:
                    self.failures.append(repr(error))

    def wait_for(self, more):
        """Until so many more were answered."""
        wanted = len(self.answers) + more
        deadline = time.monotonic() + 20
        while len(self.answers) < wanted:
            assert time.monotonic() < deadline, f"no answers; {self.failures[-1:]}"
            time.sleep(0.005)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()


def load_directly(server, model, config):
    """Past the adapter, as somebody with the key could."""
    client = triton_http.InferenceServerClient(server.endpoints.http.removeprefix("http://"))
    key = {ADMIN_HEADER: server.endpoints.admin_key}
    client.load_model(model, headers=key, config=json.dumps(config))
    client.close()
