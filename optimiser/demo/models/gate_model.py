"""Sends each request on to one of two models of this Triton and says which one answered.

The `base` answers. Until the lease ends, `weight` of the requests go to the `canary` instead, and
one that the canary cannot answer, or not in time, is answered by the base: no caller ever sees
that a canary failed. The clock is this machine's, so the split ends by itself even if everybody
who knows of it is gone. Knows its own configuration and Triton's model interface; refuses to know
what the models do: inputs and outputs pass through untouched.
"""

import asyncio
import json
import random
import time
from typing import Any

import numpy as np
import tensors
import triton_python_backend_utils as pb_utils

SERVED_BY = "SERVED_BY"
NAME_BYTES = 64
"""The name in UTF-8, zero padded: text tensors cannot be read here with numpy 2."""


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        said = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.base, self.canary = said["base"], said["canary"]
        self.weight = float(said["weight"])
        self.lease_expires_at = float(said["lease_expires_at"])
        self.canary_timeout_s = float(said["canary_timeout_ms"]) / 1000
        if not self.base or not 0 <= self.weight <= 1 or not self.canary_timeout_s > 0:
            raise ValueError("a router needs a base, a weight from 0 to 1 and a canary_timeout_ms")
        for name in (self.base, self.canary):
            if len(name.encode()) > NAME_BYTES:
                raise ValueError(f"{name} is longer than {NAME_BYTES} bytes")
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [one["name"] for one in config["output"] if one["name"] != SERVED_BY]
        self.is_batched = config["max_batch_size"] > 0
        self.canary_hangs = False

    async def execute(self, requests: list[Any]) -> list[Any]:
        return await asyncio.gather(*map(self.answer, requests))

    async def answer(self, request: Any) -> Any:
        inputs = [pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs]
        if self.draws_canary():
            response = await self.from_canary(inputs)
            if response is not None:
                return self.signed(response, self.canary, inputs)
        response = await self.ask(self.base, inputs)
        return response if response.has_error() else self.signed(response, self.base, inputs)

    def draws_canary(self) -> bool:
        return (
            bool(self.canary)
            and not self.canary_hangs
            and time.time() < self.lease_expires_at
            and random.random() < self.weight  # noqa: S311  a share of traffic is no secret
        )

    async def from_canary(self, inputs: list[Any]) -> Any:
        """The canary's answer, or None where it has none to give."""
        try:
            response = await asyncio.wait_for(self.ask(self.canary, inputs), self.canary_timeout_s)
        except TimeoutError:
            # Each hanging call holds a thread until it ends: one such call is enough.
            self.canary_hangs = True
            return None
        except pb_utils.TritonModelException:
            return None
        return None if response.has_error() else response

    async def ask(self, model: str, inputs: list[Any]) -> Any:
        return await pb_utils.InferenceRequest(
            model_name=model, requested_output_names=self.outputs, inputs=inputs
        ).async_exec()

    def signed(self, response: Any, model: str, inputs: list[Any]) -> Any:
        name = np.zeros(NAME_BYTES, np.uint8)
        written = np.frombuffer(model.encode(), np.uint8)
        name[: len(written)] = written
        if self.is_batched:
            name = np.tile(name, (inputs[0].shape()[0], 1))
        return pb_utils.InferenceResponse(
            [*response.output_tensors(), tensors.tensor(SERVED_BY, name)]
        )
