"""Proposals about objectives as tables and facts. Knows their words; refuses queries."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from django.urls import reverse

from finops.costing.objectives import Definition, Differs
from finops.models import SloDecision, SloProposal
from finops.queries.slos import ProposalRow
from finops.templatetags import words

from .slos_tables import person_said, summary
from .tables import (
    Cell,
    Column,
    Row,
    Table,
    time_cell,
    words_cell,
)

PROPOSAL_LABELS = {
    "proposed": ("Proposed", "warn"),
    "approved": ("Approved", "good"),
    "rejected": ("Rejected", "bad"),
    "withdrawn": ("Withdrawn", "quiet"),
    "expired": ("Expired", "quiet"),
    "void": ("Void", "quiet"),
}
ACT_LABELS = {"create": "New objective", "change": "Change", "retire": "Retire"}
DECISION_LABELS = {
    "approve": ("Approved", "good"),
    "reject": ("Rejected", "bad"),
    "ask": ("Asked for changes", "warn"),
}
FIELD_LABELS = {
    "name": "Name",
    "indicator": "Indicator",
    "threshold": "Threshold",
    "score": "Score",
    "currency": "Currency",
    "objective": "Objective, %",
    "window_days": "Window, days",
    "least_events": "Least events for an alert",
    "services": "Services",
    "providers": "Providers",
    "models": "Models",
}


def proposal_table(found: Sequence[SloProposal], mine: Container[int] = ()) -> Table:
    """`mine` are those that wait for the reader."""
    columns = (
        Column("Proposal"),
        Column("Objective"),
        Column("Project"),
        Column("State"),
        Column("What it would say"),
        Column("Proposed by"),
        Column("Proposed"),
        Column("Expires"),
    )
    rows = tuple(Row(_proposal_cells(one, one.pk in mine)) for one in found)
    return Table(
        "proposals", "Proposals, newest first", columns, rows, empty="There are none like this."
    )


def _proposal_cells(one: SloProposal, is_mine: bool) -> tuple[Cell, ...]:
    label, tone = PROPOSAL_LABELS[one.state]
    href = reverse("finops:slo-proposal", args=[one.pk])
    definition = Definition.from_json(one.definition)
    return (
        words_cell(f"{ACT_LABELS[one.act]} #{one.pk}", href=href),
        words_cell(one.name),
        words_cell(one.project.name),
        Cell(label, one.state, one.state, tone=tone, note="waits for you" if is_mine else ""),
        words_cell("–" if one.act == "retire" else summary(definition)),
        words_cell(person_said(one.proposer)),
        time_cell(one.created_at),
        time_cell(one.expires_at),
    )


def diff_table(differs: Iterable[Differs]) -> Table:
    columns = (Column("Field"), Column("Now"), Column("Proposed"))
    rows = tuple(
        Row((words_cell(FIELD_LABELS[one.field]), value_cell(one.old), value_cell(one.new)))
        for one in differs
    )
    return Table("diff", "What would change", columns, rows, empty="Nothing differs.")


def value_cell(value: Any) -> Cell:
    if value in (None, "", []):
        return Cell("–", "")
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return words_cell(text)


def decision_table(decisions: Sequence[SloDecision]) -> Table:
    columns = (
        Column("Who"),
        Column("Decision"),
        Column("Comment"),
        Column("Seal"),
        Column("When"),
    )
    rows = []
    for one in decisions:
        label, tone = DECISION_LABELS[one.decision]
        rows.append(
            Row(
                (
                    words_cell(person_said(one.approver), note=f"by {one.via}"),
                    words_cell(label, tone=tone),
                    words_cell(one.comment or "–", prose=True),
                    words_cell(one.plan_hash[:12]),
                    time_cell(one.at),
                )
            )
        )
    return Table("decisions", "Decisions", columns, tuple(rows), empty="Nobody has decided yet.")


def proposal_facts(row: ProposalRow) -> list[tuple[str, str]]:
    found = row.proposal
    facts_found: Mapping[str, str] = {
        "Project": found.project.name,
        "What": ACT_LABELS[found.act],
        "Proposed by": person_said(found.proposer),
        "Proposed": words.when_text(found.created_at),
        "Edited by": ", ".join(
            person_said(one) for one in row.editors if one.pk != found.proposer_id
        ),
        "Based on": f"version {found.based_on}" if found.based_on else "",
        "Expires" if found.closed_at is None else "Closed": words.when_text(
            found.closed_at or found.expires_at
        ),
        "Why it is closed": found.why_closed,
        "Revision": str(found.revision),
        "Seal": found.plan_hash,
    }
    return [(name, value) for name, value in facts_found.items() if value]
