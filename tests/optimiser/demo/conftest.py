"""One real Triton for all tests of the demo; it is killed and restarted in a test of its own."""

from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton_http

from optimiser.demo import digits, triton
from tests.conftest import require


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    require("triton", triton.why_not())
    with triton.start(tmp_path_factory.mktemp("triton")) as running:
        yield running


@pytest.fixture(scope="session")
def server_with_digits(server):
    """Training takes some seconds at the first start; only the tests that need it wait."""
    server.wait_until_ready(*digits.SERVED, wait_s=60)
    return server


def pytest_collection_modifyitems(items):
    """Tests that need the trained classifiers come last of these, so that training is over."""
    places = [i for i, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ours = [items[i] for i in places]
    ours.sort(key=lambda item: "server_with_digits" in getattr(item, "fixturenames", ()))
    for i, item in zip(places, ours, strict=True):
        items[i] = item


def ask(server, model, tensor, rows):
    """One request through Triton's own client; the answer's first output."""
    client = triton_http.InferenceServerClient(server.endpoints.http.removeprefix("http://"))
    question = triton_http.InferInput(tensor, list(rows.shape), "FP32")
    question.set_data_from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
    answer = client.infer(model, [question])
    client.close()
    return answer.as_numpy(answer.get_response()["outputs"][0]["name"])
