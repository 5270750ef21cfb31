"""Budgets and their limits: read, set, change and remove them; a gateway polls the limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from finops.actions import budgets as actions
from finops.actions.budgets import Draft, Refused, Threshold
from finops.models import Budget
from finops.problems import Problem
from finops.queries import budgets as queries
from finops.queries.budget_conversion import converted
from finops.queries.budget_figures import told as figures_told
from finops.queries.budgets import BudgetRow
from finops.queries.filters import FilterError, Filters, today

from . import budget_shapes as shapes
from .base import Api, told
from .parameters import PAGE, limit_of, only, refuse, text_of, text_parameter
from .people import body_of
from .shapes import ProblemShape

READ = "finops.view_spend"
STALE = {
    409: (ProblemShape, "Somebody has changed it since."),
    412: (ProblemShape, "If-Match is not its revision any more; read it again."),
    428: (ProblemShape, "Neither If-Match nor revision was sent."),
}


class Budgets(Api):
    permissions = {"GET": READ, "POST": actions.MANAGE}

    @told(
        "The budgets one may see, by name",
        shapes.SpendBudgetPageShape,
        parameters=[
            text_parameter("state", "Only these.", enum=queries.STATES_SHOWN),
            text_parameter("owner", "Only of this user name."),
            text_parameter("project", "Only those that name this project's slug."),
            text_parameter("convert", "What was spent of how much in this currency as well."),
            *PAGE,
        ],
        name="budgets",
        group="Budgets",
    )
    def get(self, request: Request) -> Response:
        only(request, "state", "owner", "project", "convert", "limit", "cursor")
        asked, errors = Filters.parse(request.query_params, request.user)
        refuse([error for error in errors if error.field == "convert"])
        state = text_of(request, "state")
        if state and state not in queries.STATES_SHOWN:
            refuse([FilterError("state", f"Use one of {', '.join(queries.STATES_SHOWN)}.")])
        found = queries.budget_page(
            queries.budgets(request.user),
            state=state,
            owner=text_of(request, "owner"),
            project=text_of(request, "project"),
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        amounts, _ = converted(found.rows, asked.convert) if asked.convert else ({}, None)
        rows = [
            {**plain(row), "current": row.current, "converted": amounts.get(row.budget.pk)}
            for row in found.rows
        ]
        data = {"data": rows, "next": found.next}
        return self.answer(shapes.SpendBudgetPageShape, data)

    @told(
        "Set a budget",
        shapes.SpendBudgetShape,
        body=shapes.BudgetRequest,
        status=201,
        name="budgets_create",
        group="Budgets",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.BudgetRequest, request)
        scope = dict(wanted["scope"])
        narrowed = scope.get("project") or scope.get("team")
        wanted["basis"] = wanted["basis"] or ("usage" if narrowed else "book")
        wanted["owner"] = wanted["owner"] or request.user.get_username()
        wanted["currency"] = wanted["currency"] or settings.REPORTING_CURRENCY
        wanted["starts_on"] = wanted["starts_on"] or today()
        with sound():
            made = actions.add(Draft(**parts(wanted)), by=request.user, via="api")
        return with_revision(self.answer(shapes.SpendBudgetShape, seen(request, made.pk), 201))


class OneBudget(Api):
    permissions = {"GET": READ, "PATCH": actions.MANAGE, "DELETE": actions.MANAGE}

    @told("One budget; its ETag is its revision", shapes.SpendBudgetShape, name="budget",
          group="Budgets")  # fmt: skip
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return with_revision(self.answer(shapes.SpendBudgetShape, seen(request, int(pk))))

    @told(
        "Change a budget, pause or resume it",
        shapes.SpendBudgetShape,
        body=shapes.BudgetChangeRequest,
        name="budget_change",
        group="Budgets",
        more=STALE,
    )
    def patch(self, request: Request, pk: str) -> Response:
        row = visible(request, int(pk))
        demand(request, row)
        wanted = body_of(shapes.BudgetChangeRequest, request)
        revision = revision_of(request, wanted.pop("revision", None), row.budget)
        paused = wanted.pop("is_paused", row.budget.is_paused)
        with sound(), transaction.atomic():
            if wanted:
                draft = replace(actions.draft_of(row.budget), **parts(wanted))
                actions.change(row.budget, draft, by=request.user, via="api", revision=revision)
            act = actions.pause if paused else actions.resume
            if paused != row.budget.is_paused:
                act(row.budget, by=request.user, via="api")
        return with_revision(self.answer(shapes.SpendBudgetShape, seen(request, int(pk))))

    @told("Remove a budget; its alerts end", None, status=204, name="budget_remove",
          group="Budgets")  # fmt: skip
    def delete(self, request: Request, pk: str) -> Response:
        row = visible(request, int(pk))
        demand(request, row)
        with sound():
            actions.remove(row.budget, by=request.user, via="api")
        return Response(status=204)


class BudgetStatus(Api):
    permissions = {"GET": READ}

    @told(
        "How a budget does now, what it did before, and the thresholds it crossed",
        shapes.BudgetStatusShape,
        name="budget_status",
        group="Budgets",
    )
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        row = visible(request, int(pk))
        period = queries.rhythm_of(row.budget).at(today())
        now = (
            figures_told(row.budget, period, timezone.now(), held=row.current)
            if period and not row.budget.is_paused
            else None
        )
        found = {
            "budget": plain(row),
            "current": now and now.figures,
            "course": now.course if now else (),
            "history": queries.history(row.budget),
            "crossings": queries.crossings(row.budget),
        }
        return self.answer(shapes.BudgetStatusShape, found)


class Limits(Api):
    permissions = {"GET": READ}

    @told(
        "What to stop and where to fall back, by budget; send If-None-Match to poll it cheaply",
        shapes.LimitListShape,
        name="limits",
        group="Budgets",
        also={304: (shapes.LimitListShape, "Nothing has changed since that ETag; no body.")},
    )
    def get(self, request: Request) -> Response:
        only(request)
        answer = self.answer(
            shapes.LimitListShape, {"data": queries.limits(request.user), "next": None}
        )
        said = json.dumps(answer.data, sort_keys=True, default=str)
        tag = f'"{hashlib.sha256(said.encode()).hexdigest()[:32]}"'
        if tag in known_tags(request):
            answer = Response(status=304)
        answer["ETag"] = tag
        answer["Cache-Control"] = "private, no-cache"
        return answer


def known_tags(request: Request) -> list[str]:
    header = request.headers.get("If-None-Match", "")
    return [tag.strip().removeprefix("W/") for tag in header.split(",")]


def visible(request: Request, pk: int) -> BudgetRow:
    row = queries.one(request.user, pk)
    if row is None:
        raise Problem(404, "There is no such budget that you may see.")
    return row


def demand(request: Request, row: BudgetRow) -> None:
    if not actions.may_manage(request.user, row.project_ids):
        raise Problem(403, "Your role does not allow changing this budget; an analyst's does.")


def seen(request: Request, pk: int) -> dict[str, Any]:
    return plain(visible(request, pk))


def plain(row: BudgetRow) -> dict[str, Any]:
    """The budget as it was wanted, with its state."""
    budget = row.budget
    draft = actions.draft_of(budget)
    return {
        **{name: getattr(draft, name) for name in Draft.__dataclass_fields__},
        "id": budget.pk,
        "is_paused": budget.is_paused,
        "revision": budget.revision,
        "state": row.state,
        "why": row.why,
    }


def parts(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a draft, of what was sent."""
    found = dict(wanted)
    if "scope" in found:
        found["scope"] = {name: tuple(values) for name, values in found["scope"].items() if values}
    if "months" in found:
        found["months"] = tuple(found["months"])
    if "thresholds" in found:
        found["thresholds"] = tuple(
            Threshold(**{**one, "channel_ids": tuple(one["channel_ids"])})
            for one in found["thresholds"]
        )
    return found


def revision_of(request: Request, said: int | None, budget: Budget) -> int:
    """The revision that the caller has read; refused when it is another."""
    header = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not header and said is None:
        raise Problem(428, "Say which revision you have read: If-Match with the ETag, or revision.")
    if header and header != str(budget.revision):
        raise Problem(412, "It has changed since you read it. Read it again.")
    if said is not None and said != budget.revision:
        raise Problem(409, "It has changed since you read it. Read it again.")
    return budget.revision


def with_revision(answer: Response) -> Response:
    answer["ETag"] = f'"{answer.data["revision"]}"'
    return answer


@contextmanager
def sound() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if not refused.field:
            raise Problem(409, str(refused)) from refused
        wrong = FilterError(refused.field, str(refused))
        raise Problem(400, "Some fields are wrong.", [wrong]) from refused
