"""Dense float32 layers on one thread: real work whose batches share the reading of the weights.

Knows numpy and Triton's model interface; refuses everything outside its own process.
"""

import itertools
import json
from typing import Any

import numpy as np
import tensors


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        settings = {key: int(v["string_value"]) for key, v in config["parameters"].items()}
        width = settings["width"]
        columns_in = config["input"][0]["dims"][0]
        columns_out = config["output"][0]["dims"][0]
        sizes = [columns_in, *[width] * (settings["layers"] + 1), columns_out]
        rng = np.random.default_rng(settings["seed"])
        # Scaled so that a signal neither dies nor saturates on its way through tanh.
        self.weights = [
            rng.standard_normal((a, b), dtype=np.float32) / np.float32(a**0.5)
            for a, b in itertools.pairwise(sizes)
        ]

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = tensors.inputs(requests, "INPUT")
        rows = np.concatenate(inputs)
        for weights in self.weights:
            rows = np.tanh(rows @ weights)
        ends = np.cumsum([len(one) for one in inputs])[:-1]
        return [tensors.answer("OUTPUT", part) for part in np.split(rows, ends)]
