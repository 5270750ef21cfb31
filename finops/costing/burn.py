"""Error budgets: how much of one is left, how fast it burns, and when that deserves an alert.

Pure arithmetic over counts of good and of all events. The recipe is the multiwindow,
multi-burn-rate alert of Google's SRE workbook (chapter 5, "Alerting on SLOs"), on base buckets of a
quarter hour.
Refuses to call silence good: without events a window is unknown and burns nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from finops.money import CONTEXT

HUNDRED = Decimal(100)
QUARTERS_A_DAY = 96

MET, BURNING, EXHAUSTED, UNKNOWN = "met", "burning", "exhausted", "unknown"
STATES = (EXHAUSTED, BURNING, UNKNOWN, MET)
"""From what needs somebody most."""

CRITICAL, WARNING = "critical", "warning"


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of some stretch of time. `unknown` are those of which nothing can be said."""

    good: int = 0
    total: int = 0
    unknown: int = 0

    @property
    def bad(self) -> int:
        return self.total - self.good

    @property
    def share(self) -> float | None:
        """Of the good ones, 0 to 1; None without events."""
        return self.good / self.total if self.total else None

    def plus(self, other: Counts) -> Counts:
        return Counts(
            self.good + other.good, self.total + other.total, self.unknown + other.unknown
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """Burning so much of the budget within `long_quarters`, and still doing so, is an alert."""

    name: str
    long_quarters: int
    short_quarters: int
    budget_percent: int
    severity: str


PACES = (
    Pace("1 hour", 4, 1, 2, CRITICAL),
    Pace("6 hours", 24, 2, 5, CRITICAL),
    Pace("3 days", 288, 24, 10, WARNING),
)
"""2 % of the budget in an hour, 5 % in six, 10 % in three days. Of 30 days these are burn rates of
14.4, 6 and 1. Short windows are those of the workbook (5 min, 30 min, 6 h), the first one made a
quarter hour, the least that we count; see `window`."""

LONGEST_QUARTERS = max(pace.long_quarters for pace in PACES) + 1


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast one pair of windows burns; None where nothing is known."""

    pace: Pace
    at_least: Decimal
    """The burn rate that both windows must reach."""
    long: Decimal | None
    short: Decimal | None
    events: int
    """In the long window."""
    is_burning: bool


@dataclass(frozen=True, slots=True)
class Judged:
    state: str
    left: Decimal | None
    """Of the error budget, 1 is all of it, below 0 it is overdrawn; None is unknown."""
    burns: tuple[Burn, ...]
    severity: str
    """Of the alert; empty: none."""
    why: str


def added(counts: Iterable[Counts]) -> Counts:
    whole = Counts()
    for one in counts:
        whole = whole.plus(one)
    return whole


def window(newest_first: Sequence[Counts], quarters: int) -> Counts:
    """The quarter hour under way and so many before it: one that has just begun says little."""
    return added(newest_first[: quarters + 1])


def allowed(objective: Decimal, total: int) -> Decimal:
    """How many events may be bad."""
    return CONTEXT.divide(CONTEXT.multiply(CONTEXT.subtract(HUNDRED, objective), total), HUNDRED)


def left(objective: Decimal, counts: Counts) -> Decimal | None:
    if not counts.total:
        return None
    spent = CONTEXT.divide(Decimal(counts.bad), allowed(objective, counts.total))
    return CONTEXT.subtract(Decimal(1), spent)


def burn_rate(objective: Decimal, counts: Counts) -> Decimal | None:
    """1 is the rate that uses the budget up exactly at the end of the window."""
    if not counts.total:
        return None
    return CONTEXT.divide(Decimal(counts.bad), allowed(objective, counts.total))


def factor(pace: Pace, objective: Decimal, window_days: int) -> Decimal:
    """The burn rate at which the pace's share of the budget goes in its long window.

    At least 1, for what burns slower lasts. At most half of what is possible, so that a service
    which fails every second request is heard of however low its objective.
    """
    whole = Decimal(window_days * QUARTERS_A_DAY)
    wanted = whole * pace.budget_percent / (HUNDRED * pace.long_quarters)
    possible = CONTEXT.divide(HUNDRED, CONTEXT.subtract(HUNDRED, objective))
    return max(Decimal(1), min(wanted, possible / 2))


def judge(
    objective: Decimal,
    window_days: int,
    least_events: int,
    whole: Counts,
    newest_first: Sequence[Counts],
) -> Judged:
    """`whole` is the SLO's own window, `newest_first` its last quarter hours, the newest first."""
    burns = tuple(_burn(pace, objective, window_days, least_events, newest_first) for pace in PACES)
    rest = left(objective, whole)
    alight = [burn for burn in burns if burn.is_burning]
    severity = alight[0].pace.severity if alight else ""
    if rest is None:
        return Judged(UNKNOWN, None, burns, severity, "Nothing was measured in its window.")
    state = EXHAUSTED if rest <= 0 else BURNING if alight else MET
    return Judged(state, rest, burns, severity, _why(state, whole, objective, alight))


def _burn(
    pace: Pace,
    objective: Decimal,
    window_days: int,
    least_events: int,
    newest_first: Sequence[Counts],
) -> Burn:
    long = window(newest_first, pace.long_quarters)
    short = window(newest_first, pace.short_quarters)
    at_least = factor(pace, objective, window_days)
    rates = burn_rate(objective, long), burn_rate(objective, short)
    is_burning = long.total >= least_events and all(
        rate is not None and rate >= at_least for rate in rates
    )
    return Burn(pace, at_least, *rates, long.total, is_burning)


def _why(state: str, whole: Counts, objective: Decimal, alight: Sequence[Burn]) -> str:
    bad, may = f"{whole.bad:,}", allowed(objective, whole.total)
    said = f"{bad} of {whole.total:,} were bad; {int(may):,} may be."
    if state == EXHAUSTED:
        return f"The error budget is used up: {said}"
    if alight:
        first = alight[0]
        assert first.long is not None
        return (
            f"In the last {first.pace.name} it burns {first.long:,.1f} times as fast as it lasts:"
            f" {said}"
        )
    return said
