"""Blocks with known truths for the judge's tests."""

import numpy as np

from optimiser.verify import CONTROL, TREATED, Block, Summary


def block(arm=CONTROL, *, requests=400, errors=0, gpu_seconds=4.0, p95_ms=20.0, seed=0, **more):
    """Latencies whose P95 is about `p95_ms`."""
    noise = np.random.default_rng(seed).standard_normal(requests)
    latencies = p95_ms * np.exp(0.2 * (noise - 1.645))
    return Block(arm, latencies, errors=errors, gpu_seconds=gpu_seconds, **more)


def experiment(
    pairs=12,
    *,
    cost=1.0,
    latency=1.0,
    errors=(0, 0),
    scores=None,
    requests=(400, 400),
    spread=0.03,
    seed=1,
):
    """Alternating summaries; the treated arm is `cost` and `latency` times control's.

    `errors` of control and treated per block; `scores` likewise as (scored, bad) of each.
    """
    dice = np.random.default_rng(seed)
    found = []
    for _ in range(pairs):
        for at, arm in enumerate((CONTROL, TREATED)):
            noise = np.exp(spread * dice.standard_normal(2))
            scored, bad = scores[at] if scores else (0, 0)
            found.append(
                Summary(
                    arm,
                    answered=requests[at] - errors[at],
                    errors=errors[at],
                    p95_ms=20.0 * noise[0] * (latency if at else 1.0),
                    gpu_seconds_per_request=0.01 * noise[1] * (cost if at else 1.0),
                    scored=scored,
                    scored_bad=bad,
                )
            )
    return found
