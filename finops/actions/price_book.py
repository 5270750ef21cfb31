"""Makes the next version of the price book, and finds which price a reported name means.

Knows genai-prices' snapshot, our own prices and hardware prices. Refuses to edit a book: every
change is a new version, so an hour pinned to an old one can always be computed again. The audit
record is the caller's, who knows the person.
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
from finops.models import HardwarePrice, ModelAlias, Price, PriceBook
from finops.models.prices import BILLED_BY, BY_HOURS, PRICE_UNITS
from ingest.records import INPUT_BANDS
from ingest.store.counting import copy_rows

if TYPE_CHECKING:
    from finops.costing.snapshot import Snapshot

NAME_LENGTHS = (200, 300)
"""The longest provider and model name that an alias can hold; longer ones are unpriced."""

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
}

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
    _check_amount(hourly)
    _check_start(valid_from)
    with transaction.atomic():
        lock()
        latest = latest_book()
        book = _next_version(latest, latest.source, note or f"Price of {hardware.strip()}")
        _carry_over(latest, book, where="true")
        HardwarePrice.objects.update_or_create(
            book=book,
            hardware=hardware.strip(),
            valid_from=valid_from,
            defaults={"hourly": hourly, "currency": currency, "billed_by": billed_by},
        )
    return book


def resolve(book: PriceBook, provider: str, model: str) -> ModelAlias | None:
    """Which price of this book a reported name means; empty names in it: none, unpriced.

    None for names too long to be kept, which are unpriced as well.
    """
    return resolve_all(book, [(provider, model)]).get((provider, model))


def resolve_all(
    book: PriceBook, names: Collection[tuple[str, str]]
) -> dict[tuple[str, str], ModelAlias]:
    """`resolve` for many names. What was found once is stored, so it stays what it was."""
    wanted = {name for name in names if can_be_kept(name)}
    known = stored_aliases(book, wanted)
    missing = wanted - set(known)
    if missing:
        found = _find(book, missing)
        # Another worker may resolve the same name now; whoever is first has said it.
        ModelAlias.objects.bulk_create(found, ignore_conflicts=True)
        known |= stored_aliases(book, missing)
    return known


def look_up(
    book: PriceBook, names: Collection[tuple[str, str]]
) -> dict[tuple[str, str], ModelAlias]:
    """What `resolve_all` would answer; nothing is stored."""
    wanted = {name for name in names if can_be_kept(name)}
    known = stored_aliases(book, wanted)
    found = _find(book, wanted - set(known)) if wanted - set(known) else []
    return known | {(alias.provider, alias.model): alias for alias in found}


def can_be_kept(name: tuple[str, str]) -> bool:
    return all(len(part) <= most for part, most in zip(name, NAME_LENGTHS, strict=True))


def stored_aliases(
    book: PriceBook, names: Collection[tuple[str, str]]
) -> dict[tuple[str, str], ModelAlias]:
    models = {model for _, model in names}
    aliases = ModelAlias.objects.filter(book=book, model__in=models)
    return {
        (alias.provider, alias.model): alias
        for alias in aliases
        if (alias.provider, alias.model) in names
    }


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


def _find(book: PriceBook, names: Iterable[tuple[str, str]]) -> list[ModelAlias]:
    """Our own prices first, by the reported name itself; then genai-prices' matching."""
    from finops.costing import snapshot

    own = {
        (provider.casefold(), model.casefold()): (provider, model)
        for provider, model in Price.objects.filter(book=book, is_own=True)
        .values_list("provider", "model")
        .distinct()
    }
    # The installed genai-prices may know models that an older book does not have; a book from a
    # newer list has models that it does not know, which are then found by their own name.
    means = {
        (provider, model): (
            own.get((provider.casefold(), model.casefold())) or snapshot.match(provider, model),
            (provider, model),
        )
        for provider, model in names
    }
    asked = {name for candidates in means.values() for name in candidates if name}
    priced = {name for name, rates in rates_of(book, asked).items() if rates}
    aliases = []
    for (provider, model), candidates in means.items():
        found = next((name for name in candidates if name in priced), None)
        price_provider, price_model = found or ("", "")
        aliases.append(
            ModelAlias(
                book=book,
                provider=provider,
                model=model,
                price_provider=price_provider,
                price_model=price_model,
            )
        )
    return aliases


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
    _check_amount(price.amount)
    _check_start(price.valid_from)
    for clock in (price.time_from, price.time_to):
        if clock is not None and (clock.minute % 15 or clock.second or clock.microsecond):
            raise BadPrice("Costs are kept per quarter hour; use times such as 16:30.")
    provider, model = snapshot.match(provider, model) or (provider, model)
    fields = {name: getattr(price, name) for name in RATE_FIELDS if name != "is_own"}
    return provider, model, replace(Rate(**fields, is_own=True), tier=tier_of(price.tier))


def _check_amount(amount: Decimal) -> None:
    if not amount.is_finite() or not 0 <= amount < DEAREST:
        raise BadPrice(f"{amount} is not a price; give a number from 0 to below {DEAREST}.")
    exponent = amount.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MOST_DECIMALS:
        raise BadPrice(f"{amount} has more than {MOST_DECIMALS} decimals; round it.")


def _check_start(valid_from: datetime | None) -> None:
    if valid_from is None:
        return
    if valid_from.tzinfo is None:
        raise BadPrice("Give the start with its time zone.")
    start = valid_from.astimezone(UTC)
    if start.minute % 15 or start.second or start.microsecond:
        raise BadPrice("Costs are kept per quarter hour; let a price start on one, as 09:15.")


def _case(row: PriceRow) -> tuple[Any, ...]:
    provider, model, rate = row
    steps = (rate.unit, rate.tier, rate.input_over)
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
    """Copy prices that match, and all hardware prices, from one version to the next."""
    prices = ", ".join(name for name in COLUMNS if name != "book_id")
    hardware = "hardware, valid_from, hourly, currency, billed_by"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Price._meta.db_table} (book_id, {prices})"
            f" SELECT %s, {prices} FROM {Price._meta.db_table} WHERE book_id = %s AND {where}",
            [new.pk, old.pk],
        )
        cursor.execute(
            f"INSERT INTO {HardwarePrice._meta.db_table} (book_id, {hardware})"
            f" SELECT %s, {hardware} FROM {HardwarePrice._meta.db_table} WHERE book_id = %s",
            [new.pk, old.pk],
        )


def _seed_note(left_out: Mapping[str, int], rounded: int) -> str:
    """Nothing is dropped in silence: the book itself says what it does not hold."""
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(left_out.items()))
    return f"Rounded to {MOST_DECIMALS} decimals: {rounded}. Left out: {reasons or 'nothing'}."
