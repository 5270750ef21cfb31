"""Labels that costs are split by: which there are, how far their sums have come, choosing one.

Knows how they are worded. Refuses to show keys of requests to whoever may choose no label.
"""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops import access
from finops.actions import labels as actions
from finops.label_forms import LabelForm
from finops.queries import kept_labels
from finops.queries import labels as queries
from finops.queries.filters import LABEL, today
from finops.queries.labels import KeySeen, LabelRow
from finops.templatetags import words
from ingest.models import Project
from ingest.rollup.users import MOST_VALUES

from .page import Choice, View, csv_action, needs, page
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    csv_response,
    day_cell,
    words_cell,
)

READ = "finops.view_spend"
COLUMNS = (
    Column("Label"),
    Column("Of"),
    Column("Read from"),
    Column("Kept from"),
    Column("Summed from"),
    Column("State"),
    Column("Days summed", number=True, help="Of all its projects"),
    Column("Most values a day", number=True),
    Column("Days with other values", number=True, help=f"More than {MOST_VALUES:,} values"),
    Column("Chosen by"),
)
KEYS = (
    Column("Key"),
    Column("Requests", number=True),
    Column("Different values", number=True),
    Column("Example"),
    Column("To be known"),
)


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "of", "key")
    if request.method != "POST":
        return labels_page(view)
    if not access.anywhere(request.user, actions.MANAGE):
        raise PermissionDenied
    form = LabelForm(request.user, request.POST)
    if form.is_valid():
        if not actions.may_manage(request.user, form.owner()):
            raise PermissionDenied
        try:
            label = actions.keep(
                form.owner(),
                form.cleaned_data["name"],
                form.keys(),
                form.first_day(),
                by=request.user,
                via="page",
            )
        except actions.BadLabel as bad:
            form.refuse(bad.field, str(bad))
        else:
            messages.success(request, f"Costs are summed by “{label.name}” within minutes.")
            return HttpResponseRedirect(reverse("finops:labels"))
    return labels_page(view, form, status=422)


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "table", "of")
    if view.extra.get("table") == "keys":
        if not access.anywhere(request.user, actions.MANAGE):
            raise PermissionDenied
        projects = actions.managed(request.user)
        return csv_response(keys_table(view, keys_of(view, projects)), "label-keys.csv")
    return csv_response(labels_table(view, queries.of_user(request.user)), "labels.csv")


@needs(actions.MANAGE)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    label = kept_labels.one(request.user, int(pk))
    if label is None:
        raise Http404("There is no such label that you may see.")
    if not actions.may_manage(request.user, label.project):
        raise PermissionDenied
    actions.remove(label, by=request.user, via="page")
    messages.success(request, f"“{label.name}” is removed, with all that was summed by it.")
    return HttpResponseRedirect(reverse("finops:labels"))


def labels_page(view: View, form: LabelForm | None = None, status: int = 200) -> HttpResponse:
    user = view.request.user
    rows = queries.of_user(user)
    projects = actions.managed(user)
    may_keep = bool(projects) or actions.may_manage(user, None)
    chosen = projects.get(view.extra.get("of", ""))
    seen = keys_of(view, projects)
    key = view.extra.get("key", "")
    asked = {
        "name": suggested(key),
        "attributes": key,
        "project": chosen.slug if chosen else "",
    }
    return page(
        view,
        "finops/labels.html",
        "Labels",
        lead="What your requests say about themselves, such as their customer: costs by its"
        " values.",
        actions=[csv_action(view, "labels-csv", key="")] if rows else [],
        keys_file=csv_action(view, "labels-csv", table="keys", key=""),
        with_bar=False,
        status=status,
        table=labels_table(view, rows),
        has_labels=bool(rows),
        removable=[row.label for row in rows if actions.may_manage(user, row.label.project)],
        may_keep=may_keep,
        form=(form or LabelForm(user, initial=asked if key else None)) if may_keep else None,
        keys=keys_table(view, seen) if may_keep else None,
        looked_at=seen[0].looked_at if seen else 0,
        look_back_days=queries.LOOK_BACK_DAYS,
        owners=owner_choices(view, projects),
    )


def keys_of(view: View, projects: dict[str, Project]) -> tuple[KeySeen, ...]:
    chosen = projects.get(view.extra.get("of", ""))
    return queries.keys_seen([chosen] if chosen else projects.values(), today())


def owner_choices(view: View, projects: dict[str, Project]) -> list[Choice]:
    """Whose requests are looked at."""
    of = view.extra.get("of", "")
    every = Choice("All", href=view.url(of="", key=""), current=of not in projects)
    return [
        every,
        *(
            Choice(project.name, href=view.url(of=slug, key=""), current=of == slug)
            for slug, project in projects.items()
        ),
    ]


def suggested(key: str) -> str:
    """The last part of a key is what people call it, as in `langfuse.trace.metadata.customer`."""
    return key.rpartition(".")[2].lower()


def labels_table(view: View, rows: tuple[LabelRow, ...]) -> Table:
    return Table(
        "labels",
        "Labels that costs are split by",
        COLUMNS,
        tuple(Row(label_cells(view, row)) for row in rows),
        empty="No label is kept yet.",
    )


def label_cells(view: View, row: LabelRow) -> tuple[Cell, ...]:
    label = row.label
    href = view.to("costs", view.filters, group_by=f"{LABEL}{label.name}")
    project = label.project
    return (
        words_cell(label.name, href=href),
        Cell(project.name, project.slug) if project else Cell("Every project", "every project"),
        words_cell(", ".join(label.attributes)),
        day_cell(label.since),
        day_cell(row.first_day) if row.first_day else NONE,
        state_cell(row),
        count_cell(row.summed_days),
        count_cell(row.most_values),
        count_cell(row.folded_days),
        words_cell(label.created_by),
    )


def state_cell(row: LabelRow) -> Cell:
    if row.waiting_days:
        days = "1 day" if row.waiting_days == 1 else f"{words.count(row.waiting_days)} days"
        return words_cell(f"{days} to be summed yet", tone="warn")
    if not row.summed_days:
        return words_cell("No requests yet", tone="quiet")
    return words_cell("Up to date", tone="good")


def keys_table(view: View, seen: tuple[KeySeen, ...]) -> Table:
    return Table(
        "keys",
        "Keys that the newest requests have",
        KEYS,
        tuple(Row(key_cells(view, key)) for key in seen),
        empty="No request of the last days has an attribute. Send one with each request, such as"
        " customer.",
    )


def key_cells(view: View, key: KeySeen) -> tuple[Cell, ...]:
    return (
        words_cell(key.key, href=f"{view.url(key=key.key)}#label-form"),
        count_cell(key.requests),
        count_cell(key.values),
        words_cell(key.example),
        words_cell(warning(key), prose=True) if warning(key) else NONE,
    )


def warning(key: KeySeen) -> str:
    said = []
    if key.has_many:
        said.append(f"Many values: a day keeps {MOST_VALUES:,} apart, the rest is one row.")
    if key.may_be_personal:
        said.append("Looks like an address of a person.")
    return " ".join(said)
