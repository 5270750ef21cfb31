"""How states, outcomes, effects and policies are worded, for pages alone.

Knows labels, tones and units. Refuses queries and judgement: what better means is in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finops.templatetags import words
from finops.views.savings_tables import gpu_time
from optimiser.policy import SPLIT, Policy
from optimiser.verify import values as verify

LIVE = {
    "in_step": ("In step", "good"),
    "drifted": ("Drifted", "bad"),
    "away": ("Away", "warn"),
    "unknown": ("Unknown", "warn"),
}
OUTCOMES = {
    "recommended": ("Recommended", "good"),
    "refused": ("Not worth it now", "quiet"),
    "needs_experiment": ("Needs an experiment", "warn"),
    "not_enough_data": ("Not enough data", "quiet"),
}
ADVICE = {
    "open": ("Open", ""),
    "proposed": ("Proposed", "good"),
    "dismissed": ("Dismissed", "quiet"),
    "superseded": ("Superseded", "quiet"),
}
CHANGES = {
    "proposed": ("Proposed", "warn"),
    "approved": ("Approved", "good"),
    "rejected": ("Rejected", "bad"),
    "withdrawn": ("Withdrawn", "quiet"),
    "expired": ("Expired", "quiet"),
    "rolling_out": ("Rolling out", "warn"),
    "promoted": ("Promoted", "good"),
    "rolled_back": ("Rolled back", "bad"),
    "failed": ("Failed", "bad"),
}
ROLLOUTS = {
    "waiting": ("Waiting for the controller", "warn"),
    "snapshot": ("Taking the snapshot", "warn"),
    "measuring": ("Measuring", "warn"),
    "promoting": ("Promoting", "warn"),
    "restoring": ("Putting the old config back", "warn"),
    "promoted": ("Promoted", "good"),
    "rolled_back": ("Rolled back", "bad"),
    "refused": ("Refused", "bad"),
    "rollback_failed": ("Rollback failed, trying again", "bad"),
}
CALIBRATIONS = {
    "waiting": ("Waiting", "warn"),
    "running": ("Measuring", "warn"),
    "done": ("Done", "good"),
    "failed": ("Failed", "bad"),
}
DECISIONS = {
    "approve": ("Approved", "good"),
    "reject": ("Rejected", "bad"),
    "ask": ("Asked for changes", "warn"),
}
VERDICTS = {"PASS": "good", "FAIL": "bad", "INCONCLUSIVE": "warn"}
LEVERS = {"batching": "Dynamic batching", "variant": "Model variant"}


def lever(key: str) -> str:
    return LEVERS.get(key, key.replace("_", " ").capitalize())


# Effects

METRICS = {
    "gpu_seconds_per_request": ("GPU time per request", "less", "more"),
    "p50_ms": ("P50 latency", "faster", "slower"),
    "p95_ms": ("P95 latency", "faster", "slower"),
    "p99_ms": ("P99 latency", "faster", "slower"),
    "throughput_rps": ("Throughput", "more", "less"),
}
"""Metric → its name, and how a change to the better and to the worse is called."""

MAIN = ("gpu_seconds_per_request", "p95_ms")


def effect_line(effect: Mapping[str, Any] | None) -> str:
    """`18% less GPU time per request (95% interval 12% to 23%); P95 latency 4.0% faster (…)`."""
    if not effect:
        return "No effect was foretold; the experiment measures it."
    said = [metric_line(name, effect[name]) for name in MAIN if effect.get(name)]
    return words.sentence("; ".join(said))


def effect_short(effect: Mapping[str, Any]) -> tuple[str, str]:
    """The first figure, and a note with its interval and the rest: for a narrow column."""
    first, *rest = [name for name in MAIN if effect.get(name)]
    figure = effect[first]
    notes = [interval(figure["low"], figure["high"])]
    notes += [plain_line(name, effect[name]) for name in rest]
    return plain_line(first, figure), "; ".join(notes)


def metric_line(name: str, figure: Mapping[str, Any]) -> str:
    return f"{plain_line(name, figure)} ({interval(figure['low'], figure['high'])})"


def plain_line(name: str, figure: Mapping[str, Any]) -> str:
    label, better, worse = METRICS[name]
    change = figure["change"]
    return f"{label} {words.percent(abs(change))} {better if change >= 0 else worse}"


def interval(low: float, high: float) -> str:
    """Of a change to the better, so that a minus says worse: `−1.0% to 9.4%`."""
    return f"{words.percent(low)} to {words.percent(high)}"


def measure(name: str, value: float | None) -> str:
    """A figure in the unit that its name carries."""
    if value is None:
        return words.UNKNOWN
    if name.endswith("_ms"):
        return words.duration(value)
    if name.endswith("_rps"):
        return f"{value:,.3g} a second"
    if "seconds" in name:
        return gpu_time(value)
    if name in SHARES:
        return words.percent(value)
    return f"{value:.4g}"


# Policies


def policy_sentences(policy: Policy) -> list[str]:
    """The terms an approver signs, in words."""
    judge = verify.Policy.from_json(policy.judge)
    looks = "once, at the end" if policy.looks == 1 else f"at {policy.looks} planned looks"
    return [
        how_tried(policy),
        f"It takes about {lasting(policy.duration_s)}; without a verdict after "
        f"{lasting(policy.deadline_s)} the old config comes back.",
        f"It is judged {looks}; the bounds allow for looking more than once.",
        "GPU time per request must be shown to fall. P95 latency may be worse by at most "
        f"{words.percent(judge.latency_margin)}, the error rate higher by at most "
        f"{percentage_points(judge.error_margin)} and quality lower by at most "
        f"{percentage_points(judge.quality_margin)}.",
        *judge_sentences(policy, judge),
        "PASS promotes it. FAIL, or no clear answer, brings the old config back.",
        f"{approvals_needed(policy.approvals)} needed. A saving is booked on at least "
        f"{policy.book_least_minutes:g} measured minutes.",
    ]


TOLD = ("latency_margin", "error_margin", "quality_margin", "needs_quality")


def judge_sentences(policy: Policy, judge: verify.Policy) -> list[str]:
    """What else was agreed with the judge: nothing an approver signs stays unsaid."""
    said = []
    if judge.needs_quality:
        said.append("Without scored answers there is no PASS.")
    others = {name: value for name, value in policy.judge.items() if name not in TOLD}
    if others:
        listed = ", ".join(f"{name} {value}" for name, value in sorted(others.items()))
        said.append(f"Other terms of the judge: {listed}.")
    return said


def how_tried(policy: Policy) -> str:
    if policy.experiment == SPLIT:
        return (
            f"Split: {words.percent(policy.weight)} of the traffic goes to the new one through a "
            f"router inside Triton, compared over {policy.blocks} stretches of "
            f"{lasting(policy.block_s)}."
        )
    return (
        f"Switchback: {policy.blocks} blocks of {lasting(policy.block_s)}, half of them "
        f"under the new config, in random order; the first {lasting(policy.washout_s)} "
        "after each switch do not count."
    )


def percentage_points(share: float) -> str:
    return points(share).replace("point", "percentage point")


def points(share: float) -> str:
    """`0.5 points`, of a hundred: a difference of two shares."""
    number = f"{share * 100:.3g}".replace("-", "−")
    return f"{number} point" if number == "1" else f"{number} points"


def approvals_needed(number: int) -> str:
    return "One approval is" if number == 1 else f"{number} approvals are"


def lasting(seconds: float) -> str:
    """`20 s`, `90 s`, `18.7 min`, `2 h`: what somebody signs is not rounded away."""
    if seconds < 120:
        return f"{seconds:g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


# What the judge says

JUDGED = {
    verify.COST: "GPU time per request",
    verify.LATENCY: "P95 latency",
    verify.ERRORS: "Error rate",
    verify.QUALITY: "Quality",
}
SHARES = (verify.ERRORS, verify.QUALITY)
"""Their effects and margins are differences of two shares, the others' are shares of the old."""


def difference(name: str, value: float) -> str:
    """An effect, an end of its interval, or a margin."""
    return points(value) if name in SHARES else words.percent(value)
