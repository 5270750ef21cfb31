"""The watch rules of a new installation. Knows the five; refuses to bring back a removed one.

They are rows like any other from then on: people change them, and a removed one keeps its row.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps as registry

USUAL_RULES = (
    {
        "name": "Cached input is rare",
        "metric": "cache_hit",
        "comparison": "below",
        "threshold": "60",
        "urgency": "medium",
        "action": "Review the cache: prompts that begin alike should begin with the same bytes, and"
        " be asked again before their entry expires.",
        "path": "/requests",
    },
    {
        "name": "Answers are slow",
        "metric": "latency_mean",
        "comparison": "above",
        "threshold": "200",
        "urgency": "high",
        "action": "See which model is slow, and whether its server needs more instances or other"
        " batching.",
        "path": "/requests",
    },
    {
        "name": "A request costs more than its target",
        "metric": "cost_per_request",
        "comparison": "above",
        "threshold": None,
        "currency": "USD",
        "urgency": "medium",
        "action": "Review what makes requests dear: model, length of prompts, retries.",
        "path": "/unit-costs",
        "is_on": False,
    },
    {
        "name": "Requests fail",
        "metric": "error_rate",
        "comparison": "above",
        "threshold": "1",
        "urgency": "critical",
        "action": "Look at what the failed requests say, and at what was released before.",
        "path": "/requests/errors",
    },
    {
        "name": "GPUs are idle",
        "metric": "gpu_utilization",
        "comparison": "below",
        "threshold": "85",
        "urgency": "low",
        "action": "Move load to these GPUs, or pay for fewer of them.",
        "path": "/gpus",
    },
)


def add(using: str, apps: Any = registry, **_: Any) -> None:
    """After `migrate` or `flush`, when there is no rule at all."""
    try:
        rules = apps.get_model("finops", "WatchRule").objects.using(using)
    except LookupError:
        # Migrated to a state from before there were rules.
        return
    if not rules.exists():
        rules.bulk_create(rules.model(**rule) for rule in USUAL_RULES)
