"""How a rollout goes: its blocks, its verdicts, and the part of the page that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops.templatetags import words
from finops.views.page import View, needs
from finops.views.tables import Cell, Column, Row, Table, words_cell
from optimiser.models import RolloutBlock, Verdict
from optimiser.policy import Policy
from optimiser.queries import changes as queries
from optimiser.queries.changes import ChangeDetail, RolloutDetail

from . import labels

QUESTIONS = {"superiority": "must be shown to be better", "non-inferiority": "must not be worse"}


@dataclass(frozen=True, slots=True)
class BlockMark:
    """One place in the strip: which config, and whether it is done."""

    number: int
    arm: str
    """`control`, `treated` or `split`: the colour."""
    stage: str
    """`done`, `now`, `next` or `dropped`: the shape."""
    said: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One rollout as the page shows it."""

    rollout: Any
    is_running: bool
    state: tuple[str, str]
    sentence: str
    facts: list[tuple[str, str]]
    marks: list[BlockMark]
    is_split: bool
    verdict: Verdict | None
    verdict_tone: str
    metrics: Table | None
    looks: Table | None


@needs(queries.SEE)
@require_safe
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """What htmx asks for while a rollout runs; when it has ended the page is read anew."""
    from .changes import found

    view = View.of(request)
    row = found(view, pk)
    response = render(
        request,
        "optimiser/rollouts.html",
        {
            "panels": panels(row),
            "change": row.change,
            "here": reverse("optimiser:change", args=[pk]),
            "is_live": row.is_running,
            "live_href": f"{reverse('optimiser:change', args=[pk])}?live=0",
        },
    )
    if not row.is_running:
        response["HX-Refresh"] = "true"
    return response


def panels(row: ChangeDetail) -> list[Panel]:
    policy = Policy.from_json(row.change.policy)
    return [panel(one, policy) for one in row.rollouts]


def panel(one: RolloutDetail, policy: Policy) -> Panel:
    rollout, verdicts = one.rollout, one.verdicts
    last = verdicts[-1] if verdicts else None
    marks = block_marks(one, policy)
    return Panel(
        rollout=rollout,
        is_running=one.is_running,
        state=labels.ROLLOUTS[rollout.state],
        sentence=sentence(one, marks, last),
        facts=rollout_facts(one),
        marks=marks,
        is_split=policy.experiment == "split",
        verdict=last,
        verdict_tone=labels.VERDICTS[last.outcome] if last else "",
        metrics=metric_table(last) if last else None,
        looks=look_table(verdicts) if len(verdicts) > 1 else None,
    )


def sentence(one: RolloutDetail, marks: list[BlockMark], last: Verdict | None) -> str:
    """What a screen reader is told when it changes."""
    label = labels.ROLLOUTS[one.rollout.state][0]
    done = sum(mark.stage in ("done", "dropped") for mark in marks)
    said = f"{label}."
    if one.rollout.state == "measuring":
        said += f" {done} of {len(marks)} blocks are done."
    if last is not None:
        said += f" Look {last.look} of {last.looks}: {last.outcome}."
    return said


def rollout_facts(one: RolloutDetail) -> list[tuple[str, str]]:
    rollout = one.rollout
    facts = [
        ("Began", words.when_text(rollout.started_at or rollout.created_at)),
        ("Ended", words.when_text(rollout.finished_at) if rollout.finished_at else "not yet"),
        ("Snapshot", "kept: what rolling back loads" if rollout.snapshot else "not taken yet"),
        ("Seed of the order", str(rollout.seed)),
    ]
    if one.is_running:
        lease = rollout.lease_expires_at
        facts.append(("Controller's lease until", words.when_text(lease) if lease else "free"))
    if rollout.attempts:
        facts.append(("Failed tries of this step", str(rollout.attempts)))
    if rollout.stop_asked_at:
        who = rollout.stop_asked_by
        name = who.get_full_name() or who.get_username() if who else "Breakeven"
        facts.append(("Roll back asked by", f"{name}, {words.when_text(rollout.stop_asked_at)}"))
    return facts


# Blocks


def block_marks(one: RolloutDetail, policy: Policy) -> list[BlockMark]:
    """Those that were, and those that the randomised order still holds."""
    blocks = {block.index: block for block in one.blocks}
    order = list(one.rollout.arms)
    count = max([len(order), *(index + 1 for index in blocks)], default=0)
    if not count and one.is_running:
        count = policy.blocks
    return [
        block_mark(at, blocks.get(at), order[at] if at < len(order) else "", one.is_running)
        for at in range(count)
    ]


def block_mark(at: int, block: RolloutBlock | None, planned: str, is_running: bool) -> BlockMark:
    arm = (block.arm if block else planned) or "split"
    stage = stage_of(block, is_running)
    config = {"control": "old config", "treated": "new config", "split": "both at once"}[arm]
    if block is not None and block.weight is not None:
        config = f"{words.percent(block.weight)} on the new one"
    said = f"Block {at + 1}, {config}: "
    said += {
        "done": "measured",
        "now": "now",
        "next": "to come" if is_running else "not reached",
        "dropped": f"left out, {block.dropped_reason if block else ''}",
    }[stage]
    return BlockMark(at + 1, arm, stage, said)


def stage_of(block: RolloutBlock | None, is_running: bool) -> str:
    if block is None:
        return "next"
    if block.dropped_reason:
        return "dropped"
    if block.measured_to is not None:
        return "done"
    return "now" if is_running else "next"


# Verdicts


def metric_table(verdict: Verdict) -> Table:
    columns = (
        Column("Metric"),
        Column("Verdict"),
        Column("Old", number=True),
        Column("New", number=True),
        Column("Better by", number=True, help="A minus says worse"),
        Column("Margin", number=True, help="How much worse it may be"),
        Column("Blocks per arm", number=True, help="Seen, and needed for an answer"),
    )
    rows = tuple(Row(metric_cells(metric)) for metric in verdict.metrics)
    return Table(
        f"verdict-{verdict.rollout_id}",
        f"Metrics at look {verdict.look} of {verdict.looks}",
        columns,
        rows,
        empty="Nothing could be compared.",
    )


def metric_cells(metric: dict[str, Any]) -> tuple[Cell, ...]:
    outcome = metric["outcome"]
    return (
        words_cell(labels.JUDGED[metric["name"]], note=QUESTIONS[metric["question"]]),
        words_cell(outcome, tone=labels.VERDICTS[outcome], note=metric["reason"]),
        figure_cell(metric, "before"),
        figure_cell(metric, "after"),
        effect_cell(metric),
        Cell(labels.difference(metric["name"], metric["margin"]), repr(metric["margin"])),
        samples_cell(metric),
    )


def figure_cell(metric: dict[str, Any], part: str) -> Cell:
    value = metric[part]
    if value is None:
        return Cell(words.UNKNOWN, "", unknown=True)
    return Cell(labels.measure(metric["name"], value), repr(value), value)


def effect_cell(metric: dict[str, Any]) -> Cell:
    effect = metric["effect"]
    if effect is None:
        return Cell(words.UNKNOWN, "", unknown=True)
    name = metric["name"]
    return Cell(labels.difference(name, effect), repr(effect), effect, note=interval(metric))


def interval(metric: dict[str, Any]) -> str:
    """One side may be open while not enough has been seen."""
    name, low, high = metric["name"], metric["low"], metric["high"]
    if low is None and high is None:
        return "no interval yet"
    if high is None:
        return f"at least {labels.difference(name, low)}"
    if low is None:
        return f"at most {labels.difference(name, high)}"
    return f"{labels.difference(name, low)} to {labels.difference(name, high)}"


def samples_cell(metric: dict[str, Any]) -> Cell:
    seen, needed = metric["seen"], metric["needed"]
    note = "needed: unknown yet" if needed is None else f"of {words.count(needed)} needed"
    return Cell(words.count(seen), str(seen), seen, note=note)


def look_table(verdicts: list[Verdict]) -> Table:
    columns = (Column("Look"), Column("Verdict"), Column("When"), Column("Judge"))
    rows = tuple(
        Row(
            (
                words_cell(f"{one.look} of {one.looks}"),
                words_cell(one.outcome, tone=labels.VERDICTS[one.outcome], note=one.reason),
                Cell(words.when_text(one.at), one.at.isoformat(timespec="seconds"), fixed=True),
                words_cell(one.judge_version, note=f"inputs {one.input_hash[:12]}"),
            )
        )
        for one in verdicts
    )
    return Table(f"looks-{verdicts[0].rollout_id}", "Every look", columns, rows)
