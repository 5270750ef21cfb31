"""Two classifiers of handwritten digits, float32 and 8-bit, trained here from public data.

Knows scikit-learn's digits (1,797 images of 8 × 8, from the UCI repository), how to train on one
half, to quantise, and to measure both on the half never trained on. Refuses to claim an accuracy
it did not measure on this machine. `python -m optimiser.demo.digits --dir DIR` does it once;
with --load it then waits for DIR's Triton and has it serve them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from optimiser.demo.endpoints import Endpoints
from optimiser.demo.files import write_atomically, write_json

MODELS = ("digits_fp32", "digits_int8")
WRONG = "digits_wrong"
"""Answers with the int8 variant's file, wrongly; for tests, loaded by nobody else."""
PUBLIC = "digits"
"""The router in front of them: what applications call."""
SERVED = (*MODELS, PUBLIC)
"""In this order: once the router is there, its base answers."""
RECIPE = 1
"""Raise it when anything below changes what is trained, so that old results are made anew."""

SEED = 20260901
HIDDEN = (1536, 1536)
EPOCHS = 10
BRIGHTEST_PIXEL = 16.0
LOAD_WAIT_S = 120.0


def why_not() -> str | None:
    """The one sentence that says why nothing can be trained here, or None."""
    needed = {"sklearn": "scikit-learn", "onnx": "onnx", "onnxruntime": "onnxruntime"}
    missing = [package for module, package in needed.items() if find_spec(module) is None]
    if not missing:
        return None
    return f"{' and '.join(missing)} not installed: pip install -r requirements/demo.txt."


def is_trained(directory: Path) -> bool:
    """The report is written last, so where it is, everything is."""
    report = directory / "digits.json"
    return report.exists() and json.loads(report.read_text())["recipe"] == RECIPE


def train(directory: Path) -> dict[str, Any]:
    """Train, quantise, measure and write everything; returns the report."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    began = time.monotonic()
    images, labels = load_digits(return_X_y=True)
    images = (images / BRIGHTEST_PIXEL).astype(np.float32)
    seen, held_out, seen_labels, held_out_labels = train_test_split(
        images, labels, test_size=0.5, random_state=SEED, stratify=labels
    )
    network = _fit(seen, seen_labels)
    files = {name: directory / "models" / name / "1" / "model.onnx" for name in MODELS}
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(files["digits_fp32"], _as_onnx(network))
    write_atomically(files["digits_int8"], _quantised(files["digits_fp32"]))
    answers = {name: _answers(file, held_out) for name, file in files.items()}
    report = {
        "recipe": RECIPE,
        "seed": SEED,
        "hidden": HIDDEN,
        "epochs": EPOCHS,
        "data": "scikit-learn digits (UCI, Alpaydin and Kaynak 1998)",
        "trained_on_rows": len(seen),
        "held_out_rows": len(held_out),
        "accuracy": {name: float((a == held_out_labels).mean()) for name, a in answers.items()},
        "agreement": float((answers["digits_fp32"] == answers["digits_int8"]).mean()),
        "bytes": {name: file.stat().st_size for name, file in files.items()},
        "seconds": round(time.monotonic() - began, 2),
    }
    _write_held_out(directory / "digits-held-out.npz", held_out, held_out_labels)
    write_json(directory / "digits.json", report)
    return report


def _fit(images: Any, labels: Any) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        HIDDEN, batch_size=64, learning_rate_init=5e-4, max_iter=EPOCHS, random_state=SEED
    )
    with warnings.catch_warnings():
        # The number of epochs is chosen for the start-up time; accuracy is measured afterwards.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(images, labels)


def _as_onnx(network: Any) -> bytes:
    """The network as MatMul, Add, Relu, … and Softmax: the form that quantises layer by layer."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, last = [], [], "pixels"
    layers = list(zip(network.coefs_, network.intercepts_, strict=True))
    for i, (matrix, bias) in enumerate(layers):
        weights += [
            numpy_helper.from_array(matrix.astype(np.float32), f"matrix{i}"),
            numpy_helper.from_array(bias.astype(np.float32), f"bias{i}"),
        ]
        nodes += [
            helper.make_node("MatMul", [last, f"matrix{i}"], [f"product{i}"]),
            helper.make_node("Add", [f"product{i}", f"bias{i}"], [f"sum{i}"]),
        ]
        last = f"sum{i}"
        if i < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [last], [f"layer{i}"]))
            last = f"layer{i}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", 64])
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10])
    graph = helper.make_graph(nodes, "digits", [pixels], [answer], weights)
    # Versions that every onnxruntime of the last years reads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _quantised(float_file: Path) -> bytes:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = float_file.with_suffix(".int8")
    # 7-bit weights: processors without VNNI overflow on 8 × 8 bits and would answer otherwise.
    quantize_dynamic(float_file, small, weight_type=QuantType.QInt8, reduce_range=True)
    content = small.read_bytes()
    small.unlink()
    return content


def _answers(file: Path, images: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": images})[0].argmax(axis=1)


def _write_held_out(path: Path, images: Any, labels: Any) -> None:
    """The rows the load generator asks about: never trained on, the truth known."""
    import io

    import numpy as np

    content = io.BytesIO()
    np.savez(content, images=images, labels=labels)
    write_atomically(path, content.getvalue())


def load_into_triton(directory: Path, wait_s: float = LOAD_WAIT_S) -> None:
    """Wait for DIR's Triton and load what it does not serve yet; a loaded model is left alone."""
    deadline = time.monotonic() + wait_s
    while True:
        endpoints = Endpoints.read_if_there(directory / "triton.json")
        if endpoints is not None and endpoints.is_ready():
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"No Triton of {directory} answered within {wait_s:.0f} s.")
        time.sleep(0.2)
    for model in SERVED:
        if not endpoints.is_ready(model):
            endpoints.load(model)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m optimiser.demo.digits", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="Triton's directory")
    parser.add_argument("--load", action="store_true", help="then have Triton serve them")
    options = parser.parse_args(arguments)
    # Before numpy is loaded: two threads that spin for a core somebody else has are far slower
    # than one, and one thread adds up in the same order every time.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    directory = options.dir.resolve()
    if is_trained(directory):
        print("digits: already trained", flush=True)
    else:
        print(f"digits: {json.dumps(train(directory))}", flush=True)
    if options.load:
        load_into_triton(directory)
        print("digits: served", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
