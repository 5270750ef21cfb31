"""Changes: the list, and one change as a pull request. Deciding is in `deciding`."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops.models import User
from finops.queries import slos
from finops.templatetags import words
from finops.views.page import Action, View, link, needs, page
from finops.views.slo_proposals_tables import proposal_table
from finops.views.tables import NONE, Cell, Column, Row, Table, time_cell, words_cell
from optimiser.forms import DecisionForm
from optimiser.models import Approval, Change
from optimiser.policy import Policy
from optimiser.queries import changes as queries
from optimiser.queries.changes import ChangeDetail, ChangeRow

from . import labels
from .booked import booked_table
from .diff import diff_table, pretty
from .evidence import effect_table
from .recommendations import state_choices
from .rollouts import panels

PAGE_SIZE = 50
STATE_LABELS = (
    ("open", "Open"),
    ("proposed", "Proposed"),
    ("approved", "Approved"),
    ("rolling_out", "Rolling out"),
    ("promoted", "Promoted"),
    ("rolled_back", "Rolled back"),
    ("rejected", "Rejected"),
    ("all", "All"),
)


@needs(queries.SEE)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "state", "cursor")
    state = view.extra.get("state", "open")
    if state not in queries.STATES:
        raise Http404("There is no such state.")
    found = queries.change_list(request.user, state, PAGE_SIZE, view.extra.get("cursor"))
    return page(
        view,
        "optimiser/changes.html",
        "Changes",
        lead="What somebody wants carried out, who decided, and what came of it.",
        with_bar=False,
        states=state_choices(view, STATE_LABELS, state),
        table=change_table(found.rows, view),
        objectives=objectives(view) if state == "open" else None,
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if view.extra.get("cursor") else "",
        shown=f"{len(found.rows)} changes on this page",
    )


def objectives(view: View) -> Table:
    """Proposals of objectives are changes too: decided the same way, on pages of their own."""
    user = view.request.user
    mine = {one.pk for one in slos.to_decide(user)}
    return proposal_table(slos.proposals(user), mine)


def change_table(rows: Iterable[ChangeRow], view: View) -> Table:
    columns = (
        Column("Change"),
        Column("State"),
        Column("Expected effect"),
        Column("Approvals"),
        Column("Proposed by"),
        Column("Expires"),
    )
    made = tuple(Row(change_cells(row, view)) for row in rows)
    empty = "There are none in this state. A change begins with a recommendation."
    return Table("changes", "Changes, newest first", columns, made, empty=empty)


def change_cells(row: ChangeRow, view: View) -> tuple[Cell, ...]:
    change = row.change
    href = link(reverse("optimiser:change", args=[change.pk]), view.filters)
    label, tone = labels.CHANGES[change.state]
    return (
        words_cell(change.title, href=href, note=f"#{change.pk}, {change.target}"),
        words_cell(label, tone=tone),
        effect_cell(change),
        words_cell(f"{row.agreed} of {row.needed}"),
        words_cell(name_of(change.proposer), note=words.when_text(change.created_at)),
        time_cell(change.expires_at),
    )


def effect_cell(change: Change) -> Cell:
    if not change.effect:
        return NONE
    short, note = labels.effect_short(change.effect)
    return words_cell(short, note=note)


def name_of(person: User | None) -> str:
    return "Breakeven" if person is None else person.get_full_name() or person.get_username()


@needs(queries.SEE)
@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request, "live")
    return change_page(view, found(view, pk))


def found(view: View, pk: int) -> ChangeDetail:
    row = queries.change_detail(view.request.user, pk)
    if row is None:
        raise Http404("There is no such change that you may see.")
    return row


def change_page(
    view: View,
    row: ChangeDetail,
    status: int = 200,
    refusal: str = "",
    moved: Iterable[str] = (),
    form: DecisionForm | None = None,
) -> HttpResponse:
    """`refusal` and `moved` say why what was just asked for was not done."""
    change = row.change
    here = reverse("optimiser:change", args=[change.pk])
    is_live = row.is_running and view.extra.get("live") != "0"
    return page(
        view,
        "optimiser/change.html",
        change.title,
        lead=labels.effect_line(change.effect),
        crumbs=(("Changes", view.to("optimiser:changes")),),
        actions=head_actions(view, row),
        with_bar=False,
        status=status,
        refusal=refusal,
        moved=list(moved),
        row=row,
        change=change,
        here=here,
        state=labels.CHANGES[change.state],
        facts=change_facts(row),
        effects=effect_table(change.effect) if change.effect else None,
        diff=diff_table("change-diff", row.moved, "Old", "New"),
        edited=[str(one) for one in row.edited],
        old=pretty(change.live_config),
        new=pretty(change.desired_config),
        policy=labels.policy_sentences(Policy.from_json(change.policy)),
        approvals=approval_table(row),
        waits_for=waits_for(row),
        form=form or DecisionForm(initial={"plan_hash": change.plan_hash}),
        panels=panels(row),
        may_not_roll_back=row.may.roll_back if row.is_applied else "",
        is_live=is_live,
        live_href=view.url(live="0" if is_live else ""),
        booked=booked_table(view, change),
        evidence_href=link(
            reverse("optimiser:recommendation", args=[change.recommendation_id]), view.filters
        )
        if change.recommendation_id
        else "",
    )


def head_actions(view: View, row: ChangeDetail) -> list[Action]:
    edit = Action("Edit", reverse("optimiser:change-edit", args=[row.change.pk]), "edit")
    decide = Action("Decide", "#decide-title", "check", main=True)
    return [*([] if row.may.edit else [edit]), *([] if row.may.decide else [decide])]


def change_facts(row: ChangeDetail) -> list[tuple[str, str]]:
    change = row.change
    return [
        ("Model", str(change.target)),
        ("Project", change.target.project.name),
        ("Lever", labels.lever(change.lever)),
        ("Proposed by", name_of(change.proposer)),
        ("Proposed", words.when_text(change.created_at)),
        ("Expires", words.when_text(change.expires_at)),
        ("Revision", str(change.revision)),
        ("Plan hash", change.plan_hash),
    ]


def waits_for(row: ChangeDetail) -> str:
    """Who must agree, in a sentence; empty when nobody has to any more."""
    if row.change.state != "proposed":
        return ""
    names = " or ".join(sorted({name_of(person) for person in row.editors}))
    return (
        f"{row.agreed} of {row.needed} approvals of this plan. An approver of "
        f"{row.change.target.project.name} other than {names} decides."
    )


def approval_table(row: ChangeDetail) -> Table:
    columns = (
        Column("Who"),
        Column("Decision"),
        Column("Comment"),
        Column("Plan"),
        Column("When"),
        Column("Counts"),
    )
    return Table(
        "approvals",
        "Decisions, and whether they count",
        columns,
        tuple(Row(approval_cells(one, row.change)) for one in row.approvals),
        empty="Nobody has decided yet.",
    )


def approval_cells(one: Approval, change: Change) -> tuple[Cell, ...]:
    label, tone = labels.DECISIONS[one.decision]
    if one.voided_at is not None:
        counts = words_cell("Void", tone="warn", note=one.void_reason)
    else:
        counts = words_cell("Yes", tone="good")
    return (
        words_cell(name_of(one.approver), note=f"by {one.via}"),
        words_cell(label, tone=tone if one.voided_at is None else "quiet"),
        words_cell(one.comment or "–"),
        words_cell(one.plan_hash[:12]),
        time_cell(one.at),
        counts,
    )
