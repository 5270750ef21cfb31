"""Who calls which model in the sample estate, when, and how large: drawn from published traces.

Pure: the moment and the dice are arguments. Knows `calibration.json`, whose figures carry their
sources, and the estate's services. Refuses the network, the clock and any figure of its own that
looks like a measurement: what is chosen here rather than published is named as a choice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Route:
    """A share of a service's requests and the model that answers them."""

    share: float
    provider: str
    model: str
    operation: str
    served_by: str
    """The model of the demo's Triton that does the work or, for a hosted provider, stands in."""

    @property
    def is_hosted(self) -> bool:
        return self.provider != "triton"

    @property
    def has_tokens(self) -> bool:
        return self.operation != "inference"


@dataclass(frozen=True)
class Service:
    """One application of the estate and the traces it behaves like."""

    name: str
    share: float
    arrivals: str
    burstiness: str
    tokens: str
    routes: tuple[Route, ...]


# The services, their shares and their routes are our choice; their behaviour is the traces'.
SERVICES = (
    Service(
        "support-chat",
        share=0.45,
        arrivals="servegen_language_msmall",
        burstiness="cv_of_gaps_rate_weighted_mean",
        tokens="mooncake_conversation",
        routes=(
            Route(0.56, "openai", "gpt-4o-mini", "chat", served_by="hosted"),
            Route(0.09, "openai", "gpt-4o", "chat", served_by="hosted"),
            Route(0.35, "triton", "fixedcost", "chat", served_by="fixedcost"),
        ),
    ),
    Service(
        "code-assist",
        share=0.25,
        arrivals="azure_llm_2023_code",
        burstiness="rate_variance",
        tokens="azure_llm_2023_code",
        routes=(
            Route(0.6, "anthropic", "claude-sonnet-4-5", "chat", served_by="hosted"),
            Route(0.4, "triton", "matrix", "embeddings", served_by="matrix"),
        ),
    ),
    Service(
        "digit-reader",
        share=0.3,
        arrivals="servegen_language_msmall",
        burstiness="cv_of_gaps_median",
        tokens="",
        routes=(Route(1.0, "triton", "digits", "inference", served_by="digits"),),
    ),
)

BATCH_SERVICE = "nightly-batch"
BATCH_MODEL = "fixedcost"
"""The estate's batch job: a closed loop of callers, so it has no arrivals to draw (`clients`)."""

CUSTOMERS = ("Acme", "Globex", "Initech", "Umbrella", "Wayne Foods")
USERS = 60
ZIPF = 1.2
"""With 60 users this gives the busiest the share ServeGen's busiest client has."""

REQUESTS_PER_SESSION = 6


@dataclass(frozen=True)
class Call:
    """One request as it will be sent and reported. None where the operation has no such thing."""

    service: str
    route: Route
    user_id: str
    session_id: str
    input_tokens: int | None
    cached_input_tokens: int | None
    """Part of `input_tokens`, as OpenTelemetry counts."""
    output_tokens: int | None


def customer_of(user: int) -> str:
    """Whose employee a user is; made up, so that costs by customer have something to show."""
    return CUSTOMERS[user % len(CUSTOMERS)]


@cache
def calibration() -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(Path(__file__).with_name("calibration.json").read_text())
    return figures


def hour_ratio(at: float) -> float:
    """How busy this hour of the day (UTC) is against the day's mean."""
    ratios = calibration()["hour_of_day_ratio"]["servegen_language_msmall"]
    return float(ratios[int(at // SECONDS_PER_HOUR) % 24])


class Arrivals(Protocol):
    def next_after(self, at: float) -> float:
        """The moment of the next request, epoch seconds."""


class GammaArrivals:
    """Independent gamma gaps with a given coefficient of variation: ServeGen's best fit."""

    def __init__(self, rate_per_s: float, cv: float, dice: np.random.Generator) -> None:
        self.rate_per_s, self.shape, self.dice = rate_per_s, 1 / cv**2, dice

    def next_after(self, at: float) -> float:
        rate = self.rate_per_s * hour_ratio(at)
        return at + self.dice.gamma(self.shape, 1 / (self.shape * rate))


class ModulatedArrivals:
    """Poisson arrivals whose rate is drawn anew every epoch: bursts that last for seconds.

    Gamma gaps with this trace's variation (13) would put each whole burst into one instant; this
    meets its dispersion at one second as well as at one minute.
    """

    def __init__(
        self, rate_per_s: float, rate_variance: float, epoch_s: float, dice: np.random.Generator
    ) -> None:
        self.rate_per_s, self.variance, self.epoch_s = rate_per_s, rate_variance, epoch_s
        self.dice = dice
        self.epoch_ends = -np.inf
        self.factor = 0.0

    def next_after(self, at: float) -> float:
        while True:
            if at >= self.epoch_ends:
                self._enter_epoch(at)
            rate = self.rate_per_s * self.factor * hour_ratio(at)
            then = at + self.dice.exponential(1 / rate) if rate > 0 else np.inf
            if then < self.epoch_ends:
                return then
            # A Poisson process forgets: drawing again from the boundary changes nothing.
            at = self.epoch_ends

    def _enter_epoch(self, at: float) -> None:
        first = self.epoch_ends == -np.inf
        self.epoch_ends = at + self.epoch_s * (self.dice.random() if first else 1.0)
        self.factor = self.dice.gamma(1 / self.variance, self.variance)


def arrivals(service: Service, rate_per_s: float, dice: np.random.Generator) -> Arrivals:
    figures = calibration()["arrivals"][service.arrivals]
    burstiness = figures[service.burstiness]
    if service.burstiness == "rate_variance":
        return ModulatedArrivals(rate_per_s, burstiness, figures["epoch_s"], dice)
    return GammaArrivals(rate_per_s, burstiness, dice)


def token_counts(
    trace: str, direction: str, dice: np.random.Generator, count: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Sizes of `count` requests' "input" or "output", drawn from the trace's quantiles."""
    quantiles = calibration()["tokens"][trace][direction]
    shares = [float(key) / 100 for key in quantiles]
    # Straight lines between the published quantiles on a log scale: sizes span decades.
    logs = np.interp(dice.random(count), shares, np.log(list(quantiles.values())))
    return np.rint(np.exp(logs)).astype(np.int64)


class Callers:
    """Draws the requests of one service: who, to which model, how large."""

    def __init__(
        self, service: Service, dice: np.random.Generator, hosted_factor: float = 1.0
    ) -> None:
        self.service, self.dice = service, dice
        weights = np.arange(1, USERS + 1, dtype=float) ** -ZIPF
        self.user_shares = weights / weights.sum()
        self.route_shares = [route.share for route in service.routes]
        self.hosted_factor = hosted_factor
        self.sessions: dict[str, str] = {}

    def next_call(self) -> Call | None:
        """None in place of a hosted call that is not made: nobody else's model gets it instead."""
        route = self.service.routes[self.dice.choice(len(self.route_shares), p=self.route_shares)]
        if route.is_hosted and self.dice.random() >= self.hosted_factor:
            return None
        user = f"user-{self.dice.choice(USERS, p=self.user_shares) + 1:02d}"
        tokens_in = self._tokens("input") if route.has_tokens else None
        answers = route.has_tokens and route.operation != "embeddings"
        return Call(
            service=self.service.name,
            route=route,
            user_id=user,
            session_id=self._session(user),
            input_tokens=tokens_in,
            cached_input_tokens=self._cached(tokens_in) if tokens_in and route.is_hosted else None,
            output_tokens=self._tokens("output") if answers else None,
        )

    def _session(self, user: str) -> str:
        if user not in self.sessions or self.dice.random() < 1 / REQUESTS_PER_SESSION:
            self.sessions[user] = f"{user}-{self.dice.bytes(6).hex()}"
        return self.sessions[user]

    def _tokens(self, direction: str) -> int:
        return int(token_counts(self.service.tokens, direction, self.dice, 1)[0])

    def _cached(self, input_tokens: int) -> int:
        """Whole prefix blocks, their mean share Mooncake's hit ratio with room for everything."""
        figures = calibration()["prefix_cache"]["mooncake_conversation"]
        share = self.dice.uniform(0, 2 * figures["hit_ratio_unlimited_cache"])
        block = figures["block_tokens"]
        return int(input_tokens * share // block * block)
