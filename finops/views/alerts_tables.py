"""The tables of alerts, for the page and its CSV alike. Knows their words; refuses queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.urls import reverse

from finops.models import Alert, AlertEvent, Silence
from finops.queries.alerts import CURRENT, EVERY, KIND_WORDS, Told

from .tables import NONE, Cell, Column, Row, Table, count_cell, time_cell, words_cell

STATE_WORDS = {
    CURRENT: "Not resolved",
    "open": "Open",
    "acknowledged": "Acknowledged",
    "snoozed": "Snoozed",
    "resolved": "Resolved",
    EVERY: "All",
}
TONES = {"critical": "bad", "warning": "warn", "info": "quiet"}
ACT_WORDS = {
    "opened": "Opened",
    "rose": "Grew worse",
    "returned": "Came back",
    "told_late": "Told after a silence",
    "reminded": "Reminded",
    "escalated": "Escalated",
    "acknowledged": "Acknowledged",
    "snoozed": "Snoozed",
    "resolved": "Resolved",
    "reopened": "Came again",
    "settled": "Holds still",
}
MESSAGE_WORDS = {
    "waiting": ("on its way", "warn"),
    "sent": ("delivered", "good"),
    "failed": ("failed", "bad"),
    "not_delivered": ("not delivered", "bad"),
}
COLUMNS = (
    Column("Alert"),
    Column("Severity"),
    Column("State"),
    Column("Kind"),
    Column("Project"),
    Column("Opened"),
    Column("Last seen"),
    Column("Seen", number=True, help="How often it was found"),
    Column("Id"),
)


def alert_table(rows: Sequence[Alert], silenced: Mapping[int, Silence]) -> Table:
    return Table(
        "alerts",
        "Alerts, open ones first",
        COLUMNS,
        tuple(Row(alert_cells(alert, silenced.get(alert.pk))) for alert in rows),
        empty="No alert like this. Choose another state, or drop a filter.",
    )


def alert_cells(alert: Alert, silence: Silence | None) -> tuple[Cell, ...]:
    return (
        words_cell(alert.title, href=reverse("finops:alert", args=[alert.pk])),
        Cell(alert.severity, alert.severity, alert.severity, tone=TONES[alert.severity]),
        state_cell(alert, silence),
        Cell(KIND_WORDS[alert.kind], alert.kind),
        project_cell(alert),
        time_cell(alert.opened_at),
        time_cell(alert.last_seen_at),
        count_cell(alert.times_seen),
        words_cell(alert.ref, fixed=True),
    )


def project_cell(alert: Alert) -> Cell:
    project = alert.project
    return Cell(project.name, project.slug) if project else Cell("Whole organisation", "")


def state_cell(alert: Alert, silence: Silence | None) -> Cell:
    said = STATE_WORDS[alert.state].lower()
    value = f"{alert.state}, silenced" if silence else alert.state
    note = f"silenced: {silence.why}" if silence else "flapping" if alert.is_flapping else ""
    return Cell(said, value, said, note=note, tone="good" if alert.state == "resolved" else "")


HISTORY = (
    Column("When"),
    Column("What"),
    Column("Alert"),
    Column("Severity"),
    Column("Project"),
    Column("By"),
    Column("Note"),
    Column("Channels told", number=True),
)


def history_table(events: Iterable[AlertEvent]) -> Table:
    return Table(
        "history",
        "What became of alerts, newest first",
        HISTORY,
        tuple(
            Row(
                (
                    time_cell(event.at),
                    act_cell(event),
                    words_cell(
                        event.alert.title, href=reverse("finops:alert", args=[event.alert_id])
                    ),
                    severity_cell(event),
                    project_cell(event.alert),
                    by_cell(event),
                    note_cell(event),
                    count_cell(len(event.told)),
                )
            )
            for event in events
        ),
        empty="Nothing has happened yet.",
    )


TIMELINE = (
    Column("When"),
    Column("What"),
    Column("Severity"),
    Column("By"),
    Column("Note"),
    Column("Channels told", number=True),
)


def timeline_table(events: Iterable[AlertEvent]) -> Table:
    return Table(
        "timeline",
        "What became of it, newest first",
        TIMELINE,
        tuple(
            Row(
                (
                    time_cell(event.at),
                    act_cell(event),
                    severity_cell(event),
                    by_cell(event),
                    note_cell(event),
                    count_cell(len(event.told)),
                )
            )
            for event in events
        ),
    )


def act_cell(event: AlertEvent) -> Cell:
    return Cell(ACT_WORDS[event.act], event.act, ACT_WORDS[event.act])


def severity_cell(event: AlertEvent) -> Cell:
    return Cell(event.severity, event.severity, tone=TONES[event.severity])


def by_cell(event: AlertEvent) -> Cell:
    return words_cell(event.by_name) if event.by_name else Cell("by itself", "")


def note_cell(event: AlertEvent) -> Cell:
    return words_cell(event.note, prose=True) if event.note else NONE


DELIVERIES = (
    Column("Channel"),
    Column("What"),
    Column("When"),
    Column("Delivered"),
    Column("Attempts", number=True),
)


def deliveries_table(told: Iterable[Told]) -> Table:
    return Table(
        "deliveries",
        "What channels were told, newest first",
        DELIVERIES,
        tuple(
            Row(
                (
                    words_cell(one.channel),
                    words_cell(one.event),
                    time_cell(one.at),
                    delivered_cell(one),
                    count_cell(one.attempts),
                )
            )
            for one in told
        ),
        empty="No channel was told.",
    )


def delivered_cell(told: Told) -> Cell:
    said, tone = MESSAGE_WORDS[told.state]
    return Cell(said, told.state, tone=tone, note=told.problem)
