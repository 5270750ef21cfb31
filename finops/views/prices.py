"""The price book: what holds now, what has no price, and prices of our own."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from finops.actions import own_prices
from finops.actions.price_book import BadPrice, OwnPrice
from finops.costing.rates import REQUEST
from finops.costing.terms import Agreed
from finops.forms import HardwarePriceForm, OwnPriceForm
from finops.models import HardwarePrice, Price, PriceBook
from finops.models.prices import BILLED_BY
from finops.queries import prices as queries
from finops.queries.prices import PricePage
from finops.queries.unpriced import UnpricedUse, unpriced_usage
from finops.templatetags import words

from .page import Action, Choice, View, csv_action, needs, page
from .repricing import plain_filters, progress_context
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    csv_response,
    day_cell,
    time_cell,
    unit_price_cell,
    words_cell,
)

UNIT_COLUMNS = {
    "input": "Input",
    "cache_read": "From cache",
    "cache_write_5m": "Cache write, 5 min",
    "cache_write_1h": "Cache write, 1 h",
    "output": "Output",
    "reasoning": "Reasoning",
}
OTHER_UNITS = {
    "audio_input": "audio in",
    "audio_output": "audio out",
    "image_input": "images in",
    "request": "1,000 requests",
}
PAGE_SIZE = 200


@needs("finops.view_spend")
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "q", "own", "version", "cursor", "provider", "model", "unit")
    if request.method == "POST":
        return enter(view)
    return prices_page(view)


def prices_page(
    view: View,
    own_form: OwnPriceForm | None = None,
    hardware_form: HardwarePriceForm | None = None,
    status: int = 200,
) -> HttpResponse:
    book = chosen_book(view)
    search, own_only = view.extra.get("q", ""), view.extra.get("own") == "1"
    found = whole_models(book, search, own_only, view.extra.get("cursor"))
    may_enter = view.request.user.has_perm("finops.manage_prices")
    return page(
        view,
        "finops/prices.html",
        "Prices",
        lead=book_said(book),
        actions=page_actions(view, may_enter),
        with_bar=False,
        status=status,
        book=book,
        versions=version_choices(view, book),
        search=search,
        own_only=own_only,
        kept=view.pairs(view.filters, "q", "own", "cursor", "provider", "model", "unit"),
        prices=price_table(found.rows, queries.agreed(book)),
        hardware=hardware_table(queries.hardware_prices(book)),
        unpriced=unpriced_table(view, may_enter),
        unpriced_csv=csv_action(view, "unpriced-csv"),
        **progress_context(view),
        may_enter=may_enter,
        own_form=own_form or OwnPriceForm(initial=named_model(view)),
        hardware_form=hardware_form or HardwarePriceForm(prefix="hardware"),
        is_form_open=own_form is not None or bool(view.extra.get("model")),
        is_hardware_open=hardware_form is not None,
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if view.extra.get("cursor") else "",
        shown=f"{len(found.rows)} prices on this page",
    )


def page_actions(view: View, may_enter: bool) -> list[Action | None]:
    same_days = plain_filters(view.filters)
    return [
        Action("Contracts and regions", view.to("price-terms"), "prices"),
        Action("How a price comes about", view.to("price-explained"), "check"),
        Action("Newer price list", view.to("price-update", same_days), "prices")
        if may_enter
        else None,
        Action("Price a range again", view.to("reprice", same_days), "undo") if may_enter else None,
    ]


def chosen_book(view: View) -> PriceBook | None:
    version = view.extra.get("version", "")
    if not version:
        return queries.price_book()
    book = queries.price_book(int(version)) if version.isdecimal() and len(version) < 10 else None
    if book is None:
        raise Http404("There is no such version of the price book.")
    return book


def book_said(book: PriceBook | None) -> str:
    if book is None:
        return "No price book has been made yet; ./run setup seeds the first one."
    made = words.when_text(book.created_at)
    note = f" {book.note.rstrip('.')}." if book.note else ""
    return f"Version {book.version} from {book.source}, made {made}.{note}"


def version_choices(view: View, current: PriceBook | None) -> list[Choice]:
    return [
        Choice(
            f"Version {book.version}, {words.day(words.local(book.created_at).date())}",
            str(book.version),
            current=current is not None and book.pk == current.pk,
        )
        for book in queries.books()
    ]


def named_model(view: View) -> dict[str, str]:
    """The model that somebody came here to price."""
    named = ("provider", "model", "unit")
    return {name: view.extra[name] for name in named if name in view.extra}


def whole_models(
    book: PriceBook | None, search: str, own_only: bool, cursor: str | None
) -> PricePage:
    """A page that ends with the last price of a model, so that no row is torn in two."""
    asked = {"search": search, "own_only": own_only, "cursor": cursor}
    found = queries.price_page(book, limit=PAGE_SIZE, **asked)
    if not found.next:
        return found
    last = case(found.rows[-1])
    kept = sum(case(price) != last for price in found.rows)
    return queries.price_page(book, limit=kept, **asked) if kept else found


def case(price: Price) -> tuple[str, str, str, int]:
    return price.provider, price.model, price.tier, price.input_over


def price_table(prices: tuple[Price, ...], agreed: Agreed) -> Table:
    columns = (
        Column("Model"),
        Column("In force"),
        *(Column(label, number=True) for label in UNIT_COLUMNS.values()),
        Column("Other"),
    )
    made = [Row(price_cells(group, agreed)) for group in grouped(prices)]
    caption = "Prices per 1M tokens"
    empty = "No price fits. Search for part of a name."
    return Table("prices", caption, columns, tuple(made), empty=empty)


def grouped(prices: tuple[Price, ...]) -> list[dict[str, Price]]:
    """One row of prices by unit for each model, case and start."""
    groups: dict[tuple[Any, ...], dict[str, Price]] = {}
    for price in prices:
        times = (price.valid_from, price.time_from, price.time_to)
        key = (*case(price), *times, price.is_own, price.region, price.is_list_price)
        groups.setdefault(key, {})[price.unit] = price
    return list(groups.values())


def price_cells(group: dict[str, Price], agreed: Agreed) -> tuple[Cell, ...]:
    first = next(iter(group.values()))
    others = ", ".join(
        f"{label} {words.unit_price(group[unit].amount, group[unit].currency)}"
        for unit, label in OTHER_UNITS.items()
        if unit in group
    )
    return (
        words_cell(first.model, note=first.provider),
        words_cell(holds(first), note=origin_said(first)),
        *(one_price_cell(group[unit], agreed) if unit in group else NONE for unit in UNIT_COLUMNS),
        words_cell(others) if others else NONE,
    )


def origin_said(price: Price) -> str:
    if not price.is_own:
        return ""
    return "entered here as a list price" if price.is_list_price else "entered here"


def one_price_cell(price: Price, agreed: Agreed) -> Cell:
    """The price, and under it what every project pays by contract now."""
    term = queries.everybodys_term(price, agreed)
    note = ""
    if term is not None:
        paid = words.unit_price(term.off(price.amount), price.currency)
        note = f"{paid} by {term.contract}"
    return unit_price_cell(price.amount, price.currency, note=note)


def holds(price: Price) -> str:
    """When and for what a price holds, as in `tier batch, prompts over 200,000 tokens`."""
    parts = []
    if price.tier != "standard":
        parts.append(f"tier {price.tier}")
    if price.input_over:
        parts.append(f"prompts over {price.input_over:,} tokens")
    if price.time_from and price.time_to:
        parts.append(f"{price.time_from:%H:%M} to {price.time_to:%H:%M} UTC")
    if price.region:
        parts.append(f"bought in {price.region}")
    if price.valid_from:
        parts.append(f"from {words.when_text(price.valid_from)}")
    return words.sentence(", ".join(parts)).removesuffix(".") or "Always"


def hardware_table(rows: list[HardwarePrice]) -> Table:
    columns = (
        Column("Hardware"),
        Column("Per hour", number=True),
        Column("Paid by"),
        Column("From"),
    )
    made = tuple(
        Row(
            (
                words_cell(row.hardware),
                unit_price_cell(row.hourly, row.currency),
                words_cell(BILLED_BY[row.billed_by]),
                time_cell(row.valid_from) if row.valid_from else words_cell("always"),
            )
        )
        for row in rows
    )
    return Table(
        "hardware", "Hardware", columns, made, empty="No hardware has a price; its cost is unknown."
    )


@needs("finops.view_spend")
@require_safe
def unpriced_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    name = f"used-without-a-price-{view.filters.start}-{view.filters.end}.csv"
    return csv_response(unpriced_table(view, may_enter=False), name, view.filters)


def unpriced_table(view: View, may_enter: bool) -> Table:
    """What was used but has no price, in the period the reader looks at."""
    columns = (
        Column("Model"),
        Column("Provider"),
        Column("Token class"),
        Column("Without a price", number=True),
        Column("First seen"),
        Column("Last seen"),
        Column("Since"),
        *((Column("What to do"),) if may_enter else ()),
    )
    made = tuple(Row(unpriced_cells(view, use, may_enter)) for use in unpriced_usage(view.filters))
    return Table("unpriced", "Used without a price", columns, made)


def unpriced_cells(view: View, use: UnpricedUse, may_enter: bool) -> tuple[Cell, ...]:
    cells = (
        words_cell(use.model or "none given"),
        words_cell(use.provider or "none given"),
        words_cell(use.token_class.replace("_", " ")),
        count_cell(use.amount, note="requests" if use.token_class == REQUEST else "tokens"),
        time_cell(use.first_seen),
        time_cell(use.last_seen),
        day_cell(use.since),
    )
    if not may_enter:
        return cells
    named = {"provider": use.provider, "model": use.model, "unit": use.token_class}
    href = view.url(**named) + "#own-price"
    return (*cells, words_cell("Enter a price", href=href) if use.model else NONE)


def enter(view: View) -> HttpResponse:
    """A new price of our own; it makes the next version of the book."""
    if not view.request.user.has_perm("finops.manage_prices"):
        raise PermissionDenied
    if view.request.POST.get("what") == "hardware":
        return enter_hardware(view)
    form = OwnPriceForm(view.request.POST)
    if form.is_valid():
        price, note = form.price(), form.cleaned_data["note"]
        if (book := saved(view, form, lambda: set_price(view, price, note))) is not None:
            said = f"{price.model} has a price now. Version {book.version} of the book holds it."
            return done(view, said)
    return prices_page(view, own_form=form, status=422)


def set_price(view: View, price: OwnPrice, note: str) -> PriceBook:
    return own_prices.set_price(price, note, by=view.request.user, via="page")


def enter_hardware(view: View) -> HttpResponse:
    form = HardwarePriceForm(view.request.POST, prefix="hardware")
    if form.is_valid():
        given = form.cleaned_data

        def save() -> PriceBook:
            return own_prices.set_hardware_price(
                given["hardware"],
                given["hourly"],
                given["currency"],
                given["valid_from"],
                given["note"],
                billed_by=given["billed_by"],
                by=view.request.user,
                via="page",
            )

        if (book := saved(view, form, save)) is not None:
            said = f"{given['hardware']} has a price now. Version {book.version} holds it."
            return done(view, said)
    return prices_page(view, hardware_form=form, status=422)


def saved(view: View, form, save) -> PriceBook | None:
    """The book, or None with the reason in the form."""
    try:
        return save()
    except BadPrice as error:
        form.add_error(None, str(error))
        return None


def done(view: View, said: str) -> HttpResponse:
    messages.success(view.request, said)
    address = f"{reverse('finops:prices')}?{view.filters.to_query()}&{urlencode({'own': '1'})}"
    return HttpResponseRedirect(address)
