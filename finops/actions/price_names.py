"""Finds which price of a book a reported name means.

Knows our own prices, genai-prices' matching and what was found before. Refuses to change its mind:
what was found once for a version of the book is kept, so pricing again comes to the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from finops.actions.price_book import rates_of
from finops.models import ModelAlias, Price, PriceBook

NAME_LENGTHS = (200, 300)
"""The longest provider and model name that an alias can hold; longer ones are unpriced."""


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
