"""Objectives: read them and their course; propose, edit and decide. Nobody decides on their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from finops import access
from finops.actions import slos as actions
from finops.costing.objectives import COST, Definition, usual_events
from finops.problems import Problem
from finops.queries import slos as queries
from finops.queries.filters import FilterError
from finops.queries.slos import (
    DAY,
    PROPOSALS_SHOWN,
    RETIRED,
    SEE,
    STATES_SHOWN,
    STEPS,
    ProposalRow,
    SloRow,
)

from . import slo_shapes as shapes
from .base import Api, told
from .parameters import PAGE, choice_of, limit_of, only, text_of, text_parameter
from .people import body_of
from .shapes import ProblemShape

GROUP = "Objectives"
STALE = {
    409: (ProblemShape, "It is decided, or somebody has changed it since."),
    412: (ProblemShape, "If-Match is not what it is any more; read it again."),
    428: (ProblemShape, "Nothing says what you have read: send If-Match with the ETag."),
}


class Slos(Api):
    permissions = {"GET": SEE}

    @told(
        "The objectives one may see, by project and name",
        shapes.SloPageShape,
        parameters=[
            text_parameter("state", "Only these; in force if left out.", enum=STATES_SHOWN),
            text_parameter("project", "Only of this project's slug."),
            *PAGE,
        ],
        name="slos",
        group=GROUP,
    )
    def get(self, request: Request) -> Response:
        only(request, "state", "project", "limit", "cursor")
        found = queries.slo_page(
            queries.slos(request.user),
            state=choice_of(request, "state", ("", *STATES_SHOWN)),
            project=text_of(request, "project"),
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        return self.answer(shapes.SloPageShape, {"data": found.rows, "next": found.next})


class OneSlo(Api):
    permissions = {"GET": SEE}

    @told("One objective; its ETag is its version", shapes.SloShape, name="slo", group=GROUP)
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        row = visible(request, int(pk))
        return tagged(self.answer(shapes.SloShape, row), str(row.version))


class SloCourse(Api):
    permissions = {"GET": SEE}

    @told(
        "How an objective does now, and its course by day, hour (7 days) or quarter (1 day)",
        shapes.SloCourseShape,
        parameters=[text_parameter("step", "day if left out.", enum=STEPS)],
        name="slo_course",
        group=GROUP,
    )
    def get(self, request: Request, pk: str) -> Response:
        only(request, "step")
        row, step = visible(request, int(pk)), choice_of(request, "step", (DAY, *STEPS))
        if row.state == RETIRED:
            raise Problem(409, "This objective is retired: nothing is computed.")
        now = timezone.now()
        found = queries.figures(row.slo, now)
        said = {
            "slo": row.slo.pk,
            "since": found.filters.start,
            "until": found.filters.end,
            "state": found.judged.state,
            "why": found.judged.why,
            "good": found.whole.good,
            "total": found.whole.total,
            "unknown": found.whole.unknown,
            "budget_left": found.judged.left,
            "burns": found.judged.burns,
            "step": step,
            "points": queries.course(row.slo, now, step),
        }
        return self.answer(shapes.SloCourseShape, said)


class SloVersions(Api):
    permissions = {"GET": SEE}

    @told("Every version of an objective, newest first", shapes.SloVersionListShape,
          name="slo_versions", group=GROUP)  # fmt: skip
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        found = queries.versions(visible(request, int(pk)).slo)
        return self.answer(shapes.SloVersionListShape, {"data": found, "next": None})


class SloNext(Api):
    permissions = {"POST": queries.PROPOSE}

    @told(
        "Propose to change an objective, or with retire to end it",
        shapes.OneSloProposalShape,
        body=shapes.SloNextRequest,
        status=201,
        name="slo_change",
        group=GROUP,
        more=STALE,
    )
    def post(self, request: Request, pk: str) -> Response:
        row = visible(request, int(pk))
        demand(request, row.slo.project)
        wanted = body_of(shapes.SloNextRequest, request)
        said = wanted.pop("version", None)
        version = read_of(request, str(row.version), None if said is None else str(said))
        why, retires = wanted.pop("why", ""), wanted.pop("retire")
        who = {"by": request.user, "via": "api", "why": why, "version": int(version)}
        with sound():
            if retires:
                made = actions.propose_retirement(row.slo, **who)
            else:
                definition = replace(row.definition, **parts(wanted))
                made = actions.propose_change(row.slo, definition, **who)
        return answered(request, made.pk, 201)


class SloProposals(Api):
    permissions = {"GET": SEE, "POST": queries.PROPOSE}

    @told(
        "Proposals of objectives, newest first",
        shapes.SloProposalListShape,
        parameters=[
            text_parameter("state", "The open ones if left out.", enum=PROPOSALS_SHOWN),
            *PAGE,
        ],
        name="slo_proposals",
        group=GROUP,
    )
    def get(self, request: Request) -> Response:
        only(request, "state", "limit", "cursor")
        found = queries.proposal_page(
            request.user,
            choice_of(request, "state", PROPOSALS_SHOWN),
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        return self.answer(shapes.SloProposalListShape, {"data": found.rows, "next": found.next})

    @told(
        "Propose an objective; it holds once a second person has approved it",
        shapes.OneSloProposalShape,
        body=shapes.SloProposalRequest,
        status=201,
        name="slo_propose",
        group=GROUP,
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.SloProposalRequest, request)
        slug, why = wanted.pop("project"), wanted.pop("why", "")
        visible_ones = {one.slug: one for one in access.visible_projects(request.user, SEE).all}
        project = visible_ones.get(slug)
        if project is None:
            wrong = FilterError("project", f"There is no project “{slug}” that you may see.")
            raise Problem(400, "Some fields are wrong.", [wrong])
        demand(request, project)
        indicator = wanted["indicator"]
        wanted.setdefault("least_events", usual_events(indicator))
        if indicator == COST and not wanted.get("currency"):
            wanted["currency"] = settings.REPORTING_CURRENCY
        with sound():
            made = actions.propose(
                project, Definition(**parts(wanted)), by=request.user, via="api", why=why
            )
        return answered(request, made.pk, 201)


class OneSloProposal(Api):
    permissions = {"GET": SEE, "PATCH": queries.PROPOSE}

    @told("One proposal with its decisions; its ETag is its seal", shapes.OneSloProposalShape,
          name="slo_proposal", group=GROUP)  # fmt: skip
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return answered(request, int(pk))

    @told(
        "Edit a proposal; whoever does may not decide on it",
        shapes.OneSloProposalShape,
        body=shapes.SloEditRequest,
        name="slo_proposal_edit",
        group=GROUP,
        more=STALE,
    )
    def patch(self, request: Request, pk: str) -> Response:
        found = proposal_of(request, int(pk)).proposal
        demand(request, found.project)
        wanted = body_of(shapes.SloEditRequest, request)
        seal = read_of(request, found.plan_hash, wanted.pop("plan_hash", None))
        why = wanted.pop("why", None)
        definition = replace(Definition.from_json(found.definition), **parts(wanted))
        with sound():
            actions.edit(found, definition, by=request.user, via="api", plan_hash=seal, why=why)
        return answered(request, int(pk))


class Decide(Api):
    """A decision is about one seal: name it by If-Match with the ETag, or by `plan_hash`."""

    permissions = {"POST": SEE}
    decide: ClassVar[Callable[..., Any]]

    def decided(self, request: Request, pk: str) -> Response:
        wanted = body_of(shapes.SloDecisionRequest, request)
        found = proposal_of(request, int(pk)).proposal
        # Who may decide comes first: for whoever may not, a fresh seal helps nothing.
        may = request.user.has_perm(queries.APPROVE, found.project)
        if found.proposer_id == request.user.pk or not may:
            seal = found.plan_hash
        else:
            seal = read_of(request, found.plan_hash, wanted["plan_hash"] or None)
        with sound():
            type(self).decide(
                found, by=request.user, via="api", plan_hash=seal, comment=wanted["comment"]
            )
        return answered(request, int(pk))


class ApproveSlo(Decide):
    decide = staticmethod(actions.approve)

    @told(
        "Approve exactly this seal; never one's own. It holds at once",
        shapes.OneSloProposalShape,
        body=shapes.SloDecisionRequest,
        name="slo_proposal_approve",
        group=GROUP,
        more=STALE,
    )
    def post(self, request: Request, pk: str) -> Response:
        return self.decided(request, pk)


class RejectSlo(Decide):
    decide = staticmethod(actions.reject)

    @told(
        "Reject it, and say why; the proposal is closed",
        shapes.OneSloProposalShape,
        body=shapes.SloDecisionRequest,
        name="slo_proposal_reject",
        group=GROUP,
        more=STALE,
    )
    def post(self, request: Request, pk: str) -> Response:
        return self.decided(request, pk)


class AskSlo(Decide):
    decide = staticmethod(actions.ask)

    @told(
        "Ask for changes, and say which; the proposal stays open",
        shapes.OneSloProposalShape,
        body=shapes.SloDecisionRequest,
        name="slo_proposal_ask",
        group=GROUP,
        more=STALE,
    )
    def post(self, request: Request, pk: str) -> Response:
        return self.decided(request, pk)


class WithdrawSlo(Api):
    permissions = {"POST": queries.PROPOSE}

    @told(
        "Take a proposal back before it is decided",
        shapes.OneSloProposalShape,
        body=shapes.SloDecisionRequest,
        name="slo_proposal_withdraw",
        group=GROUP,
        more=STALE,
    )
    def post(self, request: Request, pk: str) -> Response:
        wanted = body_of(shapes.SloDecisionRequest, request)
        found = proposal_of(request, int(pk)).proposal
        demand(request, found.project)
        seal = read_of(request, found.plan_hash, wanted["plan_hash"] or None)
        with sound():
            actions.withdraw(
                found, by=request.user, via="api", plan_hash=seal, why=wanted["comment"]
            )
        return answered(request, int(pk))


def visible(request: Request, pk: int) -> SloRow:
    row = queries.one(request.user, pk)
    if row is None:
        raise Problem(404, "There is no such objective that you may see.")
    return row


def proposal_of(request: Request, pk: int) -> ProposalRow:
    row = queries.proposal(request.user, pk)
    if row is None:
        raise Problem(404, "There is no such proposal that you may see.")
    return row


def demand(request: Request, project: Any) -> None:
    if not request.user.has_perm(queries.PROPOSE, project):
        raise Problem(403, "Engineers and analysts of the project propose; your role does not.")


def answered(request: Request, pk: int, status: int = 200) -> Response:
    row = proposal_of(request, pk)
    answer = Api.answer(shapes.OneSloProposalShape, row, status=status)
    return tagged(answer, row.proposal.plan_hash)


def tagged(answer: Response, tag: str) -> Response:
    answer["ETag"] = f'"{tag}"'
    return answer


def read_of(request: Request, now: str, said: str | None) -> str:
    """What the caller has read; refused when it is not what it is now."""
    header = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not header and said is None:
        raise Problem(428, "Say what you have read: If-Match with the ETag.")
    if header and header != now:
        raise Problem(412, "It has changed since you read it. Read it again.")
    if said is not None and said != now:
        raise Problem(409, "It has changed since you read it. Read it again.")
    return now


def parts(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a definition, of what was sent."""
    found = dict(wanted)
    for name in ("services", "providers", "models"):
        if name in found:
            found[name] = tuple(dict.fromkeys(found[name]))
    if "window_days" in found:
        found["window_days"] = int(found["window_days"])
    return found


@contextmanager
def sound() -> Iterator[None]:
    try:
        yield
    except actions.Refused as refused:
        if not refused.field:
            raise Problem(409, str(refused)) from refused
        wrong = FilterError(refused.field, str(refused))
        raise Problem(400, "Some fields are wrong.", [wrong]) from refused
    except actions.NotAllowed as refusal:
        raise Problem(403, str(refusal)) from refusal
    except actions.Conflict as conflict:
        raise Problem(409, str(conflict)) from conflict
