"""Enters, changes and removes what was agreed with providers, and from which region one buys.

Each act makes the next version of the price book, with its audit record; hours that are priced
already keep theirs until somebody prices them again. Refuses names that no price of the book has:
a discount that fits nothing would be believed in and never come off.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from finops import audit
from finops.actions import price_book
from finops.actions.price_book import BadPrice
from finops.costing.rates import tier_of
from finops.costing.terms import Agreed, Buying, Term
from finops.models import BuyingRegion, PriceBook, PriceTerm, User
from finops.models.price_terms import LONGEST_REGION
from finops.models.prices import PRICE_UNITS
from finops.money import plain
from finops.queries.filters import midnight
from ingest.models import Project

MANAGE = "finops.manage_prices"
MOST_PERCENT = Decimal(100)
PERCENT_DECIMALS = 6


class Refused(Exception):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What both kinds have in common. Days are whole days of the accounting time zone."""

    provider: str
    project: str = ""
    """Its slug; empty: every project."""
    region: str = ""
    first_day: date | None = None
    last_day: date | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TermDraft(Draft):
    contract: str
    model: str = ""
    tier: str = ""
    unit: str = ""
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, kw_only=True)
class RegionDraft(Draft):
    pass


def draft_of(row: PriceTerm | BuyingRegion) -> Draft:
    """The row as it stands, for changing a part of it."""
    common: dict[str, Any] = {
        "provider": row.provider,
        "project": row.project.slug if row.project else "",
        "region": row.region,
        "first_day": _day(row.valid_from),
        "last_day": _last_day(row.valid_to),
        "note": row.note,
    }
    if isinstance(row, BuyingRegion):
        return RegionDraft(**common)
    names = ("contract", "model", "tier", "unit", "percent", "amount", "currency")
    return TermDraft(**common, **{name: getattr(row, name) for name in names})


def add(draft: Draft, *, by: User | None, via: str) -> PriceTerm | BuyingRegion:
    """Raises Refused."""
    with transaction.atomic():
        price_book.lock()
        row = _checked(draft, _latest(), None)
        _, book = price_book.next_with_all(_note(draft))
        row.book, row.since = book, book.version
        row.save()
        audit.record(by, via, f"{_word(draft)}.add", row, _said(draft))
    return row


def change(
    uid: UUID, draft: Draft, *, by: User | None, via: str, revision: int | None = None
) -> PriceTerm | BuyingRegion:
    """`revision` is the version that was read as the last to change it. Raises Refused."""
    with transaction.atomic():
        held = _held(type(draft), uid, revision)
        was = draft_of(held)
        if was == draft:
            return held
        row = _checked(draft, _latest(), uid)
        if draft_of(row) == was:
            return held
        _, book = price_book.next_with_all(_note(draft))
        type(row).objects.filter(book=book, uid=uid).delete()
        row.book, row.since = book, book.version
        row.save()
        audit.record(by, via, f"{_word(draft)}.change", row, _changed(was, draft))
    return row


def remove(
    kind: type[Draft], uid: UUID, *, by: User | None, via: str, revision: int | None = None
) -> PriceBook:
    """The next version without it; earlier versions keep it. Raises Refused."""
    with transaction.atomic():
        held = _held(kind, uid, revision)
        was = draft_of(held)
        _, book = price_book.next_with_all(f"Without {held}"[:200])
        type(held).objects.filter(book=book, uid=uid).delete()
        audit.record(by, via, f"{_word(was)}.remove", held, _said(was))
    return book


def agreed_with(draft: Draft, uid: UUID | None = None) -> tuple[Draft, Agreed, Agreed]:
    """(the draft in the book's names, all else that is agreed, the same with the draft in force).

    For looking at what it would do: its dates are left out. Raises Refused.
    """
    latest = _latest()
    row = _checked(draft, latest, uid)
    every = price_book.agreed_of(latest)
    known = {str(term.uid) for term in latest.terms.filter(uid=uid)} if uid else set()
    terms = tuple(term for term in every.terms if term.uid not in known)
    if isinstance(row, PriceTerm):
        new = _as_term(row)
        return draft_of(row), Agreed(terms, every.buying), Agreed((*terms, new), every.buying)
    held = latest.regions.filter(uid=uid).first() if uid else None
    buying = tuple(one for one in every.buying if held is None or one != _as_buying(held, True))
    return (
        draft_of(row),
        Agreed(terms, buying),
        Agreed(terms, (*buying, _as_buying(row, False))),
    )


def _as_term(row: PriceTerm) -> Term:
    """In force whenever one asks."""
    values = {name: getattr(row, name) for name in price_book.TERM_FIELDS}
    return Term(
        uid=str(row.uid),
        contract=row.contract,
        provider=row.provider,
        project=row.project_id,
        **values,
    )


def _as_buying(row: BuyingRegion, dated: bool) -> Buying:
    found = Buying(region=row.region, provider=row.provider, project=row.project_id)
    if dated:
        return replace(found, valid_from=row.valid_from, valid_to=row.valid_to)
    return found


# Checks


def _checked(draft: Draft, latest: PriceBook, uid: UUID | None) -> PriceTerm | BuyingRegion:
    """The row that the draft makes, in the book's names; not saved."""
    project = _project(draft.project)
    provider = _provider(draft.provider, latest)
    start, end = _times(draft)
    region = draft.region.strip()
    if len(region) > LONGEST_REGION:
        raise Refused("region", f"Give a region of at most {LONGEST_REGION} characters.")
    common: dict[str, Any] = {
        "uid": uid or uuid4(),
        "project": project,
        "provider": provider,
        "region": region,
        "valid_from": start,
        "valid_to": end,
        "note": draft.note.strip()[:200],
    }
    if not isinstance(draft, TermDraft):
        if not region:
            raise Refused("region", "Name the region as the provider does, as in eu-west-1.")
        row: PriceTerm | BuyingRegion = BuyingRegion(**common)
        _alone(row, latest.regions.filter(project=project, provider=provider), uid)
        return row
    row = PriceTerm(**common, **_effect(draft, provider, latest))
    same = {name: getattr(row, name) for name in ("model", "tier", "region", "unit")}
    _alone(row, latest.terms.filter(project=project, provider=provider, **same), uid)
    return row


def _effect(draft: TermDraft, provider: str, latest: PriceBook) -> dict[str, Any]:
    contract = draft.contract.strip()
    if not contract or len(contract) > 100:
        raise Refused("contract", "Give the contract's number or name, at most 100 characters.")
    if draft.unit and draft.unit not in PRICE_UNITS:
        raise Refused("unit", f"{draft.unit} is no unit; use one of {', '.join(PRICE_UNITS)}.")
    model = _model(provider, draft.model, latest)
    tier = tier_of(draft.tier) if draft.tier.strip() else ""
    prices = latest.prices.filter(provider=provider, **({"model": model} if model else {}))
    if tier and not prices.filter(tier=tier).exists():
        known = ", ".join(prices.order_by("tier").values_list("tier", flat=True).distinct())
        raise Refused("tier", f"No price is of the tier {tier}; there are: {known}.")
    found = {"contract": contract, "model": model, "tier": tier, "unit": draft.unit}
    if (draft.percent is None) == (draft.amount is None):
        raise Refused("percent", "Give a percentage or a fixed amount, one of the two.")
    if draft.percent is not None:
        return {**found, "percent": _percent(draft.percent), "currency": ""}
    if not model or not draft.unit:
        name = "unit" if model else "model"
        raise Refused(name, "A fixed amount is of one model and one token class.")
    try:
        price_book.check_amount(draft.amount or Decimal(0))
    except BadPrice as error:
        raise Refused("amount", str(error)) from error
    currencies = set(prices.values_list("currency", flat=True))
    if currencies != {draft.currency}:
        raise Refused(
            "currency",
            f"The book has this model in {' and '.join(sorted(currencies))}; a contract in another"
            " currency is entered as own prices of every token class.",
        )
    return {**found, "amount": draft.amount, "currency": draft.currency}


def _percent(percent: Decimal) -> Decimal:
    if not percent.is_finite() or not -MOST_PERCENT < percent <= MOST_PERCENT:
        raise Refused("percent", "Give a percentage up to 100; below 0 it is a surcharge.")
    exponent = percent.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > PERCENT_DECIMALS:
        raise Refused("percent", f"Give at most {PERCENT_DECIMALS} decimals.")
    return percent


def _project(slug: str) -> Project | None:
    if not slug:
        return None
    found: Project | None = Project.objects.filter(slug=slug).first()
    if found is None:
        raise Refused("project", f"There is no project {slug[:100]}; name it by its short name.")
    return found


def _provider(said: str, latest: PriceBook) -> str:
    """As the book names it, whatever OpenTelemetry or an SDK says."""
    from finops.costing import snapshot  # 0.4 s and 40 MB that most processes never need

    wanted = said.strip().casefold()
    known = {
        name.casefold(): name
        for name in latest.prices.order_by("provider").values_list("provider", flat=True).distinct()
    }
    found: str | None = known.get(wanted)
    if found is None:
        found = known.get(snapshot.PROVIDER_WORDS.get(wanted, wanted))
    if found is None:
        listed = ", ".join(known.values())
        raise Refused("provider", f"The book has no price of {said[:50]!r}; it has: {listed}.")
    return found


def _model(provider: str, said: str, latest: PriceBook) -> str:
    from finops.costing import snapshot

    wanted = said.strip()
    if not wanted:
        return ""
    prices = latest.prices.filter(provider=provider)
    own = prices.filter(model__iexact=wanted).values_list("model", flat=True).first()
    matched = snapshot.match(provider, wanted)
    found = str(own or (matched[1] if matched and matched[0] == provider else ""))
    if not found or not prices.filter(model=found).exists():
        raise Refused("model", f"{provider} has no price of {wanted[:100]}; look it up on Prices.")
    return found


def _times(draft: Draft) -> tuple[datetime | None, datetime | None]:
    first, last = draft.first_day, draft.last_day
    if first and last and last < first:
        raise Refused("last_day", "The last day is not before the first one.")
    zone = settings.ACCOUNTING_TIME_ZONE
    return (
        midnight(first, zone) if first else None,
        midnight(last + timedelta(days=1), zone) if last else None,
    )


def _alone(row: PriceTerm | BuyingRegion, same: Any, uid: UUID | None) -> None:
    """Two of one scope and start would leave open which of them holds."""
    if same.filter(valid_from=row.valid_from).exclude(uid=uid).exists():
        raise Refused(
            "first_day", "There is one for the same already that starts on this day; change that."
        )


def _latest() -> PriceBook:
    return price_book.latest_book()


def _held(kind: type[Draft], uid: UUID, revision: int | None) -> PriceTerm | BuyingRegion:
    """The row of the newest version, which stays the newest until the transaction ends."""
    price_book.lock()
    model = PriceTerm if issubclass(kind, TermDraft) else BuyingRegion
    found: PriceTerm | BuyingRegion | None = (
        model.objects.select_related("project").filter(book=_latest(), uid=uid).first()
    )
    if found is None:
        raise Refused("", "It is not in the newest version of the price book any more.")
    if revision is not None and revision != found.since:
        raise Refused("", "Somebody has changed it since you read it; read it again.")
    return found


# Words


def _word(draft: Draft) -> str:
    return "price_term" if isinstance(draft, TermDraft) else "buying_region"


def _note(draft: Draft) -> str:
    if isinstance(draft, TermDraft):
        return draft.note.strip() or f"Contract {draft.contract.strip()}"
    return draft.note.strip() or f"{draft.provider.strip()} from {draft.region.strip()}"


def _said(draft: Draft) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(draft).items() if value not in ("", None)}


def _changed(was: Draft, draft: Draft) -> dict[str, Any]:
    before, after = asdict(was), asdict(draft)
    return {
        name: [_plain(before[name]), _plain(after[name])]
        for name in after
        if before[name] != after[name]
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else value


def _day(at: datetime | None) -> date | None:
    return at.astimezone(ZoneInfo(settings.ACCOUNTING_TIME_ZONE)).date() if at else None


def _last_day(end: datetime | None) -> date | None:
    day = _day(end)
    return day - timedelta(days=1) if day else None
