"""Rules of allocation, what they would move, the bucket, showback and statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from finops.actions.allocation import chargebacks as closing
from finops.actions.allocation import landing
from finops.actions.allocation import rules as actions
from finops.actions.allocation.rules import Draft, Refused
from finops.costing.allocating import Condition
from finops.models import AllocationRule, Chargeback
from finops.problems import Problem
from finops.queries.allocation import bucket as buckets
from finops.queries.allocation import chargebacks as statements
from finops.queries.allocation.preview import previewed
from finops.queries.allocation.rules import standing
from finops.queries.allocation.showback import month_of, months, showback
from finops.queries.allocation.statement_conversion import InOne, in_one, subtotal
from finops.queries.filters import FilterError, Filters, today

from . import allocation_shapes as shapes
from .base import Api, told
from .budgets import STALE
from .parameters import CONVERT, FILTERS, only, read_filters, refuse, text_of, text_parameter
from .people import body_of

READ, READ_BILLS = "finops.view_spend", "finops.view_bills"
MONTH = text_parameter("month", "As in 2026-05; the current one if left out.")


class AllocationRules(Api):
    permissions = {"GET": READ_BILLS, "POST": actions.MANAGE}
    over_everything = True

    @told(
        "The rules in the order in which they are asked",
        shapes.AllocationRuleListShape,
        name="allocation_rules",
        group="Allocation",
    )
    def get(self, request: Request) -> Response:
        only(request)
        data = [plain(rule, at) for at, rule in enumerate(standing(), 1)]
        found = {"data": data, "next": None, "waiting": landing.waiting()}
        return self.answer(shapes.AllocationRuleListShape, found)

    @told(
        "Add a rule behind the others",
        shapes.AllocationRuleShape,
        body=shapes.AllocationRuleRequest,
        status=201,
        name="allocation_rules_create",
        group="Allocation",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.AllocationRuleRequest, request)
        with sound():
            made = actions.add(Draft(**parts(wanted)), by=request.user, via="api")
        return with_revision(self.answer(shapes.AllocationRuleShape, seen(made.pk), 201))


class PreviewAllocationRule(Api):
    permissions = {"POST": actions.MANAGE}
    over_everything = True

    @told(
        "What a rule would move, on real charges; nothing is written",
        shapes.AllocationPreviewShape,
        body=shapes.AllocationPreviewRequest,
        name="allocation_rules_preview",
        group="Allocation",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.AllocationPreviewRequest, request)
        pk, days = wanted.pop("id"), wanted.pop("days")
        draft = Draft(**parts(wanted))
        rule = one_rule(pk) if pk is not None else None
        with sound():
            actions.checked(draft)
        start = today() - timedelta(days=days)
        found = previewed(actions.rule_of(draft, pk or 0), rule, start, today())
        return self.answer(shapes.AllocationPreviewShape, found)


class OneAllocationRule(Api):
    permissions = {"GET": READ_BILLS, "PATCH": actions.MANAGE, "DELETE": actions.MANAGE}
    over_everything = True

    @told("One rule; its ETag is its revision", shapes.AllocationRuleShape, name="allocation_rule",
          group="Allocation")  # fmt: skip
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return with_revision(self.answer(shapes.AllocationRuleShape, seen(int(pk))))

    @told(
        "Change a rule, its place, or switch it on and off",
        shapes.AllocationRuleShape,
        body=shapes.AllocationRuleChangeRequest,
        name="allocation_rule_change",
        group="Allocation",
        more=STALE,
    )
    def patch(self, request: Request, pk: str) -> Response:
        rule = one_rule(int(pk))
        wanted = body_of(shapes.AllocationRuleChangeRequest, request)
        revision = revision_of(request, wanted.pop("revision", None), rule)
        is_on, position = wanted.pop("is_on", None), wanted.pop("position", None)
        with sound(), transaction.atomic():
            if wanted:
                draft = replace(actions.draft_of(rule), **parts(wanted))
                actions.change(rule, draft, by=request.user, via="api", revision=revision)
            if is_on is not None:
                actions.switch(rule, is_on, by=request.user, via="api")
            if position is not None:
                actions.place(rule, position, by=request.user, via="api")
        return with_revision(self.answer(shapes.AllocationRuleShape, seen(int(pk))))

    @told("Remove a rule; what it took is where it was before", None, status=204,
          name="allocation_rule_remove", group="Allocation")  # fmt: skip
    def delete(self, request: Request, pk: str) -> Response:
        with sound():
            actions.remove(one_rule(int(pk)), by=request.user, via="api")
        return Response(status=204)


class Unallocated(Api):
    permissions = {"GET": READ_BILLS}
    over_everything = True

    @told(
        "What no rule takes, and what a rule could not split; over all projects",
        shapes.UnallocatedShape,
        parameters=[*FILTERS, CONVERT],
        name="allocation_unallocated",
        group="Allocation",
    )
    def get(self, request: Request) -> Response:
        filters = read_filters(request, "convert")
        covered, found = buckets.coverage(filters), buckets.bucket(filters)
        names = buckets.GROUPS
        answer = {
            "start": filters.start,
            "end": filters.end,
            "currency": found.currency,
            "conversion": covered.table.conversion,
            "others": covered.table.others,
            "as_of": found.as_of,
            "total": covered.total,
            "unallocated": covered.unallocated,
            "allocated_share": covered.share,
            "rows": [
                {**dict(zip(names, row.keys, strict=True)), "cost": row.cost, "share": row.share}
                for row in found.rows
            ],
            "held": buckets.held(filters),
        }
        return self.answer(shapes.UnallocatedShape, answer)


class ShowbackView(Api):
    permissions = {"GET": READ}

    @told(
        "What a month cost each project one may see, and which rule brought it",
        shapes.ShowbackShape,
        parameters=[
            MONTH,
            text_parameter("team", "Only projects of this team."),
            text_parameter("project", "Only this project's slug."),
            CONVERT,
        ],
        name="showback",
        group="Allocation",
    )
    def get(self, request: Request) -> Response:
        only(request, "month", "team", "project", "convert")
        month = asked_month(request) or months(1)[0]
        found = showback(
            request.user,
            month,
            text_of(request, "team"),
            text_of(request, "project"),
            asked_currency(request),
        )
        lines = [
            {**line_of(line), "rule": line.rule.name if line.rule else ""} for line in found.lines
        ]
        answer = {
            "month": month,
            "conversion": found.conversion,
            "as_of": found.as_of,
            "rows": found.rows,
            "lines": lines,
        }
        return self.answer(shapes.ShowbackShape, answer)


class Chargebacks(Api):
    permissions = {"GET": READ, "POST": actions.MANAGE}

    @told(
        "Statements of closed months, newest first",
        shapes.ChargebackListShape,
        parameters=[MONTH],
        name="chargebacks",
        group="Allocation",
    )
    def get(self, request: Request) -> Response:
        only(request, "month")
        found = statements.statements(request.user, asked_month(request))
        data = [header(request, one) for one in found]
        return self.answer(shapes.ChargebackListShape, {"data": data, "next": None})

    @told(
        "Close a month; when it is closed already, keep what has changed since as an adjustment",
        shapes.OneChargebackShape,
        body=shapes.ChargebackRequest,
        status=201,
        name="chargebacks_create",
        group="Allocation",
    )
    def post(self, request: Request) -> Response:
        if not request.user.has_perm(actions.MANAGE):
            raise Problem(403, "Closing a month needs an analyst of the whole organisation.")
        wanted = body_of(shapes.ChargebackRequest, request)
        month = month_of(wanted["month"])
        if month is None:
            wrong = FilterError("month", "Use a month such as 2026-05.")
            raise Problem(400, "Some fields are wrong.", [wrong])
        with sound():
            made = closing.close(month, by=request.user, via="api", note=wanted["note"])
        return self.answer(shapes.OneChargebackShape, header(request, made), 201)


class OneChargeback(Api):
    permissions = {"GET": READ}

    @told(
        "One statement, with the lines of the projects one may see",
        shapes.OneChargebackShape,
        parameters=[
            text_parameter("convert", "Amounts in this currency too, at the month's last rate.")
        ],
        name="chargeback",
        group="Allocation",
    )
    def get(self, request: Request, pk: str) -> Response:
        only(request, "convert")
        to = asked_currency(request)
        for found in statements.statements(request.user):
            if found.pk == int(pk):
                return self.answer(shapes.OneChargebackShape, header(request, found, to))
        raise Problem(404, "There is no such statement that you may see.")


def one_rule(pk: int) -> AllocationRule:
    found: AllocationRule | None = standing().filter(pk=pk).first()
    if found is None:
        raise Problem(404, "There is no such rule.")
    return found


def seen(pk: int) -> dict[str, Any]:
    for at, rule in enumerate(standing(), 1):
        if rule.pk == pk:
            return plain(rule, at)
    raise Problem(404, "There is no such rule.")


def plain(rule: AllocationRule, position: int) -> dict[str, Any]:
    draft = actions.draft_of(rule)
    return {
        **{name: getattr(draft, name) for name in Draft.__dataclass_fields__},
        "targets": [{"project": slug, "percent": percent} for slug, percent in draft.targets],
        "id": rule.pk,
        "position": position,
        "is_on": rule.is_on,
        "revision": rule.revision,
    }


def parts(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a draft, of what was sent."""
    found = dict(wanted)
    if "conditions" in found:
        found["conditions"] = tuple(
            Condition(one["field"], one["operator"], tuple(one["values"]))
            for one in found["conditions"]
        )
    if "targets" in found:
        found["targets"] = tuple(
            sorted((one["project"], one["percent"]) for one in found["targets"])
        )
    return found


def line_of(line: Any) -> dict[str, Any]:
    names = ("project", "team", "part", "amount", "reconciled", "currency")
    return {name: getattr(line, name) for name in names}


def header(request: Request, one: Chargeback, to: str = "") -> dict[str, Any]:
    names = ("pk", "month", "number", "kind", "as_of", "rules_digest", "book_version", "note")
    lines = statements.lines_of(request.user, one)
    found = in_one(lines, one.month, to) if to else None
    converted = found.lines if found else {}
    return {
        **{name: getattr(one, name) for name in names},
        "closed_at": one.closed_at,
        "closed_by": one.closed_by.username,
        "rules": statements.rules_of(request.user, one, lines),
        "lines": [
            {**line_of(line), "rule": line.rule_name, "converted": converted.get(line.pk)}
            for line in lines
        ],
        "totals": statements.totals(lines),
        "by_project": [subtotal_of(one, found) for one in statements.by_project(lines)],
        "by_team": [subtotal_of(one, found) for one in statements.by_team(lines)],
    }


def subtotal_of(one: statements.Subtotal, found: InOne | None) -> dict[str, Any]:
    names = ("project", "team", "amount", "reconciled", "currency")
    converted = subtotal(found, one.lines) if found else None
    return {**{name: getattr(one, name) for name in names}, "converted": converted}


def asked_currency(request: Request) -> str:
    found, errors = Filters.parse(request.query_params, request.user)
    refuse([error for error in errors if error.field == "convert"])
    return found.convert


def asked_month(request: Request) -> date | None:
    text = text_of(request, "month")
    month = month_of(text)
    if text and month is None:
        refuse([FilterError("month", "Use a month such as 2026-05.")])
    return month


def revision_of(request: Request, said: int | None, rule: AllocationRule) -> int:
    """The revision that the caller has read; refused when it is another."""
    header = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not header and said is None:
        raise Problem(428, "Say which revision you have read: If-Match with the ETag, or revision.")
    if header and header != str(rule.revision):
        raise Problem(412, "It has changed since you read it. Read it again.")
    if said is not None and said != rule.revision:
        raise Problem(409, "It has changed since you read it. Read it again.")
    return rule.revision


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
