"""Sleeps a fixed time per call and a little per row: the cost shape of a model on a GPU.

Stands in for hardware the demo cannot assume, and says so in its configuration. It computes
nothing; the answer is each row's sum, so that a caller can tell its own reply from another's.
"""

import json
import time
from typing import Any

import numpy as np
import tensors


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        self.fixed_s = float(parameters["fixed_ms"]["string_value"]) / 1000
        self.per_row_s = float(parameters["per_row_ms"]["string_value"]) / 1000

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = tensors.inputs(requests, "INPUT")
        time.sleep(self.fixed_s + self.per_row_s * sum(len(rows) for rows in inputs))
        return [
            tensors.answer("OUTPUT", rows.sum(axis=1, keepdims=True, dtype=np.float32))
            for rows in inputs
        ]
