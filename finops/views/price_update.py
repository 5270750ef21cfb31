"""A newer price list: what it would change, and the confirmation that makes it the next version."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from finops.actions import price_update as actions
from finops.costing.rates import BadPriceList, Rate
from finops.models import Price, PriceList
from finops.queries import price_update as queries
from finops.queries.price_update import PriceChange, PriceDiff
from finops.templatetags import words

from .page import Choice, View, csv_action, needs, page
from .prices import holds
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    csv_response,
    share_cell,
    unit_price_cell,
    words_cell,
)

READ = "finops.view_spend"
PAGE_SIZE = 200
TONES = {queries.ADDED: "good", queries.REMOVED: "bad", queries.CHANGED: "warn"}
COLUMNS = (
    Column("Model"),
    Column("What"),
    Column("Of"),
    Column("In force"),
    Column("Old", number=True),
    Column("New", number=True),
    Column("Change", number=True),
    Column("Own price"),
)


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "list", "what", "page")
    if request.method != "POST":
        return update_page(view)
    if not request.user.has_perm(actions.MANAGE):
        raise PermissionDenied
    return hand_in(view) if "file" in request.FILES else take(view)


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "list", "what")
    diff = queries.price_diff(chosen(view))
    return csv_response(diff_table(chosen_changes(view, diff)), "price-list-changes.csv")


def update_page(view: View, refused: str = "", status: int = 200) -> HttpResponse:
    wanted = chosen(view)
    diff = queries.price_diff(wanted)
    rows = chosen_changes(view, diff)
    number = page_number(view)
    first = (number - 1) * PAGE_SIZE
    here = rows[first : first + PAGE_SIZE]
    return page(
        view,
        "finops/prices_update.html",
        "Newer price list",
        lead=diff.said,
        crumbs=(("Prices", view.to("prices")),),
        actions=[csv_action(view, "price-update-csv")] if diff.changes else [],
        with_bar=False,
        status=status,
        diff=diff,
        table=diff_table(here),
        refused=refused,
        lists=list_choices(view, wanted),
        kinds=kind_choices(view, diff),
        may_take=view.request.user.has_perm(actions.MANAGE),
        address=view.url(page=""),
        upload_address=view.url(page="", list="", what=""),
        next_href=view.url(page=str(number + 1)) if len(rows) > first + PAGE_SIZE else "",
        first_href=view.url(page="") if number > 1 else "",
        shown=f"{first + 1:,} to {first + len(here):,} of {len(rows):,}",
    )


def hand_in(view: View) -> HttpResponse:
    sent = view.request.FILES["file"]
    if sent.size > actions.MOST_BYTES:
        refused = f"The file has more than {actions.MOST_BYTES:,} bytes; a price list has less."
        return update_page(view, refused, status=422)
    try:
        kept = actions.keep_list(sent.name, sent.read(), by=view.request.user, via="page")
    except BadPriceList as error:
        return update_page(view, str(error), status=422)
    return HttpResponseRedirect(view.url(list=str(kept.pk), page="", what=""))


def take(view: View) -> HttpResponse:
    review = view.request.POST.get("review", "")
    try:
        seeded = actions.take(chosen(view), review, by=view.request.user, via="page")
    except actions.Refused as refused:
        return update_page(view, str(refused), status=409)
    messages.success(
        view.request,
        f"Version {seeded.book.version} holds these prices. Hours keep the version they have; new"
        " ones are priced with this one.",
    )
    return HttpResponseRedirect(f"{reverse('finops:prices')}?{view.filters.to_query()}")


def chosen(view: View) -> PriceList | None:
    text = view.extra.get("list", "")
    if not text:
        return None
    found = queries.price_list(int(text)) if text.isdecimal() and len(text) < 10 else None
    if found is None:
        raise Http404("There is no such price list.")
    return found


def chosen_changes(view: View, diff: PriceDiff) -> tuple[PriceChange, ...]:
    what = view.extra.get("what", "")
    return tuple(one for one in diff.changes if what not in TONES or one.kind == what)


def page_number(view: View) -> int:
    text = view.extra.get("page", "")
    return max(1, int(text)) if text.isdecimal() and len(text) < 6 else 1


def list_choices(view: View, wanted: PriceList | None) -> list[Choice]:
    return [
        Choice("Installed release", href=view.url(list="", page=""), current=wanted is None),
        *(
            Choice(
                f"{one.name}, {words.day(words.local(one.created_at).date())}",
                href=view.url(list=str(one.pk), page=""),
                current=one == wanted,
            )
            for one in queries.price_lists()
        ),
    ]


def kind_choices(view: View, diff: PriceDiff) -> list[Choice]:
    what = view.extra.get("what", "")
    return [
        Choice("All", href=view.url(what="", page=""), current=what not in TONES),
        *(
            Choice(
                f"{kind.capitalize()} {diff.count(kind):,}",
                href=view.url(what=kind, page=""),
                current=what == kind,
            )
            for kind in TONES
        ),
    ]


def diff_table(changes: tuple[PriceChange, ...]) -> Table:
    made = tuple(Row(diff_cells(change)) for change in changes)
    return Table("diff", "What would change", COLUMNS, made, empty="No price would change.")


def diff_cells(change: PriceChange) -> tuple[Cell, ...]:
    rate = change.rate
    return (
        words_cell(change.model, note=change.provider),
        words_cell(change.kind, tone=TONES[change.kind]),
        words_cell(rate.unit.replace("_", " ")),
        words_cell(in_force(rate)),
        rate_cell(change.old),
        rate_cell(change.new),
        NONE if change.share is None else share_cell(change.share),
        words_cell("stays in force") if change.is_covered else NONE,
    )


def in_force(rate: Rate) -> str:
    """As the prices page says it."""
    return holds(
        Price(
            tier=rate.tier,
            input_over=rate.input_over,
            valid_from=rate.valid_from,
            time_from=rate.time_from,
            time_to=rate.time_to,
        )
    )


def rate_cell(rate: Rate | None) -> Cell:
    return NONE if rate is None else unit_price_cell(rate.amount, rate.currency)
