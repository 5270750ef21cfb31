"""Watch rules: read, add, change and remove them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from finops.actions import watch_rules as actions
from finops.actions.alerting import MANAGE
from finops.actions.watch_rules import WatchDraft
from finops.problems import Problem
from finops.queries import watch_rules as queries
from finops.queries.filters import FilterError
from finops.queries.watch_rules import WatchRow

from . import watch_shapes as shapes
from .base import Api, told
from .parameters import only
from .people import body_of
from .slos import STALE, read_of, tagged

READ = "finops.view_spend"
GROUP = "Alerts"


class WatchRules(Api):
    permissions = {"GET": READ, "POST": MANAGE}

    @told("The watch rules one may see, by name", shapes.WatchRuleListShape,
          name="watch_rules", group=GROUP)  # fmt: skip
    def get(self, request: Request) -> Response:
        only(request)
        found = [plain(row) for row in queries.rules(request.user)]
        return self.answer(shapes.WatchRuleListShape, {"data": found, "next": None})

    @told(
        "Add a watch rule",
        shapes.WatchRuleShape,
        body=shapes.WatchRuleRequest,
        status=201,
        name="watch_rule_create",
        group=GROUP,
    )
    def post(self, request: Request) -> Response:
        wanted = parts(body_of(shapes.WatchRuleRequest, request))
        with sound():
            made = actions.add(WatchDraft(**wanted), by=request.user, via="api")
        return answered(request, made.pk, 201)


class OneWatchRule(Api):
    permissions = {"GET": READ, "PATCH": MANAGE, "DELETE": MANAGE}

    @told("One watch rule; its ETag is its revision", shapes.WatchRuleShape, name="watch_rule",
          group=GROUP)  # fmt: skip
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return answered(request, int(pk))

    @told(
        "Change a watch rule, or switch it on or off",
        shapes.WatchRuleShape,
        body=shapes.WatchRuleChangeRequest,
        name="watch_rule_change",
        group=GROUP,
        more=STALE,
    )
    def patch(self, request: Request, pk: str) -> Response:
        row = managed(request, int(pk))
        wanted = parts(body_of(shapes.WatchRuleChangeRequest, request))
        said = wanted.pop("revision", None)
        read = read_of(request, str(row.rule.revision), None if said is None else str(said))
        with sound():
            draft = replace(actions.draft_of(row.rule), **wanted)
            actions.change(row.rule, draft, by=request.user, via="api", revision=int(read))
        return answered(request, int(pk))

    @told("Remove a watch rule; its alerts end", None, status=204, name="watch_rule_remove",
          group=GROUP)  # fmt: skip
    def delete(self, request: Request, pk: str) -> Response:
        row = managed(request, int(pk))
        with sound():
            actions.remove(row.rule, by=request.user, via="api")
        return Response(status=204)


def visible(request: Request, pk: int) -> WatchRow:
    row = queries.one(request.user, pk)
    if row is None:
        raise Problem(404, "There is no such rule that you may see.")
    return row


def managed(request: Request, pk: int) -> WatchRow:
    row = visible(request, pk)
    if not actions.may_manage_rule(request.user, row.rule):
        raise Problem(403, "Your role does not manage the alerts of this rule's projects.")
    return row


def answered(request: Request, pk: int, status: int = 200) -> Response:
    row = visible(request, pk)
    answer = Api.answer(shapes.WatchRuleShape, plain(row), status=status)
    return tagged(answer, str(row.rule.revision))


def plain(row: WatchRow) -> dict[str, Any]:
    draft = actions.draft_of(row.rule)
    return {
        **{name: getattr(draft, name) for name in WatchDraft.__dataclass_fields__},
        "id": row.rule.pk,
        "revision": row.rule.revision,
        "alerts": row.alerts,
    }


def parts(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a draft, of what was sent."""
    found = dict(wanted)
    if "models" in found:
        found["only_models"] = tuple(dict.fromkeys(found.pop("models")))
    if "window_minutes" in found:
        found["window_minutes"] = int(found["window_minutes"])
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
