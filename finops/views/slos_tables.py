"""Objectives as tables, figures and charts. Knows their words; refuses queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from django.urls import reverse

from finops import charts
from finops.costing.burn import Burn
from finops.costing.objectives import (
    AVAILABILITY,
    COST,
    ERROR_RATE,
    LATENCY,
    QUALITY,
    TTFT,
    Definition,
)
from finops.models import SloVersion, User
from finops.queries.slos import HOUR, CoursePoint, SloFigures, SloRow
from finops.templatetags import words

from .figures import Chart, Figure, count_figure, unknown_figure
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    day_cell,
    share_cell,
    time_cell,
    unknown_cell,
    words_cell,
)

STATE_LABELS = {
    "met": "Met",
    "burning": "Burning",
    "exhausted": "Budget used up",
    "unknown": "Unknown",
    "retired": "Retired",
}
STATE_TONES = {"met": "good", "burning": "warn", "exhausted": "bad", "unknown": "", "retired": ""}
INDICATOR_LABELS = {
    TTFT: "Time to first token",
    LATENCY: "Latency",
    AVAILABILITY: "Availability",
    ERROR_RATE: "Error rate",
    QUALITY: "Quality",
    COST: "Cost per request",
}
COLUMNS = (
    Column("Objective", "name"),
    Column("Project", "project"),
    Column("State", "state"),
    Column("Good", "good", number=True, help="Share of good events over the window"),
    Column("Wanted", "wanted", number=True),
    Column("Error budget left", "left", number=True),
    Column("Burn rate, 1 hour", "burn", number=True, help="1 uses the budget up in its window"),
    Column("Events", "events", number=True),
    Column("What counts as good"),
    Column("Scope"),
    Column("As of"),
)


def state_cell(state: str) -> Cell:
    return Cell(STATE_LABELS[state], state, state, tone=STATE_TONES[state] or "quiet")


def slo_table(rows: Sequence[SloRow], sort: str = "") -> Table:
    table = Table(
        "slos",
        "Objectives",
        COLUMNS,
        tuple(Row(_cells(row)) for row in rows),
        empty="No objective like this. Drop a filter.",
    )
    return table.sorted_by(sort)


def _cells(row: SloRow) -> tuple[Cell, ...]:
    definition, now = row.definition, row.status
    href = reverse("finops:slo", args=[row.slo.pk])
    share = now.good / now.total if now and now.total else None
    return (
        words_cell(definition.name, href=href),
        words_cell(row.slo.project.name),
        state_cell(row.state),
        good_cell(share),
        percent_cell(definition.objective),
        left_cell(now.budget_left if now else None),
        burn_cell(now.burn_1h if now else None),
        count_cell(now.total) if now else unknown_cell(),
        words_cell(good_said(definition)),
        words_cell(scope_said(definition)),
        time_cell(now.evaluated_at) if now else NONE,
    )


def good_cell(share: float | None) -> Cell:
    if share is None:
        return unknown_cell()
    return Cell(f"{share * 100:.3f}%", f"{share:.6f}", share, fixed=True)


def percent_cell(percent: Decimal) -> Cell:
    text = f"{percent.normalize():f}"
    return Cell(f"{text}%", text, percent)


def left_cell(left: Decimal | None) -> Cell:
    """An overdrawn budget has an empty bar, and says by how much."""
    if left is None:
        return unknown_cell()
    return share_cell(float(left), meter=max(0.0, float(left)))


def burn_cell(rate: Decimal | None) -> Cell:
    if rate is None:
        return unknown_cell()
    return Cell(f"{rate:,.1f}×", f"{rate:.6f}", rate)


# What it says


def threshold_said(definition: Definition) -> str:
    value = definition.threshold
    if value is None:
        return ""
    if definition.indicator in (TTFT, LATENCY):
        return words.duration(float(value))
    if definition.indicator == ERROR_RATE:
        return f"{value.normalize():f}%"
    if definition.indicator == COST:
        return str(words.rate(value, definition.currency))
    return f"{value.normalize():f}"


def good_said(definition: Definition) -> str:
    """What a good event is, in a few words."""
    limit = threshold_said(definition)
    return {
        TTFT: f"First token within {limit}",
        LATENCY: f"Answered within {limit}",
        AVAILABILITY: "The request did not fail",
        ERROR_RATE: f"A quarter hour with at most {limit} failed",
        QUALITY: f"Score “{definition.score}” of at least {limit}",
        COST: f"A quarter hour with at most {limit} a request",
    }[definition.indicator]


def scope_said(definition: Definition) -> str:
    parts = [
        f"{label} {', '.join(one or 'none given' for one in values)}"
        for label, values in (
            ("Service", definition.services),
            ("Provider", definition.providers),
            ("Model", definition.models),
        )
        if values
    ]
    return "; ".join(parts) or "The whole project"


def facts(definition: Definition, project: str) -> list[tuple[str, str]]:
    return [
        ("Project", project),
        ("Indicator", INDICATOR_LABELS[definition.indicator]),
        ("Good is", good_said(definition)),
        ("Scope", scope_said(definition)),
        ("Objective", f"{definition.objective.normalize():f}% of {events_said(definition)}"),
        ("Window", f"The last {definition.window_days} days, up to now"),
        ("Alerts from", f"{definition.least_events:,} {events_said(definition)} in their window"),
    ]


def events_said(definition: Definition) -> str:
    if definition.is_by_quarter:
        return "quarter hours with traffic"
    return "scores" if definition.indicator == QUALITY else "requests"


# One objective


def figures(told: SloFigures, requests_href: str) -> list[Figure]:
    judged, definition, whole = told.judged, told.definition, told.whole
    events = events_said(definition)
    unknown = f" {words.count(whole.unknown)} could not be measured." if whole.unknown else ""
    return [
        Figure(
            "state",
            "State",
            STATE_LABELS[judged.state],
            note=alight_said(judged.burns) or "Nothing burns too fast now.",
            definition="Met: budget is left. Burning: it goes too fast. Used up: more was bad than "
            "may be. Unknown: nothing was measured.",
        ),
        unknown_figure("good", "Good", "Nothing was measured in its window.")
        if told.actual is None
        else Figure(
            "good",
            "Good",
            f"{told.actual:.3f}%",
            exact=f"{told.actual / 100:.6f}",
            note=f"{definition.objective.normalize():f}% is wanted. {good_said(definition)}.",
            definition="Good events ÷ all events of the window.",
            as_of=told.as_of,
        ),
        unknown_figure("left", "Error budget left", "Without events there is no budget.")
        if judged.left is None
        else Figure(
            "left",
            "Error budget left",
            words.percent(judged.left),
            exact=f"{judged.left:.6f}",
            note=judged.why,
            definition="1 − bad events ÷ those that may be bad in the window.",
        ),
        count_figure(
            "events",
            events.capitalize(),
            whole.total,
            href=requests_href,
            note=f"In the last {definition.window_days} days.{unknown}",
            definition="Events that were measured; what was not spends no budget.",
        ),
    ]


def alight_said(burns: Iterable[Burn]) -> str:
    names = [burn.pace.name for burn in burns if burn.is_burning]
    return f"Burns too fast over {', '.join(names)}." if names else ""


def burn_table(burns: Sequence[Burn]) -> Table:
    columns = (
        Column("Window"),
        Column("Burn rate", number=True),
        Column("In its short window", number=True),
        Column("Alerts from", number=True),
        Column("Events", number=True),
        Column("Severity"),
        Column("Now"),
    )
    rows = tuple(
        Row(
            (
                words_cell(burn.pace.name, note=f"{burn.pace.budget_percent}% of the budget"),
                burn_cell(burn.long),
                burn_cell(burn.short),
                burn_cell(burn.at_least),
                count_cell(burn.events),
                words_cell(burn.pace.severity),
                Cell("Alert", "alert", tone="bad") if burn.is_burning else words_cell("quiet"),
            )
        )
        for burn in burns
    )
    return Table("burns", "How fast the budget burns", columns, rows)


def course_chart(told: SloFigures, course: Sequence[CoursePoint], step: str) -> Chart:
    objective = float(told.definition.objective)
    shares = [None if one.counts.share is None else one.counts.share * 100 for one in course]
    lines = [
        _curve("Good", shares),
        _curve("Objective", [objective] * len(course)),
    ]
    known = [share for share in shares if share is not None]
    said = (
        f"{len(known)} of {len(course)} steps are known; the worst had {min(known):.2f}% good,"
        f" where {objective:g}% is wanted."
        if known
        else "Nothing was measured in this time."
    )
    drawing = charts.curves([one.at for one in course], lines, said, percent=True)
    # A step between two unknown ones would have no line to be seen by.
    drawing.figure["data"][0] |= {"mode": "lines+markers", "marker": {"size": 5}}
    drawing.figure["data"][1]["line"] |= {"dash": "dash"}
    low = min([*known, objective])
    # Failures of a thousandth would all lie on the upper edge of 0 to 100.
    drawing.figure["layout"]["yaxis"]["range"] = [max(0.0, low - max(0.05, (100 - low) * 0.15)),
                                                  100 + max(0.01, (100 - low) * 0.05)]  # fmt: skip
    return Chart("course", "Good, step by step", drawing, course_table(course, step))


def budget_chart(course: Sequence[CoursePoint]) -> Chart:
    left = [None if one.left is None else float(one.left) * 100 for one in course]
    known = [one for one in left if one is not None]
    percent = words.percent(known[-1] / 100) if known else ""
    said = f"{percent} of the error budget is left." if known else "Nothing was measured."
    drawing = charts.curves(
        [one.at for one in course], [_curve("Error budget left", left)], said, percent=True
    )
    drawing.figure["layout"]["yaxis"]["range"] = [min([0.0, *known]) * 1.05, 105]
    table = course_table(course, "day", "budget")
    return Chart("budget", "Error budget left", drawing, table, small=True)


def _curve(label: str, values: Sequence[float | None]) -> charts.Curve:
    return charts.Curve(
        label, values, ["unknown" if one is None else f"{one:.3f}%" for one in values]
    )


def course_table(course: Sequence[CoursePoint], step: str, id: str = "course") -> Table:
    label = {"day": "Day", HOUR: "Hour"}.get(step, "Quarter hour")
    columns = (
        Column(label),
        Column("Good", number=True),
        Column("Good events", number=True),
        Column("Events", number=True),
        Column("Not measured", number=True),
        Column("Error budget left", number=True),
    )
    rows = tuple(
        Row(
            (
                time_cell(one.at) if isinstance(one.at, datetime) else day_cell(one.at),
                good_cell(one.counts.share),
                count_cell(one.counts.good),
                count_cell(one.counts.total),
                count_cell(one.counts.unknown),
                NONE if one.left is None else share_cell(float(one.left)),
            )
        )
        for one in course
    )
    return Table(id, f"Good events by {label.lower()}", columns, rows)


def version_table(versions: Sequence[SloVersion]) -> Table:
    columns = (
        Column("Version"),
        Column("Since"),
        Column("What it says"),
        Column("Proposed by"),
        Column("Approved by"),
        Column("Why"),
    )
    return Table(
        "versions", "Versions", columns, tuple(Row(_version_cells(one)) for one in versions)
    )


def _version_cells(one: SloVersion) -> tuple[Cell, ...]:
    definition = Definition.from_json(one.definition)
    agreed = [it for it in one.proposal.decisions.all() if it.decision == "approve"]
    href = reverse("finops:slo-proposal", args=[one.proposal_id])
    said = "Retired" if one.retires else summary(definition)
    return (
        Cell(str(one.number), str(one.number), one.number, href=href),
        time_cell(one.at),
        words_cell(said, note="" if one.retires else scope_said(definition)),
        words_cell(person_said(one.proposal.proposer)),
        words_cell(", ".join(person_said(it.approver) for it in agreed)),
        words_cell(one.proposal.why or "–", prose=True),
    )


def summary(definition: Definition) -> str:
    """`Answered within 2.00 s: 95% in 28 days`."""
    wanted = f"{definition.objective.normalize():f}% in {definition.window_days} days"
    return f"{good_said(definition)}: {wanted}"


def person_said(person: User) -> str:
    return person.get_full_name() or person.get_username()
