"""The names in a query string, for reading it and for the schema. The pages use the same names."""

from __future__ import annotations

import re

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from finops.problems import Problem
from finops.queries import filters
from finops.queries.filters import FIELDS, FilterError, Filters

MAX_LIMIT = 200
DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


def text_parameter(name: str, help: str, **more) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=help, **more)


FILTERS = [
    text_parameter("range", "A preset; instead of from and to.", enum=filters.PRESETS),
    OpenApiParameter("from", OpenApiTypes.DATE, description="First day, in the accounting zone."),
    OpenApiParameter("to", OpenApiTypes.DATE, description="The day after the last one."),
    *(text_parameter(f"f.{name}", f"Only this {name}; repeatable.", many=True) for name in FIELDS),
    text_parameter("basis", "Book: bills where complete, else priced usage.", enum=filters.BASES),
    text_parameter("metric", "Which cost of a bill.", enum=filters.METRICS),
    text_parameter("currency", "One currency; others are told beside it, never added."),
    OpenApiParameter("known_on", OpenApiTypes.DATE, description="Bills as known on this day."),
    text_parameter("compare", "Also the period before.", enum=("previous", "none")),
]
BY_LABEL = text_parameter(
    f"f.{filters.LABEL}NAME",
    "Only requests with this value of the label NAME; repeatable, empty for those without it."
    " Costs of one label at a time, of priced usage alone.",
    many=True,
)
CONVERT = text_parameter(
    "convert", "Every currency's amounts in this one, each day's at the rate of that day."
)
NOT_CONVERTED = (
    "Does not apply here: amounts are told in the currency they were recorded in. Choose one with"
    " currency where there are several."
)
GROUP_BY = text_parameter(
    "group_by", f"One or two of {', '.join(filters.GROUPS)}, separated by a comma.", many=False
)
GROUP_BY_OR_LABEL = text_parameter(
    "group_by",
    f"One or two of {', '.join(filters.GROUPS)}, separated by a comma; or label:NAME of a label"
    " that is kept.",
    many=False,
)
LIMIT = OpenApiParameter(
    "limit", OpenApiTypes.INT, description=f"Rows a page, 1 to {MAX_LIMIT}; 50 if left out."
)
CURSOR = text_parameter("cursor", "`next` of the page before.")
PAGE = [LIMIT, CURSOR]
FILTER_NAMES = frozenset(
    {"range", "from", "to", "group_by", "basis", "metric", "currency", "known_on", "compare"}
    | {f"f.{name}" for name in FIELDS}
)


def read_filters(request: Request, *more: str, by_label: bool = False) -> Filters:
    """The filters; a bad value or an unknown name is refused, with the fix."""
    found, errors = Filters.parse(request.query_params, request.user, by_label=by_label)
    unknown = _unknown(request.query_params, FILTER_NAMES | set(more))
    refuse([*errors, *unknown])
    return found


def only(request: Request, *names: str) -> QueryDict:
    """The query, when it holds no other names than these."""
    refuse(_unknown(request.query_params, set(names)))
    return request.query_params


def refuse(errors: list[FilterError]) -> None:
    if errors:
        raise Problem(400, "Some parameters are wrong.", errors)


def _unknown(query: QueryDict, allowed: set[str] | frozenset[str]) -> list[FilterError]:
    names = ", ".join(sorted(allowed)) or "no parameters"
    return [
        FilterError(
            name[:40],
            NOT_CONVERTED if name == "convert" else f"Not known here; there are: {names}.",
        )
        for name in query
        if name not in allowed and not name.startswith("f.")
    ]


def limit_of(request: Request, default: int = 50) -> int:
    text = request.query_params.get("limit", "")
    if not text:
        return default
    if not DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        refuse([FilterError("limit", f"Use a whole number from 1 to {MAX_LIMIT}.")])
    return int(text)


def number_of(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    if text and not DIGITS.fullmatch(text):
        refuse([FilterError(name, "Use a whole number.")])
    return int(text) if text else None


def text_of(request: Request, name: str) -> str:
    text = request.query_params.get(name, "")
    if "\0" in text or len(text) > filters.MAX_LENGTH:
        refuse([FilterError(name, f"Give plain text of at most {filters.MAX_LENGTH} characters.")])
    return text


def choice_of(request: Request, name: str, choices: tuple[str, ...]) -> str:
    text = request.query_params.get(name, "") or choices[0]
    if text not in choices:
        refuse([FilterError(name, f"Use one of {', '.join(choices)}.")])
    return text
