"""Changes: reading, editing, deciding, rolling back. What is decided names the plan it means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from finops.api.base import Api, told
from finops.api.parameters import PAGE, choice_of, limit_of, only, text_of, text_parameter
from finops.problems import Problem
from finops.queries.filters import FilterError
from optimiser import approvals, asking
from optimiser.models import Change
from optimiser.queries import changes as queries

from . import shapes
from .asked import CONFLICT, STALE, body_of, plan_of, refused

STATE = text_parameter("state", "Which ones; the open ones if left out.", enum=queries.STATES)


class Changes(Api):
    permissions = {"GET": queries.SEE}

    @told(
        "Changes, newest first",
        shapes.ChangePageShape,
        parameters=[STATE, *PAGE],
        name="changes",
        group="Changes",
    )
    def get(self, request: Request) -> Response:
        only(request, "state", "limit", "cursor")
        state = choice_of(request, "state", queries.STATES)
        cursor = text_of(request, "cursor") or None
        page = queries.change_list(request.user, state, limit_of(request), cursor)
        return self.answer(shapes.ChangePageShape, page)


def detail_of(request: Request, pk: int) -> queries.ChangeDetail:
    found = queries.change_detail(request.user, int(pk))
    if found is None:
        raise Problem(404, "There is no such change that you may see.")
    return found


def answer_with_plan(found: queries.ChangeDetail, status: int = 200) -> Response:
    """The ETag is the plan hash: what an edit or a decision names in If-Match."""
    answer = Api.answer(shapes.OneChangeShape, found, status=status)
    answer["ETag"] = f'"{found.change.plan_hash}"'
    return answer


def read_plan(request: Request, change: Change, wanted: dict[str, Any]) -> str:
    return plan_of(
        request,
        wanted["plan_hash"],
        change.plan_hash,
        lambda stale: queries.moved_since(change, stale),
    )


class OneChange(Api):
    permissions = {"GET": queries.SEE, "PATCH": queries.SEE}

    @told(
        "One change with its decisions, rollouts and verdicts",
        shapes.OneChangeShape,
        name="change",
        group="Changes",
    )
    def get(self, request: Request, pk: int) -> Response:
        only(request)
        return answer_with_plan(detail_of(request, pk))

    @told(
        "Edit the proposal; approvals become void",
        shapes.OneChangeShape,
        body=shapes.EditRequest,
        name="change_edit",
        group="Changes",
        more=STALE,
    )
    def patch(self, request: Request, pk: int) -> Response:
        wanted = body_of(shapes.EditRequest, request)
        change = detail_of(request, pk).change
        wanted["plan_hash"] = read_plan(request, change, wanted)
        wanted["terms"] = wanted.pop("policy")
        config = wanted["desired_config"]
        if config is not None and not isinstance(config, dict):
            wrong = FilterError("desired_config", "Send the config as a JSON object.")
            raise Problem(400, "Some fields are wrong.", [wrong])
        with refused():
            asking.edit(change, request.user, via="api", **wanted)
        return answer_with_plan(detail_of(request, pk))


class Decide(Api):
    """A decision is about one plan: name it by If-Match with the ETag, or by `plan_hash`."""

    permissions = {"POST": queries.SEE}
    decide: ClassVar[Callable[..., Any]]

    def decided(self, request: Request, pk: int) -> Response:
        wanted = body_of(shapes.DecisionRequest, request)
        change = detail_of(request, pk).change
        with refused():
            type(self).decide(
                change.pk,
                request.user,
                plan_hash=self.plan(request, change, wanted),
                comment=wanted["comment"],
                via="api",
            )
        return answer_with_plan(detail_of(request, pk))

    @staticmethod
    def plan(request: Request, change: Change, wanted: dict[str, Any]) -> str:
        """Whose change it is comes first: for one's own a fresh plan helps nobody."""
        if change.proposer_id == request.user.pk:
            return wanted["plan_hash"] or change.plan_hash
        return read_plan(request, change, wanted)


class Approve(Decide):
    decide = staticmethod(approvals.approve)

    @told(
        "Approve exactly this plan; never one's own",
        shapes.OneChangeShape,
        body=shapes.DecisionRequest,
        name="change_approve",
        group="Changes",
        more=STALE,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.decided(request, pk)


class Reject(Decide):
    decide = staticmethod(approvals.reject)

    @told(
        "Reject it, and say why; the change is closed",
        shapes.OneChangeShape,
        body=shapes.DecisionRequest,
        name="change_reject",
        group="Changes",
        more=STALE,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.decided(request, pk)


class Ask(Decide):
    decide = staticmethod(approvals.ask)

    @told(
        "Ask for changes, and say which; approvals become void",
        shapes.OneChangeShape,
        body=shapes.DecisionRequest,
        name="change_ask",
        group="Changes",
        more=STALE,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.decided(request, pk)


class Withdraw(Api):
    permissions = {"POST": queries.SEE}

    @told(
        "Take it back before anything has been done",
        shapes.OneChangeShape,
        body=shapes.WithdrawRequest,
        name="change_withdraw",
        group="Changes",
        more=CONFLICT,
    )
    def post(self, request: Request, pk: int) -> Response:
        wanted = body_of(shapes.WithdrawRequest, request)
        change = detail_of(request, pk).change
        with refused():
            approvals.withdraw(change.pk, request.user, via="api", reason=wanted["reason"])
        return answer_with_plan(detail_of(request, pk))


class RollBack(Api):
    permissions = {"POST": queries.SEE}

    @told(
        "Roll back now: the old config is loaded within seconds and read back",
        shapes.OneChangeShape,
        status=202,
        name="change_rollback",
        group="Changes",
        more=CONFLICT,
    )
    def post(self, request: Request, pk: int) -> Response:
        change = detail_of(request, pk).change
        with refused():
            asking.roll_back(change.pk, request.user, via="api")
        return answer_with_plan(detail_of(request, pk), status=202)
