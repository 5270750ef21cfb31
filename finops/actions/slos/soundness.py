"""What a definition must be to be proposed. Knows the range of each field; refuses with the fix."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from finops.costing.objectives import (
    COST,
    ERROR_RATE,
    INDICATORS,
    QUALITY,
    WINDOWS,
    WITH_THRESHOLD,
    Definition,
)
from finops.models import Slo
from ingest.models import Project

LONGEST_NAME = 100
MOST_VALUES, LONGEST_VALUE = 50, 300
MOST_MS, MOST_EVENTS = 3_600_000, 1_000_000
LEAST, MOST = Decimal(1), Decimal("99.999")


class Refused(Exception):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotAllowed(Exception):
    """This person may not do this, in one sentence."""


class Conflict(Exception):
    """It cannot be done any more, in one sentence."""


def checked(definition: Definition, project: Project, own: int | None) -> None:
    """Refuses the first thing that is wrong with it; `own` is the objective it is to replace."""
    name = definition.name
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused("name", f"Give it a name of at most {LONGEST_NAME} characters.")
    if definition.indicator not in INDICATORS:
        raise Refused("indicator", f"Use one of {', '.join(INDICATORS)}.")
    _threshold_is_sound(definition)
    _words_are_sound(definition)
    objective = definition.objective
    if not objective.is_finite() or not LEAST <= objective <= MOST:
        raise Refused("objective", "Use a percentage from 1 to 99.999.")
    if objective != round(objective, 3):
        raise Refused("objective", "Use at most three decimals.")
    if definition.window_days not in WINDOWS:
        raise Refused("window_days", f"Use one of {', '.join(map(str, WINDOWS))}.")
    if not 1 <= definition.least_events <= MOST_EVENTS:
        raise Refused("least_events", f"Use a number from 1 to {MOST_EVENTS:,}.")
    _scope_is_sound(definition)
    name_is_free(name, project, own)


def name_is_free(name: str, project: Project, own: int | None) -> None:
    held = Slo.objects.filter(
        project=project, current__retires=False, current__definition__name=name
    )
    if held.exclude(pk=own).exists():
        raise Refused("name", f"{project.name} has an objective “{name}” already.")


def _threshold_is_sound(definition: Definition) -> None:
    value = definition.threshold
    if (definition.indicator in WITH_THRESHOLD) != (value is not None):
        raise Refused("threshold", "Give it for every indicator but availability.")
    if value is None:
        return
    if not value.is_finite() or value != round(value, 12):
        raise Refused("threshold", "Use a number of at most twelve decimals.")
    low, high, said = {
        ERROR_RATE: (Decimal(0), Decimal(100), "a percentage of failed requests, 0 to 100"),
        QUALITY: (Decimal(-1_000_000), Decimal(1_000_000), "a score"),
        COST: (Decimal("0.000000000001"), Decimal(1_000_000), "an amount above 0"),
    }.get(definition.indicator, (Decimal(1), Decimal(MOST_MS), "milliseconds, 1 to 3,600,000"))
    if not low <= value <= high:
        raise Refused("threshold", f"Use {said}.")


def _words_are_sound(definition: Definition) -> None:
    if (definition.indicator == QUALITY) != bool(definition.score):
        raise Refused("score", "Name the score of a quality objective, and of no other.")
    if len(definition.score) > LONGEST_VALUE or not definition.score.isprintable():
        raise Refused("score", f"Use at most {LONGEST_VALUE} characters.")
    if (definition.indicator == COST) != bool(definition.currency):
        raise Refused("currency", "Give the currency of a cost objective, and of no other.")
    if len(definition.currency) > 20 or not definition.currency.isprintable():
        raise Refused("currency", "Use a currency code such as USD.")


def _scope_is_sound(definition: Definition) -> None:
    for name in ("services", "providers", "models"):
        values: Sequence[str] = getattr(definition, name)
        if values and definition.indicator == QUALITY:
            raise Refused(name, "Scores name no service, provider or model: leave this empty.")
        if len(values) > MOST_VALUES:
            raise Refused(name, f"Give at most {MOST_VALUES}.")
        if any(len(one) > LONGEST_VALUE or not one.isprintable() for one in values):
            raise Refused(name, f"Use plain text of at most {LONGEST_VALUE} characters.")
