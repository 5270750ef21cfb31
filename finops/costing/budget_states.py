"""How a budget does: its pace, what it will come to, its state, and what a gateway should do.

Knows amounts of one currency and shares of a period. Refuses to guess: without an amount, without a
price or without enough days it says "unknown", and why. Every projection names its method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce

from finops.money import CONTEXT

ON_TRACK, AT_RISK, OVER, UNKNOWN = "on_track", "at_risk", "over", "unknown"
STATES = (ON_TRACK, AT_RISK, OVER, UNKNOWN)
FORECAST, PACE, KNOWN, NOTHING = "forecast", "pace", "known", "none"
METHODS = (FORECAST, PACE, KNOWN, NOTHING)
"""From the stored forecast, from the days before, all days are over, or not at all."""
NO_SIGNAL, SOFT, HARD = "none", "soft", "hard"
SIGNALS = (NO_SIGNAL, SOFT, HARD)
OK = "ok"
ACTUAL = "actual"
BASES = (ACTUAL, FORECAST)
"""What a threshold looks at."""

FEWEST_DAYS = 7
"""Below a week a weekly rhythm would pass for a trend."""
LOOK_BACK_DAYS = 28
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the period comes to; all three None when it cannot be said."""

    mean: Decimal | None
    low: Decimal | None
    high: Decimal | None
    method: str
    said: str
    """The method, or why there is none, in a sentence."""


@dataclass(frozen=True, slots=True)
class Judgement:
    state: str
    why: str


def added(parts: Sequence[Decimal]) -> Decimal:
    return reduce(CONTEXT.add, parts, ZERO)


def share(part: Decimal | None, amount: Decimal | None) -> Decimal | None:
    """Of the budget; None where either is unknown."""
    if part is None or not amount:
        return None
    return CONTEXT.divide(part, amount)


def pace(amount: Decimal | None, start: datetime, end: datetime, now: datetime) -> Decimal | None:
    """What would be spent by now if every hour of the period cost the same."""
    if amount is None:
        return None
    passed = min(max(now, start), end) - start
    elapsed = CONTEXT.divide(_seconds(passed), _seconds(end - start))
    return CONTEXT.multiply(amount, elapsed)


def from_forecast(
    days: Mapping[date, Decimal],
    left: Sequence[date],
    today: date,
    points: Mapping[date, tuple[Decimal, Decimal, Decimal]],
    said: str,
) -> Expected:
    """Spent on days that are over, plus (mean, low, high) of each day left, today among them.

    The band adds up daily bounds, as if every day erred the same way: it is wide rather than
    falsely narrow. Today may have cost more than was expected of it.
    """
    known = added(list(days.values()))
    over = CONTEXT.subtract(known, days.get(today, ZERO))
    mean, low, high = (
        max(added([over, *(points[day][at] for day in left)]), known) for at in range(3)
    )
    return Expected(mean, low, high, FORECAST, said)


def from_pace(
    days: Mapping[date, Decimal],
    history: Sequence[Decimal],
    left: Sequence[date],
    today: date,
) -> Expected:
    """Each day left at the mean of the last known days; the band at their cheap and dear tenth."""
    if len(history) < FEWEST_DAYS:
        said = f"Not enough data: {len(history)} of the {FEWEST_DAYS} whole days needed are known."
        return Expected(None, None, None, NOTHING, said)
    mean = CONTEXT.divide(added(history), Decimal(len(history)))
    # Of a skewed week the mean may lie outside the middle four fifths; a band holds its line.
    low = min(mean, quantile(history, Decimal("0.1")))
    high = max(mean, quantile(history, Decimal("0.9")))
    said = (
        f"Pace: each day left at the mean of the last {len(history)} known days; the range as if "
        "each was among the cheapest or the dearest tenth of them."
    )
    points = dict.fromkeys(left, (mean, low, high))
    made = from_forecast(days, left, today, points, said)
    return Expected(made.mean, made.low, made.high, PACE, said)


def quantile(values: Sequence[Decimal], at: Decimal) -> Decimal:
    """Linear between the two nearest values."""
    ordered = sorted(values)
    place = CONTEXT.multiply(Decimal(len(ordered) - 1), at)
    below = int(place)
    rest = CONTEXT.subtract(place, Decimal(below))
    above = ordered[min(below + 1, len(ordered) - 1)]
    step = CONTEXT.multiply(CONTEXT.subtract(above, ordered[below]), rest)
    return CONTEXT.add(ordered[below], step)


def adjusted(before: Sequence[Decimal], cap: Decimal) -> tuple[Decimal, str]:
    """The amount of an auto-adjusting budget and how it came about."""
    if not before:
        return cap, "No complete period is known yet, so the cap is the budget."
    mean = CONTEXT.divide(added(before), Decimal(len(before)))
    noun = "period" if len(before) == 1 else f"{len(before)} periods"
    if mean >= cap:
        return cap, f"The average of the last {noun} is above the cap, so the cap is the budget."
    if mean <= 0:
        return cap, f"The average of the last {noun} is nothing, so the cap is the budget."
    return mean, f"The average of the last {noun}, at most the cap."


def judge(
    amount: Decimal | None,
    spent: Decimal | None,
    expected: Expected,
    pace_now: Decimal | None,
    missing: str,
    missing_share: float,
) -> Judgement:
    """The state and its reason. What has no price is in no figure, so a figure is "at least": it
    shows over and at risk, and "on track" stands if it would with the rest priced like the others.
    """
    if spent is None:
        return Judgement(UNKNOWN, missing or "Nothing is known of this period yet.")
    if amount is None:
        return Judgement(UNKNOWN, "This period has no amount.")
    if spent > amount:
        return Judgement(OVER, _with("More is spent than the budget holds.", missing))
    if expected.mean is not None and expected.mean > amount:
        return Judgement(AT_RISK, _with("It is expected to end above the budget.", missing))
    limit = amount if expected.mean is not None else pace_now
    figure = spent if expected.mean is None else expected.mean
    if limit is not None and figure <= limit and not _fits(figure, limit, missing_share):
        return Judgement(UNKNOWN, missing)
    if expected.mean is not None:
        return Judgement(ON_TRACK, _with("It is expected to end within the budget.", missing))
    if pace_now is None:
        return Judgement(UNKNOWN, _with(expected.said, missing))
    if spent > pace_now:
        why = "There is no forecast yet, and the spend is ahead of an even pace."
        return Judgement(AT_RISK, _with(why, missing))
    why = "There is no forecast yet; the spend is within an even pace."
    return Judgement(ON_TRACK, _with(why, missing))


def signal(wanted: str, amount: Decimal | None, spent: Decimal | None) -> str:
    """What a gateway should do: nothing is stopped on what is not known."""
    if wanted == NO_SIGNAL or amount is None or spent is None or spent < amount:
        return OK
    return wanted


def reached(figure: Decimal | None, amount: Decimal | None, percent: Decimal) -> bool:
    """Has this figure reached the percentage of the budget? Unknown has reached nothing."""
    if figure is None or amount is None:
        return False
    return CONTEXT.multiply(figure, Decimal(100)) >= CONTEXT.multiply(amount, percent)


def _fits(figure: Decimal, limit: Decimal, missing_share: float) -> bool:
    """Also if what has no price cost as much as what has one; where nothing has, nobody knows."""
    priced = CONTEXT.subtract(Decimal(1), Decimal(repr(missing_share)))
    return bool(priced) and figure <= CONTEXT.multiply(limit, priced)


def _with(why: str, missing: str) -> str:
    return f"{why} {missing}" if missing else why


def _seconds(length: timedelta) -> Decimal:
    return Decimal(length // timedelta(microseconds=1)).scaleb(-6)
