"""Answers with a trained ONNX classifier on one thread; the same code serves every variant.

Knows onnxruntime and Triton's model interface; refuses to know how the model was trained.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tensors


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["threads"]["string_value"])
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(folder / parameters["model_file"]["string_value"]),
            options,
            providers=["CPUExecutionProvider"],
        )
        # Above 0 in the variant that answers wrongly on purpose, and nowhere else.
        self.shift = int(parameters.get("answer_shift", {"string_value": "0"})["string_value"])

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = tensors.inputs(requests, "PIXELS")
        (probabilities,) = self.session.run(None, {"pixels": np.concatenate(inputs)})
        if self.shift:
            probabilities = np.roll(probabilities, self.shift, axis=1)
        ends = np.cumsum([len(one) for one in inputs])[:-1]
        return [tensors.answer("PROBABILITIES", part) for part in np.split(probabilities, ends)]
