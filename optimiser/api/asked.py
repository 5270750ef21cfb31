"""What every view of this API shares: reading a body and an If-Match, and refusals as problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework.request import Request
from rest_framework.serializers import Serializer

from finops.problems import Problem
from finops.queries.filters import FilterError
from optimiser.approvals import BadEdit, Conflict, NotAllowed
from optimiser.connections import BadConnection

from .shapes import ConflictShape

CONFLICT = {409: (ConflictShape, "It cannot be done any more; `moved` names the fields.")}
STALE = {
    **CONFLICT,
    412: (ConflictShape, "If-Match is not the plan as it is now; `moved` names the fields."),
    428: (ConflictShape, "Neither If-Match nor plan_hash was sent."),
}

LARGEST = 2**63 - 1


def body_of(shape: type[Serializer], request: Request) -> dict[str, Any]:
    """What was sent; a name nobody knows is an error, not ignored."""
    form = shape(data=request.data)
    form.is_valid(raise_exception=True)
    allowed = ", ".join(form.fields) or "none"
    wrong = [
        FilterError(str(name)[:40], f"Not known here; there are: {allowed}.")
        for name in request.data
        if name not in form.fields
    ]
    if wrong:
        raise Problem(400, "Some fields are wrong.", wrong)
    return dict(form.validated_data)


@contextmanager
def refused() -> Iterator[None]:
    """What the rooms below refuse, as RFC 9457 problems."""
    try:
        yield
    except NotAllowed as refusal:
        raise Problem(403, str(refusal)) from refusal
    except Conflict as conflict:
        moved = [str(one) for one in conflict.moved]
        raise Problem(409, str(conflict), more={"moved": moved}) from conflict
    except (BadEdit, BadConnection) as bad:
        wrong = FilterError(bad.field, bad.message)
        raise Problem(400, "Some fields are wrong.", [wrong]) from bad


def plan_of(request: Request, said: str, now: str, moved: Callable[[str], list[str]]) -> str:
    """The plan that the caller has read: If-Match or `plan_hash`; refused when it is another.

    `moved` tells what is different since a plan.
    """
    header = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not header and not said:
        raise Problem(
            428,
            "Say which plan you have read: If-Match with the ETag, or plan_hash in the body.",
            more={"moved": []},
        )
    stale = next((read for read in (header, said) if read and read != now), None)
    if stale is not None:
        raise Problem(
            412 if stale == header else 409,
            "The plan has moved since you read it. Read it again.",
            more={"moved": moved(stale)},
        )
    return header or said
