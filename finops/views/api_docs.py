"""The API's own description as a page: operations and their parameters, drawn from the schema.

Knows the schema's shape. Refuses a viewer made elsewhere: those need scripts our policy forbids.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from .page import Action, View, page
from .tables import Column, Row, Table, words_cell


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    summary: str
    parameters: Table


@login_required
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    return page(
        View.of(request),
        "finops/api_docs.html",
        "API",
        lead="The same figures as the pages, as JSON. Money is a decimal string with a currency, "
        "unknown is null, lists come in pages with a cursor, and errors say how to mend them.",
        actions=[Action("OpenAPI schema", reverse("api:schema"), "download")],
        with_bar=False,
        address=request.build_absolute_uri(reverse("api:spend")),
        tokens_href=reverse("finops:tokens"),
        groups=groups(),
    )


@lru_cache(maxsize=1)
def groups() -> tuple[tuple[str, tuple[Operation, ...]], ...]:
    """Tag → operations, in the order of the addresses; the same for every reader."""
    schema = SchemaGenerator().get_schema(public=True)
    found: dict[str, list[Operation]] = {}
    for path, methods in schema["paths"].items():
        for method, told in methods.items():
            found.setdefault(told["tags"][0], []).append(operation(path, method, told))
    return tuple((tag, tuple(operations)) for tag, operations in found.items())


def operation(path: str, method: str, told: dict[str, Any]) -> Operation:
    columns = (Column("Parameter"), Column("Meaning"), Column("Values"))
    rows = [
        Row(
            (
                words_cell(parameter["name"]),
                words_cell(parameter.get("description", "")),
                words_cell(values(parameter["schema"])),
            )
        )
        for parameter in told.get("parameters", ())
    ]
    table = Table(
        told["operationId"],
        f"Parameters of {method.upper()} {path}",
        columns,
        tuple(rows),
        empty="It takes no parameters.",
    )
    return Operation(method.upper(), path, told["summary"], table)


def values(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        return f"{values(schema['items'])}, repeatable"
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    return {"date": "YYYY-MM-DD"}.get(schema.get("format", ""), str(schema.get("type", "")))
