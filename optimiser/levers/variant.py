"""Another build of the same model, quantised say, behind a router: only an experiment can tell.

Pure. Knows a router's config, where its owner lists the builds that may replace the base in the
parameter `variants`. Refuses to foretell anything: no simulator knows what another build answers
or costs, so its answer is a canary on a share of the traffic, never an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimiser.simulate import ServiceCurve, Traffic
from optimiser.targets import router

from .base import NEEDS_EXPERIMENT, REFUSED, Finding, Lever
from .evidence import traffic_said

VARIANTS = "variants"


class Variant(Lever):
    key = "variant"
    version = "1"
    label = "Model variant"

    def propose(
        self,
        traffic: Traffic,
        live_config: Mapping[str, Any],
        curve: ServiceCurve | None,
        seed: int,
    ) -> Finding:
        name = live_config.get("name", "This model")
        if not router.is_router(live_config):
            return Finding(
                REFUSED,
                f"{name} has no router in front of it that could give another build a share of "
                "its requests.",
            )
        base = router.arms(live_config).base
        others = [one for one in variants(live_config) if one != base]
        if not others:
            return Finding(
                REFUSED,
                f"{name} names no other build of {base}: list them in the router's parameter "
                f"{VARIANTS}.",
            )
        return Finding(
            NEEDS_EXPERIMENT,
            f"Whether {others[0]} answers as well as {base} and takes less GPU time cannot be "
            "simulated: it takes a canary on a share of the traffic.",
            candidate_config=router.promoted(live_config, others[0]),
            evidence={
                "base": base,
                "variant": others[0],
                "also_listed": others[1:],
                "traffic": traffic_said(traffic),
                "simulated": False,
                "assumptions": [
                    "Nothing is estimated: there is no simulator for another build of a model.",
                    "Cost, latency, errors and quality are compared on live requests, by share.",
                ],
                "seed": seed,
                "versions": {"lever": self.version},
            },
            risk=(
                f"Some requests are answered by {others[0]} while it is tried. Where it fails, "
                f"{base} answers the same request."
            ),
            rollback=(
                f"The router gives everything to {base} again: at once when told to, and by itself "
                "when nobody renews the canary's lease."
            ),
        )


def variants(config: Mapping[str, Any]) -> list[str]:
    """The builds the router's owner has listed, in their order."""
    said = config["parameters"].get(VARIANTS, {}).get("string_value", "")
    return [name for name in (part.strip() for part in said.split(",")) if name]
