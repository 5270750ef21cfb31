"""What a Triton config says about forming batches, and what of it the model can follow.

Knows the fields of Triton's model configuration that schedule requests. Refuses, with a reason,
every config whose scheduling it does not model: a wrong forecast is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any


class Unsupported(ValueError):
    """Why this config or load cannot be simulated, in one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class BatcherConfig:
    """How one model forms batches. Without `dynamic` each request is an execution of its own."""

    max_batch_size: int
    instances: int
    dynamic: bool
    preferred_sizes: tuple[int, ...] = ()
    """Sorted; never empty with `dynamic`, since Triton fills in the maximum."""
    max_queue_delay_us: int = 0

    def __post_init__(self) -> None:
        if self.max_batch_size < 1 or self.instances < 1 or self.max_queue_delay_us < 0:
            raise ValueError("Batch size and instances begin at 1, a delay at 0.")
        sizes = self.preferred_sizes
        if self.dynamic and not sizes:
            raise ValueError("With dynamic batching there is a preferred size.")
        if any(not 1 <= size <= self.max_batch_size for size in sizes):
            raise ValueError("Preferred sizes lie between 1 and the maximum.")
        if list(sizes) != sorted(set(sizes)):
            raise ValueError("Preferred sizes are sorted and each is named once.")

    @property
    def max_queue_delay_s(self) -> float:
        return self.max_queue_delay_us / 1e6

    @property
    def summary(self) -> str:
        """`batches of up to 32, preferred 8 and 16, waiting up to 5 ms`."""
        if not self.dynamic:
            return "one request at a time"
        said = f"batches of up to {self.max_batch_size}"
        if self.preferred_sizes != (self.max_batch_size,):
            said += f", preferred {' and '.join(map(str, self.preferred_sizes))}"
        return f"{said}, waiting up to {self.max_queue_delay_us / 1000:g} ms"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "preferred_sizes": list(self.preferred_sizes)}

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BatcherConfig:
        """From a model's full effective config. Raises Unsupported."""
        for reason in _not_modelled(config):
            raise Unsupported(reason)
        most = max(1, int(config.get("max_batch_size", 0)))
        instances = _instances(config)
        batching = config.get("dynamic_batching")
        if batching is None:
            return cls(max_batch_size=most, instances=instances, dynamic=False)
        preferred = {int(size) for size in batching.get("preferred_batch_size", ())} or {most}
        if any(not 1 <= size <= most for size in preferred):
            raise Unsupported("A preferred batch size lies outside 1 to max_batch_size.")
        return cls(
            max_batch_size=most,
            instances=instances,
            dynamic=True,
            preferred_sizes=tuple(sorted(preferred)),
            max_queue_delay_us=int(batching.get("max_queue_delay_microseconds", 0)),
        )


def _instances(config: Mapping[str, Any]) -> int:
    """A group is repeated on each of its GPUs; without a group Triton makes one instance."""
    groups = config.get("instance_group") or [{}]
    return sum(
        max(1, int(one.get("count", 1))) * max(1, len(one.get("gpus", ()))) for one in groups
    )


def _not_modelled(config: Mapping[str, Any]) -> Iterator[str]:
    if "sequence_batching" in config:
        yield "The model keeps sequences together, which the simulator does not model."
    if "ensemble_scheduling" in config:
        yield "The model is an ensemble: look at the models it is made of."
    if config.get("model_transaction_policy", {}).get("decoupled"):
        yield "The model answers a request more than once, which the simulator does not model."
    if config.get("response_cache", {}).get("enable"):
        yield (
            "The response cache is on: which requests reach the model cannot be told from spans. "
            "Turn it off, or look at the cache first."
        )
    groups = config.get("instance_group") or [{}]
    if any(one.get("rate_limiter", {}).get("resources") for one in groups):
        yield "Instances wait for shared resources, which the simulator does not model."
    yield from _policies_not_modelled(config.get("dynamic_batching") or {}, _instances(config))


def _policies_not_modelled(batching: Mapping[str, Any], instances: int) -> Iterator[str]:
    if int(batching.get("priority_levels", 0)):
        yield "Requests have priorities, which the simulator does not model."
    policies = [
        batching.get("default_queue_policy") or {},
        *(batching.get("priority_queue_policy") or {}).values(),
    ]
    if any(_limits(policy) for policy in policies):
        yield "The queue is limited in length or time, which the simulator does not model."
    if batching.get("preserve_ordering") and instances > 1:
        yield "Answers wait for each other across instances, which the simulator does not model."


def _limits(policy: Mapping[str, Any]) -> bool:
    return any(
        int(policy.get(name, 0)) for name in ("max_queue_size", "default_timeout_microseconds")
    ) or bool(policy.get("allow_timeout_override"))
