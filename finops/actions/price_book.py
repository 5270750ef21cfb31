"""Makes the next version of the price book.

Knows genai-prices' snapshot, our own prices, hardware prices and what was agreed with providers.
Refuses to edit a book: every change is a new version, so an hour pinned to an old one can always be
computed again. The audit record is the caller's, who knows the person.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from finops.costing.lines import DEAREST, MOST_DECIMALS
from finops.costing.rates import STANDARD, Rate, tier_of
from finops.costing.terms import Agreed, Buying, Term
from finops.models import BuyingRegion, HardwarePrice, Price, PriceBook, PriceTerm
from finops.models.price_terms import LONGEST_REGION
from finops.models.prices import BILLED_BY, BY_HOURS, PRICE_UNITS
from ingest.records import INPUT_BANDS
from ingest.store.counting import copy_rows

if TYPE_CHECKING:
    from finops.costing.snapshot import Snapshot

AGREED = ("uid", "since", "project_id", "provider", "valid_from", "valid_to", "note")
TERM_FIELDS = ("model", "tier", "region", "unit", "percent", "amount", "currency")

RATE_FIELDS = (
    "unit",
    "amount",
    "currency",
    "tier",
    "input_over",
    "valid_from",
    "time_from",
    "time_to",
    "is_own",
    "region",
    "is_list_price",
)
COLUMNS = {
    "book_id": "int8",
    "provider": "text",
    "model": "text",
    "unit": "text",
    "amount": "numeric",
    "currency": "text",
    "tier": "text",
    "input_over": "int4",
    "valid_from": "timestamptz",
    "time_from": "time",
    "time_to": "time",
    "is_own": "bool",
    "region": "text",
    "is_list_price": "bool",
}
CARRIED = (
    (HardwarePrice, ("hardware", "valid_from", "hourly", "currency", "billed_by")),
    (PriceTerm, (*AGREED, "contract", *TERM_FIELDS)),
    (BuyingRegion, (*AGREED, "region")),
)
"""What goes on from version to version as it is, whatever happens to the prices of models."""

PriceRow = tuple[str, str, Rate]
OwnRows = dict[tuple[Any, ...], PriceRow]
"""Own prices by the case they are for; a second one for the same case replaces the first."""


class BadPrice(ValueError):
    """Says in one sentence what is wrong with a price and what would be right."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a seeding did; `left_out` counts, by reason, the prices that could not be taken."""

    book: PriceBook
    created: bool
    prices: int
    left_out: Mapping[str, int]
    rounded: int


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price of our own: a contract, or a model that no list knows."""

    provider: str
    model: str
    unit: str
    amount: Decimal
    currency: str = "USD"
    tier: str = STANDARD
    input_over: int = 0
    valid_from: datetime | None = None
    time_from: time | None = None
    time_to: time | None = None
    region: str = ""
    """Where it is bought; empty: everywhere."""
    is_list_price: bool = False
    """Asked of everybody, so that discounts come off it."""


def latest_book() -> PriceBook:
    """The newest version; the first one is seeded when there is none yet."""
    book = PriceBook.objects.first()
    return book if book is not None else seed_price_book().book


def seed_price_book() -> Seeded:
    """Bring in genai-prices' snapshot as the next version, or leave the latest when it has it.

    Our own prices and hardware prices go on; they lie above whatever the snapshot says.
    """
    from finops.costing import snapshot  # 0.4 s and 40 MB that most processes never need

    return take_snapshot(snapshot.read())


def take_snapshot(read: Snapshot) -> Seeded:
    """`seed_price_book` with prices that are at hand."""
    with transaction.atomic():
        lock()
        latest = PriceBook.objects.first()
        same = latest is not None and latest.source == read.source
        if latest is not None and same and list_prices(latest) == set(read.rates):
            return Seeded(latest, False, len(read.rates), read.left_out, read.rounded)
        book = _next_version(latest, read.source, _seed_note(read.left_out, read.rounded))
        _write(book, read.rates)
        if latest is not None:
            _carry_over(latest, book, where="is_own")
    return Seeded(book, True, len(read.rates), read.left_out, read.rounded)


def set_own_price(price: OwnPrice, note: str = "") -> PriceBook:
    return set_own_prices([price], note)


def set_own_prices(prices: Sequence[OwnPrice], note: str = "") -> PriceBook:
    """The next version, with these prices over the list's; one for the same case is replaced."""
    rows = {_case(row): row for row in map(_own_row, prices)}
    return _change_own(lambda own: {**own, **rows}, note)


def remove_own_price(price: OwnPrice, note: str = "") -> PriceBook:
    """The next version without it; the list's price, if there is one, holds again."""
    case = _case(_own_row(price))

    def without(own: OwnRows) -> OwnRows:
        if case not in own:
            raise BadPrice(f"There is no own price of {price.provider} {price.model} like this.")
        return {key: row for key, row in own.items() if key != case}

    return _change_own(without, note)


def set_hardware_price(
    hardware: str,
    hourly: Decimal,
    currency: str = "USD",
    valid_from: datetime | None = None,
    note: str = "",
    billed_by: str = BY_HOURS,
) -> PriceBook:
    """The next version, with what one GPU or machine of this name costs per hour from then on."""
    if not hardware.strip():
        raise BadPrice("Name the hardware as its pool does, as in H100.")
    if billed_by not in BILLED_BY:
        raise BadPrice(f"{billed_by} is no way of paying; use {' or '.join(BILLED_BY)}.")
    check_amount(hourly)
    check_start(valid_from)
    with transaction.atomic():
        _, book = next_with_all(note or f"Price of {hardware.strip()}")
        HardwarePrice.objects.update_or_create(
            book=book,
            hardware=hardware.strip(),
            valid_from=valid_from,
            defaults={"hourly": hourly, "currency": currency, "billed_by": billed_by},
        )
    return book


def rates_of(
    book: PriceBook, names: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[Rate]]:
    """All dated rates of these priced models (names as in the book, not as reported)."""
    rates: dict[tuple[str, str], list[Rate]] = {name: [] for name in names}
    rows = Price.objects.filter(book=book, model__in={model for _, model in names})
    for provider, model, *values in rows.values_list("provider", "model", *RATE_FIELDS):
        if (provider, model) in rates:
            rates[provider, model].append(Rate(*values))
    return rates


def next_with_all(note: str) -> tuple[PriceBook, PriceBook]:
    """(the latest, the next version with everything of it). The caller holds the transaction."""
    lock()
    latest = latest_book()
    book = _next_version(latest, latest.source, note)
    _carry_over(latest, book, where="true")
    return latest, book


def agreed_of(book: PriceBook) -> Agreed:
    """The terms and the regions of purchase of this version."""
    when = ("provider", "project_id", "valid_from", "valid_to")
    terms = book.terms.values_list("uid", "contract", *when, *TERM_FIELDS)
    regions = book.regions.values_list("region", *when)
    return Agreed(
        tuple(
            Term(
                uid=str(uid), contract=contract, provider=provider, project=project,
                valid_from=start, valid_to=end, **dict(zip(TERM_FIELDS, values, strict=True)),
            )
            for uid, contract, provider, project, start, end, *values in terms
        ),
        tuple(
            Buying(region=region, provider=provider, project=project, valid_from=start,
                   valid_to=end)
            for region, provider, project, start, end in regions
        ),
    )  # fmt: skip


def _change_own(change: Callable[[OwnRows], OwnRows], note: str) -> PriceBook:
    with transaction.atomic():
        lock()
        latest = latest_book()
        own = {_case(row): row for row in _read(latest, is_own=True)}
        changed = change(own)
        book = _next_version(latest, latest.source, note or "Own prices")
        _carry_over(latest, book, where="NOT is_own")
        _write(book, changed.values())
    return book


def _own_row(price: OwnPrice) -> PriceRow:
    """Checked, and under the book's name of the model when genai-prices knows the reported one."""
    from finops.costing import snapshot

    provider, model = price.provider.strip(), price.model.strip()
    if not provider or not model:
        raise BadPrice("Give the provider and the model as its requests name them.")
    if len(provider) > 100 or len(model) > 200:
        raise BadPrice("Give a provider of at most 100 and a model of at most 200 characters.")
    if price.unit not in PRICE_UNITS:
        raise BadPrice(f"{price.unit} is not a unit; use one of {', '.join(PRICE_UNITS)}.")
    if price.input_over not in INPUT_BANDS:
        bands = ", ".join(map(str, INPUT_BANDS))
        raise BadPrice(f"Prompt sizes are kept in steps; use one of {bands}.")
    if (price.time_from is None) != (price.time_to is None):
        raise BadPrice("Give both times of day, or neither.")
    if not price.currency or len(price.currency) > 20:
        raise BadPrice("Give a currency such as USD.")
    check_amount(price.amount)
    check_start(price.valid_from)
    for clock in (price.time_from, price.time_to):
        if clock is not None and (clock.minute % 15 or clock.second or clock.microsecond):
            raise BadPrice("Costs are kept per quarter hour; use times such as 16:30.")
    if len(price.region.strip()) > LONGEST_REGION:
        raise BadPrice(f"Give a region of at most {LONGEST_REGION} characters, as in eu-west-1.")
    provider, model = snapshot.match(provider, model) or (provider, model)
    fields = {name: getattr(price, name) for name in RATE_FIELDS if name != "is_own"}
    rate = Rate(**fields, is_own=True)
    return provider, model, replace(rate, tier=tier_of(price.tier), region=price.region.strip())


def check_amount(amount: Decimal) -> None:
    if not amount.is_finite() or not 0 <= amount < DEAREST:
        raise BadPrice(f"{amount} is not a price; give a number from 0 to below {DEAREST}.")
    exponent = amount.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MOST_DECIMALS:
        raise BadPrice(f"{amount} has more than {MOST_DECIMALS} decimals; round it.")


def check_start(valid_from: datetime | None) -> None:
    if valid_from is None:
        return
    if valid_from.tzinfo is None:
        raise BadPrice("Give the start with its time zone.")
    start = valid_from.astimezone(UTC)
    if start.minute % 15 or start.second or start.microsecond:
        raise BadPrice("Costs are kept per quarter hour; let a price start on one, as 09:15.")


def _case(row: PriceRow) -> tuple[Any, ...]:
    provider, model, rate = row
    steps = (rate.unit, rate.tier, rate.input_over, rate.region)
    return provider, model, *steps, rate.valid_from, rate.time_from, rate.time_to


def lock() -> None:
    """One new version at a time: each is made from the latest."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('price book', 0))")


def _next_version(latest: PriceBook | None, source: str, note: str) -> PriceBook:
    version = latest.version + 1 if latest else 1
    book: PriceBook = PriceBook.objects.create(version=version, source=source, note=note)
    return book


def list_prices(book: PriceBook) -> set[PriceRow]:
    """Those of the list it was made from, without our own."""
    return set(_read(book, is_own=False))


def _read(book: PriceBook, *, is_own: bool) -> Iterable[PriceRow]:
    rows = Price.objects.filter(book=book, is_own=is_own)
    for provider, model, *values in rows.values_list("provider", "model", *RATE_FIELDS):
        yield provider, model, Rate(*values)


def _write(book: PriceBook, rows: Iterable[PriceRow]) -> None:
    with connection.cursor() as cursor:
        copy_rows(
            cursor,
            Price._meta.db_table,
            COLUMNS,
            ((book.pk, provider, model, *astuple(rate)) for provider, model, rate in rows),
        )


def _carry_over(old: PriceBook, new: PriceBook, where: str) -> None:
    """Copy prices that match, and all that is not a price of a model, to the next version."""
    prices = ", ".join(name for name in COLUMNS if name != "book_id")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Price._meta.db_table} (book_id, {prices})"
            f" SELECT %s, {prices} FROM {Price._meta.db_table} WHERE book_id = %s AND {where}",
            [new.pk, old.pk],
        )
        for model, names in CARRIED:
            table, columns = model._meta.db_table, ", ".join(names)
            cursor.execute(
                f"INSERT INTO {table} (book_id, {columns})"
                f" SELECT %s, {columns} FROM {table} WHERE book_id = %s",
                [new.pk, old.pk],
            )


def _seed_note(left_out: Mapping[str, int], rounded: int) -> str:
    """Nothing is dropped in silence: the book itself says what it does not hold."""
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(left_out.items()))
    return f"Rounded to {MOST_DECIMALS} decimals: {rounded}. Left out: {reasons or 'nothing'}."
