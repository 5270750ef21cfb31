"""Savings, the ledger behind them, and what the work on them took."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from finops import access
from finops.actions import ledger
from finops.actions.ledger import BadCost
from finops.models import LedgerEntry
from finops.models.ledger import COUNTED
from finops.money import Money
from finops.problems import Problem
from finops.queries import savings as queries
from finops.queries.filters import FilterError
from ingest.models import Project

from . import savings_shapes as shapes
from .base import Api, told
from .parameters import (
    CONVERT,
    FILTERS,
    PAGE,
    choice_of,
    limit_of,
    read_filters,
    text_of,
    text_parameter,
)
from .people import body_of

SORTS = ("", *COUNTED)


class Savings(Api):
    permissions = {"GET": "finops.view_spend"}

    @told(
        "What changes promised and what was realised, what it took, and payback",
        shapes.SavingsShape,
        parameters=[*FILTERS, CONVERT],
        name="savings",
        group="Savings",
    )
    def get(self, request: Request) -> Response:
        return self.answer(shapes.SavingsShape, queries.savings(read_filters(request, "convert")))


class Entries(Api):
    permissions = {"GET": "finops.view_spend"}

    @told(
        "The ledger: every entry that touches the period, superseded ones too, newest first",
        shapes.EntryPageShape,
        parameters=[
            *FILTERS,
            text_parameter("change", "Entries of this change alone."),
            text_parameter("counts_as", "Entries of this sort alone.", enum=COUNTED),
            text_parameter("convert", "Cash in this currency as well, at the entry's own day."),
            *PAGE,
        ],
        name="savings_entries",
        group="Savings",
    )
    def get(self, request: Request) -> Response:
        found = queries.entries(
            read_filters(request, "change", "counts_as", "convert", "limit", "cursor"),
            change=text_of(request, "change"),
            counts_as=choice_of(request, "counts_as", SORTS),
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        for row in found.rows:
            row.converted = found.converted.get(row.pk)
        return self.answer(shapes.EntryPageShape, found)


class ProgrammeCosts(Api):
    permissions = {"POST": "finops.manage_savings"}
    over_everything = True

    @told(
        "Enter what the work on savings took, or correct an earlier entry of it",
        shapes.EntryShape,
        body=shapes.ProgrammeCostRequest,
        status=201,
        name="programme_costs_create",
        group="Savings",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.ProgrammeCostRequest, request)
        try:
            entry = ledger.book_programme_cost(
                wanted["on"],
                Money(wanted["amount"], wanted["currency"].upper()),
                wanted["note"],
                project=_project(request, wanted["project"]),
                corrects=_entry(wanted["corrects"]),
                by=request.user,
                via="api",
            )
        except BadCost as error:
            raise _wrong(error.field, str(error)) from error
        return self.answer(shapes.EntryShape, entry, status=201)


def _project(request: Request, slug: str) -> Project | None:
    if not slug:
        return None
    for project in access.visible_projects(request.user).all:
        if project.slug == slug:
            return project
    raise _wrong("project", f"There is no project “{slug}” that you may see.")


def _entry(pk: int | None) -> LedgerEntry | None:
    if pk is None:
        return None
    found: LedgerEntry | None = LedgerEntry.objects.filter(pk=pk).first()
    if found is None:
        raise _wrong("corrects", f"There is no entry {pk} in the ledger.")
    return found


def _wrong(field: str, message: str) -> Problem:
    return Problem(400, "Some fields are wrong.", [FilterError(field, message)])
