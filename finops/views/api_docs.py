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

from finops.api.description import description
from finops.templatetags import words

from .page import Action, View, page
from .tables import Cell, Column, Row, Table, words_cell


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    summary: str
    parameters: Table


@login_required
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    address = request.build_absolute_uri(reverse("api:spend"))
    return page(
        View.of(request),
        "finops/api_docs.html",
        "API",
        lead="The same figures as the pages, as JSON. Money is a decimal string with a currency, "
        "unknown is null, lists come in pages with a cursor, and errors say how to mend them.",
        actions=[Action("OpenAPI schema", reverse("api:schema"), "download")],
        with_bar=False,
        first_call=f'curl -H "Authorization: Bearer $BREAKEVEN_TOKEN" "{address}?range=30d"',
        tokens_href=reverse("finops:tokens"),
        groups=groups(),
    )


@lru_cache(maxsize=1)
def groups() -> tuple[tuple[str, tuple[Operation, ...]], ...]:
    """Tag → operations, in the order of the addresses; the same for every reader."""
    schema = description()
    found: dict[str, list[Operation]] = {}
    for path, methods in schema["paths"].items():
        for method, told in methods.items():
            made = operation(path, method, told, body_fields(told, schema))
            found.setdefault(told["tags"][0], []).append(made)
    return tuple((tag, tuple(operations)) for tag, operations in found.items())


def body_fields(told: dict[str, Any], schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name → description of each field of the JSON body; nothing where there is none."""
    for content in told.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        shape = schema["components"]["schemas"].get(name, content["schema"])
        return dict(shape.get("properties", {}))
    return {}


def operation(
    path: str, method: str, told: dict[str, Any], body: dict[str, dict[str, Any]]
) -> Operation:
    columns = (Column("Parameter"), Column("Meaning"), Column("Values"))
    rows = [
        Row(
            (
                words_cell(parameter["name"]),
                meaning_cell(parameter),
                words_cell(values(parameter["schema"])),
            )
        )
        for parameter in told.get("parameters", ())
    ]
    rows += [
        Row(
            (
                words_cell(name, note="in the body"),
                Cell(words.ticks(field.get("description", "")), field.get("description", "")),
                words_cell(values(field)),
            )
        )
        for name, field in body.items()
    ]
    table = Table(
        told["operationId"],
        f"Parameters of {method.upper()} {path}",
        columns,
        tuple(rows),
        empty="It takes no parameters.",
    )
    return Operation(method.upper(), path, told["summary"], table)


def meaning_cell(parameter: dict[str, Any]) -> Cell:
    said = parameter.get("description", "")
    if not said and parameter["in"] == "path":
        said = "Which one, as its list names it."
    return Cell(words.ticks(said), said)


def values(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        return f"{values(schema['items'])}, repeatable"
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    return {"date": "YYYY-MM-DD"}.get(schema.get("format", ""), str(schema.get("type", "")))
